"""Compiled branch and bound over every cascade of the grammar, for any number of drafts.

Maximises E[T] - rate E[C] (Dinkelbach) with the rate the EWIF of the best cascade known: a
cascade with a larger EWIF exists if and only if the maximum is positive. `optimize` tells the
method as a whole, `cscalc._search_frames` what bounds it, `cscalc._search_nodes` what a
partial cascade is, `cscalc._search_open` and `cscalc._search_stops` how rounds of a review
begin and end in it.
"""

from typing import Any

import numpy as np

from cscalc._search_frames import EPS, MOST_DRAFT, ONE_SHOT, RISES, inner, outer
from cscalc._search_nodes import (
    ALONE,
    CAP,
    COST,
    DEPTH,
    GAIN,
    LAST,
    LEFT,
    MOST,
    NEXT,
    NODE,
    OPEN,
    OVER,
    PARENT,
    REVIEWER,
    ROUNDS,
    SPAN,
    TINY,
    TOP,
    UNTIL,
    WEIGHT,
    add_token,
    copy_node,
    hope,
    need,
    set_need,
    spent_with_pass,
)
from cscalc._search_open import group, most_draft, open_frame, relax_frame
from cscalc._search_stops import add_stop, end_round

START = 0
SOON, AGAIN = (
    3,
    4,
)  # steps left at which a new best ends the search; least to go on from one
GRACE = 500  # steps after a new best, at least, before the search begins again with its rate
FRAME, MODEL, AT, FREE, PHASE, VALUE = range(6)  # of a task


@inner
def push(tasks: Any, task: int, frame: int, model: int, at: int, free: int) -> int:
    """Write a new task behind `task`; return its number."""
    task += 1
    tasks[task, FRAME], tasks[task, MODEL] = frame, model
    tasks[task, AT], tasks[task, FREE] = at, free
    tasks[task, PHASE], tasks[task, VALUE] = START, 0
    return task


@inner
def note(acts: Any, at: int, kind: int, model: int, value: int) -> None:
    """Write what led to node `at`."""
    acts[at, 0], acts[at, 1], acts[at, 2] = kind, model, value


@inner
def review(
    tables: Any,
    room: Any,
    rate: float,
    n_max: int,
    tasks: Any,
    task: int,
    acts: Any,
    found: Any,
) -> int:
    """End the draft of a frame at the node of a task, or take its next stop; return the task."""
    frames, best, left = room[2], room[8], room[9]
    frame, at, free = tasks[task, FRAME], tasks[task, AT], tasks[task, FREE]
    if frame == 0:
        nodes = room[0]
        now = nodes[at, 3, GAIN] - rate * spent_with_pass(tables, room, 0, at)
        if now > need(room, 0) + EPS:
            best[0] = 1.0 + now
            left[SOON] = max(left[SOON], left[LEFT] - left[AGAIN])
            for one in range(free):
                set_need(room, one)
            left[2] = at + 1
            for i in range(at + 1):
                for k in range(3):
                    found[i, k] = acts[i, k]
        return task - 1
    if tasks[task, PHASE] == START:
        if not end_round(tables, room, rate, frame, at):
            return task - 1
        tasks[task, PHASE] = UNTIL if frames[frame, NEXT] >= 0 else ROUNDS
    value, go, first = tasks[task, VALUE] + 1, -1, 1
    if tasks[task, PHASE] == UNTIL:  # lower thresholds are met
        while room[0][frames[frame, NODE], 0, first - 1] <= TINY:
            first += 1
        value = max(value, first)
    if value == first:
        copy_node(room, frames[frame, NODE], at + 1)
    if value <= n_max:
        go = add_stop(tables, room, rate, frame, tasks[task, PHASE], value, at + 1)
    tasks[task, VALUE] = value
    if go < 0:
        if tasks[task, PHASE] == UNTIL:
            return task - 1
        tasks[task, PHASE], tasks[task, VALUE] = UNTIL, 0
    elif go > 0:
        model = frames[frame, REVIEWER]
        note(acts, at + 1, tasks[task, PHASE], model, value)
        return push(tasks, task, frames[frame, PARENT], model + 1, at + 1, free)
    return task


