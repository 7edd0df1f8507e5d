"""Compiled end of a round, and its stops, in a partial cascade: see `cscalc._search_tree`.

A closed round has a law of what it emits and a cost; then it is repeated, a number of rounds or
until a threshold.
"""

from typing import Any

import numpy as np

from cscalc._search_frames import LEAST_PASS, LOW, PRICE, inner
from cscalc._search_nodes import (
    AFTER,
    CALLS,
    CAP,
    COST,
    END,
    ENOUGH,
    FURTHER,
    GAIN,
    KEPT,
    LAST,
    LEFT,
    LONGEST,
    MAYBE,
    MOST,
    NEXT,
    NODE,
    PARENT,
    REVIEWER,
    SPAN,
    SPENT,
    TINY,
    TOP,
    UNTIL,
    ahead,
    hope,
    need,
    spent_with_pass,
)

FEW = 3  # lengths at which a round may begin: so many are bounded before stops are tried


@inner
def end_round(tables: Any, room: Any, rate: float, frame: int, at: int) -> Any:
    """Close a round of a frame at node `at`; whether a cascade with it can be a new best."""
    nodes, whole, frames, worths = room[:4]
    law = worths[frame, 3]
    spent = spent_with_pass(tables, room, frames[frame, REVIEWER], at)
    if nodes[at, 3, GAIN] - rate * spent <= need(room, frame):
        return False
    end = whole[at, TOP] + 1
    while end > 1 and nodes[at, 2, end - 1] < TINY:
        end -= 1
    for i in range(1, end + 1):
        after = nodes[at, 2, i] if i < end else 0.0
        law[i] = max(0.0, nodes[at, 2, i - 1] - after)
    reviewer = frames[frames[frame, PARENT], REVIEWER]
    kept, above, worths[frame, 2, KEPT] = 1.0, 1.0, 0.0
    for i in range(1, end + 1):  # with the outer reviewer: all i accepted; i-th there and accepted
        kept *= tables[0][reviewer, frames[frame, REVIEWER]]
        worths[frame, 4, i], worths[frame, 5, i] = kept * law[i], kept * above
        worths[frame, 2, KEPT] += kept * above
        above = max(0.0, above - law[i])
    frames[frame, END], frames[frame, LONGEST] = end, whole[at, MOST] + 1
    worths[frame, 2, SPENT] = spent
    starts = 0
    for m in range(frames[frame, MAYBE] + 1):
        starts += nodes[frames[frame, NODE], 0, m] > TINY
    if starts > FEW:  # trying all stops costs less
        return True
    return stopped_freely(tables, room, rate, frame) > need(room, frames[frame, PARENT])


@inner
def stopped_freely(tables: Any, room: Any, rate: float, frame: int) -> Any:
    """Bound for closed rounds of a frame, each stopped at the best moment permitted."""
    nodes, whole, frames, worths = room[:4]
    left = room[9]
    outer, at, model = (
        frames[frame, PARENT],
        frames[frame, NODE],
        frames[frame, REVIEWER],
    )
    end, longest, cap = frames[frame, END], frames[frame, LONGEST], frames[outer, CAP]
    law, step, cost = worths[frame, 3], worths[outer, 0], worths[frame, 2, SPENT]
    alpha = tables[0][frames[outer, REVIEWER], model]
    calls, stop = (
        frames[frame, CALLS],
        frames[frame, NEXT],
    )  # a threshold lies between them
    out = nodes[at, 3, GAIN] - rate * nodes[at, 3, COST]
    maybe, last_before = frames[frame, MAYBE], whole[at, LAST]
    out += hope(room, outer, at, model + 1, maybe + 1, whole[at, TOP])
    later = np.empty(cap + 2)
    for m in range(maybe + 1):
        weight = nodes[at, 0, m]
        if weight <= TINY:
            continue
        if m + longest > cap and m <= calls:
            return LOW
        last, first = m, nodes[at, 1, m] / weight
        kept = first
        while last < cap and kept * worths[outer, 2, SPAN] > worths[outer, 2, ENOUGH]:
            last += 1
            kept *= alpha
        left[LEFT] -= (last - m + 1) * (end + 8) // 256
        for i in range(last + 1, min(cap, last + end) + 1):
            later[i] = worths[outer, 1, i]
        for i in range(last, m - 1, -1):
            kept = first * alpha ** (i - m)
            best = LOW
            if i == m:
                if m > calls:
                    best = ahead(room, outer, last_before, i, kept, model + 1)
            elif stop < 0 or i > calls:
                best = ahead(room, outer, model, i, kept, model + 1)
            if i + longest <= cap and (stop < 0 or i < stop):
                now, above = -rate * cost, 1.0
                for k in range(1, end + 1):
                    kept *= alpha
                    now += kept * above * (step[i + k + 1] - step[i + k]) + law[k] * later[i + k]
                    above -= law[k]
                best = max(best, now)
            later[i] = best
        out += weight * later[m]
    return out


