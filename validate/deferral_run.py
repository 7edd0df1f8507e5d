"""Speculative cascades on real models: what each rule promises, and what it does."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cscalc.cascade import Cascade, Draft
from cscalc.fronts import front_jobs
from cscalc.theory.deferral import Chow
from cscalc.theory.deferral_rates import Laws, deferral_sums, make_rule
from validate.completion import Completion
from validate.decode import generate
from validate.measure import encode, end_tokens, seeded
from validate.models import Models
from validate.prompts import Prompt
from validate.resume import WARM_UP, Progress, record_prompts
from validate.sampling import Sampling
from validate.sequential import generate_sequential
from validate.tasks import Task

Job = tuple[str, float]
PLAIN, LOSSLESS = "plain", "lossless"
SEQUENTIAL = ("chow", "chowlog")  # rules that read the draft only


def side_name(job: Job, execution: str) -> str:
    """How a record names a rule at a threshold, as it was run."""
    return f"{job[0]}:{job[1]:g}:{execution}"


def run_deferral(
    models: Models,
    prompts: Sequence[Prompt | Task],
    jobs: Sequence[Job],
    *,
    sampling: Sampling | None = None,
    length: int = 4,
    draft: int = 1,
    max_tokens: int = 48,
    seed: int = 0,
    log: str | os.PathLike[str] | None = None,
    progress: Progress = lambda stage, done, of: None,
) -> list[dict[str, Any]]:
    """Decode every prompt plainly, losslessly and with every rule, in turns.

    Parameters
    ----------
    models : Models
        Target, an autoregressive draft, a tokenizer.
    prompts : sequence of Prompt or Task
        Of a `Task`, the reply is checked too.
    jobs : sequence of (rule, threshold)
        As `cscalc.fronts.front_jobs` makes them.
    sampling : Sampling, optional
        Default temperature 1.
    length : int
        Draft length, tokens.
    draft : int
        The model that drafts.
    max_tokens, seed : int
    log : path, optional
        JSON Lines, one record a prompt; an interrupted run goes on from there.
    progress : callable
        Called with (stage, done, of).

    Returns
    -------
    list of dict
        One record a prompt: "sums" (see `deferral_sums`; first of always deferring, then one a
        job, on the target's own reply) and "sides", one for plain and lossless decoding and
        every rule, speculative and where possible sequential: tokens, seconds, cycles, passes,
        nats (log-loss under the target at temperature 1), agreed (tokens that are the target's
        likeliest), right (None without an answer).

    Raises
    ------
    ValueError
        If a rule, threshold or prompt does not fit, before anything is decoded.
    """
    sampling = sampling or Sampling()
    if not prompts:
        raise ValueError("there are no prompts to decode: give at least one")
    rules = {job: make_rule(*job) for job in jobs}
    cascade = Cascade((Draft(draft, length),))
    experiment = {
        "what": "deferral", "models": list(models.names), "jobs": [list(job) for job in jobs],
        "device": str(models.device), "sampling": sampling.to_dict(), "length": length,
        "draft": draft, "max_tokens": max_tokens, "seed": seed,
    }  # fmt: skip

    def decode(side: str, ids: list[int], number: int, most: int) -> Completion:
        options: dict[str, Any] = {
            "generator": seeded(seed, number), "max_tokens": most, "sampling": sampling,
            "eos": end_tokens(models),
        }  # fmt: skip
        if side == PLAIN:
            return generate(Cascade(()), models, ids, **options)
        if side == LOSSLESS:
            return generate(cascade, models, ids, **options)
        job, execution = sides[side]
        if execution == "sequential":
            return generate_sequential(models, ids, rules[job], draft=draft, **options)
        return generate(cascade, models, ids, deferral=rules[job], **options)

    sides: dict[str, tuple[Job, str]] = {}
    for job in jobs:
        sides[side_name(job, "speculative")] = job, "speculative"
        if job[0] in SEQUENTIAL:
            sides[side_name(job, "sequential")] = job, "sequential"
    names = [PLAIN, LOSSLESS, *sides]

    def warm_up() -> None:
        for name in names:
            decode(name, _encode(models, prompts[0]), 0, WARM_UP)

    def record(place: int) -> dict[str, Any]:
        item = prompts[place]
        prompt, ids = _prompt(item), _encode(models, item)
        order = [names[(place + i) % len(names)] for i in range(len(names))]
        runs = {name: decode(name, ids, prompt.question_id, max_tokens) for name in order}
        laws = law_pairs(models, ids, runs[PLAIN].tokens, sampling, draft)
        return {
            "question_id": prompt.question_id,
            "category": prompt.category,
            "sums": [deferral_sums(rule, laws) for rule in (Chow(-1.0), *rules.values())],
            "sides": {n: _side(models, ids, runs[n], item) for n in names},
        }

    return record_prompts(
        [_prompt(item) for item in prompts], record, experiment=experiment, warm_up=warm_up,
        log=log, progress=progress,
    )  # fmt: skip


def law_pairs(
    models: Models, prompt: Sequence[int], reply: Sequence[int], sampling: Sampling, draft: int = 1
) -> Laws:
    """Laws of target and draft along a reply, as `cscalc.deferral_front` takes them.

    Returns
    -------
    tuple of ndarray, each (contexts, vocab)
        At temperature 1, and both again as sampled from if that differs.
    """
    text = [*prompt, *reply[:-1]]
    plain, scaled = [], []
    for number in (0, draft):
        logits = models.language[number].start().extend(text, len(reply))
        plain.append(_array(sampling.plain(logits, text)))
        scaled.append(_array(sampling.law(logits, text).dense()))
    if sampling == Sampling(repetition_penalty=sampling.repetition_penalty):
        return tuple(plain)
    return (*plain, *scaled)


def _array(law: torch.Tensor) -> np.ndarray:
    values = law.double().cpu().numpy()
    laws: np.ndarray = values / values.sum(axis=-1, keepdims=True)
    return laws


def _prompt(item: Prompt | Task) -> Prompt:
    return item.prompt if isinstance(item, Task) else item


def _encode(models: Models, item: Prompt | Task) -> list[int]:
    if isinstance(item, Task) and not item.chat:
        return [int(token) for token in models.tokenizer(item.prompt.text)["input_ids"]]
    return encode(models, _prompt(item))


def _side(models: Models, ids: list[int], run: Completion, item: Prompt | Task) -> dict[str, Any]:
    """What a run did, and how the target sees its text."""
    text = [*ids, *run.tokens[:-1]]
    logits = models.target.start().extend(text, len(run.tokens)).double()
    chosen = torch.tensor(run.tokens, device=logits.device)
    nats = -logits.log_softmax(dim=-1).gather(1, chosen[:, None]).sum()
    right = item.is_right(models.tokenizer.decode(run.tokens)) if isinstance(item, Task) else None
    return {
        "tokens": len(run.tokens),
        "emitted": sum(run.emitted),
        "seconds": run.decode_seconds,
        "cycles": run.cycles,
        "passes": {str(m): n for m, n in run.passes.items()},
        "pass_seconds": {str(m): s for m, s in run.seconds.items()},
        "nats": float(nats),
        "agreed": int((logits.argmax(dim=-1) == chosen).sum()),
        "right": right,
    }


def jobs_of(rules: Sequence[str], thresholds: Sequence[float]) -> list[Job]:
    """Rules with thresholds; each is checked."""
    jobs = front_jobs(rules, thresholds)
    for job in jobs:
        make_rule(*job)
    return jobs
