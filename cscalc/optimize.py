"""The best cascade of a profile: `optimal_config`."""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int, check_number
from cscalc._fit import LONGEST
from cscalc._plan_words import curve_ends
from cscalc._search import Found, Space, most_tokens
from cscalc._search_laws import Judge, ceilings, stand_ins
from cscalc._search_proof import Proof, ewif_bound
from cscalc._verify_costs import Verify
from cscalc.acceptance import Independent, Mixture
from cscalc.cascade import Cascade
from cscalc.plan import Alternative, Plan, make_plan
from cscalc.profile import Profile

CLIMB = 60_000  # work of the climb over all drafts in all states, about 1 us a unit
STEPS, STEPS_OF_MANY = 2_000_000, 700_000  # of the proof: up to four drafts, more
CLIMBED = 3  # candidates whose neighbours are tried if acceptance is not independent


def optimal_config(
    alphas: npt.ArrayLike | Profile,
    costs: npt.ArrayLike | None = None,
    *,
    one_shot: tuple[int, ...] = (),
    verify: Verify = None,
    max_length: int = 64,
    max_depth: int = 2,
    tolerance: float = 1e-7,
    proof_steps: int | None = None,
) -> Plan:
    r"""Choose the cascade with the largest EWIF.

    Parameters
    ----------
    alphas : array_like or Profile
        Acceptance rates as in `Profile` (shape (n + 1, n + 1) or (n,)), or a whole profile,
        and then nothing else but the limits.
    costs : array_like, shape (n,)
        ``c(target, draft j)`` in target passes.
    one_shot, verify
        As in `Profile`.
    max_length : int
        Longest draft of one model, most rounds of one review, and largest `until`.
    max_depth : int
        Most reviews inside one another: 0 allows only horizontal cascades, 1 vertical ones,
        2 two-level nested ones.
    tolerance : float
        Lengths are shortened, and drafts dropped, while the EWIF stays within this relative
        distance of the best, so that exact ties resolve to the smaller cascade.
    proof_steps : int, optional
        Steps, of up to 1 us each, that the proof of optimality may take: 2 000 000, or 700 000
        for more than four drafts, if not given. 0 leaves the proof out, and the bound. There
        is no proof but for independent acceptance.

    Returns
    -------
    Plan
        The cascade, its predicted numbers, and the best found of every kind and set of models.
        ``plan.limits["verify_ends"]`` holds, by reviewer, the positions at which a verification
        cost ends within the search, if any does; ``plan.limits["proved"]`` says whether it is
        proved to be the best, and ``plan.limits["bound"]`` what no cascade exceeds (see Notes).

    Raises
    ------
    TypeError, ValueError
        As `Profile`; or if costs are missing or given twice.

    Notes
    -----
    The grammar searched: each reviewer is served by each cheaper model at most once, from dear
    to cheap. A model that serves drafts alone (a length), or, if it is autoregressive and at
    most `max_depth` reviews stand inside one another, reviews its own segments: for a number of
    rounds, or until a cumulative threshold. Lengths, rounds and thresholds are at most
    `max_length`; no reviewer may come to hold more than ``max(128, 4 * max_length)`` tokens,
    nor more than an array in `verify` covers. Plain decoding is always a candidate.

    1. *Search.* Climbs from the best of each smaller family to larger ones: single values,
       pairs of values, and changes of structure (a slot filled, emptied, or made to review a
       copy of what stood behind it, and then refined). Work is bounded, and nothing is random.
    2. *Proof.* Let r be the best EWIF found. A cascade has a larger one if and only if
       E[T] - r E[C] > 0 for it (Dinkelbach), so branch and bound maximises that over the whole
       grammar: segment by segment from the target's first, the inner drafts of a review before
       its stop. A partial cascade is dropped if even a policy that may choose what remains
       anew at each call, by the lengths so far, cannot bring it above zero. That policy's
       value is a dynamic program over the tokens of each model in the draft, one such program
       inside another for a review; every fixed completion is one of its policies, so no better
       cascade is lost. Of a draft it needs the length and the chance y that all of it is
       accepted: what a policy can still gain is affine in y, the best of all policies convex,
       so between two known values of y the chord is an upper bound. Complete cascades are
       evaluated exactly. If something better is found, r rises and the search is repeated;
       when it ends with nothing, r is the maximum.
    3. *Bound.* The same policy, free from the first call on, bounds every cascade of the
       grammar whether or not 2 came to its end: ``plan.limits["bound"]``.

    ``plan.limits["proved"]`` is True if 2 came to its end within `proof_steps`. Then no cascade
    of the grammar is better than the best found by more than 5 x `tolerance`, relative, where a
    one-shot draft that is reviewed free of charge is taken no longer than the length that is
    fully accepted with chance 5 x `tolerance`. With ``tolerance=0`` neither reserve is made.
    For up to three drafts the proof mostly ends in milliseconds, for four within a second, for
    more now and then; where it does not, each three drafts are searched, the climb goes on, and
    "bound" tells how far from the best the plan can be: mostly some tenths of a percent, tens of
    percent where a cheap draft is very good. The tests compare the result with complete
    enumeration of the grammar on small limits.

    All this holds for independent acceptance. Under any other acceptance model of
    `cscalc.acceptance` the candidates are the best cascades of several independent profiles
    (mean rates; first and last positions; each kind of prompt or text; easy and hard tokens),
    evaluated by their exact law under the model itself. The three best are improved by
    changing one or two numbers at a time, leaving a segment out, adding one, or letting it
    review or stop otherwise, until nothing helps or 20 000 laws were computed (2000 at least
    where one takes long; of a `BetaMixture`, a sum over 24 prompts stands for the integral
    until the end). That is the best of these candidates and changes, not proved to be the best
    of the grammar: ``plan.limits["proved"]`` is False, and ``plan.limits["acceptance"]`` names
    the model. "bound" holds here too. For a `Mixture` it comes from one policy for each kind of
    prompt; for the others from rates that the model never exceeds (of a `BetaMixture`, in each
    of some ranges of its quantile), where besides an inner review may hand over fewer tokens
    than it emits: more acceptance then never loses. It can be far above the best.

    Examples
    --------
    >>> plan = optimal_config([0.8], [0.1])
    >>> plan.cascade, round(plan.ewif, 3), plan.limits["proved"]
    (Cascade((Draft(1, 6),)), 2.47, True)
    >>> alphas = [[1, 0.8, 0.55, 0.25], [0, 1, 0.6, 0.3], [0, 0, 1, 0.35], [0, 0, 0, 1]]
    >>> plan = optimal_config(alphas, [0.2, 0.05, 0.0005], one_shot=(3,))
    >>> round(plan.ewif, 4), plan.kind, plan.cascade.depth
    (2.3531, 'nested', 2)
    """
    profile = _as_profile(alphas, costs, one_shot, verify)
    limits: dict[str, Any] = {
        "max_length": check_int("max_length", max_length, least=1),
        "max_depth": check_int("max_depth", max_depth, least=0),
        "tolerance": check_number("tolerance", tolerance, least=0.0, most=0.1),
    }
    if max_length > LONGEST // 4:  # `most_tokens` may stand in front of a reviewer
        raise ValueError(f"max_length must be <= {LONGEST // 4}, got {max_length}: take less")
    if proof_steps is None:
        proof_steps = STEPS if profile.n_drafts <= 4 else STEPS_OF_MANY
    check_int("proof_steps", proof_steps, least=0)
    limits["most_tokens"] = most_tokens(max_length)
    if ends := curve_ends(profile, limits["most_tokens"]):
        limits["verify_ends"] = {str(model): most for model, most in ends.items()}
    independent = isinstance(profile.acceptance, Independent)
    if independent:
        cascades, limits["proved"] = _independent(profile, limits, proof_steps)
    else:
        cascades, limits["proved"] = _by_law(profile, limits), False
        limits["acceptance"] = profile.acceptance.kind
    alternatives = [Alternative.of(one, profile) for one in (*cascades, Cascade(()))]
    top = max(one.ewif for one in alternatives)
    near = [one for one in alternatives if one.ewif >= top * (1.0 - tolerance)]
    chosen = min(near, key=lambda one: (len(one.cascade.models), one.cascade.max_length))
    if proof_steps:
        limits["bound"] = _bound(profile, limits, top)
    return make_plan(profile, chosen.cascade, _best_of_each(alternatives), limits)


