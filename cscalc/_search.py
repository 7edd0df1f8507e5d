"""Compiled search over the lengths, stops and structure of a cascade; used by `optimize`.

A cascade is written as slots: below the target one slot for each draft, below each slot that
can review one for each cheaper draft, and so on to the depth limit. A slot is absent, drafts
alone, or reviews its own slots; its value is a length, a number of rounds or a threshold.
Slots stand with children before parents and siblings in model order.
"""

import numpy as np
from numba import njit

from cscalc.theory._law_kernel import cycle

ABSENT, ALONE, ROUNDS, UNTIL = 0, 1, 2, 3
TARGET = -1  # parent of the outermost slots


@njit(cache=True)
def build(model, parent, state, value, program, children, caps):
    """Write the program of the live slots; return (rows, longest draft), rows 0 if not valid.

    caps : (models,) longest draft that each model may review
    """
    n_slots = model.size
    live = np.zeros(n_slots, np.bool_)
    for s in range(n_slots - 1, -1, -1):  # parents stand after their children
        outer = parent[s]
        live[s] = state[s] != ABSENT and (
            outer == TARGET or (live[outer] and state[outer] >= ROUNDS)
        )
    row_of = np.full(n_slots, -1, np.int64)
    longest = np.zeros(n_slots, np.int64)  # most tokens of one call
    rows, used = 0, 0
    for s in range(n_slots + 1):
        is_target = s == n_slots
        if not is_target and not live[s]:
            continue
        first, least, most, count = used, 0, 0, 0
        reviews = is_target or state[s] >= ROUNDS
        if reviews:
            me = TARGET if is_target else s
            for t in range(s):
                if parent[t] != me or not live[t]:
                    continue
                children[used] = row_of[t]
                used += 1
                count += 1
                low = value[t] if state[t] == ALONE else 1
                if state[t] == UNTIL:
                    if value[t] <= least:
                        return 0, 0
                    most = max(most, value[t] - 1 + longest[t])
                    least = value[t]
                elif state[t] == ROUNDS:
                    least += value[t]
                    most += value[t] * longest[t]
                else:
                    least += low
                    most += longest[t]
            if count == 0 and not is_target:
                return 0, 0
            if most > caps[0 if is_target else model[s]]:
                return 0, 0
        program[rows, 0] = 1 if reviews else 0
        program[rows, 1] = 0 if is_target else model[s]
        program[rows, 2] = 0 if reviews else value[s]
        program[rows, 3] = 0
        program[rows, 4] = 1
        program[rows, 7] = first
        program[rows, 8] = count
        if reviews:
            program[rows, 5] = 1
            program[rows, 6] = most + 1
            if not is_target:
                longest[s] = most + 1
                program[rows, 3] = 1 if state[s] == ROUNDS else 2
                program[rows, 4] = value[s]
        else:
            program[rows, 5] = value[s]
            program[rows, 6] = value[s]
            longest[s] = value[s]
        if is_target:
            return rows + 1, most
        row_of[s] = rows
        rows += 1
    return 0, 0


@njit(cache=True)
def score(model, parent, state, value, tables, program, children):
    """EWIF of the slots; -1 where they describe no valid cascade."""
    rates, costs, curves, caps = tables
    rows, most = build(model, parent, state, value, program, children, caps)
    if rows == 0:
        return -1.0
    pmf, _, spent = cycle(program[:rows], children, most, rates, costs, curves)
    mean = 0.0
    for i in range(pmf.size):
        mean += pmf[i] * i
    return mean / spent.sum()


