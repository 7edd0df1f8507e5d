"""The best cascade of a profile: `optimal_config`."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int, check_number
from cscalc._search import ABSENT, ALONE, ROUNDS, Found, Space, by_model, most_tokens
from cscalc._search_laws import Judge, stand_ins
from cscalc.acceptance import Independent
from cscalc.cascade import Cascade, Draft, Review, Segment
from cscalc.plan import Alternative, Plan, make_plan
from cscalc.profile import Profile, Verify
from cscalc.theory.law import ewif

CLIMB = 60_000  # work of the climb over all drafts in all states, about 1 us a unit
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
    proof_steps: int = 200_000,
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
    proof_steps : int
        Partial cascades that the proof of optimality may look at, about 2 million a second;
        0 leaves it out. There is no proof but for independent acceptance.

    Returns
    -------
    Plan
        The cascade, its predicted numbers, and the best found of every kind and set of models.
        ``plan.limits["proved"]`` says whether it is proved to be the best (see Notes).

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
    2. *Proof, for up to three drafts.* Let r be the best EWIF found. A cascade has a larger one
       if and only if E[T] - r E[C] > 0 for it (Dinkelbach), so branch and bound maximises that
       over the whole grammar: segment by segment from the target's first, the inner drafts of
       a review before its stop. A partial cascade is dropped if even a policy that may choose
       what remains of the same segments anew at each call, by the lengths so far, cannot bring
       it above zero. That policy's value is a dynamic program over the tokens of each model in
       the draft; every fixed completion is one such policy, so no better cascade is lost. The
       last draft and complete cascades are evaluated exactly. If something better is found, r
       rises and the search is repeated; when it ends with nothing, r is the maximum.

    ``plan.limits["proved"]`` is True if 2 came to its end within `proof_steps`. Then no cascade
    of the grammar is better than the best found by more than 5 x `tolerance`, relative, where a
    one-shot draft that is reviewed free of charge is taken no longer than the length that is
    fully accepted with chance 5 x `tolerance`. With ``tolerance=0`` neither reserve is made.
    For four drafts or more only the best cascade of each three drafts is searched in this way,
    and the climb goes on from there: no proof for all together; `adaptive_bound` tells how far
    from the best it can be. The tests compare the result for up to three drafts with complete
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
    the model.

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
    check_int("proof_steps", proof_steps, least=0)
    limits["most_tokens"] = most_tokens(max_length)
    if isinstance(profile.acceptance, Independent):
        cascades, limits["proved"] = _independent(profile, limits, proof_steps)
    else:
        cascades, limits["proved"] = _by_law(profile, limits), False
        limits["acceptance"] = profile.acceptance.kind
    alternatives = [Alternative.of(one, profile) for one in (*cascades, Cascade(()))]
    top = max(one.ewif for one in alternatives)
    near = [one for one in alternatives if one.ewif >= top * (1.0 - tolerance)]
    chosen = min(near, key=lambda one: (len(one.cascade.models), one.cascade.max_length))
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
        return [], False
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
    """Branch and bound over each three drafts (or all); add what is better to `found`."""
    drafts = range(1, profile.n_drafts + 1)
    subsets = list(combinations(drafts, min(3, profile.n_drafts)))
    proved = False
    for models in subsets:
        proof = _Proof.of(profile, models, limits["max_length"], 5.0 * limits["tolerance"])
        known = [
            (one.ewif, one.cascade) for one in found if set(one.cascade.models) <= set(models)
        ]
        best = max((1.0, Cascade(())), *known, key=_first)
        better, proved = proof.improve(best, limits["max_depth"], max(1, steps // len(subsets)))
        if better != best[1]:
            found.append(space.found(better))
    if len(subsets) > 1:
        allow = space.only(tuple(drafts))
        found += space.climb(allow, space.starts(found, tuple(drafts)), 20_000)
    return proved and len(subsets) == 1


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


@dataclass(frozen=True, slots=True)
class _Proof:
    """Up to three drafts of a profile as `cscalc._search_proof` takes them."""

    place: dict[int, int]  # model there (1, 2, 3) -> model of the profile
    tables: Any
    max_length: int
    profile: Profile
    slack: float

    @classmethod
    def of(
        cls, profile: Profile, models: tuple[int, ...], max_length: int, slack: float
    ) -> "_Proof":
        there = {1: (0, 1), 2: (0, 1, 3), 3: (0, 1, 2, 3)}[len(models)]
        rows, mine = np.array(there), np.array([0, *models])
        all_rates, *by_row = by_model(profile, most_tokens(max_length))
        alphas = all_rates[np.ix_(mine, mine)]
        costs, curves, flat, caps, one_shot = (values[mine] for values in by_row)
        all_alphas, all_costs = np.zeros((4, 4)), np.zeros(4)
        all_one_shot, usable = np.zeros(4, dtype=np.bool_), np.zeros(4, dtype=np.bool_)
        all_curves, all_caps = np.ones((4, curves.shape[1])), np.zeros(4, dtype=np.int64)
        all_alphas[np.ix_(rows, rows)] = alphas
        all_costs[rows], all_curves[rows], all_caps[rows] = costs, curves, caps
        all_one_shot[rows], usable[rows] = one_shot, True
        longest = np.full((4, 4), max_length)
        for i, reviewer in enumerate(there):
            for j, model in enumerate(there):
                alpha = alphas[i, j]
                if one_shot[j] and flat[i] and j > i and slack > 0.0 and alpha < 1.0:
                    enough = 1 if alpha == 0.0 else np.log(slack) / np.log(alpha)
                    longest[reviewer, model] = min(max_length, max(1, int(np.ceil(enough))))
        all_flat = np.all(all_curves == 1.0, axis=1)
        tables = (
            all_alphas, all_costs, all_one_shot, all_curves, all_caps, usable, longest, all_flat
        )  # fmt: skip
        place = dict(zip(there, (0, *models), strict=True))
        return cls(place, tables, max_length, profile, slack)

    def improve(
        self, best: tuple[float, Cascade], max_depth: int, steps: int
    ) -> tuple[Cascade, bool]:
        """Best cascade, and whether branch and bound ended within `steps`."""
        from cscalc import _search_proof

        rate, cascade = best
        proved = True
        for _ in range(50):  # Dinkelbach: the ratio rises strictly, in practice two or three times
            least = self.slack * rate
            value, code, proved, used = _search_proof.search(
                self.tables, self.max_length, max_depth, rate, least, steps
            )
            steps = max(1, steps - int(used))
            if value <= least:
                break
            better = self.decode([int(number) for number in code])
            new_rate = ewif(better, self.profile)
            if new_rate <= rate * (1.0 + 1e-13):
                break
            rate, cascade = new_rate, better
            if not proved:
                break
        return cascade, bool(proved)

    def decode(self, code: list[int]) -> Cascade:
        """The cascade that `_search_proof.search` names."""

        def segment(
            model: int, kind: int, value: int, inner: tuple[Segment, ...]
        ) -> tuple[Segment, ...]:
            if kind == ABSENT or (kind == ALONE and value == 0):
                return ()
            if kind == ALONE:
                return (Draft(self.place[model], value),)
            if kind == ROUNDS:
                return (Review(self.place[model], inner, rounds=value),)
            return (Review(self.place[model], inner, until=value),)

        def second(kind: int, value: int, length: int) -> tuple[Segment, ...]:
            return segment(2, kind, value, segment(3, ALONE, length, ()))

        kind, value, length = code[:3]
        inside = (*second(*code[7:10]), *segment(3, ALONE, length, ()))
        first, last = segment(1, kind, value, inside), segment(3, ALONE, code[6], ())
        return Cascade((*first, *second(*code[3:6]), *last))
