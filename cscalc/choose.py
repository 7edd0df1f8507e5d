"""The best cascade for prompts that differ: chosen on each prompt's own rates."""

from collections.abc import Callable, Sequence

import numpy as np

from cscalc._search_neighbours import neighbours
from cscalc.cascade import Cascade
from cscalc.optimize import optimal_config
from cscalc.own_rates import combined, own_profiles
from cscalc.plan import Alternative, Plan, make_plan
from cscalc.profile import Profile
from cscalc.simulate.replay import has_places, per_cycle, replay_prompts
from cscalc.theory.law import cycle_law

Numbers = tuple[float, float, float]  # tokens per cycle, cycle cost, EWIF
SHORTLIST = 24  # cascades that are compared by replay


def over_prompts(cascade: Cascade, own: Sequence[Profile]) -> Numbers:
    """Tokens per cycle, cycle cost and EWIF over prompts that write equally many tokens."""
    laws = [cycle_law(cascade, one) for one in own]
    return combined(np.ones(len(laws)), [x.mean for x in laws], [x.cost for x in laws])


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
        plan; ``limits["own_rates"]`` holds the chosen cascade's numbers over the prompts, and
        whether "replay" or the exact "law" gave them.

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
    prompt's own; the winner is improved by changing one or two lengths at a time until
    nothing helps. If the profile holds acceptance place by place, the best of these and their
    neighbours are then compared by replay on the measured texts, which knows that copies run
    on and that a draft may have nothing to propose. Best among these candidates and changes,
    not proved to be best of all.

    Examples
    --------
    >>> prompts = [
    ...     {"question_id": i, "category": "a", "contexts": 2, "overlap": {"0,1": [rate, rate]}}
    ...     for i, rate in enumerate((0.95, 0.4))
    ... ]
    >>> profile = Profile([0.675], [0.1], measurement={"prompts": prompts})
    >>> str(optimal_for_prompts(profile).cascade)
    '1:3'
    """
    own = list(own_profiles(profile).values())
    limit = profile.max_positions(0)

    def by_rates(cascade: Cascade) -> Numbers:
        return over_prompts(cascade, own)

    def by_replay(cascade: Cascade) -> Numbers:
        rng = np.random.default_rng(0)  # the same numbers for every cascade
        sums = np.sum(list(replay_prompts(cascade, profile, rng=rng).values()), axis=0)
        tokens, cost, ewif = per_cycle(sums)
        return float(tokens), float(cost), float(ewif)

    def fits(cascade: Cascade) -> bool:
        return limit is None or cascade.max_length + 1 <= limit

    pooled = optimal_config(profile, max_length=max_length, max_depth=max_depth)
    plans = [optimal_config(one, max_length=max_length, max_depth=max_depth) for one in own]
    found = {a.cascade for plan in (pooled, *plans) for a in plan.alternatives}
    scores = {cascade: by_rates(cascade) for cascade in sorted(found, key=str) if fits(cascade)}

    def climb(best: Cascade, score: Callable[[Cascade], Numbers], pairs: bool) -> Cascade:
        improved = True
        while improved:
            improved = False
            for cascade in neighbours(best, max_length, pairs=pairs):
                if cascade not in scores and fits(cascade):
                    scores[cascade] = score(cascade)
                    if scores[cascade][2] > scores[best][2] * (1.0 + 1e-9):
                        best, improved = cascade, True
        return best

    def top(n: int) -> list[Cascade]:
        return sorted(scores, key=lambda cascade: -scores[cascade][2])[:n]

    best, by = climb(top(1)[0], by_rates, pairs=True), "law"
    if has_places(profile):
        scores = {cascade: by_replay(cascade) for cascade in top(SHORTLIST)}
        best, by = climb(top(1)[0], by_replay, pairs=False), "replay"
    tokens, cost, ewif = scores[best]
    others = [Alternative.of(one.cascade, profile) for one in pooled.alternatives]
    limits = {
        **pooled.limits,
        "proved": False,
        "chosen_on": f"the own rates of {len(own)} prompts",
        "own_rates": {"ewif": ewif, "tokens_per_cycle": tokens, "cycle_cost": cost, "by": by},
    }
    return make_plan(profile, best, others, limits)