@njit(cache=True)
def _steps(current, most):
    """Neighbouring values of `current` in 1..most."""
    moves = np.array([current + 1, current - 1, current + 2, current - 2, current + 4,
                      current * 2, current // 2])  # fmt: skip
    return np.minimum(np.maximum(moves, 1), most)


@njit(cache=True)
def climb(model, parent, state, value, allow, max_value, tables):
    """Improve (state, value) in place until no single move helps; return the EWIF.

    allow : (slots, 4) states that a slot may take; max_value : (4,) largest value by state
    """
    n_slots = model.size
    program = np.zeros((n_slots + 1, 9), np.int64)
    children = np.zeros(n_slots + 1, np.int64)
    starts = np.array([1, 2, 4, 8, 16])
    best = score(model, parent, state, value, tables, program, children)
    improved = True
    while improved:
        improved = False
        for s in range(n_slots):
            outer = parent[s]
            if outer != TARGET and state[outer] < ROUNDS:
                continue  # not reachable now
            old_state, old_value = state[s], value[s]
            if old_state != ABSENT:
                for candidate in _steps(old_value, max_value[old_state]):
                    if candidate == value[s]:
                        continue
                    before = value[s]
                    value[s] = candidate
                    now = score(model, parent, state, value, tables, program, children)
                    if now > best * (1.0 + 1e-12):
                        best, improved = now, True
                    else:
                        value[s] = before
            old_state, old_value = state[s], value[s]
            for other in range(4):
                if other == old_state or not allow[s, other]:
                    continue
                for start in starts:
                    if other == ABSENT and start > 1:
                        break
                    if start > max_value[other]:
                        break
                    keep_state, keep_value = state[s], value[s]
                    state[s], value[s] = other, start
                    now = score(model, parent, state, value, tables, program, children)
                    if now > best * (1.0 + 1e-12):
                        best, improved = now, True
                    else:
                        state[s], value[s] = keep_state, keep_value
    return best


@njit(cache=True)
def pair_moves(model, parent, state, value, max_value, tables):
    """Try to move two values at once by one each; return the EWIF, changing in place."""
    n_slots = model.size
    program = np.zeros((n_slots + 1, 9), np.int64)
    children = np.zeros(n_slots + 1, np.int64)
    best = score(model, parent, state, value, tables, program, children)
    for s in range(n_slots):
        for t in range(s):
            if state[s] == ABSENT or state[t] == ABSENT:
                continue
            for da in range(-2, 3):
                for db in range(-2, 3):
                    a, b = value[s] + da, value[t] + db
                    if da == 0 or db == 0 or a < 1 or b < 1:
                        continue
                    if a > max_value[state[s]] or b > max_value[state[t]]:
                        continue
                    value[s] += da
                    value[t] += db
                    now = score(model, parent, state, value, tables, program, children)
                    if now > best * (1.0 + 1e-12):
                        best = now
                    else:
                        value[s] -= da
                        value[t] -= db
    return best


@njit(cache=True)
def search(model, parent, starts_state, starts_value, allow, max_value, tables):
    """Climb from every start; return (EWIF, state, value) of the best end."""
    best = -1.0
    best_state, best_value = starts_state[0].copy(), starts_value[0].copy()
    for i in range(starts_state.shape[0]):
        state, value = starts_state[i].copy(), starts_value[i].copy()
        now = climb(model, parent, state, value, allow, max_value, tables)
        while now >= 0.0:
            paired = pair_moves(model, parent, state, value, max_value, tables)
            if paired <= now * (1.0 + 1e-12):
                break
            now = climb(model, parent, state, value, allow, max_value, tables)
        if now > best * (1.0 + 1e-12):
            best, best_state, best_value = now, state, value
    return best, best_state, best_value


@njit(cache=True)
def trim(model, parent, state, value, allow, floor, tables):
    """Drop slots and shorten values while the EWIF stays at or above `floor`, in place."""
    n_slots = model.size
    program = np.zeros((n_slots + 1, 9), np.int64)
    children = np.zeros(n_slots + 1, np.int64)
    for s in range(n_slots):
        before = state[s]
        if before == ABSENT or not allow[s, ABSENT]:
            continue
        state[s] = ABSENT
        if score(model, parent, state, value, tables, program, children) < floor:
            state[s] = before
    for s in range(n_slots):
        while state[s] != ABSENT and value[s] > 1:
            value[s] -= 1
            if score(model, parent, state, value, tables, program, children) < floor:
                value[s] += 1
                break
    return score(model, parent, state, value, tables, program, children)
