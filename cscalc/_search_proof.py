"""Compiled branch and bound over every cascade of up to three drafts and two reviews deep.

Maximises E[T] - rate E[C] (Dinkelbach) with the rate the EWIF of the best cascade known: a
cascade with a larger EWIF exists if and only if the maximum is positive. `optimize` tells the
method as a whole, `cscalc._search_bounds` what is bounded.
"""

from typing import Any

import numpy as np
from numba import njit

from cscalc._search_bounds import (
    EPS,
    cheapest_later,
    free_worth,
    stopped_freely,
    target_tables,
)
from cscalc._search_types import (
    ALONE,
    TINY,
    draft_cost,
    emitted,
    stops,
    total,
    types_of_2,
)


@njit(cache=True)
def search(tables: Any, n_max: int, depth: int, rate: float, best: float, work: int) -> Any:
    """Maximise E[T] - rate E[C]; return (value, code of the best, proved, nodes).

    tables : alphas (4, 4), costs (4,), one_shot (4,), curves (4, most + 2), caps (4,): longest
        draft that each may review, usable (4,), longest_alone (4, 4): longest unreviewed draft
        by (reviewer, model), flat (4,): whether a curve is 1 throughout
    n_max : most rounds, largest threshold
    best : what to exceed, >= 0; it comes back if nothing does
    work : nodes at which the search gives up
    code : (kind, value, k3) of model 1, (kind, value, k3) of model 2, k3, and (kind, value, k3)
        of model 2 inside model 1's review, where k3 tokens of model 3 follow or are reviewed
    """
    types = types_of_2(tables)
    if depth < 1:
        types = (types[0], types[1], 0)
    targets = target_tables(tables, types, rate)
    alphas, costs, one_shot, _, caps, usable, longest_alone, _ = tables
    after_1, cap = targets[2], caps[0]
    rows, width = 2 * n_max + 3, cap + 3
    buffers = (np.zeros((rows, width)), np.zeros((rows, width)), np.zeros((rows, 7)))
    reached, alive = np.zeros(width), np.zeros(width)
    code, found = np.zeros(10, np.int64), np.zeros(10, np.int64)
    reached[0] = alive[0] = 1.0
    none = len(tables) - len(tables)  # an int, not a literal, which would compile all twice
    node = (reached, alive, none, none, none, 0.0, 0.0)  # model 1 absent
    best, nodes = complete(tables, types, targets, node, code, rate, n_max, best, found, buffers)
    if not usable[1]:
        return best, found, True, nodes
    gain, kept = 0.0, 1.0
    for k in range(1, min(longest_alone[0, 1], cap) + 1):  # model 1 alone
        kept *= alphas[0, 1]
        gain += kept
        cost = draft_cost(costs, one_shot, 1, k)
        if 1.0 + gain - rate * cost + after_1[k] <= best:
            continue
        reached[:] = 0.0
        alive[:] = 0.0
        reached[k], alive[k] = 1.0, kept
        code[0], code[1] = ALONE, k
        node = (reached, alive, k, k, k, gain, cost)
        best, tried = complete(
            tables, types, targets, node, code, rate, n_max, best, found, buffers
        )
        nodes += tried
    if depth < 1 or one_shot[1] or cap < 2 or caps[1] < 1:
        return best, found, True, nodes
    return reviews_of_1(tables, types, targets, n_max, depth, rate, best, found, nodes, work,
                        buffers)  # fmt: skip


