"""Compiled EWIF of a cascade written as slots: see `cscalc._search`."""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats

ABSENT, ALONE, ROUNDS, UNTIL = 0, 1, 2, 3
TARGET = -1  # parent of the outermost slots
TINY = 1e-16  # chances below this are dropped: all of them together move an EWIF by < 1e-12


@njit(cache=True)
def score(
    model: Any, parent: Any, state: Any, value: Any, tables: Any, room: Any, budget: Any
) -> Any:
    """EWIF of the slots; -1 where they describe no cascade of the grammar.

    tables : alphas (n+1, n+1), costs (n+1,), one_shot (n+1,), curves (n+1, most+2),
        flat (n+1,): whether the curve is 1 throughout, caps (n+1,): longest draft that each
        model may review, gain: the factor by which a change must improve
    room : (slots + 4, most + 3) scratch: a row for the law of each slot, then W, A, P, above
    budget : (1,) work left, about 1 us a unit; what this call takes is subtracted
    """
    alphas, costs, one_shot, curves, flat, caps, _ = tables
    work = 500
    n_slots = model.size
    live = np.zeros(n_slots, np.bool_)
    for s in range(n_slots - 1, -1, -1):  # parents stand after their children
        outer = parent[s]
        live[s] = state[s] != ABSENT and (
            outer == TARGET or (live[outer] and state[outer] >= ROUNDS)
        )
    longest = np.zeros(n_slots, np.int64)  # most tokens of one call
    support = np.zeros(n_slots, np.int64)  # the same, without chances below TINY
    spent = np.zeros(n_slots)  # cost of one call
    reached, alive, passed, above = room[n_slots], room[n_slots + 1], room[n_slots + 2], room[-1]
    for s in range(n_slots + 1):
        is_target = s == n_slots
        if not is_target and not live[s]:
            continue
        if not is_target and state[s] == ALONE:
            longest[s] = value[s]
            spent[s] = costs[model[s]] * (1.0 if one_shot[model[s]] else float(value[s]))
            continue
        me, reviewer = (TARGET, 0) if is_target else (s, model[s])
        least, most, count, last_until = 0, 0, 0, -1
        for t in range(s):
            if parent[t] != me or not live[t]:
                continue
            count += 1
            if state[t] == UNTIL:
                last_until = t
                if value[t] <= least:
                    return -1.0
                most = max(most, value[t] - 1 + longest[t])
                least = value[t]
            elif state[t] == ROUNDS:
                least += value[t]
                most += value[t] * longest[t]
            else:
                least += value[t]
                most += value[t]
        if (count == 0 and not is_target) or most > caps[reviewer]:
            return -1.0
        work += 2 * most
        reached[: most + 2] = 0.0
        alive[: most + 2] = 0.0
        passed[: most + 3] = 0.0  # P(the first i tokens exist and are accepted)
        reached[0] = alive[0] = passed[0] = 1.0
        top, cost = 0, 0.0
        for t in range(s):
            if parent[t] != me or not live[t]:
                continue
            alpha = alphas[reviewer, model[t]]
            if state[t] == ALONE:
                append_draft(reached, alive, passed, top, value[t], alpha)
                top += value[t]
                cost += spent[t]
                continue
            law, longest_call = room[t], support[t]
            weigh = t <= last_until or not flat[reviewer]  # does the draft length matter later?
            above[longest_call] = law[longest_call]
            for i in range(longest_call - 1, 0, -1):
                above[i] = above[i + 1] + law[i]
            if state[t] == ROUNDS:
                for _ in range(value[t]):
                    for start in range(top, -1, -1):  # ends lie above their start
                        if reached[start] > TINY or alive[start] > TINY:
                            work += move(reached, alive, passed, start, law, above, longest_call,
                                         alpha, weigh)  # fmt: skip
                    top += longest_call
                cost += value[t] * spent[t]
            else:
                for start in range(value[t]):
                    if reached[start] > TINY:
                        cost += reached[start] * spent[t]
                        work += move(reached, alive, passed, start, law, above, longest_call,
                                     alpha, True)  # fmt: skip
                top = max(top, value[t] - 1 + longest_call)
        pass_cost = 1.0
        if not flat[reviewer]:
            pass_cost = 0.0
            for i in range(top + 1):
                pass_cost += reached[i] * curves[reviewer, i + 1]
        cost += costs[reviewer] * pass_cost
        if is_target:
            budget[0] -= 1 + work // 1000
            return passed[: top + 1].sum() / cost
        law = room[s]
        longest[s] = most + 1
        spent[s] = cost
        end = top + 1
        while end > 1 and passed[end - 1] < TINY:
            end -= 1
        for i in range(1, end + 1):
            after = passed[i] if i < end else 0.0
            law[i] = max(0.0, passed[i - 1] - after)
        support[s] = end
    return -1.0


@njit(cache=True)
def append_draft(
    reached: Floats, alive: Floats, passed: Floats, top: int, length: int, alpha: float
) -> None:
    """Add `length` unreviewed tokens behind every draft length up to `top`, in place."""
    for start in range(top, -1, -1):
        kept, weight = alive[start], reached[start]
        if weight == 0.0 and kept == 0.0:
            continue
        for i in range(1, length + 1):
            kept *= alpha
            if kept < TINY:
                kept = 0.0
                break
            passed[start + i] += kept
        reached[start] = alive[start] = 0.0
        reached[start + length] = weight
        alive[start + length] = kept


@njit(cache=True)
def move(
    reached: Floats, alive: Floats, passed: Floats, start: int, law: Floats, above: Floats,
    longest: int, alpha: float, weigh: bool,
) -> int:  # fmt: skip
    """Move the mass at draft length `start` by one reviewed call, in place; return the work."""
    weight, kept = reached[start], alive[start]
    reached[start] = alive[start] = 0.0
    i = 1
    while i <= longest:
        kept *= alpha
        if kept < TINY:
            break
        alive[start + i] += kept * law[i]
        passed[start + i] += kept * above[i]
        i += 1
    if not weigh:
        return i
    for j in range(1, longest + 1):
        reached[start + j] += weight * law[j]
    return longest
