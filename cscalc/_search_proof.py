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
            new_top = min(width - 1, max(top, last + longest))
            w[top + 1 : new_top + 1] = 0.0
            a[top + 1 : new_top + 1] = 0.0
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
            top = new_top
            left = a[: top + 1].sum()
            if gain - rate * cost + left * rest <= floor:
                break
            if not moved or (kind == UNTIL and (value <= least0 or (value == 1 and top0 == 0))):
                continue
            numbers[count, 0], numbers[count, 1] = kind, value
            numbers[count, 2] = top
            numbers[count, 3] = least0 + value if kind == ROUNDS else value
            numbers[count, 4], numbers[count, 5], numbers[count, 6] = most, gain, cost
            count += 1
            reached[count, : top + 1] = w[: top + 1]
            alive[count, : top + 1] = a[: top + 1]
            w, a = reached[count], alive[count]
    return count


@njit(cache=True)
def types_of_2(alphas, costs, one_shot, curves, caps, usable, longest_alone):
    """Laws (k, i), costs (k,) of one round in which 2 reviews k tokens of 3, and how many k."""
    count = min(longest_alone[2, 3], caps[2]) if usable[2] and usable[3] and not one_shot[2] else 0
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
def target_tables(alphas, costs, one_shot, curves, caps, usable, longest_alone, rate, laws,
                  spent, n_types):  # fmt: skip
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
            least_cost = min(least_cost, costs[j] * min(1.0, curves[j, 1 : caps[j] + 2].min()))
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
                for k in range(1, min(longest_alone[0, 3], cap - m) + 1):
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
    return after_2, by_type, after_1, small, rest


