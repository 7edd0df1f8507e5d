"""Two cascades on common random numbers: a paired interval of the difference of their EWIF."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile
from cscalc.simulate.programs import (
    FIRST_CHILD,
    LEAF,
    WHAT,
    Program,
    Tables,
    experiment_of,
    program_of,
)
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.stats import Interval, check_generator, quantile

WIDTH = 4096  # coins shared per reviewer and cycle; what lies beyond is drawn apart


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two cascades on the same coins, cycle by cycle.

    Attributes
    ----------
    a, b : Tally
        Each cascade's own tally; they are not independent of each other.
    products : ndarray, shape (4, 4)
        Sums over the cycles of the products of (tokens of a, cost of a, tokens of b, cost
        of b).
    """

    a: Tally
    b: Tally
    products: Floats

    @property
    def cycles(self) -> int:
        """Cycles run of each cascade."""
        return self.a.cycles

    @property
    def difference(self) -> float:
        """EWIF of a minus EWIF of b."""
        return self.a.ewif - self.b.ewif

    @property
    def sigma(self) -> float:
        """Standard error of `difference`, from pairs."""
        weights = np.array(
            [1.0 / self.a.cost, -self.a.ewif / self.a.cost,
             -1.0 / self.b.cost, self.b.ewif / self.b.cost]
        )  # fmt: skip
        squares = float(weights @ self.products @ weights)
        return float(np.sqrt(max(0.0, squares) * self.cycles / (self.cycles - 1)))  # rounding

    @property
    def variance_reduction(self) -> float:
        """Cycles that unpaired runs would need, over cycles run, for the same interval."""
        apart, paired = self.a.sigma**2 + self.b.sigma**2, self.sigma**2
        if paired > 0.0:
            return apart / paired
        return float("inf") if apart > 0.0 else 1.0

    def interval(self, confidence: float = 0.95) -> Interval:
        """Interval of `difference`; all above 0: a pays more than b."""
        half = quantile(confidence, self.cycles - 1) * self.sigma
        return Interval(self.difference - half, self.difference + half)


def compare(
    cascade_a: Cascade,
    cascade_b: Cascade,
    profile: Profile,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None = None,
) -> Comparison:
    """Simulate two cascades on common random numbers.

    Parameters
    ----------
    cascade_a, cascade_b : Cascade
        Any two cascades of the grammar.
    profile : Profile
        Of both.
    n_cycles : int
        Cycles of each, at least 2.
    rng : numpy.random.Generator
        Source of all coins.
    rates : array_like, optional
        As for `simulate`.

    Returns
    -------
    Comparison
        The difference of the EWIFs with a paired interval.

    Raises
    ------
    TypeError, ValueError
        As for `simulate`.

    Notes
    -----
    In each cycle the k-th review of a model uses the same uniform number in both cascades.
    More tokens are accepted the lower it is, so the two rise and fall together and most of
    the noise cancels in the difference; each cascade alone runs exactly as in `simulate`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> a, b = Cascade((Draft(1, 5),)), Cascade((Draft(1, 6),))
    >>> found = compare(a, b, Profile([0.8], [0.1]), 20_000, rng=np.random.default_rng(1))
    >>> found.interval().holds(2.45952 - 2.46966), found.variance_reduction > 10
    (True, True)
    """
    from cscalc.simulate import _kernels

    check_generator(rng)
    check_int("n_cycles", n_cycles, least=2)
    programs = [program_of(cascade, profile, rates) for cascade in (cascade_a, cascade_b)]
    stream = Stream.of(rng, n_cycles)
    counts, _, sums = _zeros(programs)
    roots = np.array([0, len(programs[0].rows)])
    depth = max(one.depth for one in programs)
    ran = np.zeros(sum(len(one.rows) for one in programs), dtype=np.int64)
    _kernels.run_cycles(
        n_cycles, roots, _width(cascade_a, cascade_b), depth, *_joined(*programs), counts, ran,
        sums, rng,
    )  # fmt: skip
    parts = np.split(ran, roots[1:])
    passes = [part @ one.passes for part, one in zip(parts, programs, strict=True)]
    return _comparison(cascade_a, cascade_b, profile, rates, stream, counts, passes, sums)


