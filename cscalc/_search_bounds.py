"""Compiled bounds of `cscalc._search_proof`: what the rest of a cascade can be worth at most.

m1, m2 count the tokens of models 1 and 2 in front of the target, so the chance that all of
them are accepted is a1^m1 a2^m2.
"""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats
from cscalc._search_types import TINY, copy, draft_cost, powers

LOW = -1e300
EPS = 1e-11  # tokens: a smaller advantage is rounding


@njit(cache=True)
def cheapest_later(curves: Floats, model: int, cap: int) -> Floats:
    """Least V(m' + 1) over m' >= m, shape (cap + 2,)."""
    out = np.full(cap + 2, np.inf)
    for m in range(cap, -1, -1):
        out[m] = min(out[m + 1], curves[model, m + 1])
    return out


@njit(cache=True)
def target_tables(tables: Any, types: Any, rate: float) -> Any:
    """Upper bounds on what follows model 1's segment, given m1 tokens of it.

    after_2 (m1, m2): model 3 alone, or stop: exact. by_type (k, m1): a review by 2 of k
    tokens of 3, stopped at the best moment, then `after_2`. after_1 (m1): best of these, of
    model 2 alone, and of neither. All for a draft known to be accepted with chance
    a1^m1 a2^m2, and none above what a policy that sees the lengths can reach.
    small : m1 from which on no call can pay, or all that is left is rounding. rest (2,) : most
    tokens that can follow, if everything before is accepted: of all models, and without 1.
    cheapest (m) : least V(m' + 1) of the target over m' >= m.
    """
    alphas, costs, one_shot, curves, caps, usable, longest_alone, _ = tables
    laws, spent, n_types = types
    cap = caps[0]
    rests = np.empty(2)
    for i in range(2):
        best_alpha = 0.0
        for j in range(1 + i, 4):
            if usable[j]:
                best_alpha = max(best_alpha, alphas[0, j])
        rests[i] = float(cap)
        if best_alpha < 1.0:
            rests[i] = min(rests[i], best_alpha / (1.0 - best_alpha))
    rest = rests[0]
    cheapest = cheapest_later(curves, 0, cap)
    rises = True
    for m in range(cap):
        rises = rises and curves[0, m + 1] <= curves[0, m + 2]
    least_cost = np.inf
    for j in range(1, 4):
        if usable[j]:
            least_cost = min(least_cost, costs[j] * cheapest_later(curves, j, caps[j])[0])
    after_2 = np.full((cap + 1, cap + 1), LOW)
    over_1, over_2 = powers(alphas[0, 1], cap + 1), powers(alphas[0, 2], cap + 1)
    small = cap
    for m1 in range(cap + 1):
        for m2 in range(cap - m1 + 1):
            y, m = over_1[m1] * over_2[m2], m1 + m2
            if rises and y * rest <= rate * least_cost:
                after_2[m1, m2] = -rate * curves[0, m + 1]  # no call can pay
                continue
            if y * rest <= 0.1 * EPS:
                after_2[m1, m2] = y * rest - rate * cheapest[m]
                continue
            best, gain, kept = -rate * curves[0, m + 1], 0.0, y
            if usable[3]:
                for k in range(1, min(longest_alone[0, 3], cap - m) + 1):
                    kept *= alphas[0, 3]
                    gain += kept
                    now = gain - rate * (draft_cost(costs, one_shot, 3, k) + curves[0, m + k + 1])
                    best = max(best, now)
                    if kept < TINY:
                        break
            after_2[m1, m2] = best
    little = max(rate * least_cost if rises else 0.0, 0.1 * EPS)
    while small > 0 and over_1[small] * rest <= little:
        small -= 1
    small = min(cap, small + 1)
    by_type = np.full((n_types + 1, cap + 1), LOW)
    after_1 = np.full(cap + 1, LOW)
    line = np.zeros(cap + 1)
    for m1 in range(cap + 1):
        best = after_2[m1, 0]
        if m1 < small and usable[2]:
            gain, kept = 0.0, over_1[m1]
            for k in range(1, min(longest_alone[0, 2], cap - m1) + 1):
                kept *= alphas[0, 2]
                gain += kept
                cost = draft_cost(costs, one_shot, 2, k)
                best = max(best, gain - rate * cost + after_2[m1, k])
            for k in range(1, n_types + 1):
                call = 0.0
                above, kept = 1.0, 1.0
                for i in range(1, k + 2):
                    kept *= alphas[0, 2]
                    call += kept * above
                    above -= laws[k, i]
                for m2 in range(cap - m1, -1, -1):
                    y = over_1[m1] * over_2[m2]
                    line[m2] = after_2[m1, m2]
                    if m1 + m2 + k + 1 > cap or y * rest <= 0.1 * EPS:
                        continue
                    now = y * call - rate * spent[k]
                    if y * rest - rate * spent[k] - rate * cheapest[m1 + m2] <= line[m2]:
                        continue
                    for i in range(1, k + 2):
                        now += laws[k, i] * line[m2 + i]
                    line[m2] = max(line[m2], now)
                by_type[k, m1] = line[0]
                best = max(best, line[0])
        after_1[m1] = best
    return after_2, by_type, after_1, small, rests, cheapest


