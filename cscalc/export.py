"""Settings that users type elsewhere: transformers, vLLM, SGLang, llama.cpp.

These engines draft with one model, or by looking up n-grams, and a fixed length. A cascade
beyond that is said to be so, and the best alternative of the plan that the engine can run is
exported in its place. Option names: transformers 5.x (installed and read), the documentation
of vLLM (``--speculative-config``, ``num_speculative_tokens_per_batch_size``), of SGLang
(``--speculative-*``) and of llama.cpp (``--spec-*``), all of 2026.
"""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cscalc._checks import check_choice, check_int
from cscalc.cascade import Cascade, Draft, describe
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.theory.batch_lengths import BatchLength, batch_ranges, per_batch_lengths
from cscalc.theory.law import ewif

__all__ = ["ENGINES", "BatchLength", "EngineSettings", "export", "per_batch_lengths"]

ENGINES = ("transformers", "vllm", "sglang", "llama.cpp")
LONGEST = 64  # of the single drafts tried where the plan holds no alternative that fits


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What to type so that an engine runs a cascade, and what that is predicted to give.

    Attributes
    ----------
    engine : str
        One of ``cscalc.export.ENGINES``.
    settings : dict
        Options by the engine's own names, plain JSON; empty for plain decoding.
    text : str
        The same as Python code, or as arguments of the command line.
    cascade : Cascade
        What these settings run.
    ewif : float
        Its predicted EWIF on the plan's profile.
    notes : tuple of str
        What differs from the plan or must be checked, one sentence each.

    Examples
    --------
    >>> from cscalc.optimize import optimal_config
    >>> settings = export(optimal_config([0.8], [0.1]), "transformers")
    >>> settings.settings["num_assistant_tokens"]
    6
    """

    engine: str
    settings: dict[str, Any]
    text: str
    cascade: Cascade
    ewif: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"# {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "engine": self.engine,
            "settings": self.settings,
            "text": self.text,
            "cascade": self.cascade.to_dict(),
            "ewif": self.ewif,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Chosen:
    """One draft of one length, as every engine here can run it; model 0: plain decoding."""

    model: int
    length: int
    one_shot: bool
    checkpoint: str
    lookup: tuple[int, int]
    table: tuple[BatchLength, ...]


def export(
    plan: Plan,
    engine: str,
    *,
    checkpoints: Mapping[int, str] | None = None,
    lookup: tuple[int, int] = (1, 3),
    batch_lengths: Sequence[BatchLength] = (),
) -> EngineSettings:
    """Settings of an engine that run the chosen cascade, or the best alternative it can run.

    Parameters
    ----------
    plan : Plan
        From `optimal_config`, or loaded.
    engine : {"transformers", "vllm", "sglang", "llama.cpp"}
        What is to run it, in upper or lower case.
    checkpoints : mapping from model to str, optional
        Name or path of each draft model's checkpoint; default: its name in the profile. A
        profile without names leaves a placeholder, "draft 1", and a note says so.
    lookup : (int, int)
        Shortest and longest n-gram that is looked up, tokens, for one-shot drafts; the
        default is prompt lookup's.
    batch_lengths : sequence of BatchLength
        For vLLM: draft length by batch size, from `per_batch_lengths`.

    Returns
    -------
    EngineSettings
        ``print`` it, or read ``.settings``.

    Raises
    ------
    TypeError, ValueError
        If the engine is unknown, `checkpoints` names no draft of the plan, `lookup` is no range,
        or `batch_lengths` is given for an engine without such a table or for another model than
        the one exported.

    Notes
    -----
    A draft is fixed to the plan's length: where an engine adapts it (transformers' schedule
    and confidence threshold, llama.cpp's least probability), that is switched off, for the
    prediction assumes it.

    Examples
    --------
    >>> from cscalc.optimize import optimal_config
    >>> plan = optimal_config([0.8], [0.1])
    >>> print(export(plan, "vllm", checkpoints={1: "Qwen/Qwen3-0.6B"}).settings)
    {'method': 'draft_model', 'model': 'Qwen/Qwen3-0.6B', 'num_speculative_tokens': 6}
    >>> print(export(plan, "llama.cpp", checkpoints={1: "small.gguf"}).text)
    --spec-type draft-simple -md small.gguf --spec-draft-n-max 6 --spec-draft-n-min 0 \
