"""Compiled bounds on what a reviewer's draft can still be worth: see `cscalc._search_tree`.

A frame is one draft in front of one reviewer, with a worth for every number of tokens it may
emit. Here it is relaxed: whoever drafts may choose the next call by the lengths so far, still
from dear models to cheap. What matters of such a draft is how many tokens of each model it
holds; the best value from there is a dynamic program over those counts.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from cscalc._checks import Floats

LOW = -1e300
EPS = 1e-12  # tokens: a state with less than this to gain is handed over as it is
MOST_STATES = 6_000_000
PRICE, LEAST_PASS = 0, 1  # floats of a model: cost, least of its verification curve
ONE_SHOT, MOST_DRAFT, RISES, STEADY = range(4)  # its integers; STEADY: the curve is 1 throughout
Compiled = TypeVar("Compiled", bound=Callable[..., Any])


def outer(function: Compiled) -> Compiled:
    """Compile what Python calls, without the wrapper for C, which takes time to compile."""
    options: dict[str, Any] = {"no_cfunc_wrapper": True}
    return cast(Compiled, njit(cache=True, error_model="numpy", **options)(function))


def inner(function: Compiled) -> Compiled:
    """Compile what only other compiled functions call."""
    options: dict[str, Any] = {"no_cfunc_wrapper": True, "no_cpython_wrapper": True}
    return cast(Compiled, njit(cache=True, error_model="numpy", **options)(function))


@inner
def reach(tables: Any, reviewer: int, model: int, worth: Floats, cap: int) -> Any:
    """Most that models `model`, ..., n can gain, in tokens, if all of the draft is accepted."""
    alphas, best = tables[0], 0.0
    for j in range(model, alphas.shape[0]):
        best = max(best, alphas[reviewer, j])
    high, low, step = worth[1], worth[1], 0.0
    for i in range(2, cap + 2):
        high, low = max(high, worth[i]), min(low, worth[i])
        step = max(step, worth[i] - worth[i - 1])
    if best >= 1.0:
        return high - low
    return min(high - low, step * best / (1.0 - best))


@inner
def enough_of(tables: Any, reviewer: int, depth: int, rate: float) -> float:
    """Gain, in tokens, below which nothing that could still be called is worth its cost."""
    prices, facts = tables[3], tables[4]
    if not facts[reviewer, RISES]:
        return EPS  # a longer draft may be cheaper to review
    least = np.inf
    for j in range(reviewer + 1, facts.shape[0]):
        low = prices[j, LEAST_PASS] if depth > 0 else 1.0
        least = min(least, prices[j, PRICE] * low)
    return max(EPS, rate * least)


@inner
def last_draft(
    tables: Any, reviewer: int, cap: int, worth: Floats, rate: float, m: int, y: float,
    span: float,
) -> float:  # fmt: skip
    """Best value of handing over, or of an unreviewed draft of the last model first; exact."""
    alphas, curves, longest, prices, facts = tables[:5]
    n = facts.shape[0] - 1
    alpha, price = alphas[reviewer, n], rate * prices[reviewer, PRICE]
    best = LOW
    if m > 0 or reviewer == 0:
        best = -price * curves[reviewer, m + 1]
    gain, kept, spent, each = 0.0, y, 0.0, rate * prices[n, PRICE]
    if facts[n, ONE_SHOT]:
        spent, each = each, 0.0
    for k in range(1, min(longest[reviewer, n], cap - m) + 1):
        kept *= alpha
        gain += kept * (worth[m + k + 1] - worth[m + k])
        spent += each
        best = max(best, gain - spent - price * curves[reviewer, m + k + 1])
        if kept * span <= EPS and facts[reviewer, RISES]:
            break
    return best


@outer
def relax(
    tables: Any, reviewer: int, depth: int, cap: int, worth: Floats, rate: float, coarse: float,
    rising: bool, place: Floats, values: Floats, used: Any,
) -> Any:  # fmt: skip
    """Best E[worth(tokens emitted)] - rate E[cost] of a frame, relaxed, less ``worth[1]``.

    Parameters
    ----------
    tables : alphas (n+1, n+1), curves (n+1, most+2), longest (n+1, n+1): longest unreviewed
        draft by (reviewer, model), floats (n+1, 2) and integers (n+1, 4) of each model, cheap
        (n+1, most+2): least of a curve from here on, limits (n+1, depth+1): most tokens of a
        model in one draft, by reviews that may stand inside one another
    depth : reviews that may stand inside one another here
    cap : longest draft of this frame; worth : (cap + 2,)
    coarse : a state with less than this to gain, in tokens, may count as if it gained all of
        it, which saves states and leaves an upper bound; 0 for the value itself
    rising : whether longer calls count as worth no less than shorter ones, which leaves an upper
        bound for all lower acceptance rates as well
    place, values : (rows, 2), (rows, 2 n + 2): if there are rows, they are filled with the
        chance y that all is accepted, m (n + 1) + the model that drafted last and, in column
        j, the best value if none but models j, ..., n draft from there on; in column n + 1 + j
        a bound on it if j reviews at once
    used : (3,) states seen are added to the first, rows filled to the second; the third becomes
        1 if rows or states are too few, and then the result means nothing
    """
    alphas, _, longest, prices, facts, cheap, _ = tables
    n = facts.shape[0] - 1
    span = reach(tables, reviewer, reviewer + 1, worth, cap)
    enough = enough_of(tables, reviewer, depth, rate)
    little = max(enough, min(coarse, 0.1 * span))
    keep = place.shape[0] > 0
    width, stride = np.zeros(n + 1, np.int64), np.ones(n + 1, np.int64)
    size = 1
    for j in range(n - 1, reviewer, -1):
        left = span
        while width[j] < cap and (width[j] == 0 or left > little):
            left *= alphas[reviewer, j]
            width[j] += 1
        stride[j] = size
        size *= width[j] + 1
        if size > MOST_STATES:
            used[2] = 1
            return np.inf
    value, count = np.empty(size), np.zeros(n + 1, np.int64)
    ahead, suffix = np.empty(cap + 3), np.empty(2 * n + 2)
    price = rate * prices[reviewer, PRICE]
    state = size - 1
    while state >= 0:
        rest, m, y, top, skip = state, 0, 1.0, reviewer, 0
        for j in range(reviewer + 1, n):
            count[j] = rest // stride[j]
            rest -= count[j] * stride[j]
            if count[j]:
                m += count[j]
                y *= alphas[reviewer, j] ** count[j]
                top = j
            if m > cap or (m > 0 and y * span <= little):
                skip = stride[j]
                break
        if skip:  # nothing to gain from here, whatever the counts of later models
            state = state // skip * skip - 1
            continue
        used[0] += 1
        best = last_draft(tables, reviewer, cap, worth, rate, m, y, span)
        suffix[n] = best
        for j in range(n - 1, max(top, reviewer + 1) - 1, -1):
            alpha = alphas[reviewer, j]
            most = min(longest[reviewer, j] if facts[j, ONE_SHOT] else 1, cap - m)
            room = 0
            if depth > 0 and not facts[j, ONE_SHOT]:
                room = max(0, min(facts[j, MOST_DRAFT], cap - m - 1))
            gain, kept, highest = 0.0, y, LOW
            for k in range(1, max(most, room + 1 if room else 0) + 1):
                kept *= alpha
                gain += kept * (worth[m + k + 1] - worth[m + k])
                now = gain - price * cheap[reviewer, m + k + 1]
                if kept * span > little and count[j] + k <= width[j]:
                    now = gain + value[state + k * stride[j]]
                elif kept * span > enough:
                    now += kept * span
                if k <= most:
                    best = max(best, now - rate * prices[j, PRICE])
                ahead[k] = max(now, highest) if rising else now
                highest = max(highest, now)
                steady = facts[reviewer, STEADY] and facts[j, STEADY]
                if k > max(1, most) and steady and kept * span <= EPS:
                    room = min(room, k - 1)  # longer calls are worth the same
                    break
            reviewed = LOW
            if room:
                reviewed = highest - rate * prices[j, PRICE] * prices[j, LEAST_PASS]
            if reviewed > best:
                used[0] += room // 8
                now = relax(
                    tables, j, depth - 1, room, ahead, rate, coarse, rising, place[:0],
                    values[:0], used,
                )  # fmt: skip
                reviewed = ahead[1] + now
                best = max(best, reviewed)
            suffix[j], suffix[n + 1 + j] = best, reviewed
        value[state] = best
        if keep:
            row = used[1]
            if row >= place.shape[0]:
                used[2] = 1
                return np.inf
            place[row, 0], place[row, 1] = y, m * (n + 1) + top
            for j in range(max(top, reviewer + 1), n + 1):
                values[row, j], values[row, n + 1 + j] = suffix[j], suffix[n + 1 + j]
            used[1] += 1
        state -= 1
    return value[0]


@inner
def index(place: Floats, n: int, cap: int, order: Any, starts: Any) -> None:
    """Sort the rows of `relax` by (model that drafted last, m, y).

    order : (rows,) filled; starts : (n + 1, cap + 2) filled: where those of (model, m) begin
    """
    for top in range(n + 1):
        for m in range(cap + 2):
            starts[top, m] = 0
    for row in range(order.size):
        key = int(place[row, 1])
        starts[key % (n + 1), key // (n + 1)] += 1
    before = 0
    for top in range(n + 1):
        for m in range(cap + 2):
            count = starts[top, m]
            starts[top, m] = before + count  # ends; they become begins below
            before += count
    for row in range(order.size):
        key = int(place[row, 1])
        starts[key % (n + 1), key // (n + 1)] -= 1
        order[starts[key % (n + 1), key // (n + 1)]] = row
    for top in range(n + 1):
        for m in range(cap + 1):
            begin, end = starts[top, m], starts[top, m + 1]
            gap = end - begin
            while gap > 1:  # shell sort
                gap = max(1, gap * 5 // 11)
                for i in range(begin + gap, end):
                    row, at = order[i], i
                    while at >= begin + gap and place[order[at - gap], 0] > place[row, 0]:
                        order[at] = order[at - gap]
                        at -= gap
                    order[at] = row


@inner
def to_go(
    place: Floats, values: Floats, order: Any, low: int, high: int, offset: int, handed: float,
    y: float, least: int, span: float,
) -> Any:  # fmt: skip
    """Bound on what follows a draft, all of it accepted with chance y, from models least, ..., n.

    low, high : its rows in `order`, which count from `offset`; handed : value at y = 0. The
    best value is convex in y (of each policy it is affine), so between two known chances it
    lies below the line through their values. Its slope is at most `span`, the most there is to
    gain; beyond the largest known chance, which a draft can have whose last segments made no
    call, that bounds it.
    """
    if low == high:  # nothing is worth its cost at any chance from here
        return handed + y * span
    begin, end = low, high
    while low < high:  # first with a chance >= y
        middle = (low + high) // 2
        if place[offset + order[offset + middle], 0] < y:
            low = middle + 1
        else:
            high = middle
    if low == end:
        row = offset + order[offset + end - 1]
        return values[row, least] + (y - place[row, 0]) * span
    row = offset + order[offset + low]
    after, right = values[row, least], place[row, 0]
    if right == y:
        return after
    left, before = 0.0, handed
    if low > begin:
        row = offset + order[offset + low - 1]
        left, before = place[row, 0], values[row, least]
    return before + (after - before) * (y - left) / (right - left)
