"""The best cascade for prompts that differ: chosen on each prompt's own rates."""

from collections.abc import Iterator

import numpy as np

from cscalc.cascade import Cascade, Draft, Review, Segment
from cscalc.optimize import optimal_config
from cscalc.own_rates import combined, own_profiles
from cscalc.plan import Alternative, Plan, make_plan
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law


def optimal_for_prompts(profile: Profile, *, max_length: int = 64, max_depth: int = 2) -> Plan:
    """Choose the cascade that is fastest over the measured prompts, each with its own rates.

    Parameters
    ----------
    profile : Profile
        With measured prompts, as `validate.measure` makes it.
    max_length, max_depth : int
        As in `cscalc.optimal_config`.

    Returns
    -------
    Plan
        Its numbers (EWIF, tokens per cycle, cost) are those of one pooled rate, as for any
        plan; ``limits["own_rates"]`` holds the chosen cascade's numbers over the prompts.

    Raises
    ------
    ValueError
        If the profile holds no measured prompts.

    Notes
    -----
    With one pooled rate, a draft that copies (prompt lookup, Max-Gram) looks better than it
    is: where it accepts much it needs few cycles, and most cycles run where it accepts
    little. The objective here is all tokens over all cost when every prompt writes equally
    much. Candidates are the best cascades of every kind for the pooled rates and for each
    prompt's own; the winner is then improved by changing one or two lengths at a time until
    nothing helps. Best among these candidates and changes, not proved to be best of all.
    """
    own = list(own_profiles(profile).values())
    limit = profile.max_positions(0)

    def score(cascade: Cascade) -> float:
        if limit is not None and cascade.max_length + 1 > limit:
            return 0.0
        laws = [cycle_law(cascade, one) for one in own]
        return combined(np.ones(len(laws)), [x.mean for x in laws], [x.cost for x in laws])[2]

    pooled = optimal_config(profile, max_length=max_length, max_depth=max_depth)
    plans = [optimal_config(one, max_length=max_length, max_depth=max_depth) for one in own]
    candidates = {a.cascade for plan in (pooled, *plans) for a in plan.alternatives}
    scores = {cascade: score(cascade) for cascade in sorted(candidates, key=str)}
    best = max(scores, key=lambda cascade: scores[cascade])
    improved = True
    while improved:
        improved = False
        for cascade in _neighbours(best, max_length):
            if cascade not in scores:
                scores[cascade] = score(cascade)
                if scores[cascade] > scores[best] * (1.0 + 1e-9):
                    best, improved = cascade, True
    others = [Alternative.of(one.cascade, profile) for one in pooled.alternatives]
    laws = [cycle_law(best, one) for one in own]
    tokens, cost, ewif = combined(
        np.ones(len(laws)), [x.mean for x in laws], [x.cost for x in laws]
    )
    limits = {
        **pooled.limits,
        "proved": False,
        "chosen_on": f"the own rates of {len(own)} prompts",
        "own_rates": {"ewif": ewif, "tokens_per_cycle": tokens, "cycle_cost": cost},
    }
    return make_plan(profile, best, others, limits)


def _neighbours(cascade: Cascade, most: int) -> Iterator[Cascade]:
    """Cascades that differ in one number by one or two, in two by one, or by one segment."""
    ones = list(_changed(cascade.drafts, (-2, -1, 1, 2), most))
    twos = [two for one in ones for two in _changed(one, (-1, 1), most)]
    fewer = [cascade.drafts[:i] + cascade.drafts[i + 1 :] for i in range(len(cascade.drafts))]
    for drafts in (*ones, *fewer, *twos):
        try:
            yield Cascade(drafts)
        except ValueError:  # an until that is already reached
            continue


def _changed(
    drafts: tuple[Segment, ...], steps: tuple[int, ...], most: int
) -> Iterator[tuple[Segment, ...]]:
    for i, segment in enumerate(drafts):
        for changed in _changed_segment(segment, steps, most):
            yield (*drafts[:i], changed, *drafts[i + 1 :])


def _changed_segment(segment: Segment, steps: tuple[int, ...], most: int) -> Iterator[Segment]:
    if isinstance(segment, Draft):
        for step in steps:
            if 1 <= segment.length + step <= most:
                yield Draft(segment.model, segment.length + step, until=segment.until)
        return
    for step in steps:
        if segment.rounds is not None and 1 <= segment.rounds + step <= most:
            yield Review(segment.model, segment.drafts, rounds=segment.rounds + step)
        if segment.until is not None and 1 <= segment.until + step <= most:
            yield Review(segment.model, segment.drafts, until=segment.until + step)
    for inner in _changed(segment.drafts, steps, most):
        try:
            yield Review(segment.model, inner, rounds=segment.rounds, until=segment.until)
        except ValueError:  # an inner until that is already reached
            continue
