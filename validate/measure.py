"""From models to a `Profile`: acceptance rates on the target's own text, and costs of passes."""

import os
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch

from cscalc._checks import check_int
from cscalc.cascade import Cascade
from cscalc.own_rates import pooled_rates
from cscalc.profile import Profile
from cscalc.records import RecordLog, provenance
from validate.contexts import check_contexts, measure_contexts, measure_sampling, parameters
from validate.decode import generate
from validate.engine import engine_settings
from validate.models import Models
from validate.overlaps import measure_overlaps
from validate.prompts import Prompt
from validate.sampling import Sampling
from validate.timing import measure_one_shot, measure_passes, pass_ratios

Progress = Callable[[str, int, int], None]  # stage, done, of
BY_CONTEXT = "by_context"  # key of the record and of the measurement
MOST_REPEATS = 1000  # timed passes of each width; more take days


def measure(
    models: Models,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 64,
    seed: int = 0,
    positions: int = 32,
    repeats: int = 7,
    contexts: Sequence[int] = (),
    log: str | os.PathLike[str] | None = None,
    progress: Progress = lambda stage, done, of: None,
) -> Profile:
    """Measure acceptance rates and costs of `models`.

    Parameters
    ----------
    models : Models
        Target, drafts and a tokenizer with which the prompts are read.
    prompts : sequence of Prompt
        The target answers each with up to `max_tokens` tokens; rates are means over the
        contexts of these answers.
    sampling : Sampling, optional
        The law that will be decoded from; default temperature 1.
    max_tokens, seed : int
        Length of an answer; seed of its randomness (with the prompt's number).
    positions : int
        Verification cost is measured at every width 1..positions.
    repeats : int
        Timed passes for each model and width, at least; they are spread over the prompts,
        after each one's answer, so that a machine whose speed drifts is met in all its moods.
    contexts : sequence of int
        Context lengths at which passes are timed as well, such as (128, 512, 2048); see
        `validate.contexts.at_context`.
    log : path, optional
        JSON Lines of what was measured, one record a prompt; an interrupted measurement
        with the same settings goes on from there.
    progress : callable
        Called with (stage, done, of).

    Raises
    ------
    TypeError, ValueError
        Before any pass: if there is no prompt, or a text, its answer and the widest timed pass
        do not fit a model.

    Returns
    -------
    Profile
        With the records in `measurement`.
    """
    sampling = sampling or Sampling()
    if not prompts:
        raise ValueError("there are no prompts to measure on: give at least one")
    _check_size(models, prompts, max_tokens, positions, repeats)
    experiment = {
        "what": "measure", "models": list(models.names), "device": str(models.device),
        "sampling": sampling.to_dict(), "max_tokens": max_tokens, "seed": seed,
        "positions": positions, "repeats": repeats,
        "prompts": [[p.question_id, p.category, p.text] for p in prompts],
    }  # fmt: skip
    experiment |= engine_settings(models)
    if contexts:
        experiment["contexts"] = check_contexts(models, contexts)
    kept = RecordLog(log, experiment) if log is not None else None
    known: dict[str, dict[str, Any]] = dict(kept.records) if kept is not None else {}

    def remember(key: str, record: Mapping[str, Any]) -> None:
        known[key] = dict(record)
        if kept is not None:
            kept.append(key, record)

    rounds = -(-repeats // len(prompts))  # timed at every prompt, so that drift averages out
    for done, prompt in enumerate(prompts):
        progress("measure", done, len(prompts))
        key = str(prompt.question_id)
        if key not in known:
            record = _measure_prompt(models, prompt, sampling, max_tokens, seed)
            text, timing = record["tokens"], record["timing"]
            timing |= _time_passes(models, text, positions, rounds, seed + done)
            remember(key, record)
    progress("measure", len(prompts), len(prompts))
    records = [known[str(p.question_id)] for p in prompts]
    if contexts and BY_CONTEXT not in known:
        text = [token for record in records for token in record["tokens"]]
        timed = measure_contexts(
            models, text, contexts, repeats=repeats, seed=seed,
            progress=lambda done: progress("contexts", done, len(set(contexts))),
        )  # fmt: skip
        remember(BY_CONTEXT, timed)
    facts: dict[str, Any] = {
        "sampling_seconds": measure_sampling(models, sampling), "parameters": parameters(models)
    }  # fmt: skip
    if contexts:
        facts[BY_CONTEXT] = known[BY_CONTEXT]
    return profile_from(models, records, experiment, facts)


def profile_from(
    models: Models,
    records: Sequence[Mapping[str, Any]],
    experiment: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
) -> Profile:
    """Profile of pooled records; see `measure` for what they hold, and `facts` besides."""
    one_shot = tuple(sorted(models.one_shot))
    timings = [record["timing"] for record in records]
    ratios = pass_ratios([t["passes"] for t in timings], [t["plain"] for t in timings])
    unit = ratios["unit_seconds"]
    calls = {
        number: [x for record in records for x in record["timing"]["calls"][str(number)]]
        for number in one_shot
    }
    costs = [
        median(calls[number]) / unit if number in one_shot else ratios["costs"][str(number)]
        for number in range(1, len(models))
    ]
    prompts = [
        {k: v for k, v in record.items() if k not in ("tokens", "timing")} for record in records
    ]
    return Profile(
        pooled_rates(records, len(models), one_shot),
        costs,
        one_shot=one_shot,
        verify={int(number): curve for number, curve in ratios["verify"].items()},
        names=models.names,
        measurement={
            "experiment": dict(experiment),
            "provenance": provenance(),
            "pass_seconds": unit,
            "passes": ratios,
            "contexts": [len(record["tokens"]) for record in records],
            "prompts": prompts,
            **(facts or {}),
        },
    )


def _time_passes(
    models: Models, text: Sequence[int], positions: int, repeats: int, seed: int
) -> dict[str, Any]:
    """Seconds of passes after `text`, and of one-shot calls along it."""
    seconds = measure_passes(
        models, text, positions=range(1, positions + 1), repeats=repeats, seed=seed
    )
    calls = measure_one_shot(models, text, start=len(text) // 2, length=10)
    return {"passes": seconds, "calls": calls}


def _check_size(
    models: Models, prompts: Sequence[Prompt], max_tokens: int, positions: int, repeats: int
) -> None:
    """Raise ValueError if a prompt with its answer, or a timed pass after it, does not fit."""
    check_int("max_tokens", max_tokens, least=1)
    check_int("positions", positions, least=1)
    if check_int("repeats", repeats, least=1) > MOST_REPEATS:
        raise ValueError(
            f"repeats must be <= {MOST_REPEATS}, got {repeats}: 7 are enough, for prompts "
            "repeat them too (--repeats)"
        )
    for prompt in prompts:
        length = len(encode(models, prompt))
        for model in models.language.values():
            if length + max_tokens > model.max_positions:
                raise ValueError(
                    f"prompt {prompt.question_id} has {length} tokens, and with {max_tokens} more "
                    f"does not fit {model.name}, which holds {model.max_positions}: lower "
                    "max_tokens (--max-tokens), shorten the prompt or leave the model out"
                )
            if length + max_tokens + positions > model.max_positions:
                raise ValueError(
                    f"a pass over {positions} positions after prompt {prompt.question_id} and its "
                    f"answer ({length} and {max_tokens} tokens) does not fit {model.name}, which "
                    f"holds {model.max_positions}: lower positions (--positions)"
                )


def _measure_prompt(
    models: Models, prompt: Prompt, sampling: Sampling, max_tokens: int, seed: int
) -> dict[str, Any]:
    ids = encode(models, prompt)
    generator = seeded(seed, prompt.question_id)
    reply = generate(
        Cascade(()), models, ids, generator=generator, max_tokens=max_tokens, sampling=sampling,
        eos=end_tokens(models),
    )  # fmt: skip
    overlaps = measure_overlaps(models, ids, reply.tokens, sampling)
    return {
        "question_id": prompt.question_id,
        "category": prompt.category,
        "prompt_tokens": len(ids),
        **overlaps.to_dict(),
        "tokens": [*ids, *reply.tokens],
        "timing": {"plain": reply.seconds[0] / reply.passes[0]},
    }


def encode(models: Models, prompt: Prompt) -> list[int]:
    """Token ids of a prompt, in the tokenizer's chat format where it has one."""
    tokenizer = models.tokenizer
    if tokenizer is None:
        raise ValueError("these models have no tokenizer, so prompts cannot be read")
    if getattr(tokenizer, "chat_template", None):
        chat = [{"role": "user", "content": prompt.text}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    else:
        ids = tokenizer(prompt.text)["input_ids"]
    return [int(token) for token in ids]


def end_tokens(models: Models) -> tuple[int, ...]:
    """End-of-text tokens of the tokenizer."""
    end = getattr(models.tokenizer, "eos_token_id", None)
    return () if end is None else (int(end),)


def seeded(seed: int, stream: int) -> torch.Generator:
    """Generator of one prompt: independent streams for one seed."""
    mixed = torch.tensor([seed, stream], dtype=torch.int64)
    value = int((mixed * torch.tensor([0x9E3779B1, 0x85EBCA77])).sum() & 0x7FFF_FFFF_FFFF)
    return torch.Generator().manual_seed(value)