@njit(cache=True)
def inner_bounds(alphas, costs, one_shot, curves, cap, usable, longest_alone, deep, rate, laws, spent,
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
    cheapest = np.full(cap + 2, np.inf)  # least V(m + 1) over the longer drafts
    for m in range(cap, -1, -1):
        cheapest[m] = min(cheapest[m + 1], curves[1, m + 1])
    line = np.zeros(cap + 2)
    over = alphas[1, 2] ** np.arange(cap + 2)
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
def complete(node, code, after_2, by_type, tables, laws, spent, n_types, rate, rest, n_max,
             best, found, buffers, line, deep):  # fmt: skip
    """Best value over everything that may follow model 1's segment; `found` gets its code.

    node : (reached, alive, top, least, most, gain, cost) before model 2's segment
    """
    alphas, costs, one_shot, curves, caps, usable, longest_alone, flat = tables
    reached, alive, top, least, most, gain, cost = node
    cap = caps[0]
    step = np.ones(cap + 3)
    width = reached.size
    if most > cap:
        return best, 0
    tried = 1
    best = last_draft(reached, alive, top, most, gain, cost, code, tables, rate, best, found)  # fmt: skip
    if not usable[2]:
        return best, tried
    shifted, kept_line = line
    kept = 1.0
    left = alive[: top + 1].sum()
    more = gain
    for k in range(1, min(longest_alone[0, 2], cap - most) + 1):
        kept *= alphas[0, 2]
        more += left * kept
        spend = cost + draft_cost(costs, one_shot, 2, k)
        if 1.0 + more + left * kept * rest - rate * spend <= best and not one_shot[2]:
            if 1.0 + gain + left * rest - rate * spend <= best:
                break
            continue
        bound = 1.0 + more - rate * spend
        for m in range(top + 1):
            if reached[m] > 0.0:
                bound += reached[m] * after_2[m, k]
        tried += 1
        if bound <= best:
            continue
        shifted[:] = 0.0
        kept_line[:] = 0.0
        shifted[k : top + k + 1] = reached[: top + 1]
        kept_line[k : top + k + 1] = alive[: top + 1] * kept
        code[3], code[4], code[5] = ALONE, k, 0
        best = last_draft(shifted, kept_line, top + k, most + k, more, spend, code, tables, rate,
                          best, found)  # fmt: skip
    for k in range(1, n_types + 1):
        bound = 1.0 + gain - rate * cost
        for m in range(top + 1):
            if reached[m] > 0.0:
                bound += reached[m] * max(by_type[k, m], after_2[m, 0])
        tried += 1
        if bound <= best:
            continue
        count = stops(reached, alive, top, least, most, gain, cost, laws[k], k + 1, k + 1,
                      alphas[0, 2], spent[k], step, rate, best - 1.0, rest, n_max, cap,
                      buffers)  # fmt: skip
        code[5] = k
        numbers = buffers[2]
        for s in range(count):
            code[3], code[4] = int(numbers[s, 0]), int(numbers[s, 1])
            tried += 1
            best = last_draft(buffers[0][s], buffers[1][s], int(numbers[s, 2]),
                              int(numbers[s, 4]), numbers[s, 5], numbers[s, 6], code, tables,
                              rate, best, found)  # fmt: skip
    code[3] = code[4] = code[5] = 0
    return best, tried


@njit(cache=True)
def last_draft(reached, alive, top, most, gain, cost, code, tables, rate, best, found):
    """Best value over the length of model 3's draft, none included; exact."""
    alphas, costs, one_shot, curves, caps, usable, longest_alone, flat = tables
    left = alive[: top + 1].sum()
    kept = left
    code[6] = 0
    for k in range(0, (min(longest_alone[0, 3], caps[0] - most) if usable[3] else 0) + 1):
        if k:
            kept *= alphas[0, 3]
            gain += kept
        pass_cost = 1.0
        if not flat[0]:
            pass_cost = 0.0
            for m in range(top + 1):
                if reached[m] > 0.0:
                    pass_cost += reached[m] * curves[0, m + k + 1]
        now = 1.0 + gain - rate * (cost + draft_cost(costs, one_shot, 3, k) + pass_cost)
        if now > best + EPS:
            best = now
            found[:] = code
            found[6] = k
        if kept < TINY:
            break
    return best


@njit(cache=True)
def search(tables, n_max, depth, rate, best, work):
    """Maximise E[T] - rate E[C]; return (value, code of the best, proved, nodes).

    best : what to exceed, >= 0; it comes back if nothing does. code : kind, value and what model 1 reviews: see
    `optimize._from_code`. work : nodes at which the search gives up
    """
    alphas, costs, one_shot, curves, caps, usable, longest_alone, flat = tables
    cap, cap_1 = caps[0], caps[1]
    laws, spent, n_types = types_of_2(
        alphas, costs, one_shot, curves, caps, usable, longest_alone
    )
    if depth < 1:
        n_types = 0
    after_2, by_type, after_1, small, rest = target_tables(
        alphas, costs, one_shot, curves, caps, usable, longest_alone, rate, laws, spent, n_types
    )
    width = cap + 3
    rows = 2 * n_max + 3
    outer = (np.zeros((rows, width)), np.zeros((rows, width)), np.zeros((rows, 7)))
    second = (np.zeros((rows, width)), np.zeros((rows, width)), np.zeros((rows, 7)))
    inner_width = cap_1 + 3
    inner = (np.zeros((rows, inner_width)), np.zeros((rows, inner_width)), np.zeros((rows, 7)))
    line = (np.zeros(width), np.zeros(width))
    found = np.zeros(10, np.int64)
    code = np.zeros(10, np.int64)  # 0-2 model 1, 3-5 model 2, 6 model 3, 7-9 inside model 1
    nodes = 0
    start, one = np.zeros(width), np.zeros(width)
    start[0] = one[0] = 1.0
    # model 1 absent
    best, tried = complete((start, one, 0, 0, 0, 0.0, 0.0), code, after_2, by_type, tables, laws,
                           spent, n_types, rate, rest, n_max, best, found, second, line, depth)  # fmt: skip
    nodes += tried
    if not usable[1]:
        return best, found, True, nodes
    # model 1 alone
    gain, kept = 0.0, 1.0
    for k in range(1, min(longest_alone[0, 1], cap) + 1):
        kept *= alphas[0, 1]
        gain += kept
        cost = draft_cost(costs, one_shot, 1, k)
        if 1.0 + gain - rate * cost + after_1[k] <= best:
            continue
        start[:] = 0.0
        one[:] = 0.0
        start[k], one[k] = 1.0, kept
        code[0], code[1] = ALONE, k
        best, tried = complete((start, one, k, k, k, gain, cost), code, after_2, by_type, tables,
                               laws, spent, n_types, rate, rest, n_max, best, found, second,
                               line, depth)  # fmt: skip
        nodes += tried
    code[:] = 0
    if depth < 1 or one_shot[1] or cap < 1 or cap_1 < 1:
        return best, found, True, nodes
    # model 1 reviews: value-to-go if each call's type and the moment to stop could be chosen
    over = alphas[0, 1] ** np.arange(cap + 2)
    free = np.full(cap + 2, LOW)
    worth = np.zeros(cap_1 + 3)
    after_3 = np.zeros(cap_1 + 2)
    for m1 in range(cap, -1, -1):
        free[m1] = after_1[m1]
        if m1 >= small or m1 + 1 > cap:
            continue
        longest = min(cap_1, cap - m1 - 1)
        if longest < 1:
            continue
        gain = 0.0
        for i in range(1, longest + 2):
            gain += over[m1 + i]
            worth[i] = gain + free[m1 + i]
        value = inner_bounds(alphas, costs, one_shot, curves, longest, usable, longest_alone, depth > 1,
                             rate, laws, spent, n_types, worth, after_3)  # fmt: skip
        free[m1] = max(free[m1], value)
    if 1.0 + free[0] <= best:
        return best, found, True, nodes
    longest = min(cap_1, cap - 1)
    gain = 0.0
    step = np.zeros(inner_width)
    for i in range(1, longest + 2):
        gain += over[i]
        worth[i] = gain + free[i]
        if i > 1:
            step[i - 1] = worth[i] - worth[i - 1]
    inner_bounds(alphas, costs, one_shot, curves, longest, usable, longest_alone, depth > 1, rate, laws,
                 spent, n_types, worth, after_3)  # fmt: skip
    low_curve = curves[1, 1 : longest + 2].min()
    high = worth[1 : longest + 2].max()
    begin, begin_kept = np.zeros(inner_width), np.zeros(inner_width)
    law = np.zeros(inner_width + 1)
    to_go = np.zeros(width)
    ones = np.ones(width)
    reach = np.zeros((2, inner_width))
    # rest of a round's reward, given that all so far was accepted, is at most high - worth[1];
    # worth need not rise, so the bound takes its largest value
    span = max(0.0, high - worth[1 : longest + 2].min())
    for k2 in range(-1, n_types + 1 if depth > 1 else 1):
        # k2 = -1: no model 2 inside; 0: model 2 alone, each length a row; k: it reviews k of 3
        if k2 >= 0 and not usable[2]:
            continue
        if k2 == -1:
            inner[0][0, :] = 0.0
            inner[1][0, :] = 0.0
            inner[0][0, 0] = inner[1][0, 0] = 1.0
            inner[2][0, :] = 0.0
            count = 1
        elif k2 == 0:
            count = min(longest_alone[1, 2], longest)
            gain, kept = 0.0, 1.0
            for s in range(count):
                k = s + 1
                inner[0][s, :] = 0.0
                inner[1][s, :] = 0.0
                kept *= alphas[1, 2]
                gain += kept * step[k]
                inner[0][s, k], inner[1][s, k] = 1.0, kept
                numbers = inner[2][s]
                numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] = ALONE, k, k, k, k
                numbers[5], numbers[6] = gain, draft_cost(costs, one_shot, 2, k)
        else:
            begin[:] = 0.0
            begin_kept[:] = 0.0
            begin[0] = begin_kept[0] = 1.0
            floor = best - 1.0 - worth[1] + rate * costs[1] * low_curve
            count = stops(begin, begin_kept, 0, 0, 0, 0.0, 0.0, laws[k2], k2 + 1, k2 + 1,
                          alphas[1, 2], spent[k2], step, rate, floor, span, n_max, longest,
                          inner)  # fmt: skip
        for s in range(count):
            w, a, numbers = inner[0][s], inner[1][s], inner[2][s]
            top, most, gain_2, cost_2 = int(numbers[2]), int(numbers[4]), numbers[5], numbers[6]
            nodes += 1
            bound = 1.0 + worth[1] + gain_2 - rate * cost_2
            for m in range(top + 1):
                if w[m] > 0.0:
                    bound += w[m] * after_3[m]
            if bound <= best:
                continue
            extra = 0.0  # reward of the first k tokens of model 3
            for k in range(0, (min(longest_alone[1, 3], longest - most) if usable[3] else 0) + 1):
                left = 0.0
                pass_cost = 0.0
                factor = alphas[1, 3] ** k
                for m in range(top + 1):
                    if w[m] > 0.0:
                        pass_cost += w[m] * curves[1, m + k + 1]
                        if k:
                            extra += a[m] * factor * step[m + k]
                        left += a[m]
                if k2 == -1 and k == 0:
                    continue
                call = cost_2 + draft_cost(costs, one_shot, 3, k) + costs[1] * pass_cost
                if 1.0 + worth[1] + gain_2 + extra - rate * call <= best:
                    continue
                nodes += 1
                if nodes > work:
                    return best, found, False, nodes
                # law of this type
                end = emitted(w, a, numbers, top, k, k2, s, alphas, laws, reach, law)
                most_call = most + k + 1
                single, above, kept = 0.0, 1.0, 1.0
                for i in range(1, end + 1):
                    kept *= alphas[0, 1]
                    single += kept * above
                    above -= law[i]
                for m in range(cap, -1, -1):
                    to_go[m] = after_1[m]
                    if m >= small or m + most_call > cap:
                        continue
                    now = over[m] * single - rate * call
                    if now + over[m] * rest + 1.0 <= best:
                        continue
                    for i in range(1, end + 1):
                        now += law[i] * to_go[m + i]
                    to_go[m] = max(to_go[m], now)
                if 1.0 + to_go[0] <= best:
                    continue
                start[:] = 0.0
                one[:] = 0.0
                start[0] = one[0] = 1.0
                choices = stops(start, one, 0, 0, 0, 0.0, 0.0, law, end, most_call, alphas[0, 1],
                                call, ones, rate, best - 1.0, rest, n_max, cap, outer)  # fmt: skip
                for c in range(choices):
                    n = outer[2][c]
                    bound = 1.0 + n[5] - rate * n[6]
                    for m in range(int(n[2]) + 1):
                        bound += outer[0][c, m] * after_1[m]
                    nodes += 1
                    if bound <= best:
                        continue
                    code[0], code[1], code[2] = int(n[0]), int(n[1]), 1
                    code[7], code[8], code[9] = int(numbers[0]), int(numbers[1]), max(k2, 0)
                    code[2] = k
                    best, tried = complete(
                        (outer[0][c], outer[1][c], int(n[2]), int(n[3]), int(n[4]), n[5], n[6]),
                        code, after_2, by_type, tables, laws, spent, n_types, rate, rest, n_max,
                        best, found, second, line, depth)  # fmt: skip
                    nodes += tried
    return best, found, True, nodes