def _as_profile(
    alphas: npt.ArrayLike | Profile,
    costs: npt.ArrayLike | None,
    one_shot: tuple[int, ...],
    verify: Verify,
) -> Profile:
    if isinstance(alphas, Profile):
        if costs is not None or one_shot or verify is not None:
            raise TypeError("a Profile already holds costs, one_shot and verify: give it alone")
        return alphas
    if costs is None:
        raise TypeError("costs are missing: give optimal_config(alphas, costs) or a Profile")
    return Profile(alphas, costs, one_shot=one_shot, verify=verify)


def _independent(
    profile: Profile, limits: dict[str, Any], proof_steps: int
) -> tuple[list[Cascade], bool]:
    """Ends of the search under independent acceptance; whether the best is proved to be that."""
    if not profile.n_drafts:
        return [], True
    space = Space.of(profile, limits["max_length"], limits["max_depth"], limits["tolerance"])
    found = space.search(profile.n_drafts)
    everyone = tuple(range(1, profile.n_drafts + 1))
    allow, starts = space.only(everyone), space.starts(found, everyone)
    first = 1 if proof_steps and profile.n_drafts <= 3 else len(starts)
    found += space.climb(allow, starts[:first], CLIMB)
    proved = False
    if proof_steps:
        proved = _prove(space, profile, found, limits, proof_steps)
    if not proved and starts[first:]:  # not needed where the proof came to its end
        found += space.climb(allow, starts[first:], CLIMB)
    return [space.trimmed(one, limits["tolerance"]).cascade for one in found], proved


