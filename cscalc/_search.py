"""The cascades that `optimize` searches, and how it searches them.

A cascade is written as slots: below the target one slot for each draft, below each slot that
can review one for each cheaper draft, and so on to the depth limit. A slot is absent, drafts
alone, or reviews its own slots; its value is a length, a number of rounds or a threshold.
Slots stand with children before parents and siblings in model order.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from cscalc.cascade import Cascade, Draft, Review, Segment
from cscalc.profile import Profile

ABSENT, ALONE, ROUNDS, UNTIL = range(4)
REFINE = 2_000  # work


@dataclass(frozen=True, slots=True)
class Found:
    """One end of a search: its slots, the states they might take, and the EWIF."""

    state: Any
    value: Any
    allow: Any
    ewif: float
    cascade: Cascade


@dataclass(frozen=True, slots=True)
class Space:
    """All cascades of the grammar within limits, as slots (see `cscalc._search`)."""

    model: Any  # (slots,)
    parent: Any  # (slots,) -1: the target
    can: Any  # (slots, 4) states that the profile permits
    max_value: Any  # (4,)
    tables: Any
    room: Any

    @classmethod
    def of(cls, profile: Profile, max_length: int, max_depth: int, tolerance: float) -> "Space":
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

    def search(self, n_drafts: int) -> list[Found]:
        """Ends of climbs in every family but that of all drafts in all their states."""
        found: list[Found] = []
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
        smaller = [models for models in combinations(drafts, n_drafts - 1) if len(models) > 1]
        if n_drafts > 3:
            smaller = [*combinations(drafts, 2), *smaller]
        for models in smaller:
            found += self.climb(self.only(models), self.starts(found, models)[:2], 15_000)
        return found

    def climb(self, allow: Any, starts: list[tuple[Any, Any]], work: int) -> list[Found]:
        """Climb from each start, within `work` each; at most one end, the best."""
        from cscalc import _search_climb  # numba loads here

        best: Found | None = None
        for start_state, start_value in starts:
            state, value = start_state.copy(), start_value.copy()
            budget = np.array([work])
            ewif = _search_climb.climb(
                self.model, self.parent, state, value, allow, self.max_value, self.tables,
                self.room, budget,
            )  # fmt: skip
            if ewif > 0.0 and (best is None or ewif > best.ewif):
                best = Found(state, value, allow, float(ewif), self.cascade(state, value))
        return [] if best is None else [best]

    def starts(self, found: list[Found], models: tuple[int, ...]) -> list[tuple[Any, Any]]:
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
        for stop, n, length in (
            (ROUNDS, 1, 1),
            (ROUNDS, 2, 4),
            (UNTIL, 2, 2),
            (UNTIL, 6, 8),
        ):
            state, value = np.zeros_like(self.model), np.ones_like(self.model)
            most = int(self.max_value[ALONE])
            state[outer], value[outer] = stop, min(n, most)
            state[inner], value[inner] = ALONE, min(length, most)
            starts.append((state, value))
        return starts

    def trimmed(self, one: Found, tolerance: float) -> Found:
        """The same cascade, as short as `tolerance` permits."""
        from cscalc import _search_climb

        state, value = one.state.copy(), one.value.copy()
        floor = one.ewif * (1.0 - max(tolerance, 1e-13))
        ewif = _search_climb.trim(
            self.model, self.parent, state, value, one.allow, floor, self.tables, self.room,
            np.array([0]),
        )  # fmt: skip
        return Found(state, value, one.allow, float(ewif), self.cascade(state, value))

    def found(self, cascade: Cascade) -> Found:
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

    def refined(self, cascade: Cascade) -> Cascade:
        """`cascade`, or the same structure with better values."""
        one = self.found(cascade)
        allow = np.zeros_like(self.can)
        allow[np.arange(self.model.size), one.state] = True
        return self.climb(allow, [(one.state, one.value)], REFINE)[0].cascade

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


def most_tokens(max_length: int) -> int:
    """Longest draft, in tokens, that a reviewer of a searched cascade may hold."""
    return max(128, 4 * max_length)


def by_model(profile: Profile, most: int) -> tuple[Any, ...]:
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
    """The profile as `cscalc._search_kernel.score` takes it."""
    alphas, costs, curves, flat, caps, one_shot = by_model(profile, most)
    return (
        alphas,
        costs,
        one_shot,
        curves,
        flat,
        caps,
        1.0 + max(1e-13, 0.1 * tolerance),
    )
