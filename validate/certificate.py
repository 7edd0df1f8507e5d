"""A certificate of losslessness: statistical tests of a decoder on the user's own models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cscalc._checks import check_int
from cscalc.cascade import Cascade
from cscalc.records import provenance
from validate.certificate_counts import Comparison, FirstTwo, compare, plan
from validate.certificate_verdict import Certificate
from validate.decode import generate
from validate.decoder import check_models
from validate.engine import CompiledModel, engine_settings
from validate.evidence import ORDERS, gather
from validate.measure import seeded
from validate.models import Models, TransformersModel
from validate.sampling import Sampling
from validate.ties import Decode, Written, compare_greedy

FALSE_ALARM = 1e-3
Progress = Callable[[str, int, int], None]


def certify(
    cascade: Cascade,
    models: Models,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: Sampling | None = None,
    samples: int = 400,
    max_tokens: int = 16,
    greedy_tokens: int = 64,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    decode: Decode = generate,
    options: Mapping[str, Any] | None = None,
    progress: Progress = lambda stage, done, of: None,
) -> Certificate:
    """Test whether `decode` writes text of the target's own law with these models.

    Parameters
    ----------
    cascade : Cascade
    models : Models
    prompts : sequence of sequence of int
        Few and short: replies to one prompt meet the same first contexts many times.
    sampling : Sampling, optional
        Default temperature 0.7, because some mistakes do not show at temperature 1. With
        temperature 0 only greedy texts are compared.
    samples, max_tokens : int
        Replies in all, dealt out over the prompts; tokens of each.
    greedy_tokens : int
        Tokens of the greedy text that is compared on each prompt; 0 for none.
    false_alarm : float
        Chance that a lossless decoder fails any of the comparisons.
    seed : int
        Of every reply (with its number) and of the transform.
    decode : callable
        The decoder under test, called as `validate.generate`, which is the default.
    options : mapping, optional
        Further arguments of the decoder, such as lenience of inner reviews or a confidence;
        none that ends a reply early, for the number of tokens is fixed beforehand.
    progress : callable
        Called with (stage, done, of).

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        If there is no prompt, a prompt leaves no room for the reply, an option is out of
        range, or the decoder writes another number of tokens than it was asked for.

    Notes
    -----
    The laws are the target's own, from one pass over each finished reply; whatever engine
    decodes, this pass is an eager one, so that a fault of the engine shows. Under them every
    token becomes a uniform number (`validate.evidence`), which is counted in up to 12 cells of
    equal mass, by place in the reply, place in the cycle and kind; pairs of tokens are counted
    jointly; the first two tokens of every prompt are counted as tokens. The comparisons are
    listed before anything is drawn, and the false alarm is shared out evenly (Bonferroni).

    The false alarm holds where the target's law does not depend on the width of a pass, as in
    float32 and float64. In a 16-bit dtype that law is known up to rounding only (several
    percent of a token's mass), which very many samples would show: certify in float32 first.

    Examples
    --------
    >>> import torch
    >>> from cscalc.cascade import Draft
    >>> from validate.models import TableModel
    >>> tables = [TableModel(torch.eye(4, dtype=torch.float64).roll(k, 1)) for k in (0, 1)]
    >>> found = certify(Cascade((Draft(1, 2),)), Models.of(*tables), [[0]], greedy_tokens=8)
    >>> found.passed
    True
    """
    sampling = sampling or Sampling(0.7)
    greedy_only = sampling.temperature == 0.0
    texts = [[int(token) for token in prompt] for prompt in prompts]
    _check(cascade, models, texts, samples, max_tokens, greedy_tokens, false_alarm, greedy_only)
    given = dict(options or {})
    if given.get("deferral"):
        raise ValueError("deferral asks for another law than the target's: nothing to certify")
    for name in ("eos", "stop"):
        if given.get(name):
            raise ValueError(
                f"{name} ends replies early, but the number of tokens is fixed: leave it out"
            )
    experiment = {
        "what": "lossless", "models": list(models.names), "device": str(models.device),
        "dtype": str(getattr(models.target, "dtype", "float64")).removeprefix("torch."),
        "cascade": cascade.to_dict(), "sampling": sampling.to_dict(), "samples": samples,
        "max_tokens": max_tokens, "greedy_tokens": greedy_tokens, "false_alarm": false_alarm,
        "seed": seed, "prompts": texts,
        "options": {name: str(value) for name, value in sorted(given.items())},
        **engine_settings(models),
    }  # fmt: skip
    readers = _eager(models)
    made: list[Comparison] = []
    tokens = impossible = rounded = 0
    if not greedy_only:
        tables = any(segment.model in models.language for segment in cascade.drafts)
        orders = [order for order in ORDERS if tables or order != "draft"]
        planned = plan(cascade, orders, len(texts), max_tokens)
        each = samples // len(texts)
        firsts = [FirstTwo.of(readers.target, text, sampling, each) for text in texts]
        replies = []
        for number in range(samples):
            progress("draw", number, samples)
            run: Written = decode(
                cascade, models, texts[number % len(texts)], generator=seeded(seed, number),
                max_tokens=max_tokens, sampling=sampling, **given,
            )  # fmt: skip
            if len(run.tokens) != max_tokens:
                raise ValueError(
                    f"reply {number} has {len(run.tokens)} tokens, but {max_tokens} were asked "
                    "for: a decoder under test must write them all"
                )
            replies.append((number % len(texts), run))
        progress("draw", samples, samples)
        seen = gather(
            cascade, readers, texts, replies, sampling, rng=np.random.default_rng([seed, 470]),
            options=given,
            progress=lambda done: progress("read", done, samples),
        )  # fmt: skip
        made = compare(planned, seen, firsts, false_alarm)
        tokens, impossible = seen.token.size, int(seen.impossible.sum())
        rounded = seen.rounded
    greedy = []
    for number, text in enumerate(texts if greedy_tokens else []):
        progress("greedy", number, len(texts))
        plain = Sampling(0.0, repetition_penalty=sampling.repetition_penalty)
        check = compare_greedy(
            cascade, models, text, max_tokens=greedy_tokens, sampling=plain, decode=decode,
            options=given,
        )  # fmt: skip
        greedy.append(check)
        progress("greedy", number + 1, len(texts))
    return Certificate(
        experiment, tuple(made), tokens, impossible, rounded, tuple(greedy), provenance()
    )


def _eager(models: Models) -> Models:
    """The same weights without an engine; models that have none are kept."""
    language = {
        number: TransformersModel(model.module, name=model.name)
        if isinstance(model, CompiledModel)
        else model
        for number, model in models.language.items()
    }
    return replace(models, language=language)


def _check(
    cascade: Cascade, models: Models, texts: Sequence[Sequence[int]], samples: int,
    max_tokens: int, greedy_tokens: int, false_alarm: float, greedy_only: bool,
) -> None:  # fmt: skip
    check_models(cascade, models)
    if not texts:
        raise ValueError("there are no prompts to decode: give at least one")
    check_int("max_tokens", max_tokens, least=2)
    check_int("greedy_tokens", greedy_tokens, least=1 if greedy_only else 0)
    check_int("samples", samples, least=len(texts))
    if not 0.0 < false_alarm < 1.0:
        raise ValueError(f"false_alarm must lie between 0 and 1, got {false_alarm}")
    most = max(max_tokens, greedy_tokens) + cascade.max_length + 1
    used = [0, *(model for model in cascade.models if model in models.language)]
    for number, text in enumerate(texts):
        for model in used:
            one = models.language[model]
            if len(text) + most > one.max_positions:
                raise ValueError(
                    f"prompt {number} has {len(text)} tokens, and a reply with its proposals "
                    f"takes {most} more, but {one.name} holds {one.max_positions}: shorten the "
                    "prompt or the reply"
                )