--spec-draft-p-min 0
    """
    engine = check_choice("engine", engine.lower() if isinstance(engine, str) else engine, ENGINES)
    given = _checkpoints(checkpoints, plan.profile)
    least, most = lookup
    if check_int("lookup", least, least=1) > check_int("lookup", most, least=1):
        raise ValueError(f"lookup must be (shortest, longest) n-gram, got {lookup!r}")
    cascade, notes = _expressible(plan, engine)
    profile = plan.profile
    chosen = _Chosen(0, 0, False, "", lookup, ())
    if cascade.drafts:
        model, length = _single(cascade, profile) or (0, 0)
        name = given.get(model, profile.names[model])
        one_shot = model in profile.one_shot
        if not one_shot and re.fullmatch(r"draft \d+", name):
            notes.append(f'"{name}" is a placeholder: put that model\'s checkpoint in its place.')
        chosen = _Chosen(model, length, one_shot, name, lookup, tuple(batch_lengths))
    if batch_lengths and engine != "vllm":
        raise ValueError(f"{engine} takes no table of draft lengths by batch size: only vllm does")
    if batch_lengths and any(one.model != chosen.model for one in batch_lengths):
        other = next(one.model for one in batch_lengths if one.model != chosen.model)
        raise ValueError(
            f"batch_lengths are of model {other}, but these settings run model {chosen.model}: "
            f"make them with per_batch_lengths(..., model={chosen.model})"
        )
    if chosen.one_shot:
        notes.append(
            f"{profile.names[chosen.model]} is exported as {engine}'s n-gram lookup, which may "
            f"accept more or less than what was measured."
        )
    settings, text, more = _WRITERS[engine](chosen)
    if not cascade.drafts:
        notes.append("Plain decoding: leave speculative decoding off.")
    return EngineSettings(engine, settings, text, cascade, ewif(cascade, profile), (*notes, *more))


def _checkpoints(given: Mapping[int, str] | None, profile: Profile) -> dict[int, str]:
    """Checkpoints by model, each a draft of the profile."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"checkpoints must map models to names, got {given!r}: write {{1: 'name'}}"
        )
    found = {}
    for key, name in given.items():
        model = check_int("checkpoints model", key, least=1)
        if model > profile.n_drafts:
            raise ValueError(
                f"checkpoints name model {model}, but the plan has drafts 1..{profile.n_drafts}: "
                f"use their numbers"
            )
        if not isinstance(name, str):
            raise TypeError(
                f"the checkpoint of model {model} must be a name or path, got {name!r}"
            )
        found[model] = name
    return found


def _single(cascade: Cascade, profile: Profile) -> tuple[int, int] | None:
    """Model and length if `cascade` is plain, or one draft of a fixed length; else None."""
    if not cascade.drafts:
        return 0, 0
    draft = cascade.drafts[0]
    if len(cascade.drafts) > 1 or not isinstance(draft, Draft):
        return None
    if draft.until is not None and draft.until > draft.length:
        if draft.model in profile.one_shot:
            return None  # several calls
        return draft.model, cascade.max_length
    return draft.model, draft.length


def _expressible(plan: Plan, engine: str) -> tuple[Cascade, list[str]]:
    """The plan's cascade, or its best alternative that is one draft, and what to say of it."""
    profile = plan.profile
    if _single(plan.cascade, profile) is not None:
        return plan.cascade, []
    fit = [one.cascade for one in plan.alternatives if _single(one.cascade, profile)]
    if not any(one.drafts for one in fit):  # a plan written without alternatives
        room = profile.max_positions(0)
        longest = LONGEST if room is None else min(LONGEST, room - 1)
        models = range(1, profile.n_drafts + 1)
        fit = [Cascade((Draft(m, k),)) for m in models for k in range(1, longest + 1)]
        fit.append(Cascade(()))
    best = max(fit, key=lambda one: ewif(one, profile))
    shown = describe(best.drafts, profile.names) or "plain decoding"
    return best, [
        f"{engine} drafts with one model or one n-gram lookup, so it cannot run "
        f"{describe(plan.cascade.drafts, profile.names)} (EWIF {plan.ewif:.4g}): these settings "
        f"run {shown}, the best alternative of the plan that it can (EWIF "
        f"{ewif(best, profile):.4g})."
    ]


Written = tuple[dict[str, Any], str, tuple[str, ...]]  # settings, text, notes


