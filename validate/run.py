"""Run a cascade on real models beside plain decoding with the same code, prompt by prompt."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from cscalc.cascade import Cascade
from validate.completion import Completion
from validate.decode import generate
from validate.decoder import check_models
from validate.engine import engine_settings
from validate.measure import encode, end_tokens, seeded
from validate.models import Models
from validate.prompts import Prompt
from validate.resume import WARM_UP, Progress, record_prompts
from validate.sampling import Sampling


def run(
    cascade: Cascade,
    models: Models,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 64,
    seed: int = 1,
    log: str | os.PathLike[str] | None = None,
    progress: Progress = lambda stage, done, of: None,
) -> list[dict[str, Any]]:
    """Decode every prompt plainly and with `cascade`, and record both.

    Parameters
    ----------
    cascade : Cascade
    models : Models
        With a tokenizer.
    prompts : sequence of Prompt
    sampling : Sampling, optional
        Default temperature 1.
    max_tokens, seed : int
        Length of a reply; seed of its randomness (with the prompt's number). Give another
        seed than `measure` had, so that the run is not the text that was measured.
    log : path, optional
        JSON Lines, one record a prompt; an interrupted run goes on from there.
    progress : callable
        Called with (stage, done, of).

    Returns
    -------
    list of dict
        One record a prompt: question_id, category, split, prompt_tokens, "plain" and
        "cascade" (see `Completion.to_dict`), and whether both wrote the same tokens.
        The two sides take turns in going first, so that drift hits both alike.
    """
    sampling = sampling or Sampling()
    check_models(cascade, models)
    experiment = {
        "what": "run", "cascade": cascade.to_dict(), "models": list(models.names),
        "device": str(models.device), "sampling": sampling.to_dict(), "max_tokens": max_tokens,
        "seed": seed, **engine_settings(models),
    }  # fmt: skip
    sides: Mapping[str, Cascade] = {"plain": Cascade(()), "cascade": cascade}

    def decode(side: str, prompt: Prompt, most: int) -> Completion:
        return generate(
            sides[side], models, encode(models, prompt), max_tokens=most, sampling=sampling,
            generator=seeded(seed, prompt.question_id), eos=end_tokens(models),
        )  # fmt: skip

    def warm_up() -> None:
        for side in sides:
            decode(side, prompts[0], WARM_UP)

    def record(place: int) -> dict[str, Any]:
        prompt = prompts[place]
        order = list(sides) if place % 2 == 0 else list(sides)[::-1]
        both = {side: decode(side, prompt, max_tokens) for side in order}
        return {
            "question_id": prompt.question_id,
            "category": prompt.category,
            "split": prompt.split,
            "prompt_tokens": len(encode(models, prompt)),
            "plain": both["plain"].to_dict(),
            "cascade": both["cascade"].to_dict(),
            "same_tokens": both["plain"].tokens == both["cascade"].tokens,
        }

    return record_prompts(
        prompts, record, experiment=experiment, warm_up=warm_up, log=log, progress=progress
    )
