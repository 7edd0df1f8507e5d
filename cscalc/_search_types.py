"""Compiled laws of reviewed calls and of their stops, for `cscalc._search_proof`.

Models are 1, 2, 3; a missing one has `usable` False. A "type" is one reviewed call: what the
reviewer's drafts are, without its stop.
"""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats

ALONE, ROUNDS, UNTIL = 1, 2, 3
TINY = 1e-16


@njit(cache=True)
def copy(source: Floats, to: Floats, size: int) -> None:
    """Copy `size` entries; a slice assignment takes numba a second longer to compile."""
    for i in range(size):
        to[i] = source[i]


@njit(cache=True)
def total(values: Floats, size: int) -> float:
    """Sum of the first `size` entries."""
    out = 0.0
    for i in range(size):
        out += values[i]
    return out


@njit(cache=True)
def powers(base: float, size: int) -> Floats:
    """1, base, base^2, ..., shape (size,)."""
    out = np.ones(size)
    for i in range(1, size):
        out[i] = out[i - 1] * base
    return out


@njit(cache=True)
def stops(
    node: Any, law: Floats, longest: int, most_call: int, alpha: float, call_cost: float,
    step: Floats, rate: float, floor: float, rest: float, n_max: int, cap: int, buffers: Any,
) -> int:  # fmt: skip
    """Every number of rounds and every threshold of one type after `node`; return how many.

    node : (reached, alive, top, least, most, gain, cost): P(length), P(length, all accepted),
        longest length with a chance, shortest and longest draft possible, and so far E[reward]
        and E[cost]
    step : reward of the i-th accepted token; rest : most that all later rewards can be, given
        that everything was accepted; floor : what a useful prefix must still be able to reach
    buffers : (reached, alive, numbers), whose row s is filled for the s-th stop; numbers are
        kind, value, top, least, most, gain, cost
    """
    reached0, alive0, top0, least0, most0, gain0, cost0 = node
    reached, alive, numbers = buffers
    above = np.zeros(longest + 2)
    for i in range(longest, 0, -1):
        above[i] = above[i + 1] + law[i]
    width = reached.shape[1]
    count = 0
    for kind in (ROUNDS, UNTIL):
        w, a = reached[count], alive[count]
        copy(reached0, w, top0 + 1)
        copy(alive0, a, top0 + 1)
        top, gain, cost = top0, gain0, cost0
        for value in range(1, n_max + 1):
            first = 0 if kind == ROUNDS else value - 1
            last = top if kind == ROUNDS else value - 1
            most = most0 + value * most_call if kind == ROUNDS else value - 1 + most_call
            most = max(most, most0)
            if most > cap:
                break
            new_top = min(width - 1, max(top, last + longest))
            for m in range(top + 1, new_top + 1):
                w[m] = a[m] = 0.0
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
            left = total(a, top + 1)
            if gain - rate * cost + left * rest <= floor:
                break
            if not moved or (kind == UNTIL and (value <= least0 or (value == 1 and top0 == 0))):
                continue
            numbers[count, 0], numbers[count, 1] = kind, value
            numbers[count, 2] = top
            numbers[count, 3] = least0 + value if kind == ROUNDS else value
            numbers[count, 4], numbers[count, 5], numbers[count, 6] = most, gain, cost
            count += 1
            copy(w, reached[count], top + 1)
            copy(a, alive[count], top + 1)
            w, a = reached[count], alive[count]
    return count


@njit(cache=True)
def types_of_2(tables: Any) -> Any:
    """Laws (k, i), costs (k,) of one round in which 2 reviews k tokens of 3, and how many k."""
    alphas, costs, one_shot, curves, caps, usable, longest_alone, _ = tables
    count = min(longest_alone[2, 3], caps[2]) if usable[2] and usable[3] and not one_shot[2] else 0
    laws = np.zeros((count + 1, count + 3))
    spent = np.zeros(count + 1)
    kept = powers(alphas[2, 3], count + 1)
    for k in range(1, count + 1):
        for i in range(1, k + 1):
            laws[k, i] = kept[i - 1] - kept[i]
        laws[k, k + 1] = kept[k]
        spent[k] = costs[2] * curves[2, k + 1] + costs[3] * (1 if one_shot[3] else k)
    return laws, spent, count


@njit(cache=True)
def draft_cost(costs: Any, one_shot: Any, model: int, length: int) -> Any:
    """Cost of `length` unreviewed tokens."""
    if length == 0:
        return 0.0
    return costs[model] * (1.0 if one_shot[model] else float(length))


@njit(cache=True)
def emitted(
    alphas: Floats, laws: Floats, w: Floats, a: Floats, n2: Floats, k: int, k2: int,
    reach: Floats, law: Floats,
) -> int:  # fmt: skip
    """Write the law of the tokens that a round of model 1 emits to `law`; return its end.

    (w, a, n2) is the draft after model 2's segment; P(the first i tokens exist and are
    accepted) is rebuilt from that segment, and k tokens of model 3 follow.
    """
    passed = reach[0]
    passed[:] = 0.0
    passed[0] = 1.0
    kind, value, top = int(n2[0]), int(n2[1]), int(n2[2])
    if kind == ALONE:
        for i in range(1, value + 1):
            passed[i] = alphas[1, 2] ** i
    elif kind >= ROUNDS:
        now = reach[1]  # P(of this length, all accepted)
        now[:] = 0.0
        now[0] = 1.0
        high = 0
        for call in range(value):
            low, last = (0, high) if kind == ROUNDS else (call, call)
            for at in range(last, low - 1, -1):
                kept, above = now[at], 1.0
                now[at] = 0.0
                for i in range(1, k2 + 2):
                    kept *= alphas[1, 2]
                    if kept < 1e-18:
                        break
                    now[at + i] += kept * laws[k2, i]
                    passed[at + i] += kept * above
                    above -= laws[k2, i]
            high = max(high, last + k2 + 1)
    for m in range(top + 1):
        kept = a[m] if w[m] > 0.0 else 0.0
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