def _transformers(chosen: _Chosen) -> Written:
    if not chosen.model:
        return {}, "output = model.generate(**inputs)", ()
    if chosen.one_shot:
        settings: dict[str, Any] = {
            "prompt_lookup_num_tokens": chosen.length, "max_matching_ngram_size": chosen.lookup[1]
        }  # fmt: skip
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        return settings, f"output = model.generate(**inputs, {given})", ()
    settings = {
        "num_assistant_tokens": chosen.length,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }
    lines = [
        f"assistant = AutoModelForCausalLM.from_pretrained({json.dumps(chosen.checkpoint)})",
        *(f"assistant.generation_config.{n} = {json.dumps(v)}" for n, v in settings.items()),
        "output = model.generate(**inputs, assistant_model=assistant)",
    ]
    note = "transformers reads these from the assistant's generation_config, not the target's."
    return settings, "\n".join(lines), (note,)


def _vllm(chosen: _Chosen) -> Written:
    longest = max((one.length for one in chosen.table), default=chosen.length)
    if not chosen.model or not longest:
        return {}, "", ()
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    if chosen.one_shot:
        settings = {
            "method": "ngram", "num_speculative_tokens": longest,
            "prompt_lookup_max": chosen.lookup[1], "prompt_lookup_min": chosen.lookup[0],
        }  # fmt: skip
    else:
        settings = {
            "method": "draft_model", "model": chosen.checkpoint, "num_speculative_tokens": longest
        }  # fmt: skip
        notes = (
            "vLLM's draft models draft greedily by default: to sample at the rates that were "
            'measured above temperature 0, add "draft_sample_method": "probabilistic" where '
            "your version has it.",
        )
    if chosen.table:
        settings["num_speculative_tokens_per_batch_size"] = batch_ranges(chosen.table)
        notes += (
            "vLLM tested lengths by batch size with EAGLE and DFlash drafts; other methods may "
            "ignore the table.",
        )
    return settings, f"--speculative-config {shlex.quote(json.dumps(settings))}", notes


def _sglang(chosen: _Chosen) -> Written:
    if not chosen.model:
        return {}, "", ()
    note = (
        "SGLang's --speculative-num-draft-tokens counts the positions it verifies: the draft and "
        "the token before it.",
    )
    if chosen.one_shot:
        settings: dict[str, Any] = {
            "--speculative-algorithm": "NGRAM",
            "--speculative-num-draft-tokens": chosen.length + 1,
            "--speculative-ngram-min-match-window-size": chosen.lookup[0],
            "--speculative-ngram-max-match-window-size": chosen.lookup[1],
            "--speculative-ngram-max-bfs-breadth": 1,  # a chain, not a tree
        }
    else:
        settings = {
            "--speculative-algorithm": "STANDALONE",
            "--speculative-draft-model-path": chosen.checkpoint,
            "--speculative-num-steps": chosen.length,
            "--speculative-eagle-topk": 1,
            "--speculative-num-draft-tokens": chosen.length + 1,
        }
    return settings, _arguments(settings), note


def _llama_cpp(chosen: _Chosen) -> Written:
    if not chosen.model:
        return {}, "", ()
    if chosen.one_shot:
        settings: dict[str, Any] = {
            "--spec-type": "ngram-simple",
            "--spec-ngram-simple-size-n": chosen.lookup[1],
            "--spec-ngram-simple-size-m": chosen.length,
            "--spec-draft-n-max": chosen.length,
        }
        older: dict[str, Any] = {
            "--spec-type": "ngram-simple", "--spec-ngram-size-n": chosen.lookup[1],
            "--spec-ngram-size-m": chosen.length, "--draft-max": chosen.length,
        }  # fmt: skip
    else:
        settings = {
            "--spec-type": "draft-simple",
            "-md": chosen.checkpoint,
            "--spec-draft-n-max": chosen.length,
            "--spec-draft-n-min": 0,
            "--spec-draft-p-min": 0,
        }
        older = {
            "-md": chosen.checkpoint, "--draft-max": chosen.length, "--draft-min": 0,
            "--draft-p-min": 0,
        }  # fmt: skip
    note = f"Builds of llama.cpp from before May 2026 spell this: {_arguments(older)}."
    return settings, _arguments(settings), (note,)


def _arguments(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{option} {shlex.quote(str(value))}" for option, value in settings.items())


_WRITERS: dict[str, Callable[[_Chosen], Written]] = {
    "transformers": _transformers, "vllm": _vllm, "sglang": _sglang, "llama.cpp": _llama_cpp
}  # fmt: skip
