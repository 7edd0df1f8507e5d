"""Compiled opening of a round inside a partial cascade: see `cscalc._search_tree`.

Where rounds of a model begin behind a node, and the frame that their drafts stand in.
"""

from typing import Any

import numpy as np

from cscalc._search_frames import (
    MOST_DRAFT,
    PRICE,
    enough_of,
    index,
    inner,
    reach,
    relax,
)
from cscalc._search_nodes import (
    AFTER,
    BASE,
    BEGIN,
    CALLS,
    CAP,
    COST,
    DEPTH,
    ENOUGH,
    FINISH,
    FURTHER,
    GAIN,
    LAST,
    LEFT,
    MAYBE,
    NEXT,
    NODE,
    OVER,
    PARENT,
    REVIEWER,
    SPAN,
    TINY,
    TOP,
    WEIGHT,
    ahead,
    need,
    set_need,
)


@inner
def relax_frame(tables: Any, room: Any, rate: float, frame: int) -> bool:
    """Relax a frame and keep its states; whether it can lead to a new best."""
    prices, facts, cheap = tables[3], tables[4], tables[5]
    frames, worths, starts, place, values, order, _, left = room[2:]
    model, depth, cap = (
        frames[frame, REVIEWER],
        frames[frame, DEPTH],
        frames[frame, CAP],
    )
    worths[frame, 2, SPAN] = reach(tables, model, model + 1, worths[frame, 0], cap)
    worths[frame, 2, ENOUGH] = enough_of(tables, model, depth, rate)
    set_need(room, frame)
    begin = frames[frame - 1, FINISH] if frame > 0 else 0
    used = np.zeros(3, np.int64)
    value = relax(tables, model, depth, cap, worths[frame, 0], rate, 0.0, False,
                  place[begin:], values[begin:], used)  # fmt: skip
    left[LEFT] -= used[0]
    if used[2]:
        left[OVER] = 1
    if used[2] or value <= need(room, frame):
        return False
    end = begin + used[1]
    frames[frame, BEGIN], frames[frame, FINISH] = begin, end
    index(place[begin:end], facts.shape[0] - 1, cap, order[begin:end], starts[frame])
    for m in range(cap + 1):
        worths[frame, 1, m] = -rate * prices[model, PRICE] * cheap[model, m + 1]
    return True


@inner
def most_draft(tables: Any, reviewer: int, depth: int) -> int:
    """Longest draft that the limits permit in front of a reviewer."""
    limits, out = tables[6], 0
    for j in range(reviewer + 1, limits.shape[0]):
        out += limits[j, depth]
    return out


@inner
def group(room: Any, rate: float, outer: int, model: int, at: int, high: int, frame: int) -> int:
    """Choose where rounds of `model` begin behind node `at`: fill CALLS, MAYBE, NEXT, BASE.

    A number of rounds begins one at every length of the draft, a threshold at those below it.
    So a round begins up to some length, which is at most `high`. Such lengths are grouped from
    the top, as long as it makes little difference: CALLS is -1 if none can be a new best.
    """
    nodes, whole, frames, worths = room[:4]
    top, last, more = whole[at, TOP], whole[at, LAST], room[6].shape[1] // 2
    begun, other, total = np.zeros(top + 1), np.zeros(top + 1), np.empty(top + 1)
    base = nodes[at, 3, GAIN] - rate * nodes[at, 3, COST]
    now = base
    for m in range(top + 1):
        weight = nodes[at, 0, m]
        if weight > TINY:
            y = nodes[at, 1, m] / weight
            begun[m] = weight * ahead(room, outer, last, m, y, more + model)
            other[m] = weight * ahead(room, outer, last, m, y, model + 1)
            now += other[m]
    slack = -np.inf
    for m in range(top + 1):
        now += begun[m] - other[m]
        total[m] = now
        slack = max(slack, now - need(room, outer))
    if model < more - 2:  # many rounds are to be tried: keep the bound tight
        slack *= 0.25
    else:
        slack = np.inf
    calls, maybe, later, before, lost = -1, -1, -1, -1, 0.0
    for m in range(top, -1, -1):
        if nodes[at, 0, m] <= TINY:
            continue
        if maybe >= 0:
            lost += abs(begun[before] - other[before])
            if lost > slack:
                break
        if m <= high and total[m] > need(room, outer):
            calls = m
            if maybe < 0:
                maybe, later = m, before
        before = m
    for m in range(calls + 1, top + 1):
        base += max(begun[m], other[m]) if m <= maybe else other[m]
    frames[frame, CALLS], frames[frame, MAYBE], frames[frame, NEXT] = (
        calls,
        maybe,
        later,
    )
    worths[frame, 2, BASE] = base
    return calls


@inner
def open_frame(
    tables: Any, room: Any, rate: float, outer: int, model: int, at: int, frame: int
) -> bool:
    """Fill frame `frame`: rounds of `model` behind node `at`, which begin as `group` says.

    Where a round begins for certain, what it emits is worth what follows there. Return whether
    a cascade with such rounds can be a new best.
    """
    nodes, _, frames, worths = room[:4]
    left, calls = room[9], frames[frame, CALLS]
    cap = min(
        tables[4][model, MOST_DRAFT], frames[outer, CAP] - calls - 1,
        most_draft(tables, model, frames[outer, DEPTH] - 1),
    )  # fmt: skip
    if cap < 1:
        return False
    mine, step = worths[frame, 0], worths[outer, 0]
    for i in range(cap + 2):
        mine[i] = 0.0
    total, alpha = 0.0, tables[0][frames[outer, REVIEWER], model]
    for m in range(calls + 1):
        weight = nodes[at, 0, m]
        if weight <= TINY:
            continue
        total += weight
        kept, gain = nodes[at, 1, m] / weight, 0.0
        for i in range(1, cap + 2):
            kept *= alpha
            gain += kept * (step[m + i + 1] - step[m + i])
            after = worths[outer, 1, m + i]
            if kept * worths[outer, 2, SPAN] > worths[outer, 2, ENOUGH]:
                after = ahead(room, outer, model, m + i, kept, model)
            mine[i] += weight * (gain + after)
        left[LEFT] -= (cap + 2) // 16
    for i in range(1, cap + 2):
        mine[i] /= total
    frames[frame, REVIEWER], frames[frame, DEPTH] = model, frames[outer, DEPTH] - 1
    frames[frame, CAP], frames[frame, PARENT], frames[frame, NODE] = cap, outer, at
    worths[frame, 2, WEIGHT] = total
    for row, first in ((FURTHER, model), (AFTER, model + 1)):
        worths[frame, 2, row] = reach(
            tables, frames[outer, REVIEWER], first, worths[outer, 0], frames[outer, CAP]
        )
    return relax_frame(tables, room, rate, frame)
