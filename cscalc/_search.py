"""Compiled search over the lengths, stops and structure of a cascade; used by `optimize`.

A cascade is written as slots: below the target one slot for each draft, below each slot that
can review one for each cheaper draft, and so on to the depth limit. A slot is absent, drafts
alone, or reviews its own slots; its value is a length, a number of rounds or a threshold.
Slots stand with children before parents and siblings in model order.
"""

import numpy as np
from numba import njit

ABSENT, ALONE, ROUNDS, UNTIL = 0, 1, 2, 3
TARGET = -1  # parent of the outermost slots
TINY = 1e-16  # chances below this are dropped: all of them together move an EWIF by < 1e-12


@njit(cache=True)
def score(model, parent, state, value, tables, room, budget):
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
def append_draft(reached, alive, passed, top, length, alpha):
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
def move(reached, alive, passed, start, law, above, longest, alpha, weigh):
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


@njit(cache=True)
def refine(model, parent, state, value, max_value, tables, room, best, gain, focus, budget):
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
def pairs(model, parent, state, value, max_value, tables, room, best, budget):
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
def copy_tree(model, parent, state, value, source, to, new_state, new_value, allow):
    """Write what stands at slot `source` into slot `to`, as far as `allow` permits."""
    pending = np.zeros((model.size, 2), np.int64)
    pending[0, 0], pending[0, 1] = source, to
    count = 1
    while count > 0:
        count -= 1
        source, to = pending[count]
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
def fill(model, parent, state, value, s, filling, new_state, new_value, allow, max_value,
         tables):  # fmt: skip
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
def restructure(model, parent, state, value, allow, max_value, tables, room, best, budget):
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
                        state[:] = new_state
                        value[:] = new_value
    return best


@njit(cache=True)
def climb(model, parent, state, value, allow, max_value, tables, room, budget):
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
def trim(model, parent, state, value, allow, floor, tables, room, budget):
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
