"""A cascade and a profile as the integer rows and tables that a simulator steps through."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc import acceptance
from cscalc._checks import Floats, check_rates
from cscalc._fit import check_fit, check_longest
from cscalc.cascade import Cascade, Draft, Review, Segment, max_length, walk
from cscalc.profile import Profile

Ints = npt.NDArray[np.int64]
Tables = tuple[Ints, Ints, Floats, Floats, Floats, Floats, Floats]

PROPOSED, KEPT, CORRECTED, BONUS = range(4)  # what a token in front of a reviewer is
_TABLES = (acceptance.Independent, acceptance.ByPosition, acceptance.Conditional)
ONCE, ROUNDS, UNTIL = range(3)
# columns of a row: one row a segment, the target's is row 0, children after their parent
(WHAT, MODEL, LENGTH, STOP, VALUE, FIRST_CHILD, N_CHILDREN) = range(7)
DRAFT, REVIEW, LEAF = range(3)  # a leaf is a review with drafts only in front of it
VERSION = 1  # of the process: a change that alters the law makes old tallies unlike new ones


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What one cycle runs.

    Attributes
    ----------
    rows : ndarray of int, shape (n_rows, 7)
        One row a segment (none for drafts in a leaf); columns as named in this module. A leaf
        has its most tokens a round as length, its first threshold's place as first child.
    children : ndarray of int
        Row numbers; those of row r are ``children[FIRST_CHILD:FIRST_CHILD + N_CHILDREN]``.
    passes : ndarray of int, shape (n_rows, n + 1)
        Passes of each model in one call of a draft, one round of a leaf, or the reviewer's
        own in one round of another review.
    rates : ndarray, shape (4, n + 1, n + 1, n_positions)
        ``rates[kind, i, j, at]``: chance that reviewer i accepts a token of segment model j
        at position `at` (from 0; the last entry serves all later ones) in front of it.
        Kinds: proposed by a draft; kept, corrected or added as bonus by an inner review.
    chances : ndarray, shape (n_rows, 3, n_positions)
        `rates` by row: at which the parent of a row accepts its tokens, in order all but the
        last of a call, the last if it is a correction, the last otherwise.
    costs : ndarray, shape (n + 1,)
        One pass of each model, in target passes.
    calls : ndarray, shape (n_rows,)
        Cost of one call of a draft, or one round of a leaf; 0 for other reviews.
    curves : ndarray, shape (n + 1, most + 1)
        V(m) of each reviewer, in its own passes.
    thresholds : ndarray
        Of each leaf: chance that its first 1, 2, ... tokens are all accepted.
    depth : int
        Reviews inside one another, the target's included.
    max_length : int
        Most tokens in front of the target.
    """

    rows: Ints
    children: Ints
    passes: Ints
    rates: Floats
    chances: Floats
    costs: Floats
    calls: Floats
    curves: Floats
    thresholds: Floats
    depth: int
    max_length: int

    @property
    def n_models(self) -> int:
        """The target and its drafts."""
        return int(self.costs.size)

    @property
    def tables(self) -> Tables:
        """What the kernel steps through."""
        return (
            self.rows, self.children, self.chances, self.costs, self.calls, self.curves,
            self.thresholds,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a reviewer with drafts only in front of it: all alike but for its coins."""

    passes: list[int]  # of each model
    cost: float
    thresholds: list[float]  # chance that the first 1, 2, ... proposals are accepted


def drafts_only(drafts: tuple[Segment, ...]) -> bool:
    """Whether no review is among `drafts`."""
    return all(isinstance(segment, Draft) for segment in drafts)


def round_of(
    reviewer: int, drafts: tuple[Segment, ...], profile: Profile, rates: Floats, curves: Floats
) -> Round:
    """Lay out one round of `reviewer` with drafts only, in order of events."""
    passes, cost, chance = [0] * (profile.n_drafts + 1), 0.0, 1.0
    thresholds: list[float] = []
    for segment in drafts:
        calls = 0
        while len(thresholds) < segment.until if segment.until else calls < 1:
            calls += 1
            made, paid = _call(segment, profile)
            passes[segment.model] += made
            cost += paid
            for _ in range(segment.length if isinstance(segment, Draft) else 0):
                at = min(len(thresholds), rates.shape[3] - 1)
                chance *= float(rates[PROPOSED, reviewer, segment.model, at])
                thresholds.append(chance)
    passes[reviewer] += 1
    cost += profile.cost(reviewer) * float(curves[reviewer, len(thresholds) + 1])
    return Round(passes, cost, thresholds)


def program_of(
    cascade: Cascade,
    profile: Profile,
    rates: npt.ArrayLike | None = None,
    *,
    leaves: bool = True,
) -> Program:
    """Build the program of `cascade` on `profile`; without `leaves`, every draft has a row.

    Raises
    ------
    ValueError
        If the profile lacks a model or a length that the cascade needs, its acceptance model
        is no table of rates, or `rates` is not of shape (4, n + 1, n + 1, n_positions).
    """
    check_pair(cascade, profile)
    table, curves = rate_table(profile, rates), curves_of(cascade, profile)
    n_models = profile.n_drafts + 1
    rows: list[list[int]] = []
    passes: list[list[int]] = []
    children: list[int] = []
    calls: list[float] = []
    thresholds: list[float] = []
    chances: list[Floats] = []

    def add(segment: Segment, parent: int) -> None:
        what, own, paid = REVIEW, [0] * n_models, 0.0
        stop, value = ONCE, 1
        if segment.until is not None:
            stop, value = UNTIL, segment.until
        elif isinstance(segment, Review) and segment.rounds is not None:
            stop, value = ROUNDS, segment.rounds
        length = first = 0
        if isinstance(segment, Draft):
            what, length = DRAFT, segment.length
            own[segment.model], paid = _call(segment, profile)
        elif leaves and drafts_only(segment.drafts):
            leaf = round_of(segment.model, segment.drafts, profile, table, curves)
            what, length, first = LEAF, len(leaf.thresholds) + 1, len(thresholds)
            own, paid = leaf.passes, leaf.cost
            thresholds.extend(leaf.thresholds)
        else:
            own[segment.model] = 1
        rows.append([what, segment.model, length, stop, value, first, 0])
        passes.append(own)
        calls.append(paid)
        kinds = [PROPOSED] * 3 if what == DRAFT else [KEPT, CORRECTED, BONUS]
        chances.append(table[kinds, parent, segment.model])

    rows.append([REVIEW, 0, 0, ONCE, 1, 0, 0])
    passes.append([1] + [0] * profile.n_drafts)
    calls.append(0.0)
    chances.append(np.ones((3, table.shape[3])))
    waiting: list[tuple[int, int, tuple[Segment, ...]]] = [(0, 0, cascade.drafts)]
    while waiting:
        row, model, drafts = waiting.pop()
        rows[row][FIRST_CHILD:] = [len(children), len(drafts)]
        for segment in drafts:
            children.append(len(rows))
            if isinstance(segment, Review) and not (leaves and drafts_only(segment.drafts)):
                waiting.append((len(rows), segment.model, segment.drafts))
            add(segment, model)
    return Program(
        rows=np.array(rows, dtype=np.int64),
        children=np.array(children, dtype=np.int64),
        passes=np.array(passes, dtype=np.int64),
        rates=table,
        chances=np.array(chances),
        costs=np.array([profile.cost(model) for model in range(n_models)]),
        calls=np.array(calls),
        curves=curves,
        thresholds=np.array(thresholds, dtype=np.float64),
        depth=cascade.depth + 1,
        max_length=cascade.max_length,
    )


def _call(segment: Segment, profile: Profile) -> tuple[int, float]:
    """Passes and cost of one call of a draft."""
    length = segment.length if isinstance(segment, Draft) else 0
    passes = 1 if segment.model in profile.one_shot else length
    return passes, passes * profile.cost(segment.model)


def check_pair(cascade: Cascade, profile: Profile) -> None:
    """Raise if these are not a cascade and a profile that fits it, or if it is too long."""
    check_fit(cascade, profile)
    check_longest(cascade.max_length)


def experiment_of(
    cascade: Cascade, profile: Profile, rates: npt.ArrayLike | None = None, **options: Any
) -> dict[str, Any]:
    """All that shapes the law of a tally, as plain JSON data, without options that are unset."""
    experiment: dict[str, Any] = {
        "process": VERSION,
        "cascade": cascade.to_dict(),
        "alphas": profile.alphas.tolist(),
        "costs": profile.costs.tolist(),
        "one_shot": list(profile.one_shot),
        "verify": {
            str(model): profile.verify_costs(model, most)[1:].tolist()
            for model, most in sorted(_reach(cascade).items())
            if model in profile.verify
        },
    }
    if rates is None:
        experiment["acceptance"] = _acceptance(profile.acceptance)
    else:
        experiment["rates"] = rate_table(profile, rates).tolist()
    return experiment | {name: value for name, value in options.items() if value}


def _acceptance(model: acceptance.Acceptance) -> dict[str, Any]:
    """The model's JSON data; of texts only their hash, for a tally is smaller than they are."""
    data = model.to_dict()
    if not isinstance(model, acceptance.Trace):
        return data
    canonical = json.dumps(data["texts"], sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return {"kind": data["kind"], "lengths": list(model.lengths), "sha256": digest}


def _reach(cascade: Cascade) -> dict[int, int]:
    """Most positions that each reviewer checks in one pass."""
    reach = {0: cascade.max_length + 1}
    for segment in walk(cascade.drafts):
        if isinstance(segment, Review):
            most = max_length(segment.drafts) + 1
            reach[segment.model] = max(most, reach.get(segment.model, 0))
    return reach


def curves_of(cascade: Cascade, profile: Profile) -> Floats:
    """V(m) of each reviewer, shape (n + 1, most + 1); 1 where it is not needed."""
    reach = _reach(cascade)
    curves = np.ones((profile.n_drafts + 1, max(reach.values()) + 1))
    for model, most in reach.items():
        if model in profile.verify:
            curves[model, : most + 1] = profile.verify_costs(model, most)
    return curves


def rate_table(profile: Profile, rates: npt.ArrayLike | None) -> Floats:
    """The profile's rates for all kinds of tokens, or `rates` checked."""
    size = profile.n_drafts + 1
    if rates is None:
        model = profile.acceptance
        if not isinstance(model, _TABLES):
            raise ValueError(
                f"acceptance of kind {model.kind!r} has memory, and a comparison on common coins "
                f"needs a table of rates: simulate each cascade alone, or give the profile "
                f"Independent, ByPosition or Conditional acceptance"
            )
        return np.ascontiguousarray(acceptance.rate_table(profile.alphas, model))
    table = check_rates("rates", rates)
    if table.ndim != 4 or table.shape[:3] != (4, size, size) or table.shape[3] == 0:
        raise ValueError(
            f"rates must have shape (4, {size}, {size}, n_positions): kind of token, reviewer, "
            f"draft, position; got {table.shape}"
        )
    return np.ascontiguousarray(table)


def alphas_as_rates(alphas: Floats) -> Floats:
    """Rates, shape (4, n + 1, n + 1, 1), of independent acceptance with these alphas."""
    return np.ascontiguousarray(np.broadcast_to(alphas[..., None], (4, *alphas.shape, 1)))