@njit(cache=True)
def inner_bounds(
    tables: Any, types: Any, cap: int, deep: bool, rate: float, worth: Floats, after_3: Floats
) -> Any:
    """Best E[worth(tokens emitted)] - rate E[cost] of one round of reviewer 1, relaxed.

    As `target_tables`, one level down: model 2 may stop at the best moment. after_3 (m2,) is
    filled with the exact best continuation by model 3 alone of a draft of m2 tokens of 2,
    accepted with chance a2^m2. cap : longest draft; worth : (cap + 2,) by tokens emitted
    """
    alphas, costs, one_shot, curves, _, usable, longest_alone, _ = tables
    laws, spent, n_types = types
    top = np.zeros(cap + 3)
    top[cap + 2] = LOW
    for i in range(cap + 1, 0, -1):
        top[i] = max(top[i + 1], worth[i])
    cheapest = cheapest_later(curves, 1, cap)
    line = np.zeros(cap + 2)
    over = powers(alphas[1, 2], cap + 2)
    start = LOW
    for m in range(cap, -1, -1):
        best = -rate * costs[1] * curves[1, m + 1] if m else LOW
        if usable[3]:
            gain, kept = 0.0, over[m]
            for k in range(1, min(longest_alone[1, 3], cap - m) + 1):
                kept *= alphas[1, 3]
                gain += kept * (worth[m + k + 1] - worth[m + k])
                cost = draft_cost(costs, one_shot, 3, k) + costs[1] * curves[1, m + k + 1]
                best = max(best, gain - rate * cost)
                if kept < TINY:
                    break
        after_3[m] = best
    best = after_3[0]
    if usable[2]:
        gain = 0.0
        for k in range(1, min(longest_alone[1, 2], cap) + 1):
            gain += over[k] * (worth[k + 1] - worth[k])
            best = max(best, gain - rate * draft_cost(costs, one_shot, 2, k) + after_3[k])
        for k in range(1, n_types + 1 if deep else 0):
            for m in range(cap, -1, -1):
                line[m] = after_3[m]
                if m + k + 1 > cap or over[m] < TINY:
                    continue
                hope = over[m] * max(0.0, top[m + 1] - worth[m + 1]) - rate * (
                    spent[k] + costs[1] * cheapest[m]
                )
                if hope <= line[m]:
                    continue
                now, above, kept = -rate * spent[k], 1.0, over[m]
                for i in range(1, k + 2):
                    kept *= alphas[1, 2]
                    now += kept * above * (worth[m + i + 1] - worth[m + i])
                    now += laws[k, i] * line[m + i]
                    above -= laws[k, i]
                line[m] = max(line[m], now)
            start = max(start, line[0])
    return worth[1] + max(best, start)


@njit(cache=True)
def free_worth(
    tables: Any, types: Any, targets: Any, deep: bool, rate: float, worth: Floats, after_3: Floats
) -> Any:
    """Fill `worth` of the tokens a first round of model 1 emits; return the bound on all that.

    The value-to-go behind it is that of a policy free to choose each call's type and the
    moment to stop by the lengths so far, so no cascade with such a round is worth more.
    """
    alphas, caps = tables[0], tables[4]
    after_1, small = targets[2], targets[3]
    cap = caps[0]
    over = powers(alphas[0, 1], cap + 2)
    free = np.full(cap + 2, LOW)
    value = LOW
    for m1 in range(cap, -1, -1):
        free[m1] = after_1[m1]
        longest = min(caps[1], cap - m1 - 1)
        if (m1 >= small and m1 > 0) or longest < 1:
            continue
        gain = 0.0
        for i in range(1, longest + 2):
            gain += over[m1 + i]
            worth[i] = gain + free[m1 + i]
        value = inner_bounds(tables, types, longest, deep, rate, worth, after_3)
        free[m1] = max(free[m1], value)
    return value


@njit(cache=True)
def stopped_freely(
    alphas: Floats, law: Floats, end: int, most_call: int, call: float, after_1: Floats,
    small: int, cap: int, rate: float,
) -> Any:  # fmt: skip
    """Bound on cascades that begin with rounds of one type, stopped at the best moment."""
    over = powers(alphas[0, 1], cap + 2)
    to_go = np.empty(cap + 1)
    copy(after_1, to_go, cap + 1)
    single, above = 0.0, 1.0
    for i in range(1, end + 1):
        single += over[i] * above
        above -= law[i]
    for m in range(min(small, cap), -1, -1):
        if m + most_call > cap:
            continue
        now = over[m] * single - rate * call
        for i in range(1, end + 1):
            now += law[i] * to_go[m + i]
        to_go[m] = max(to_go[m], now)
    return to_go[0]
