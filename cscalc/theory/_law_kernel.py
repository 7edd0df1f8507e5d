"""Compiled kernel of `cscalc.theory.law`; see there for the method and the slow twin.

It knows four kinds of tokens (proposed, kept by an inner review, corrected, bonus), each with
its own acceptance rate by reviewer, model and position, so that every acceptance model that is
a table of rates runs through the same code.
"""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats

ONCE, ROUNDS, UNTIL = 0, 1, 2
PROPOSED, KEPT, CORRECTED, BONUS = 0, 1, 2, 3


@njit(cache=True)
def _call_from(
    start: int, weight: float, alive: float, body: Floats, ends: Floats, reached_to: Floats,
    alive_to: Floats, out: Floats, corrected: Floats, bonus: Floats, above: Floats, least: int,
    most: int, is_review: bool,
) -> None:  # fmt: skip
    """Move the mass at draft length `start` by one call.

    corrected, bonus, above : (size,) laws of the call's last token and P(length > i)
    body, ends : (3, positions) rates: body, corrected, bonus token at each position
    """
    last = body.shape[1] - 1
    kept = alive
    for j in range(most):
        at = min(start + j, last)
        if j + 1 >= least:
            end_c, end_b = corrected[j + 1], bonus[j + 1]
            reached_to[start + j + 1] += weight * (end_c + end_b)
            done = end_c * ends[0, at] + end_b * ends[1, at]
            alive_to[start + j + 1] += kept * done
            out[start + j + 1] += kept * (end_c + end_b - done)
        out[start + j + 1] += kept * above[j + 1] * (1.0 - body[0, at])
        kept *= body[0, at]


@njit(cache=True)
def cycle(
    program: Any, children: Any, most: int, rates: Floats, costs: Floats, curves: Floats
) -> tuple[Floats, Floats, Floats]:
    """Law of one cycle: (pmf, passes, costs); arguments as `_law_program` makes them."""
    n_nodes = program.shape[0]
    n_models = costs.shape[1]
    size = most + 3
    call_corrected = np.zeros((n_nodes, size))  # P(a call adds i tokens, the last a correction)
    call_bonus = np.zeros((n_nodes, size))  # the same, the last a bonus (or plain proposal)
    call_above = np.zeros((n_nodes, size))  # P(a call adds more than i tokens)
    passes = np.zeros((n_nodes, n_models))
    spent = np.zeros((n_nodes, n_models))
    n_positions = rates.shape[3]
    body = np.zeros((1, n_positions))
    ends = np.zeros((2, n_positions))

    for node in range(n_nodes):
        model = program[node, 1]
        if program[node, 0] == 0:
            length = program[node, 2]
            call_bonus[node, length] = 1.0
            call_above[node, :length] = 1.0
            passes[node, model] = 1.0 if costs[1, model] > 0.0 else float(length)
            spent[node, model] = passes[node, model] * costs[0, model]
            continue
        reached = np.zeros(size)
        alive = np.zeros(size)
        reached[0] = 1.0
        alive[0] = 1.0
        out = np.zeros(size)  # rejected somewhere: emits i tokens
        top = 0
        for child_index in range(program[node, 8]):
            child = children[program[node, 7] + child_index]
            drafter = program[child, 1]
            stop, value = program[child, 3], program[child, 4]
            least, longest = program[child, 5], program[child, 6]
            is_review = program[child, 0] == 1
            for at in range(n_positions):
                body[0, at] = rates[KEPT if is_review else PROPOSED, model, drafter, at]
                ends[0, at] = rates[CORRECTED, model, drafter, at]
                ends[1, at] = rates[BONUS if is_review else PROPOSED, model, drafter, at]
            if stop == UNTIL:
                for start in range(value):
                    weight = reached[start]
                    if weight > 0.0:
                        kept = alive[start]
                        reached[start] = 0.0
                        alive[start] = 0.0
                        for m in range(n_models):
                            passes[node, m] += weight * passes[child, m]
                            spent[node, m] += weight * spent[child, m]
                        _call_from(start, weight, kept, body, ends, reached, alive, out,
                                   call_corrected[child], call_bonus[child], call_above[child],
                                   least, longest, is_review)  # fmt: skip
                top = max(top, value - 1 + longest)
            else:
                for _ in range(value):
                    for start in range(top, -1, -1):  # ends lie above their start
                        weight = reached[start]
                        if weight > 0.0:
                            kept = alive[start]
                            reached[start] = 0.0
                            alive[start] = 0.0
                            _call_from(start, weight, kept, body, ends, reached, alive, out,
                                       call_corrected[child], call_bonus[child],
                                       call_above[child], least, longest, is_review)  # fmt: skip
                    top += longest
                for m in range(n_models):
                    passes[node, m] += value * passes[child, m]
                    spent[node, m] += value * spent[child, m]
        passes[node, model] += 1.0
        pass_cost = 0.0
        for length in range(top + 1):
            if reached[length] > 0.0:
                pass_cost += reached[length] * curves[model, length + 1]
        spent[node, model] += costs[0, model] * pass_cost
        for i in range(size - 1):
            call_corrected[node, i] = out[i]
            call_bonus[node, i + 1] = alive[i]
        total = 0.0
        for i in range(size - 1, -1, -1):
            call_above[node, i] = total
            total += call_corrected[node, i] + call_bonus[node, i]
    last = n_nodes - 1
    pmf = (call_corrected[last] + call_bonus[last])[: most + 2]
    return pmf, passes[last], spent[last]