@inner
def add_calls(room: Any, frame: int, at: int, low: int, high: int) -> bool:
    """Append one closed round of a frame where the draft at `at` holds low..high tokens.

    Return whether there was one.
    """
    nodes, whole, frames, worths = room[:4]
    end, outer = frames[frame, END], frames[frame, PARENT]
    reached, alive, passed = nodes[at, 0], nodes[at, 1], nodes[at, 2]
    law, law_kept, chance = worths[frame, 3], worths[frame, 4], worths[frame, 5]
    step = worths[outer, 0]
    for m in range(whole[at, TOP] + 1, high + end + 1):
        reached[m] = alive[m] = passed[m] = 0.0
    moved, gain, weights = False, 0.0, 0.0
    for start in range(high, low - 1, -1):
        weight, kept = reached[start], alive[start]
        if weight <= TINY:
            continue
        moved = True
        reached[start] = alive[start] = 0.0
        weights += weight
        for i in range(1, end + 1):
            reached[start + i] += weight * law[i]
        for i in range(1, end + 1):
            alive[start + i] += kept * law_kept[i]
        for i in range(1, end + 1):
            passed[start + i] += kept * chance[i]
        added = worths[frame, 2, KEPT]
        if outer > 0:  # a token is worth one only to the target
            added = 0.0
            for i in range(1, end + 1):
                added += chance[i] * (step[start + i + 1] - step[start + i])
        gain += kept * added
    nodes[at, 3, GAIN] += gain
    nodes[at, 3, COST] += weights * worths[frame, 2, SPENT]
    whole[at, TOP] = max(whole[at, TOP], high + end)
    return moved


@inner
def add_stop(
    tables: Any, room: Any, rate: float, frame: int, kind: int, value: int, at: int
) -> int:
    """Go on from the stop before this one at node `at` of the outer frame.

    Return -1 if no later stop can be of use, 1 if a cascade with this stop can, else 0.
    """
    prices = tables[3]
    nodes, whole, frames, worths = room[:4]
    outer, before = frames[frame, PARENT], frames[frame, NODE]
    reviewer, model = frames[outer, REVIEWER], frames[frame, REVIEWER]
    longest = frames[frame, LONGEST]
    calls, later = frames[frame, CALLS], frames[frame, NEXT]
    low, high = 0, whole[at, TOP]
    most = whole[before, MOST] + value * longest
    if kind == UNTIL:
        low = high = value - 1
        most = max(whole[before, MOST], value - 1 + longest)
    if most > frames[outer, CAP] or (kind == UNTIL and later >= 0 and value > later):
        return -1
    whole[at, LAST], whole[at, MOST] = model, most
    moved = high <= whole[at, TOP] and add_calls(room, frame, at, low, high)
    now, floor = nodes[at, 3, GAIN] - rate * nodes[at, 3, COST], need(room, outer)
    reached, alive = nodes[at, 0], nodes[at, 1]
    further, after = worths[frame, 2, FURTHER], worths[frame, 2, AFTER]
    each, left, more = rate * worths[frame, 2, SPENT], 0.0, 0.0
    for m in range(whole[at, TOP] + 1):
        left += alive[m]
        again = alive[m] * further - each * reached[m]  # at most, if another round begins here
        if kind == UNTIL:
            again = max(again, alive[m] * after) if m >= value else alive[m] * after
        more += again
    least = rate * prices[reviewer, PRICE] * prices[reviewer, LEAST_PASS]
    if now + max(more, left * after) - least <= floor:
        return -1
    if not moved or (kind == UNTIL and (value <= calls or (value == 1 and calls == 0))):
        return 0
    if now + left * after - least <= floor:
        return 0
    return 1 if now + hope(room, outer, at, model + 1, 0, whole[at, TOP]) > floor else 0
