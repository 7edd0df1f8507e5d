"""Branch and bound over every cascade of up to three drafts and two reviews deep.

Maximises E[T] - lambda E[C] (Dinkelbach) with lambda the EWIF of the best cascade known: a
cascade with a larger EWIF exists if and only if the maximum is positive. What is bounded is
stated at each table; `cscalc.optimize` tells the method as a whole.

Models are 1, 2, 3; a missing one has `usable` False. A "type" is one reviewed call: what the
reviewer's drafts are, without its stop. m1, m2 count the tokens of models 1 and 2 in front of
the target, so the chance that all of them are accepted is a1^m1 a2^m2.
"""

import numpy as np
from numba import njit

NONE, ALONE, ROUNDS, UNTIL = 0, 1, 2, 3
TINY = 1e-16
LOW = -1e300
EPS = 1e-11  # target passes: a smaller advantage is rounding


@njit(cache=True)
def stops(reached0, alive0, top0, least0, most0, gain0, cost0, law, longest, most_call, alpha,
          call_cost, step, rate, floor, rest, n_max, cap, buffers):  # fmt: skip
    """Every number of rounds and every threshold of one type; return how many.

    Row s of `buffers` (reached, alive, numbers) describes the draft after the s-th stop.
    numbers : kind, value, top, least, most, gain, cost
    step : reward of the i-th accepted token; rest : most that all later rewards can be, given
        that everything was accepted; floor : what a useful prefix must still be able to reach
    """
    reached, alive, numbers = buffers
    above = np.zeros(longest + 2)
    for i in range(longest, 0, -1):
        above[i] = above[i + 1] + law[i]
    width = reached.shape[1]
    count = 0
    for kind in (ROUNDS, UNTIL):
        w, a = reached[count], alive[count]
        w[:] = 0.0
        a[:] = 0.0
        w[: top0 + 1] = reached0[: top0 + 1]
        a[: top0 + 1] = alive0[: top0 + 1]
        top, gain, cost = top0, gain0, cost0
        for value in range(1, n_max + 1):
            first = 0 if kind == ROUNDS else value - 1
            last = top if kind == ROUNDS else value - 1
            most = most0 + value * most_call if kind == ROUNDS else value - 1 + most_call
            most = max(most, most0)
            if most > cap:
                break
            moved = False
            for start in range(last, first - 1, -1):
                weight, kept = w[start], a[start]
                if weight <= TINY:
                    continue
                moved = True
                w[start] = a[start] = 0.0
                cost += weight * call_cost
                for i in range(1, longest + 1):
                    if start + i >= width:
                        break
                    kept *= alpha
                    w[start + i] += weight * law[i]
                    a[start + i] += kept * law[i]
                    gain += kept * above[i] * step[start + i]
            if moved:
                top = min(width - 1, max(top, last + longest))
            left = a[: top + 1].sum()
            if gain - rate * cost + left * rest <= floor:
                break
            ends = kind == UNTIL and w[value:].sum() + TINY >= 1.0 and not moved and value > top0
            if ends:
                break
            if not moved or (kind == UNTIL and (value <= least0 or (value == 1 and top0 == 0))):
                continue
            numbers[count, 0], numbers[count, 1] = kind, value
            numbers[count, 2] = top
            numbers[count, 3] = least0 + value if kind == ROUNDS else value
            numbers[count, 4], numbers[count, 5], numbers[count, 6] = most, gain, cost
            count += 1
            reached[count, :] = w
            alive[count, :] = a
            w, a = reached[count], alive[count]
    return count


@njit(cache=True)
def types_of_2(alphas, costs, one_shot, curves, caps, usable, n_max):
    """Laws (k, i), costs (k,) of one round in which 2 reviews k tokens of 3, and how many k."""
    count = min(n_max, caps[2]) if usable[2] and usable[3] and not one_shot[2] else 0
    laws = np.zeros((count + 1, count + 3))
    spent = np.zeros(count + 1)
    kept = alphas[2, 3] ** np.arange(count + 1)
    for k in range(1, count + 1):
        laws[k, 1 : k + 1] = kept[:k] - kept[1 : k + 1]
        laws[k, k + 1] = kept[k]
        spent[k] = costs[2] * curves[2, k + 1] + costs[3] * (1 if one_shot[3] else k)
    return laws, spent, count


@njit(cache=True)
def draft_cost(costs, one_shot, model, length):
    if length == 0:
        return 0.0
    return costs[model] * (1.0 if one_shot[model] else float(length))


