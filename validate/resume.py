"""Prompt after prompt into a record log: an interrupted run goes on where it stopped."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cscalc.records import RecordLog
from validate.prompts import Prompt

Progress = Callable[[str, int, int], None]  # stage, done, of
WARM_UP = 4  # tokens decoded before the clock counts, so that kernels and buffers are there


def record_prompts(
    prompts: Sequence[Prompt],
    record: Callable[[int], dict[str, Any]],
    *,
    experiment: Mapping[str, Any],
    warm_up: Callable[[], object] = lambda: None,
    log: str | os.PathLike[str] | None = None,
    progress: Progress = lambda stage, done, of: None,
) -> list[dict[str, Any]]:
    """Make one record a prompt, but for those that the log holds already.

    Parameters
    ----------
    prompts : sequence of Prompt
    record : callable
        Called with the place of a prompt; its record, plain JSON.
    experiment : mapping
        All else that shapes the records; ``experiment["what"]`` names the stage.
    warm_up : callable
        Called once, before the first new record.
    log : path, optional
        JSON Lines; each record is on disk before the next prompt is begun.
    progress : callable
        Called with (stage, done, of).

    Returns
    -------
    list of dict
        One a prompt, in order.

    Raises
    ------
    ValueError
        If the log belongs to another experiment, or is not a record log.

    Examples
    --------
    >>> prompts = [Prompt(i, "text", (text,), "held-out") for i, text in enumerate(("sea", "sun"))]
    >>> record_prompts(prompts, lambda place: {"place": place}, experiment={"what": "count"})
    [{'place': 0}, {'place': 1}]
    """
    asked = [[prompt.question_id, prompt.category, prompt.text] for prompt in prompts]
    kept = RecordLog(log, {**experiment, "prompts": asked}) if log is not None else None
    known: dict[str, dict[str, Any]] = dict(kept.records) if kept is not None else {}
    keys = [str(prompt.question_id) for prompt in prompts]
    if not known.keys() >= set(keys):
        warm_up()
    for place, key in enumerate(keys):
        progress(experiment["what"], place, len(keys))
        if key in known:
            continue
        known[key] = record(place)
        if kept is not None:
            kept.append(key, known[key])
    progress(experiment["what"], len(keys), len(keys))
    return [known[key] for key in keys]