@njit(cache=True)
def emitted(w, a, numbers, top, k, k2, s, alphas, laws, reach, law):
    """Law of the tokens that a round of reviewer 1 emits, written to `law`; return its end.

    Model 2's segment is in (w, a); P(the first i tokens exist and are accepted) is rebuilt
    from its stop, then model 3's k tokens follow.
    """
    passed = reach[0]
    passed[:] = 0.0
    passed[0] = 1.0
    kind, value = int(numbers[0]), int(numbers[1])
    if kind == ALONE:
        for i in range(1, value + 1):
            passed[i] = alphas[1, 2] ** i
    elif kind >= ROUNDS:
        now = reach[1]
        now[:] = 0.0
        now[0] = 1.0  # accepted and of this length
        high = 0
        for call in range(value):
            low = 0 if kind == ROUNDS else call
            last = high if kind == ROUNDS else call
            for at in range(last, low - 1, -1):
                kept = now[at]
                if kept == 0.0:
                    continue
                now[at] = 0.0
                above = 1.0
                for i in range(1, k2 + 2):
                    kept *= alphas[1, 2]
                    if kept < 1e-18:
                        break
                    now[at + i] += kept * laws[k2, i]
                    passed[at + i] += kept * above
                    above -= laws[k2, i]
            high = max(high, last + k2 + 1)
    for m in range(top + 1):
        kept = a[m]
        for i in range(1, k + 1):
            kept *= alphas[1, 3]
            if kept < 1e-18:
                break
            passed[m + i] += kept
    end = top + k + 1
    while end > 1 and passed[end - 1] < TINY:
        end -= 1
    for i in range(1, end + 1):
        after = passed[i] if i < end else 0.0
        law[i] = max(0.0, passed[i - 1] - after)
    return end