@njit(cache=True)
def target_tables(alphas, costs, one_shot, curves, caps, usable, n_max, rate, laws, spent, n_types):
    """Upper bounds on what follows model 1's segment, given m1 tokens of it.

    after_2 (m1, m2): model 3 alone, or stop: exact. by_type (k, m1): a review by 2 of k
    tokens of 3, stopped at the best moment, then `after_2`. after_1 (m1): best of these, of
    model 2 alone, and of neither. All for a draft known to be accepted with chance
    a1^m1 a2^m2, and none above what a policy that sees the lengths can reach.
    small (m1): from here on only the limit `rest` is used.
    """
    cap = caps[0]
    best_alpha = 0.0
    for j in range(1, 4):
        if usable[j]:
            best_alpha = max(best_alpha, alphas[0, j])
    rest = float(cap) if best_alpha == 1.0 else min(float(cap), best_alpha / (1.0 - best_alpha))
    cheapest = np.full(cap + 2, np.inf)  # least V(m + 1) over the longer drafts
    for m in range(cap, -1, -1):
        cheapest[m] = min(cheapest[m + 1], curves[0, m + 1])
    rises = True
    for m in range(cap):
        rises = rises and curves[0, m + 1] <= curves[0, m + 2]
    least_cost = np.inf
    for j in range(1, 4):
        if usable[j]:
            least_cost = min(least_cost, costs[j])
    after_2 = np.full((cap + 1, cap + 1), LOW)
    over_1 = alphas[0, 1] ** np.arange(cap + 1)
    over_2 = alphas[0, 2] ** np.arange(cap + 1)
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
                for k in range(1, min(n_max, cap - m) + 1):
                    kept *= alphas[0, 3]
                    gain += kept
                    now = gain - rate * (
                        draft_cost(costs, one_shot, 3, k) + curves[0, m + k + 1]
                    )
                    best = max(best, now)
                    if kept < TINY:
                        break
            after_2[m1, m2] = best
    while small > 0 and over_1[small] * rest <= max(rate * least_cost if rises else 0.0, 0.1 * EPS):
        small -= 1
    small = min(cap, small + 1)
    by_type = np.full((n_types + 1, cap + 1), LOW)
    after_1 = np.full(cap + 1, LOW)
    line = np.zeros(cap + 1)
    for m1 in range(cap + 1):
        best = after_2[m1, 0]
        if m1 < small and usable[2]:
            gain, kept = 0.0, over_1[m1]
            for k in range(1, min(n_max, cap - m1) + 1):
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
    return after_2, by_type, after_1, small, rest


@njit(cache=True)
def inner_bounds(alphas, costs, one_shot, curves, cap, usable, n_max, deep, rate, laws, spent,
                 n_types, worth, after_3):  # fmt: skip
    """Best E[worth(tokens emitted)] - rate E[cost] of one round of reviewer 1, relaxed.

    As `target_tables`, one level down: model 2 may stop at the best moment. after_3 (m2,) is
    filled with the exact best continuation by model 3 alone of a draft of m2 tokens of 2,
    accepted with chance a2^m2. cap : longest draft; worth : (cap + 2,) by tokens emitted
    """
    top = np.zeros(cap + 3)
    top[cap + 2] = LOW
    for i in range(cap + 1, 0, -1):
        top[i] = max(top[i + 1], worth[i])
    line = np.zeros(cap + 2)
    over = alphas[1, 2] ** np.arange(cap + 2)
    start = LOW
    for m in range(cap, -1, -1):
        best = -rate * costs[1] * curves[1, m + 1] if m else LOW
        if usable[3]:
            gain, kept = 0.0, over[m]
            for k in range(1, min(n_max, cap - m) + 1):
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
        for k in range(1, min(n_max, cap) + 1):
            gain += over[k] * (worth[k + 1] - worth[k])
            best = max(best, gain - rate * draft_cost(costs, one_shot, 2, k) + after_3[k])
        for k in range(1, n_types + 1 if deep else 0):
            for m in range(cap, -1, -1):
                line[m] = after_3[m]
                if m + k + 1 > cap or over[m] < TINY:
                    continue
                if over[m] * max(0.0, top[m + 1] - worth[m + 1]) <= rate * spent[k] and m:
                    if line[m] >= -rate * costs[1] * curves[1, m + 1]:
                        cheapest = True
                        for j in range(m + 1, cap + 1):
                            if curves[1, j + 1] < curves[1, m + 1]:
                                cheapest = False
                                break
                        if cheapest:
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
