"""Cost of a pass with the text on the device, as the decoder runs it there: chains and looks."""

import random
import time
from collections.abc import Sequence
from typing import cast

from validate.device_decoder import state_of
from validate.engine import CompiledModel
from validate.models import Models
from validate.sampling import Sampling
from validate.static_session import ALL_ROWS

CHAIN = 8  # tokens that a draft writes in a row, without a look of the host in between
GREEDY = Sampling(0.0)


def measured_on_device(models: Models, positions: Sequence[int]) -> bool:
    """Whether passes of these widths can be timed as `DeviceDecoder` makes them."""
    return max(positions) <= ALL_ROWS and all(
        isinstance(model, CompiledModel) for model in models.language.values()
    )


def measure_on_device(
    models: Models, text: Sequence[int], *, positions: Sequence[int], repeats: int, seed: int
) -> dict[str, dict[str, list[list[float]]]]:
    """Seconds of a pass over m positions after `text`; arguments and result as `measure_passes`.

    A draft's one-position pass is timed in a chain of `CHAIN`, as it drafts; all others, and
    the target's, with the read that ends a review. Taking the likeliest token is part of both.
    """
    text = list(text)
    language = cast("dict[int, CompiledModel]", models.language)  # see `measured_on_device`
    sessions = {number: model.start() for number, model in language.items()}
    state = state_of(models, sessions[0].lane)
    for session in sessions.values():
        if len(text) > 1:
            session.extend(text[:-1], 1)
    lanes = {number: session.lane for number, session in sessions.items()}
    read = dict.fromkeys(sessions, len(text) - 1)

    def once(number: int, m: int) -> float:
        lane = lanes[number]
        state.begin(text, read, lanes, greedy=True)
        if m > 1:
            state.append([text[i % len(text)] for i in range(m - 1)], len(text), greedy=True)
        steps = []
        for step in range(CHAIN if number and m == 1 else 0):
            reach = lane.reach(len(text) - 1 + step + lane.width(1))
            steps.append(state.ready(number, "step", GREEDY, lane.width(1), reach))
        if not steps:
            state.review_from(len(text))
            reach = lane.reach(len(text) - 1 + lane.width(m))
            look = state.ready(number, "look", GREEDY, lane.width(m), reach)
        models.synchronize()
        began = time.perf_counter()
        for move in steps:
            state.step(move)
        if not steps:
            state.look(look)
        models.synchronize()
        return (time.perf_counter() - began) / max(len(steps), 1)

    jobs = [(number, m) for number in sessions for m in positions]
    for number, m in jobs:
        once(number, m)  # records what is not recorded yet
    seconds: dict[str, dict[str, list[list[float]]]] = {
        str(number): {str(m): [] for m in positions} for number in sessions
    }
    order = random.Random(seed)
    for _ in range(repeats):
        order.shuffle(jobs)
        for number, m in jobs:
            seconds[str(number)][str(m)].append([round(once(number, m), 7)])
    return seconds