@njit(cache=True)
def complete(
    tables: Any, types: Any, targets: Any, node: Any, code: Any, rate: float, n_max: int,
    best: float, found: Any, buffers: Any,
) -> Any:  # fmt: skip
    """Best value over all that may follow model 1's segment; `found` gets its code.

    node : as `stops` takes it. Return (best, nodes tried)
    """
    alphas, costs, one_shot, _, caps, usable, longest_alone, _ = tables
    laws, spent, n_types = types
    after_2, by_type, _, _, rests, cheapest = targets
    reached, alive, top, least, most, gain, cost = node
    cap, rest = caps[0], rests[1]
    if most > cap:
        return best, 0
    least_pass = rate * cheapest[least]
    best = last_draft(tables, node, code, rate, best, found)
    tried = 1
    if not usable[2]:
        return best, tried
    kept, more, left = 1.0, gain, total(alive, top + 1)
    for k in range(1, min(longest_alone[0, 2], cap - most) + 1):
        kept *= alphas[0, 2]
        more += left * kept
        spend = cost + draft_cost(costs, one_shot, 2, k)
        if 1.0 + gain + left * rest - rate * spend - least_pass <= best:
            break  # longer ones cost no less
        bound = 1.0 + more - rate * spend
        for m in range(top + 1):
            if reached[m] > 0.0:
                bound += reached[m] * after_2[m, k]
        tried += 1
        if bound <= best:
            continue
        shifted, shifted_alive = np.zeros(reached.size), np.zeros(reached.size)
        for m in range(top + 1):
            shifted[m + k], shifted_alive[m + k] = reached[m], alive[m] * kept
        code[3], code[4], code[5] = ALONE, k, 0
        after = (shifted, shifted_alive, top + k, least + k, most + k, more, spend)
        best = last_draft(tables, after, code, rate, best, found)
    step = np.ones(cap + 3)
    for k in range(1, n_types + 1):
        bound = 1.0 + gain - rate * cost
        for m in range(top + 1):
            if reached[m] > 0.0:
                bound += reached[m] * max(by_type[k, m], after_2[m, 0])
        tried += 1
        if bound <= best:
            continue
        count = stops(node, laws[k], k + 1, k + 1, alphas[0, 2], spent[k], step, rate,
                      best - 1.0 + least_pass, rest, n_max, cap, buffers)  # fmt: skip
        code[5] = k
        for s in range(count):
            n = buffers[2][s]
            code[3], code[4] = int(n[0]), int(n[1])
            after = (buffers[0][s], buffers[1][s], int(n[2]), int(n[3]), int(n[4]), n[5], n[6])
            best = last_draft(tables, after, code, rate, best, found)
        tried += count
    code[3] = code[4] = code[5] = 0
    return best, tried


@njit(cache=True)
def last_draft(tables: Any, node: Any, code: Any, rate: float, best: float, found: Any) -> Any:
    """Best value over the length of model 3's draft, none included; exact."""
    alphas, costs, one_shot, curves, caps, usable, longest_alone, flat = tables
    reached, alive, top, _, most, gain, cost = node
    kept = total(alive, top + 1)
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
            for i in range(code.size):
                found[i] = code[i]
            found[6] = k
        if kept < TINY:
            break
    return best