def _bound(profile: Profile, limits: dict[str, Any], best: float) -> float | None:
    """Upper bound on the EWIF of every cascade within the limits; None if there is none."""
    slack = 5.0 * float(limits["tolerance"])
    if limits["proved"] or not profile.n_drafts:
        return best * (1.0 + slack)
    everyone = tuple(range(1, profile.n_drafts + 1))
    profiles, weights = ceilings(profile)
    proofs = [
        Proof.of(one, everyone, limits["max_length"], limits["max_depth"], slack)
        for one in profiles
    ]
    known = isinstance(profile.acceptance, Independent | Mixture)  # the rates, not a ceiling
    found = ewif_bound(proofs, weights, best, not known)
    return float(found) if np.isfinite(found) else None


def _by_law(profile: Profile, limits: dict[str, Any]) -> list[Cascade]:
    """Ends of the search under any other acceptance model."""
    candidates: set[Cascade] = set()
    for one in stand_ins(profile):
        candidates.update(_independent(one, limits, 0)[0])
    judge = Judge.of(profile, limits["max_length"])
    ranked = judge.ranked(candidates)
    best = judge.ranked(judge.improved(one, limits["max_depth"]) for one in ranked[:CLIMBED])[:1]
    return ranked + [judge.shortened(one, limits["tolerance"]) for one in best]


def _prove(
    space: Space, profile: Profile, found: list[Found], limits: dict[str, Any], steps: int
) -> bool:
    """Branch and bound over all drafts; add what is better to `found`.

    If it does not end within `steps`, each three drafts are searched, and the climb goes on.
    """
    everyone = tuple(range(1, profile.n_drafts + 1))
    subsets = list(combinations(everyone, 3)) if len(everyone) > 3 else []
    for models in (everyone, *subsets):
        proof = Proof.of(
            profile, models, limits["max_length"], limits["max_depth"], 5.0 * limits["tolerance"]
        )
        known = [
            (one.ewif, one.cascade) for one in found if set(one.cascade.models) <= set(models)
        ]
        best = max((1.0, Cascade(())), *known, key=_first)
        share = steps if models == everyone else max(1, steps // len(subsets) // 4)
        _, better, ended = proof.improve(best, share, space.refined)
        if better != best[1]:
            found.append(space.found(better))
        if ended and models == everyone:
            return True
    if subsets:
        allow = space.only(everyone)
        found += space.climb(allow, space.starts(found, everyone), 20_000)
    return False


def _first(pair: tuple[float, Cascade]) -> float:
    return pair[0]


def _best_of_each(alternatives: list[Alternative]) -> list[Alternative]:
    """Best alternative of each kind and set of models."""
    best: dict[tuple[str, tuple[int, ...]], Alternative] = {}
    for one in alternatives:
        key = (one.kind, one.cascade.models)
        if key not in best or one.ewif > best[key].ewif:
            best[key] = one
    return list(best.values())