@inner
def draft(
    tables: Any, room: Any, rate: float, n_max: int, tasks: Any, task: int, acts: Any
) -> int:
    """Take the next choice for the model of a task behind its node; return the task."""
    longest, facts = tables[2], tables[4]
    nodes, whole, frames, worths = room[:4]
    n = facts.shape[0] - 1
    frame, model, at, free = (
        tasks[task, FRAME], tasks[task, MODEL], tasks[task, AT], tasks[task, FREE]
    )  # fmt: skip
    reviewer, child = frames[frame, REVIEWER], at + 1
    if tasks[task, PHASE] == START:
        tasks[task, PHASE] = ALONE
        now = nodes[at, 3, GAIN] - rate * nodes[at, 3, COST]
        if model == n:
            if reviewer == 0 or whole[at, MOST] > 0:
                return push(tasks, task, frame, n + 1, at, free)
        elif now + hope(room, frame, at, model + 1, 0, whole[at, TOP]) > need(room, frame):
            return push(tasks, task, frame, model + 1, at, free)
    if tasks[task, PHASE] == ALONE:
        k = tasks[task, VALUE] + 1
        tasks[task, VALUE] = k
        most = min(longest[reviewer, model], frames[frame, CAP] - whole[at, MOST])
        if k == 1:
            copy_node(room, at, child)
            whole[child, LAST] = model
        if k <= most:
            left = add_token(tables, room, frame, child, model, k)
            now = nodes[child, 3, GAIN] - rate * nodes[child, 3, COST]
            floor = need(room, frame)
            more = left * worths[frame, 2, SPAN]
            least = rate * tables[3][reviewer, 0] * tables[3][reviewer, 1]
            if now + more - least > floor:
                flat = facts[model, ONE_SHOT] and facts[reviewer, RISES]
                if flat and left * frames[0, CAP] <= EPS:
                    tasks[task, VALUE] = most  # longer ones are worth the same
                if model < n:
                    now += hope(room, frame, child, model + 1, 0, whole[child, TOP])
                if model == n or now > floor:
                    note(acts, child, ALONE, model, k)
                    return push(tasks, task, frame, model + 1, child, free)
                return task
        tasks[task, PHASE], tasks[task, VALUE] = OPEN, whole[at, TOP]
        if model == n or facts[model, ONE_SHOT] or frames[frame, DEPTH] == 0:
            return task - 1
    while True:
        calls = group(room, rate, frame, model, at, tasks[task, VALUE], free)
        if calls < 0:
            return task - 1
        tasks[task, VALUE] = calls - 1
        if open_frame(tables, room, rate, frame, model, at, free):
            for row in range(3):
                nodes[child, row, 0], nodes[child, row, 1] = 1.0, 0.0
            nodes[child, 3, GAIN] = nodes[child, 3, COST] = 0.0
            for i in range(4):
                whole[child, i] = 0
            whole[child, LAST] = model
            note(acts, child, OPEN, model, 0)
            return push(tasks, task, free, model + 1, child, free + 1)


@outer
def search(
    tables: Any, n_max: int, depth: int, rate: float, least: float, steps: int, rows: int,
    deep: int,
) -> Any:  # fmt: skip
    """Maximise E[T] - rate E[C] over all cascades.

    tables : as `cscalc._search_frames.relax` takes them; n_max : most rounds, largest threshold
    least : what to exceed, >= 0; steps : at which the search gives up; rows : states to keep
    deep : frames that one cascade can have
    Return (value, what led to the best (count, 3), whether the search ended, steps left, -1 if
    it gave up)
    """
    facts = tables[4]
    n = facts.shape[0] - 1
    cap = min(facts[0, MOST_DRAFT], most_draft(tables, 0, depth))
    slots, width = 4 * deep, cap + 12
    nodes, worths = np.zeros((slots, 4, width)), np.zeros((deep, 6, width))
    numbers = np.zeros((5, slots, 12), np.int64)
    whole, frames, tasks, acts, found = numbers[:5]
    place, values = np.empty((rows, 2)), np.empty((rows, 2 * n + 2))
    order = np.empty(rows, np.int64)
    starts = np.zeros((deep, n + 1, width), np.int64)
    best, left = np.array([least]), np.array([steps, 0, 0, -1, 0])
    room = (nodes, whole, frames, worths, starts, place, values, order, best, left)
    for i in range(width):
        worths[0, 0, i] = i
    worths[0, 2, WEIGHT] = 1.0
    frames[0, DEPTH], frames[0, CAP], frames[0, PARENT] = depth, cap, -1
    for row in range(3):
        nodes[0, row, 0] = 1.0
    task = -1
    if relax_frame(tables, room, rate, 0):
        task = push(tasks, -1, 0, 1, 0, 1)
    left[AGAIN] = GRACE + steps - left[LEFT]
    while task >= 0 and left[OVER] == 0 and left[LEFT] >= left[SOON]:
        left[LEFT] -= 1
        if left[LEFT] < 0:
            left[OVER] = 1
        if tasks[task, MODEL] > n:
            task = review(tables, room, rate, n_max, tasks, task, acts, found)
        else:
            task = draft(tables, room, rate, n_max, tasks, task, acts)
    ended = task < 0 and left[OVER] == 0
    return best[0], found[1 : left[2], :3], ended, -1 if left[OVER] else left[LEFT]