def compare_slow(
    cascade_a: Cascade,
    cascade_b: Cascade,
    profile: Profile,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None = None,
) -> Comparison:
    """Twin of `compare` in plain Python: the same numbers from the same generator.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> a, b = Cascade((Draft(1, 5),)), Cascade((Draft(1, 6),))
    >>> compare_slow(a, b, Profile([0.8], [0.1]), 9, rng=np.random.default_rng(1)).cycles
    9
    """
    from cscalc.simulate.slow import Cycle, add

    check_generator(rng)
    programs = [program_of(cascade, profile, rates) for cascade in (cascade_a, cascade_b)]
    stream = Stream.of(rng, n_cycles)
    counts, passes, sums = _zeros(programs)
    width = _width(cascade_a, cascade_b)
    for _ in range(n_cycles):
        coins: dict[int, list[float]] = {}  # of this cycle, by reviewer
        values = []
        for which, cascade in enumerate((cascade_a, cascade_b)):
            used: dict[int, int] = {}

            def coin(model: int, used: dict[int, int] = used) -> float:
                at = used.get(model, 0)
                if at >= width:
                    return rng.random()
                used[model] = at + 1
                shared = coins.setdefault(model, [])  # noqa: B023 (called in this cycle only)
                if at >= len(shared):
                    shared.append(rng.random())
                return shared[at]

            cycle = Cycle(cascade, profile, programs[which], coin)
            counts[which][cycle.emitted] += 1
            passes[which] += np.array(cycle.passes)
            values += [float(cycle.emitted), cycle.cost]
        add(sums, np.vstack([values, np.outer(values, values)]))
    return _comparison(cascade_a, cascade_b, profile, rates, stream, counts, passes, sums)


def _zeros(programs: list[Program]) -> tuple[Any, Any, Floats]:
    most = max(one.max_length for one in programs)
    counts = np.zeros((2, most + 2), dtype=np.int64)
    passes = np.zeros((2, programs[0].n_models), dtype=np.int64)
    return counts, passes, np.zeros((2, 5, 4))


def _joined(a: Program, b: Program) -> Tables:
    """Tables of both programs as those of one with two targets."""
    rows = b.rows.copy()
    leaf = rows[:, WHAT] == LEAF
    rows[leaf, FIRST_CHILD] += a.thresholds.size
    rows[~leaf, FIRST_CHILD] += a.children.size
    wider, other = (a, b) if a.curves.shape[1] >= b.curves.shape[1] else (b, a)
    curves = wider.curves.copy()
    part = curves[:, : other.curves.shape[1]]
    np.copyto(part, other.curves, where=other.curves != 1.0)  # 1 also stands for: not needed
    return (
        np.concatenate([a.rows, rows]),
        np.concatenate([a.children, b.children + len(a.rows)]),
        np.concatenate([a.chances, b.chances]),
        a.costs,
        np.concatenate([a.calls, b.calls]),
        curves,
        np.concatenate([a.thresholds, b.thresholds]),
    )


def _comparison(
    cascade_a: Cascade,
    cascade_b: Cascade,
    profile: Profile,
    rates: npt.ArrayLike | None,
    stream: Stream,
    counts: Any,
    passes: Any,
    sums: Floats,
) -> Comparison:
    totals, products = sums[0, 0], sums[0, 1:].copy()
    products.flags.writeable = False
    tallies = [
        Tally.of(
            experiment_of(cascade, profile, rates),
            counts[i, : cascade.max_length + 2],
            passes[i],
            (totals[2 * i + 1], products[2 * i + 1, 2 * i + 1], products[2 * i, 2 * i + 1]),
            stream,
        )
        for i, cascade in enumerate((cascade_a, cascade_b))
    ]
    return Comparison(tallies[0], tallies[1], products)


def _width(*cascades: Cascade) -> int:
    """Most reviews that one model makes in a cycle, up to `WIDTH`."""
    most = 1
    for cascade in cascades:
        reviews: dict[int, int] = {}
        _count_reviews(cascade.drafts, 1, reviews)
        most = max([most, *reviews.values()])
    return min(most, WIDTH)


def _count_reviews(drafts: tuple[Segment, ...], times: int, reviews: dict[int, int]) -> None:
    for segment in drafts:
        if isinstance(segment, Review):
            calls = times * (segment.rounds or segment.until or 1)  # a call adds >= 1 token
            reviews[segment.model] = reviews.get(segment.model, 0) + calls
            _count_reviews(segment.drafts, calls, reviews)
