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
from cscalc.theory.law import _tables

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
    space = _Space.of(profile, max_length, max_depth)
    found: list[_Found] = []
    for model in range(1, profile.n_drafts + 1):
        found += space.best(space.drafts_only((model,)), [space.start()])
    for dear, cheap in combinations(range(1, profile.n_drafts + 1), 2):
        found += space.best(space.drafts_only((dear, cheap)), [one.slots for one in found])
        if max_depth and dear not in profile.one_shot:
            found += space.best(space.vertical(dear, cheap), space.vertical_starts(dear, cheap))
    if profile.n_drafts > 2:
        everyone = tuple(range(1, profile.n_drafts + 1))
        found += space.best(space.drafts_only(everyone), [one.slots for one in found])
    if max_depth and profile.n_drafts > 1:
        for left_out in range(profile.n_drafts + 1):
            if left_out == 0 or profile.n_drafts > 2:
                allow = space.everything(left_out)
                found += space.best(allow, [one.slots for one in found])
        found += space.best(space.everything(0), space.perturbed(found))
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

    slots: tuple[Any, Any]  # state, value
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

    @classmethod
    def of(cls, profile: Profile, max_length: int, max_depth: int) -> "_Space":
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
        caps, reach = [], {}
        for model in range(profile.n_drafts + 1):
            known = profile.max_positions(model)
            free = 4 * max_length + 16
            caps.append(free if known is None else min(free, known - 1))
            reach[model] = caps[-1] + 1
        tables = (*_tables(profile, reach), np.array(caps))
        max_value = np.array([1, max_length, max_length, max_length])
        return cls(np.array(models), np.array(parents), can, max_value, tables)

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
        outer = self._outer(dear)
        allow[outer] = [False, False, True, True]
        allow[(self.parent == outer) & (self.model == cheap)] = [False, True, False, False]
        return allow

    def everything(self, left_out: int) -> Any:
        """All states that the profile permits, one model left out (0: none)."""
        allow = self.can.copy()
        allow[self.model == left_out, ALONE:] = False
        return allow

    def _outer(self, model: int) -> int:
        return int(np.flatnonzero((self.parent == -1) & (self.model == model))[0])

    def start(self) -> tuple[Any, Any]:
        """Plain decoding; in unused reviews the cheapest model drafts."""
        state = np.zeros(self.model.size, dtype=np.int64)
        value = np.ones(self.model.size, dtype=np.int64)
        inner = (self.parent >= 0) & (self.model == self.model.max())
        state[inner], value[inner] = ALONE, min(4, int(self.max_value[ALONE]))
        return state, value

    def vertical_starts(self, dear: int, cheap: int) -> list[tuple[Any, Any]]:
        starts = []
        outer = self._outer(dear)
        inner = (self.parent == outer) & (self.model == cheap)
        for stop, n, length in ((ROUNDS, 1, 1), (ROUNDS, 2, 4), (UNTIL, 2, 2), (UNTIL, 6, 8)):
            state, value = np.zeros_like(self.model), np.ones_like(self.model)
            most = int(self.max_value[ALONE])
            state[outer], value[outer] = stop, min(n, most)
            state[inner], value[inner] = ALONE, min(length, most)
            starts.append((state, value))
        return starts

    def perturbed(self, found: list[_Found]) -> list[tuple[Any, Any]]:
        """Fixed changes of the best ends so far, to climb again from."""
        starts = []
        for one in sorted(found, key=lambda one: -one.ewif)[:2]:
            for slot in range(self.model.size):
                for new_state, new_value in ((ALONE, 3), (ROUNDS, 1), (UNTIL, 3), (UNTIL, 5)):
                    if self.can[slot, new_state] and one.slots[0][slot] != new_state:
                        state, value = one.slots[0].copy(), one.slots[1].copy()
                        state[slot] = new_state
                        value[slot] = min(new_value, int(self.max_value[new_state]))
                        starts.append((state, value))
        return starts

    def best(self, allow: Any, starts: list[tuple[Any, Any]]) -> list[_Found]:
        """Climb from all `starts` that `allow` permits; at most one end."""
        from cscalc import _search  # numba loads here

        slots = np.arange(self.model.size)
        usable = [(s, v) for s, v in starts if allow[slots, s][self._live(s)].all()]
        if not usable:
            usable = [self.start()]
        states = np.stack([np.where(allow[slots, s], s, ABSENT) for s, _ in usable])
        values = np.stack([v for _, v in usable])
        ewif, state, value = _search.search(
            self.model, self.parent, states, values, allow, self.max_value, self.tables
        )
        if ewif < 0.0:
            return []
        return [_Found((state, value), allow, float(ewif), self.cascade(state, value))]

    def _live(self, state: Any) -> Any:
        live = state != ABSENT
        for slot in range(self.model.size - 1, -1, -1):
            outer = self.parent[slot]
            live[slot] &= outer == -1 or (live[outer] and state[outer] >= ROUNDS)
        return live

    def trimmed(self, one: _Found, tolerance: float) -> _Found:
        """The same cascade, as short as `tolerance` permits."""
        from cscalc import _search

        state, value = (array.copy() for array in one.slots)
        floor = one.ewif * (1.0 - tolerance)
        ewif = _search.trim(
            self.model, self.parent, state, value, one.allow, floor, self.tables
        )
        return _Found((state, value), one.allow, float(ewif), self.cascade(state, value))

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
