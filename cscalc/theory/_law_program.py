"""A cascade and a profile as the integer rows and tables that the kernel of the laws reads."""

from functools import lru_cache
from typing import Any

import numpy as np

from cscalc._checks import Floats
from cscalc._fit import check_longest
from cscalc.acceptance import BetaMixture, Independent, Markov, Mixture, Trace, rate_table
from cscalc.cascade import Cascade, Draft, Review, Segment, max_length
from cscalc.profile import Profile

WITH_MEMORY = (Mixture, BetaMixture, Markov, Trace)
ONCE, ROUNDS, UNTIL = range(3)
# columns of a program row, one row a segment, children before parents, the target last
(IS_REVIEW, MODEL, LENGTH, STOP, VALUE, LEAST, MOST, FIRST_CHILD, N_CHILDREN) = range(9)


def reach_of(profile: Profile, cascade: Cascade, most: int) -> dict[int, int]:
    """Most positions that each reviewer with a known curve checks in one pass."""
    reach = {0: max_length(cascade.drafts) + 1}
    for model in profile.verify:
        if model:
            reach[model] = review_reach(cascade.drafts, model)
    return reach


@lru_cache(maxsize=4096)
def review_reach(drafts: tuple[Segment, ...], model: int) -> int:
    """Most positions that one draft model checks in one pass, wherever it reviews; at least 1."""
    reach = 1
    for segment in drafts:
        if isinstance(segment, Review):
            reach = max(reach, review_reach(segment.drafts, model))
            if segment.model == model:
                reach = max(reach, max_length(segment.drafts) + 1)
    return reach


@lru_cache(maxsize=4096)
def program_of(cascade: Cascade) -> tuple[Any, Any, int]:
    """Segments as integer rows, children before parents; the last row is the target."""
    most = max_length(cascade.drafts)
    check_longest(most)
    rows: list[list[int]] = []
    children: list[int] = []

    def add(segment: Segment) -> int:
        length, first, count, most = 0, 0, 0, 0
        if isinstance(segment, Draft):
            length = most = segment.length
        else:
            inner = [add(child) for child in segment.drafts]
            first, count = len(children), len(inner)
            children.extend(inner)
            most = max_length(segment.drafts) + 1
        least = 1 if isinstance(segment, Review) else length
        stop, value = ONCE, 1
        if segment.until is not None:
            stop, value = UNTIL, segment.until
        elif isinstance(segment, Review) and segment.rounds is not None:
            stop, value = ROUNDS, segment.rounds
        is_review = int(isinstance(segment, Review))
        rows.append([is_review, segment.model, length, stop, value, least, most, first, count])
        return len(rows) - 1

    top = [add(segment) for segment in cascade.drafts]
    rows.append([1, 0, 0, ONCE, 1, 1, most + 1, len(children), len(top)])
    children.extend(top)
    return np.array(rows, dtype=np.int64), np.array(children, dtype=np.int64), most


def tables_of(profile: Profile, reach: dict[int, int]) -> tuple[Floats, Floats, Floats]:
    """Rates (4, n+1, n+1, positions), costs per call type (2, n+1), curves (n+1, most+1).

    Acceptance models with memory bring their own rates; the profile's stand in for them.
    """
    width = max(reach.values()) + 1
    cache = profile._curves
    key = ("tables", tuple(sorted(reach.items())))
    if key not in cache:
        if ("rates",) not in cache:
            table = profile.acceptance
            if isinstance(table, WITH_MEMORY):
                table = Independent()
            rates = rate_table(profile.alphas, table)
            costs = np.concatenate([[1.0], profile.costs])
            one_shot = np.zeros(costs.size)
            one_shot[list(profile.one_shot)] = 1.0
            cache[("rates",)] = (np.ascontiguousarray(rates), np.stack([costs, one_shot]))
        curves = np.ones((profile.n_drafts + 1, width))
        for model, most in reach.items():
            curves[model, : most + 1] = profile.verify_costs(model, most)
        cache[key] = (*cache[("rates",)], curves)
    tables: tuple[Floats, Floats, Floats] = cache[key]
    return tables
