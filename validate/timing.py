"""Cost of a pass: warmed up, synchronised, interleaved across models and widths."""

import random
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from validate.device_timing import measure_on_device, measured_on_device
from validate.models import Models

UNIT_PASSES = 6  # one-position passes of each draft in every repeat: the unit of its curve


def measure_passes(
    models: Models,
    text: Sequence[int],
    *,
    positions: Sequence[int],
    repeats: int,
    seed: int,
) -> dict[str, dict[str, list[list[float]]]]:
    """Seconds of a pass over m positions after `text`, for every autoregressive model.

    Parameters
    ----------
    models : Models
    text : sequence of int
        What the caches hold while passes are timed; of realistic length.
    positions : sequence of int
        Widths m to time; 1 must be among them.
    repeats : int
        Timed passes of each width, after one untimed pass of each model.
    seed : int
        Orders the passes, so that drift hits all alike.

    Returns
    -------
    dict of model -> dict of m -> list of list of seconds
        One list a repeat: one time, or `UNIT_PASSES` times for m = 1 of a draft, to which its
        others are compared.
    """
    if measured_on_device(models, positions):
        return measure_on_device(models, text, positions=positions, repeats=repeats, seed=seed)
    sessions = {number: model.start() for number, model in models.language.items()}
    for session in sessions.values():
        session.extend(text, 1)
        session.extend(text[:1], 1)
        session.rewind(len(text))
    jobs = [(number, m) for number in sessions for m in positions]
    jobs += [(number, 1) for number in sessions if number] * (UNIT_PASSES - 1)
    seconds: dict[str, dict[str, list[list[float]]]] = {
        str(number): {str(m): [] for m in positions} for number in sessions
    }
    order = random.Random(seed)
    for repeat in range(repeats):
        order.shuffle(jobs)
        for by in seconds.values():
            for times in by.values():
                times.append([])
        for number, m in jobs:
            tokens = [text[(repeat + i) % len(text)] for i in range(m)]
            session = sessions[number]
            models.synchronize()
            began = time.perf_counter()
            session.extend(tokens, m)
            models.synchronize()
            spent = time.perf_counter() - began
            session.rewind(len(text))
            seconds[str(number)][str(m)][-1].append(round(spent, 7))
    return seconds


def pass_ratios(
    timings: Sequence[Mapping[str, Mapping[str, Sequence[Sequence[float]]]]],
    plain: Sequence[float],
) -> dict[str, Any]:
    """Costs and verification curves, each compared with the unit of its own repeat.

    A machine's speed drifts over seconds; within a repeat all passes share it.

    Parameters
    ----------
    timings : sequence of mapping
        What `measure_passes` returned, one for each text.
    plain : sequence of float
        Seconds of a pass of plain decoding with the target, one for each text: the unit of
        costs, for that is what a cascade is compared with. One-position passes in a row run
        faster than the same passes between others.

    Returns
    -------
    dict
        "unit_seconds": median of `plain`; "costs": model -> that of the
        model in target passes; "verify": model -> list over m of its own passes; "spread":
        model -> list over m of [lower, upper] quartile of the same.
    """
    seconds = {
        number: {m: [times for one in timings for times in one[number][m]] for m in by}
        for number, by in timings[0].items()
    }
    units = {number: [median(times) for times in by["1"]] for number, by in seconds.items()}
    units["0"] = [unit for unit, one in zip(plain, timings, strict=True) for _ in one["0"]["1"]]
    verify: dict[str, list[float]] = {}
    spread: dict[str, list[list[float]]] = {}
    for number, by in seconds.items():
        verify[number], spread[number] = [], []
        for m in sorted(by, key=int):
            ratios = sorted(
                median(times) / unit for times, unit in zip(by[m], units[number], strict=True)
            )
            verify[number].append(1.0 if m == "1" else median(ratios))
            spread[number].append([ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]])
    costs = {
        number: median(a / b for a, b in zip(unit, units["0"], strict=True))
        for number, unit in units.items()
    }
    return {
        "unit_seconds": median(units["0"]), "costs": costs, "verify": verify, "spread": spread,
    }  # fmt: skip


def measure_one_shot(
    models: Models, text: Sequence[int], *, start: int, length: int
) -> dict[str, list[float]]:
    """Seconds of each call of the one-shot drafts, along text[start:] as a decoder makes them."""
    seconds: dict[str, list[float]] = {}
    for number, draft in models.one_shot.items():
        spent = []
        tokens = list(text)
        for end in range(start, len(tokens)):
            context = tokens[:end]
            began = time.perf_counter()
            draft.propose(context, length)
            spent.append(time.perf_counter() - began)
        seconds[str(number)] = spent[1:]  # the first call reads the whole text
    return seconds
