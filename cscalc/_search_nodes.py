"""Compiled partial cascades of `cscalc._search_tree`: exact so far, bounded from there on.

A node is the draft of one frame after some of its segments: the chance of every length, the
chance of it with everything accepted, and the chance that the first i tokens exist and are
accepted. A frame is a draft in front of one reviewer; inside the round of an inner reviewer
what its tokens are worth is the bound on all that can follow in front of the outer one.
"""

from typing import Any

import numpy as np

from cscalc._search_frames import (
    LEAST_PASS,
    LOW,
    MOST_DRAFT,
    ONE_SHOT,
    PRICE,
    STEADY,
    enough_of,
    index,
    inner,
    reach,
    relax,
    to_go,
)

ALONE, ROUNDS, UNTIL, OPEN = 1, 2, 3, 4
TINY = 1e-16
FEW = 3
GAIN, COST = 0, 1  # of a node, in its fourth row
TOP, LAST, MOST = 0, 1, 2  # longest draft with a chance; model before; longest draft at all
# of a frame: where it stands; the outer drafts so long that it begins there for certain
# (CALLS), perhaps (MAYBE), or not (NEXT, -1 if there is none); its rows; the end of the law
# and the longest draft of a closed round
REVIEWER, DEPTH, CAP, PARENT, NODE, CALLS, MAYBE, NEXT, BEGIN, FINISH, END, LONGEST = range(12)
# of a frame; SPENT: cost of a closed round, AFTER: reach of what follows them all
BASE, WEIGHT, SPAN, ENOUGH, SPENT, AFTER, NEED = range(7)
LEFT, OVER = 0, 1  # steps left; whether steps or rows are used up


@inner
def need(room: Any, frame: int) -> Any:
    """What a frame must exceed, beyond the worth of one token, for a new best."""
    return room[3][frame, 2, NEED]


@inner
def set_need(room: Any, frame: int) -> None:
    """Compute `need` of a frame from that of the outer one, or from the best so far."""
    frames, worths, best = room[2], room[3], room[8]
    out = best[0]
    if frame > 0:
        out = worths[frames[frame, PARENT], 2, NEED]
    out = (out - worths[frame, 2, BASE]) / worths[frame, 2, WEIGHT]
    worths[frame, 2, NEED] = out - worths[frame, 0, 1]


@inner
def ahead(room: Any, frame: int, top: int, m: int, y: float, least: int) -> Any:
    """Bound on what follows m tokens, all accepted with chance y, the last of model `top`."""
    frames, worths, starts, place, values, order = room[2:8]
    low, high = starts[frame, top, m], starts[frame, top, m + 1]
    return to_go(place, values, order, low, high, frames[frame, BEGIN], worths[frame, 1, m], y,
                 least, worths[frame, 2, SPAN])  # fmt: skip


@inner
def hope(room: Any, frame: int, at: int, least: int, low: int, high: int) -> float:
    """Bound on what follows node `at` where its draft holds low..high tokens."""
    nodes, whole = room[0], room[1]
    out, last = 0.0, whole[at, LAST]
    for m in range(low, high + 1):
        weight = nodes[at, 0, m]
        if weight > TINY:
            out += weight * ahead(room, frame, last, m, nodes[at, 1, m] / weight, least)
    return out


@inner
def copy_node(room: Any, source: int, to: int) -> None:
    """Copy a node."""
    nodes, whole = room[0], room[1]
    for row in range(3):
        for m in range(whole[source, TOP] + 1):
            nodes[to, row, m] = nodes[source, row, m]
    nodes[to, 3, GAIN], nodes[to, 3, COST] = nodes[source, 3, GAIN], nodes[source, 3, COST]
    for i in range(3):
        whole[to, i] = whole[source, i]


@inner
def add_token(tables: Any, room: Any, frame: int, at: int, model: int, k: int) -> float:
    """Append the k-th unreviewed token; return the chance that all are accepted."""
    alphas, prices, facts = tables[0], tables[3], tables[4]
    nodes, whole, frames, worths = room[:4]
    alpha, left, gain = alphas[frames[frame, REVIEWER], model], 0.0, 0.0
    top = whole[at, TOP] + 1
    nodes[at, 2, top] = 0.0
    for m in range(top, 0, -1):
        kept = nodes[at, 1, m - 1] * alpha
        nodes[at, 0, m], nodes[at, 1, m] = nodes[at, 0, m - 1], kept
        nodes[at, 2, m] += kept
        gain += kept * (worths[frame, 0, m + 1] - worths[frame, 0, m])
        left += kept
    nodes[at, 0, 0] = nodes[at, 1, 0] = 0.0
    nodes[at, 3, GAIN] += gain
    if k == 1 or not facts[model, ONE_SHOT]:
        nodes[at, 3, COST] += prices[model, PRICE]
    whole[at, TOP] = top
    whole[at, MOST] += 1
    return left


@inner
def spent_with_pass(tables: Any, room: Any, reviewer: int, at: int) -> Any:
    """Expected cost of a node and of the reviewer's pass over its draft."""
    curves, prices, facts = tables[1], tables[3], tables[4]
    nodes, whole = room[0], room[1]
    out = 1.0
    if not facts[reviewer, STEADY]:
        out = 0.0
        for m in range(whole[at, TOP] + 1):
            out += nodes[at, 0, m] * curves[reviewer, m + 1]
    return nodes[at, 3, COST] + prices[reviewer, PRICE] * out


@inner
def relax_frame(tables: Any, room: Any, rate: float, frame: int) -> bool:
    """Relax a frame and keep its states; whether it can lead to a new best."""
    prices, facts, cheap = tables[3], tables[4], tables[5]
    frames, worths, starts, place, values, order, _, left = room[2:]
    model, depth, cap = frames[frame, REVIEWER], frames[frame, DEPTH], frames[frame, CAP]
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
    frames[frame, CALLS], frames[frame, MAYBE], frames[frame, NEXT] = calls, maybe, later
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
    worths[frame, 2, AFTER] = reach(
        tables, frames[outer, REVIEWER], model + 1, worths[outer, 0], frames[outer, CAP]
    )
    return relax_frame(tables, room, rate, frame)


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
    kept, above = 1.0, 1.0
    for i in range(1, end + 1):  # with the outer reviewer: all i accepted; i-th there and accepted
        kept *= tables[0][reviewer, frames[frame, REVIEWER]]
        worths[frame, 4, i], worths[frame, 5, i] = kept * law[i], kept * above
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
    outer, at, model = frames[frame, PARENT], frames[frame, NODE], frames[frame, REVIEWER]
    end, longest, cap = frames[frame, END], frames[frame, LONGEST], frames[outer, CAP]
    law, step, cost = worths[frame, 3], worths[outer, 0], worths[frame, 2, SPENT]
    alpha = tables[0][frames[outer, REVIEWER], model]
    calls, stop = frames[frame, CALLS], frames[frame, NEXT]  # a threshold lies between them
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
    left = 0.0
    for m in range(whole[at, TOP] + 1):
        left += nodes[at, 1, m]
    least = rate * prices[reviewer, PRICE] * prices[reviewer, LEAST_PASS]
    if now + left * worths[outer, 2, SPAN] - least <= floor:
        return -1
    if not moved or (kind == UNTIL and (value <= calls or (value == 1 and calls == 0))):
        return 0
    if now + left * worths[frame, 2, AFTER] - least <= floor:
        return 0
    return 1 if now + hope(room, outer, at, model + 1, 0, whole[at, TOP]) > floor else 0