@njit(cache=True)
def reviews_of_1(
    tables: Any, types: Any, targets: Any, n_max: int, depth: int, rate: float, best: float,
    found: Any, nodes: int, work: int, second: Any,
) -> Any:  # fmt: skip
    """Cascades that begin with a review by model 1: (best, found, proved, nodes)."""
    alphas, costs, one_shot, curves, caps, usable, longest_alone, _ = tables
    laws, spent, n_types = types
    _, _, after_1, small, rests, cheapest = targets
    cap, longest = caps[0], min(caps[1], caps[0] - 1)
    width, rows = longest + 3, 2 * n_max + 3
    worth, after_3 = np.zeros(width), np.zeros(width)
    value = free_worth(tables, types, targets, depth > 1, rate, worth, after_3)
    if 1.0 + value <= best:
        return best, found, True, nodes
    step = np.zeros(width)
    high = low = worth[1]
    for i in range(1, longest + 1):
        step[i] = worth[i + 1] - worth[i]
        high, low = max(high, worth[i + 1]), min(low, worth[i + 1])
    base = 1.0 + worth[1]
    least_pass = rate * costs[1] * cheapest_later(curves, 1, longest)[0]
    inner = (np.zeros((rows, width)), np.zeros((rows, width)), np.zeros((rows, 7)))
    outer = (np.zeros((rows, cap + 3)), np.zeros((rows, cap + 3)), np.zeros((rows, 7)))
    law, reach = np.zeros(width + 1), np.zeros((2, width))
    code = np.zeros(10, np.int64)
    one, ones = np.zeros(width), np.ones(cap + 3)
    one[0] = 1.0
    none = longest - longest  # an int, not a literal, which would compile all twice
    empty = (one, one, none, none, none, 0.0, 0.0)
    for k2 in range(-1, n_types + 1 if depth > 1 else 1):
        # -1: no model 2 inside; 0: model 2 alone, each length a row; k: it reviews k of model 3
        if k2 >= 0 and not usable[2]:
            continue
        if k2 == -1:
            inner[0][0, 0] = inner[1][0, 0] = 1.0
            inner[2][0, :] = 0.0
            count = 1
        elif k2 == 0:
            count = min(longest_alone[1, 2], longest)
            gain, kept = 0.0, 1.0
            for s in range(count):
                for m in range(s + 1):
                    inner[0][s, m] = inner[1][s, m] = 0.0
                kept *= alphas[1, 2]
                gain += kept * step[s + 1]
                inner[0][s, s + 1], inner[1][s, s + 1] = 1.0, kept
                inner[2][s, 0] = ALONE
                for i in range(1, 5):
                    inner[2][s, i] = s + 1
                inner[2][s, 5], inner[2][s, 6] = gain, draft_cost(costs, one_shot, 2, s + 1)
        else:
            count = stops(empty, laws[k2], k2 + 1, k2 + 1, alphas[1, 2], spent[k2], step, rate,
                          best - base + least_pass, high - low, n_max, longest, inner)  # fmt: skip
        for s in range(count):
            w, a, n2 = inner[0][s], inner[1][s], inner[2][s]
            top, most = int(n2[2]), int(n2[4])
            nodes += 1
            bound = base + n2[5] - rate * n2[6]
            for m in range(top + 1):
                if w[m] > 0.0:
                    bound += w[m] * after_3[m]
            if bound <= best:
                continue
            gain = n2[5]
            for k in range(0, (min(longest_alone[1, 3], longest - most) if usable[3] else 0) + 1):
                pass_cost, factor = 0.0, alphas[1, 3] ** k
                for m in range(top + 1):
                    if w[m] > 0.0:
                        pass_cost += w[m] * curves[1, m + k + 1]
                        if k:
                            gain += a[m] * factor * step[m + k]
                call = n2[6] + draft_cost(costs, one_shot, 3, k) + costs[1] * pass_cost
                if base + gain - rate * call <= best or (k2 == -1 and k == 0):
                    continue
                nodes += 1
                if nodes > work:
                    return best, found, False, nodes
                end = emitted(alphas, laws, w, a, n2, k, k2, reach, law)
                bound = stopped_freely(alphas, law, end, most + k + 1, call, after_1, small, cap,
                                       rate)  # fmt: skip
                if 1.0 + bound <= best:
                    continue
                choices = stops(empty, law, end, most + k + 1, alphas[0, 1], call, ones, rate,
                                best - 1.0 + rate * cheapest[1], rests[0], n_max, cap,
                                outer)  # fmt: skip
                for c in range(choices):
                    n = outer[2][c]
                    bound = 1.0 + n[5] - rate * n[6]
                    for m in range(int(n[2]) + 1):
                        bound += outer[0][c, m] * after_1[m]
                    nodes += 1
                    if bound <= best:
                        continue
                    code[:] = 0
                    code[0], code[1], code[2] = int(n[0]), int(n[1]), k
                    code[7], code[8], code[9] = int(n2[0]), int(n2[1]), max(k2, 0)
                    node = (outer[0][c], outer[1][c], int(n[2]), int(n[3]), int(n[4]), n[5], n[6])
                    best, tried = complete(
                        tables, types, targets, node, code, rate, n_max, best, found, second
                    )
                    nodes += tried
    return best, found, True, nodes
