"""Compiled climb over the lengths, stops and structure of a cascade: see `cscalc._search`."""

from typing import Any

import numpy as np
from numba import njit

from cscalc._search_kernel import ABSENT, ALONE, ROUNDS, TARGET, score


@njit(cache=True)
def refine(
    model: Any, parent: Any, state: Any, value: Any, max_value: Any, tables: Any, room: Any,
    best: float, gain: float, focus: int, budget: Any,
) -> Any:  # fmt: skip
    """Improve the values in place, one at a time; return the EWIF.

    focus : the slot whose tree is refined; the number of slots for all
    gain : factor by which a change must improve
    budget : (1,) work left; nothing is tried once it is used up
    """
    improved = True
    while improved and budget[0] > 0:
        improved = False
        for s in range(model.size - 1, -1, -1):
            outer = parent[s]
            if state[s] == ABSENT or (outer != TARGET and state[outer] < ROUNDS):
                continue
            root = s
            while root < focus and parent[root] != TARGET:
                root = parent[root]
            if focus < model.size and root != focus:
                continue
            most = max_value[state[s]]
            old = value[s]
            for step in (1, -1, 2, -2, 5, -5, old, -(old // 2)):
                now, before = -1.0, value[s]
                while budget[0] > 0:  # as far as it helps
                    candidate = min(max(value[s] + step, 1), most)
                    if candidate == value[s]:
                        break
                    previous = value[s]
                    value[s] = candidate
                    now = score(model, parent, state, value, tables, room, budget)
                    if now <= best * gain:
                        value[s] = previous
                        break
                    best, improved = now, True
                if value[s] != before and abs(step) == 1:
                    break
    return best


@njit(cache=True)
def pairs(
    model: Any, parent: Any, state: Any, value: Any, max_value: Any, tables: Any, room: Any,
    best: float, budget: Any,
) -> Any:  # fmt: skip
    """Move two values at once while that helps, in place; return the EWIF."""
    gain = tables[-1]
    n_slots = model.size
    for s in range(n_slots):
        for t in range(s):
            if state[s] == ABSENT or state[t] == ABSENT:
                continue
            if parent[t] != TARGET and state[parent[t]] < ROUNDS:
                continue
            if parent[s] != TARGET and state[parent[s]] < ROUNDS:
                continue
            for da in range(-2, 3):
                for db in range(-3, 4):
                    a, b = value[s] + da, value[t] + db
                    if da == 0 or db == 0 or a < 1 or b < 1 or budget[0] <= 0:
                        continue
                    if a > max_value[state[s]] or b > max_value[state[t]]:
                        continue
                    value[s] += da
                    value[t] += db
                    now = score(model, parent, state, value, tables, room, budget)
                    if now > best * gain:
                        best = now
                    else:
                        value[s] -= da
                        value[t] -= db
    return best


@njit(cache=True)
def copy_tree(
    model: Any, parent: Any, state: Any, value: Any, source: int, to: int, new_state: Any,
    new_value: Any, allow: Any,
) -> None:  # fmt: skip
    """Write what stands at slot `source` into slot `to`, as far as `allow` permits."""
    pending = np.zeros((model.size, 2), np.int64)
    pending[0, 0], pending[0, 1] = source, to
    count = 1
    while count > 0:
        count -= 1
        source, to = pending[count, 0], pending[count, 1]
        kind = state[source]
        if not allow[to, kind]:
            kind = ALONE if allow[to, ALONE] else ABSENT
        new_state[to] = kind
        new_value[to] = value[source]
        if kind >= ROUNDS:
            for t in range(to):
                if parent[t] == to:
                    new_state[t] = ABSENT
                    for u in range(source):
                        if parent[u] == source and model[u] == model[t]:
                            pending[count, 0], pending[count, 1] = u, t
                            count += 1


@njit(cache=True)
def fill(
    model: Any, parent: Any, state: Any, value: Any, s: int, filling: int, new_state: Any,
    new_value: Any, allow: Any, max_value: Any, tables: Any,
) -> bool:  # fmt: skip
    """Give slot s, a new review, drafts of its own; return False if this filling has none.

    filling : 0 what its slots held before; 1 a copy of what stands behind it; 2 the same,
        taken away from behind it; 2 + j: the j-th cheaper model alone
    """
    any_draft = filling == 0
    for t in range(s):
        if parent[t] != s:
            continue
        if filling >= 3:
            mine = model[t] == model[s] + filling - 2
            new_state[t] = ALONE if mine and allow[t, ALONE] else ABSENT
            new_value[t] = min(16 if tables[2][model[t]] else 4, max_value[ALONE])
        elif filling >= 1:
            new_state[t] = ABSENT
            for u in range(model.size):
                if parent[u] == parent[s] and model[u] == model[t] and state[u] != ABSENT:
                    copy_tree(model, parent, state, value, u, t, new_state, new_value, allow)
                    if filling == 2 and allow[u, ABSENT]:
                        new_state[u] = ABSENT
        any_draft = any_draft or new_state[t] != ABSENT
    return any_draft


@njit(cache=True)
def restructure(
    model: Any, parent: Any, state: Any, value: Any, allow: Any, max_value: Any, tables: Any,
    room: Any, best: float, budget: Any,
) -> Any:  # fmt: skip
    """Change one slot's state, fill in what it needs and refine; keep what helps.

    Return the EWIF; (state, value) change in place.
    """
    gain = tables[-1]
    n_slots = model.size
    for s in range(n_slots - 1, -1, -1):
        outer = parent[s]
        if outer != TARGET and state[outer] < ROUNDS:
            continue
        for other in range(4):
            if other == state[s] or not allow[s, other]:
                continue
            fillings = 1
            if other >= ROUNDS and state[s] < ROUNDS:
                fillings = 3 + model[n_slots - 1] - model[s]
            for filling in range(fillings):
                for start in (1, 3):
                    if (other == ABSENT and start > 1) or start > max_value[other]:
                        break
                    if budget[0] <= 0:
                        return best
                    new_state, new_value = state.copy(), value.copy()
                    new_state[s], new_value[s] = other, start
                    if fillings > 1 and not fill(model, parent, state, value, s, filling,
                                                 new_state, new_value, allow, max_value,
                                                 tables):  # fmt: skip
                        break
                    now = score(model, parent, new_state, new_value, tables, room, budget)
                    if now < 0.0:  # too long for a reviewer
                        for t in range(s):
                            if parent[t] == s:
                                new_value[t] = 1
                        now = score(model, parent, new_state, new_value, tables, room, budget)
                    rough = max(gain, 1.0 + 1e-4)
                    if now >= 0.8 * best:
                        now = refine(model, parent, new_state, new_value, max_value, tables,
                                     room, now, rough, s, budget)  # fmt: skip
                    if now >= 0.98 * best:
                        now = refine(model, parent, new_state, new_value, max_value, tables,
                                     room, now, rough, n_slots, budget)  # fmt: skip
                    if now > best * gain:
                        best = now
                        for t in range(n_slots):
                            state[t], value[t] = new_state[t], new_value[t]
    return best


@njit(cache=True)
def climb(
    model: Any, parent: Any, state: Any, value: Any, allow: Any, max_value: Any, tables: Any,
    room: Any, budget: Any,
) -> Any:  # fmt: skip
    """Improve (state, value) in place until no move helps; return the EWIF.

    allow : (slots, 4) states that a slot may take; max_value : (4,) largest value by state
    """
    gain = tables[-1]
    best = score(model, parent, state, value, tables, room, budget)
    if best < 0.0:
        return best
    while budget[0] > 0:
        before = best
        best = refine(model, parent, state, value, max_value, tables, room, best, gain,
                      model.size, budget)  # fmt: skip
        best = restructure(model, parent, state, value, allow, max_value, tables, room, best,
                           budget)  # fmt: skip
        if best <= before * gain:
            best = pairs(model, parent, state, value, max_value, tables, room, best, budget)
        if best <= before * gain:
            break
    return best


@njit(cache=True)
def trim(
    model: Any, parent: Any, state: Any, value: Any, allow: Any, floor: float, tables: Any,
    room: Any, budget: Any,
) -> Any:  # fmt: skip
    """Drop slots and shorten values while the EWIF stays at or above `floor`, in place."""
    for s in range(model.size - 1, -1, -1):
        before = state[s]
        if before == ABSENT or not allow[s, ABSENT]:
            continue
        state[s] = ABSENT
        if score(model, parent, state, value, tables, room, budget) < floor:
            state[s] = before
    for s in range(model.size):
        while state[s] != ABSENT and value[s] > 1:
            value[s] -= 1
            if score(model, parent, state, value, tables, room, budget) < floor:
                value[s] += 1
                break
    return score(model, parent, state, value, tables, room, budget)
