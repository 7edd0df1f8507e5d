"""Law of the cycles that measured texts take: the kernel of `law` with a rate for every place.

A review's law depends on where in the text it starts, so it is tabulated for every place; the
laws of inner rounds are looked up where they start. Slow twin:
`cscalc.theory._law_slow.trace_totals`.
"""

from typing import Any

import numpy as np
from numba import njit

from cscalc._checks import Floats
from cscalc.acceptance import Trace
from cscalc.cascade import Cascade
from cscalc.profile import Profile

UNTIL = 2


@njit(cache=True)
def text_laws(
    program: Any, children: Any, most: int, overlaps: Floats, costs: Floats, curves: Floats
) -> tuple[Floats, Floats, Floats]:
    """Law of a cycle from each place of a text: (pmf, passes, costs), place first.

    overlaps : (places, n + 1, n + 1), its last row holds beyond; others as in `_law_kernel`.
    """
    n_nodes = program.shape[0]
    n_models = costs.shape[1]
    places = overlaps.shape[0]
    size = most + 3
    laws = np.zeros((n_nodes, places, size))  # P(a call from here adds i tokens)
    passes = np.zeros((n_nodes, places, n_models))
    spent = np.zeros((n_nodes, places, n_models))
    for node in range(n_nodes):
        model = program[node, 1]
        if program[node, 0] == 0:
            length = program[node, 2]
            made = 1.0 if costs[1, model] > 0.0 else float(length)
            laws[node, :, length] = 1.0
            passes[node, :, model] = made
            spent[node, :, model] = made * costs[0, model]
            continue
        for place in range(places):
            reached = np.zeros(size)
            alive = np.zeros(size)
            reached[0] = 1.0
            alive[0] = 1.0
            out = laws[node, place]
            top = 0
            for child_index in range(program[node, 8]):
                child = children[program[node, 7] + child_index]
                drafter = program[child, 1]
                stop, value = program[child, 3], program[child, 4]
                longest = program[child, 6]
                calls = 1 if stop == UNTIL else value
                for _ in range(calls):
                    # thresholds: upwards, so that a call's ends call again; rounds: downwards
                    last = value - 1 if stop == UNTIL else top
                    for step in range(last + 1):
                        start = step if stop == UNTIL else last - step
                        weight, kept = reached[start], alive[start]
                        if weight <= 0.0:
                            continue
                        reached[start] = 0.0
                        alive[start] = 0.0
                        here = min(place + start, places - 1)
                        for m in range(n_models):
                            passes[node, place, m] += weight * passes[child, here, m]
                            spent[node, place, m] += weight * spent[child, here, m]
                        left = 1.0
                        for j in range(longest):
                            at = min(place + start + j, places - 1)
                            alpha = overlaps[at, model, drafter]
                            out[start + j + 1] += kept * left * (1.0 - alpha)
                            kept *= alpha
                            chance = laws[child, here, j + 1]
                            reached[start + j + 1] += weight * chance
                            alive[start + j + 1] += kept * chance
                            left = max(0.0, left - chance)
                    top = last + longest if stop != UNTIL else max(top, last + longest)
            passes[node, place, model] += 1.0
            pass_cost = 0.0
            for length in range(top + 1):
                pass_cost += reached[length] * curves[model, length + 1]
                out[length + 1] += alive[length]
            spent[node, place, model] += costs[0, model] * pass_cost
    return laws[-1, :, : most + 2], passes[-1], spent[-1]


@njit(cache=True)
def starts_of(laws: Floats) -> tuple[Floats, Floats]:
    """P(a cycle starts at each place), and the sum over cycles of the law of what they emit."""
    places, size = laws.shape
    starts = np.zeros(places)
    starts[0] = 1.0
    emitted = np.zeros(size)
    for place in range(places):
        for tokens in range(1, size):
            emits = min(tokens, places - place)
            chance = starts[place] * laws[place, tokens]
            emitted[emits] += chance
            if place + emits < places:
                starts[place + emits] += chance
    return starts, emitted


def trace_law(
    cascade: Cascade, profile: Profile, model: Trace, program: Any, tables: Any
) -> tuple[Floats, Floats, Floats, Floats]:
    """pmf, passes and costs of a cycle picked at random, and expected cycles of each text."""
    rows, children, most = program
    _, costs, curves = tables
    total = np.zeros(most + 2), np.zeros(profile.n_drafts + 1), np.zeros(profile.n_drafts + 1)
    cycles = np.zeros(len(model.lengths))
    for text in range(cycles.size):
        overlaps = model.overlaps(text, profile.alphas)
        laws, passes, spent = text_laws(rows, children, most, overlaps, costs, curves)
        starts, emitted = starts_of(laws)
        cycles[text] = starts.sum()
        for sums, more in zip(total, (emitted, starts @ passes, starts @ spent), strict=True):
            sums += more
    pmf, passes, spent = (sums / cycles.sum() for sums in total)
    return pmf, passes, spent, cycles
