"""The best cascade of a profile: `optimal_config`."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int, check_number
from cscalc.cascade import Cascade, Draft, Review, Segment
from cscalc.plan import Alternative, Plan, make_plan
from cscalc.profile import Profile, Verify
from cscalc.theory.law import ewif

ABSENT, ALONE, ROUNDS, UNTIL = range(4)


def optimal_config(
    alphas: npt.ArrayLike | Profile,
    costs: npt.ArrayLike | None = None,
    *,
    one_shot: tuple[int, ...] = (),
    verify: Verify = None,
    max_length: int = 64,
    max_depth: int = 2,
    tolerance: float = 1e-6,
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

    Returns
    -------
    Plan
        The cascade, its predicted numbers, and the best of every other kind.

    Raises
    ------
    TypeError, ValueError
        As `Profile`; or if costs are missing or given twice.

    Notes
    -----
    The grammar searched: each reviewer is served by each cheaper model at most once, in
    order from dear to cheap; a model that serves either drafts alone, or reviews (a fixed
    number of rounds, or until a cumulative threshold), to `max_depth`. Every cascade is
    evaluated by its exact law. The best of the small families (one draft; any two drafts one
    after another) comes from complete enumeration; larger ones from a climb that changes
    one value, two values or the structure at a time, from the best of each smaller family
    and from fixed perturbations of the winner. The tests compare the result with complete
    enumeration of the whole grammar on small limits.

    Examples
    --------
    >>> plan = optimal_config([0.8], [0.1])
    >>> plan.cascade, round(plan.ewif, 3)
    (Cascade((Draft(1, 6),)), 2.47)
    """
    profile = _as_profile(alphas, costs, one_shot, verify)
    limits: dict[str, Any] = {
        "max_length": check_int("max_length", max_length, least=1),
        "max_depth": check_int("max_depth", max_depth, least=0),
        "tolerance": check_number("tolerance", tolerance, least=0.0, most=0.1),
    }
    check_int("proof_steps", proof_steps, least=0)
    space = _Space.of(profile, max_length, max_depth, tolerance)
    found = space.search(profile.n_drafts)
    limits["most_tokens"] = most_tokens(max_length)
    limits["proved"] = False
    if proof_steps and 0 < profile.n_drafts <= 3:
        proof = _Proof.of(profile, max_length, tolerance)
        best = max((1.0, Cascade(())), *((one.ewif, one.cascade) for one in found), key=_first)
        better, limits["proved"] = proof.improve(best, max_depth, proof_steps)
        if better != best[1]:
            found.append(space.found(better))
    trimmed = [space.trimmed(one, tolerance) for one in found]
    alternatives = [Alternative.of(one.cascade, profile) for one in trimmed]
    alternatives.append(Alternative.of(Cascade(()), profile))
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
class _Found:
    """One end of a search: its slots, the states they might take, and the EWIF."""

    state: Any
    value: Any
    allow: Any
    ewif: float
    cascade: Cascade


