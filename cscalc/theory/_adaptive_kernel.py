"""Compiled dynamic program of `cscalc.theory.adaptive`; see there for states and actions."""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats

STOP, DRAFT, REVIEW = 0, 1, 2


@njit(cache=True)
def widths(
    tables: Any, reviewer: int, depth: int, cap: int, span: float, rate: float, slack: float
) -> Any:
    """Counts of each model (n+1,) from which on one more token cannot pay; 0: not used here."""
    alphas, costs, _, curves, _ = tables
    n = costs.size - 1
    out = np.zeros(n + 1, np.int64)
    least = np.inf
    for j in range(reviewer + 1, n + 1):
        low = 1.0
        if depth > 0:
            low = min(1.0, curves[j, 1:].min())
        least = min(least, costs[j] * low)
    rises = True
    for m in range(1, cap + 1):
        rises = rises and curves[reviewer, m] <= curves[reviewer, m + 1]
    enough = slack
    if rises:
        enough = max(slack, rate * least)
    for j in range(reviewer + 1, n + 1):
        alpha, left, count = alphas[reviewer, j], span, 0
        while count < cap and (count == 0 or left > enough):
            left *= alpha
            count += 1
        out[j] = count
    return out


@njit(cache=True)
def solve(
    tables: Any, reviewer: int, depth: int, cap: int, worth: Floats, after: Floats, rate: float,
    slack: float, values: Floats, spend: Floats, acts: Any,
) -> Any:  # fmt: skip
    """Best value of one draft of `reviewer`: E[worth(tokens emitted)] - rate E[cost].

    Parameters
    ----------
    tables : alphas (n+1, n+1), costs (n+1,), one_shot (n+1,), curves (n+1, most+2), caps (n+1,)
    reviewer, depth : its model; reviews that may stand inside one another here
    cap : longest draft that it may hold
    worth, after : (cap + 2,) value, and later cost, by the number of tokens emitted (1, ...)
    rate : price of a target pass; slack : values below it are not worth a state
    values, spend, acts : (states,), (states,), (states, 3) filled if there is room, by the
        mixed-radix number of the counts of models reviewer + 1, ..., n (last fastest)

    Returns
    -------
    (value, cost) of the empty draft; a draft model must draft at least one token, the target
    may verify at once.
    """
    alphas, costs, one_shot, curves, caps = tables
    n = costs.size - 1
    if cap < 1 and reviewer > 0:
        return -np.inf, 0.0
    span = worth[1 : cap + 2].max() - worth[1 : cap + 2].min()
    width = widths(tables, reviewer, depth, cap, span, rate, slack)
    stride = np.ones(n + 2, np.int64)
    for j in range(n, reviewer, -1):
        stride[j - 1] = stride[j] * (width[j] + 1)
    size = stride[reviewer]
    value, cost = np.empty(size), np.empty(size)
    keep = acts.shape[0] == size
    count = np.zeros(n + 1, np.int64)
    inner_worth, inner_after = np.empty(cap + 2), np.empty(cap + 2)
    no_values, no_acts = np.empty(0), np.empty((0, 3), np.int64)
    for state in range(size - 1, -1, -1):
        rest, m, y = state, 0, 1.0
        for j in range(reviewer + 1, n + 1):
            count[j] = rest // stride[j]
            rest -= count[j] * stride[j]
            m += count[j]
            y *= alphas[reviewer, j] ** count[j]
        if m > cap:
            continue
        pass_cost = costs[reviewer] * curves[reviewer, m + 1]
        best, spent = -rate * pass_cost, pass_cost
        kind, model, length = STOP, 0, 0
        if m == 0 and reviewer > 0:
            best = -np.inf
        for j in range(reviewer + 1, n + 1):
            alpha = alphas[reviewer, j]
            most = cap - m if one_shot[j] else min(1, cap - m)
            gain, later, kept = 0.0, 0.0, y
            for k in range(1, most + 1):
                kept *= alpha
                gain += kept * (worth[m + k + 1] - worth[m + k])
                later += kept * (after[m + k + 1] - after[m + k])
                if count[j] + k <= width[j]:
                    to = state + k * stride[j]
                    next_value, next_cost = value[to], cost[to]
                else:
                    next_cost = costs[reviewer] * curves[reviewer, m + k + 1]
                    next_value = -rate * next_cost
                now = gain - rate * costs[j] + next_value
                if now > best + 1e-15:
                    best, spent = now, later + costs[j] + next_cost
                    kind, model, length = DRAFT, j, k
            if depth == 0 or one_shot[j] or j == n:
                continue
            inner_cap = min(caps[j], cap - m - 1)
            if inner_cap < 1:
                continue
            gain, later, kept, top = 0.0, 0.0, y, -np.inf
            for k in range(1, inner_cap + 2):
                kept *= alpha
                gain += kept * (worth[m + k + 1] - worth[m + k])
                later += kept * (after[m + k + 1] - after[m + k])
                if count[j] + k <= width[j]:
                    to = state + k * stride[j]
                    next_value, next_cost = value[to], cost[to]
                else:
                    next_cost = costs[reviewer] * curves[reviewer, m + k + 1]
                    next_value = -rate * next_cost
                inner_worth[k] = gain + next_value
                inner_after[k] = later + next_cost
                top = max(top, inner_worth[k])
            if top - rate * costs[j] * curves[j, 1 : inner_cap + 2].min() <= best:
                continue
            now, inner_cost = solve(tables, j, depth - 1, inner_cap, inner_worth, inner_after,
                                    rate, slack, no_values, no_values, no_acts)  # fmt: skip
            if now > best + 1e-15:
                best, spent = now, inner_cost
                kind, model, length = REVIEW, j, 0
        value[state], cost[state] = best, spent
        if keep:
            values[state], spend[state] = best, spent
            acts[state, 0], acts[state, 1], acts[state, 2] = kind, model, length
    return worth[1] + value[0], after[1] + cost[0]