@dataclass(frozen=True, slots=True)
class _Space:
    """All cascades of the grammar within limits, as slots (see `cscalc._search`)."""

    model: Any  # (slots,)
    parent: Any  # (slots,) -1: the target
    can: Any  # (slots, 4) states that the profile permits
    max_value: Any  # (4,)
    tables: Any
    room: Any

    @classmethod
    def of(cls, profile: Profile, max_length: int, max_depth: int, tolerance: float) -> "_Space":
        models: list[int] = []
        parents: list[int] = []

        def add(reviewer: int, depth_left: int) -> list[int]:
            mine = []
            for model in range(reviewer + 1, profile.n_drafts + 1):
                inner = []
                if depth_left and model not in profile.one_shot:
                    inner = add(model, depth_left - 1)
                models.append(model)
                parents.append(-1)
                for slot in inner:
                    parents[slot] = len(models) - 1
                mine.append(len(models) - 1)
            return mine

        add(0, max_depth)
        can = np.zeros((len(models), 4), dtype=np.bool_)
        can[:, [ABSENT, ALONE]] = True
        can[[slot for slot in parents if slot >= 0], ROUNDS:] = True
        max_value = np.array([1, max_length, max_length, max_length])
        tables = _tables(profile, most_tokens(max_length), tolerance)
        room = np.zeros((len(models) + 4, most_tokens(max_length) + 4))
        return cls(np.array(models), np.array(parents), can, max_value, tables, room)

    def search(self, n_drafts: int) -> list[_Found]:
        """Ends of climbs in every family; the best one is the best found."""
        found: list[_Found] = []
        drafts = range(1, n_drafts + 1)
        sizes = range(1, n_drafts + 1) if n_drafts <= 4 else (1, 2, n_drafts)
        for models in (models for size in sizes for models in combinations(drafts, size)):
            found += self.climb(self.drafts_only(models), self.starts(found, models), 2_000)
        outer = self.parent == -1
        reviewers = [int(m) for m in self.model[outer & self.can[:, ROUNDS]]]
        for dear in reviewers:
            for cheap in range(dear + 1, n_drafts + 1):
                allow = self.vertical(dear, cheap)
                found += self.climb(allow, self.vertical_starts(dear, cheap), 2_000)
        if not reviewers:
            return found
        everyone = tuple(drafts)
        smaller = [models for models in combinations(drafts, n_drafts - 1) if len(models) > 1]
        if n_drafts > 3:
            smaller = [*combinations(drafts, 2), *smaller]
        for models in smaller:
            found += self.climb(self.only(models), self.starts(found, models)[:2], 15_000)
        allow = self.only(everyone)
        found += self.climb(allow, self.starts(found, everyone), 60_000)
        return found

    def climb(self, allow: Any, starts: list[tuple[Any, Any]], work: int) -> list[_Found]:
        """Climb from each start, within `work` each; at most one end, the best."""
        from cscalc import _search  # numba loads here

        best: _Found | None = None
        for start_state, start_value in starts:
            state, value = start_state.copy(), start_value.copy()
            budget = np.array([work])
            ewif = _search.climb(
                self.model, self.parent, state, value, allow, self.max_value, self.tables,
                self.room, budget,
            )  # fmt: skip
            if ewif > 0.0 and (best is None or ewif > best.ewif):
                best = _Found(state, value, allow, float(ewif), self.cascade(state, value))
        return [] if best is None else [best]

    def starts(self, found: list[_Found], models: tuple[int, ...]) -> list[tuple[Any, Any]]:
        """Best ends so far that use these models only, best first, and plain decoding."""
        fit = [one for one in found if set(one.cascade.models) <= set(models)]
        fit.sort(key=lambda one: -one.ewif)
        plain = np.zeros_like(self.model), np.ones_like(self.model)
        return [*((one.state, one.value) for one in fit[:2]), plain]

    def drafts_only(self, models: tuple[int, ...]) -> Any:
        """States of cascades in which these models draft for the target, unreviewed."""
        allow = np.zeros_like(self.can)
        allow[:, ABSENT] = True
        allow[(self.parent == -1) & np.isin(self.model, models), ALONE] = True
        return allow

    def vertical(self, dear: int, cheap: int) -> Any:
        """States of cascades in which `dear` reviews `cheap`."""
        allow = np.zeros_like(self.can)
        allow[:, ABSENT] = True
        outer, inner = self._pair(dear, cheap)
        allow[outer] = [False, False, True, True]
        allow[inner] = [False, True, False, False]
        return allow

    def only(self, models: tuple[int, ...]) -> Any:
        """All states that the profile permits, of these models."""
        allow = self.can.copy()
        allow[~np.isin(self.model, models), ALONE:] = False
        return allow

    def _pair(self, dear: int, cheap: int) -> tuple[int, int]:
        outer = int(np.flatnonzero((self.parent == -1) & (self.model == dear))[0])
        return outer, int(np.flatnonzero((self.parent == outer) & (self.model == cheap))[0])

    def vertical_starts(self, dear: int, cheap: int) -> list[tuple[Any, Any]]:
        starts = []
        outer, inner = self._pair(dear, cheap)
        for stop, n, length in ((ROUNDS, 1, 1), (ROUNDS, 2, 4), (UNTIL, 2, 2), (UNTIL, 6, 8)):
            state, value = np.zeros_like(self.model), np.ones_like(self.model)
            most = int(self.max_value[ALONE])
            state[outer], value[outer] = stop, min(n, most)
            state[inner], value[inner] = ALONE, min(length, most)
            starts.append((state, value))
        return starts

    def trimmed(self, one: _Found, tolerance: float) -> _Found:
        """The same cascade, as short as `tolerance` permits."""
        from cscalc import _search

        state, value = one.state.copy(), one.value.copy()
        floor = one.ewif * (1.0 - max(tolerance, 1e-13))
        ewif = _search.trim(
            self.model, self.parent, state, value, one.allow, floor, self.tables, self.room,
            np.array([0]),
        )  # fmt: skip
        return _Found(state, value, one.allow, float(ewif), self.cascade(state, value))

    def found(self, cascade: Cascade) -> _Found:
        """`cascade` as slots."""
        state, value = np.zeros_like(self.model), np.ones_like(self.model)

        def write(drafts: tuple[Segment, ...], outer: int) -> None:
            for one in drafts:
                here = (self.parent == outer) & (self.model == one.model)
                slot = int(np.flatnonzero(here)[0])
                if isinstance(one, Draft):
                    state[slot], value[slot] = ALONE, one.length
                else:
                    state[slot] = ROUNDS if one.rounds else UNTIL
                    value[slot] = one.rounds or one.until
                    write(one.drafts, slot)

        write(cascade.drafts, -1)
        return self.climb(self.can, [(state, value)], 1)[0]

    def cascade(self, state: Any, value: Any) -> Cascade:
        """The slots as a `Cascade`."""

        def segments(outer: int) -> tuple[Segment, ...]:
            return tuple(
                segment(int(slot))
                for slot in np.flatnonzero((self.parent == outer) & (state != ABSENT))
            )

        def segment(slot: int) -> Segment:
            model, n = int(self.model[slot]), int(value[slot])
            if state[slot] == ALONE:
                return Draft(model, n)
            if state[slot] == ROUNDS:
                return Review(model, segments(slot), rounds=n)
            return Review(model, segments(slot), until=n)

        return Cascade(segments(-1))


@dataclass(frozen=True, slots=True)
class _Proof:
    """A profile of up to three drafts as `cscalc._search_proof` takes it."""

    place: dict[int, int]  # model there (1, 2, 3) -> model of the profile
    tables: Any
    max_length: int
    profile: Profile
    slack: float

    @classmethod
    def of(cls, profile: Profile, max_length: int, tolerance: float) -> "_Proof":
        there = {1: (0, 1), 2: (0, 1, 3), 3: (0, 1, 2, 3)}[profile.n_drafts]
        rows = np.array(there)
        alphas, costs, curves, flat, caps, one_shot = _by_model(profile, most_tokens(max_length))
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
                if one_shot[j] and flat[i] and j > i and tolerance > 0.0 and alpha < 1.0:
                    enough = 1 if alpha == 0.0 else np.log(0.5 * tolerance) / np.log(alpha)
                    longest[reviewer, model] = min(max_length, max(1, int(np.ceil(enough))))
        all_flat = np.all(all_curves == 1.0, axis=1)
        tables = (
            all_alphas, all_costs, all_one_shot, all_curves, all_caps, usable, longest, all_flat
        )  # fmt: skip
        place = {model: i for i, model in enumerate(there)}
        return cls(place, tables, max_length, profile, 0.5 * tolerance)

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
        return Cascade(
            (*segment(1, kind, value, inside), *second(*code[3:6]), *segment(3, ALONE, code[6], ()))
        )


def most_tokens(max_length: int) -> int:
    """Longest draft, in tokens, that a reviewer of a searched cascade may hold."""
    return max(128, 4 * max_length)


def _by_model(profile: Profile, most: int) -> tuple[Any, ...]:
    """Alphas, costs, verification curves, whether they are 1, longest drafts, one-shot."""
    models = range(profile.n_drafts + 1)
    known = [profile.max_positions(model) for model in models]
    caps = np.array([most if k is None else min(most, k - 1) for k in known])
    curves = np.ones((len(models), most + 2))  # index m
    for model in profile.verify:
        curves[model, : caps[model] + 2] = profile.verify_costs(model, int(caps[model]) + 1)
    flat = np.array([bool(np.all(curve == 1.0)) for curve in curves[:, 1:]])
    one_shot = np.array([model in profile.one_shot for model in models])
    costs = np.concatenate([[1.0], profile.costs])
    return np.ascontiguousarray(profile.alphas), costs, curves, flat, caps, one_shot


def _tables(profile: Profile, most: int, tolerance: float) -> tuple[Any, ...]:
    """The profile as `cscalc._search.score` takes it."""
    alphas, costs, curves, flat, caps, one_shot = _by_model(profile, most)
    return alphas, costs, one_shot, curves, flat, caps, 1.0 + max(1e-13, 1e-2 * tolerance)
