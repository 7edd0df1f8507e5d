"""Simulation of whole replies: what they cost from the first token to the last."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_int, check_number
from cscalc.acceptance import Trace
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.records import run_id
from cscalc.simulate.programs import Ints, check_pair, experiment_of
from cscalc.simulate.streams import Stream
from cscalc.simulate.worlds import AT_ONCE, Abstain, options_of, world_of
from cscalc.stats import Interval, check_confidence, check_generator, quantile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplyTally:
    """What replies of one experiment cost. Tallies of one experiment add.

    Attributes
    ----------
    experiment : dict
        All that shapes the law, as plain JSON: cascade, rates, costs, tokens. Hashed as `run_id`.
    costs : ndarray, shape (n_replies,)
        Cost of each reply in target passes, from the smallest up; the prompt's own pass is left
        out.
    cycles : int
        Cycles of all replies.
    passes : tuple of int
        Passes of each model (calls, for a one-shot draft).
    streams : tuple of Stream
        The random numbers used; recorded, not hashed.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> found = simulate_reply(Cascade((Draft(1, 5),)), Profile([0.8], [0.1]), 100, 1000,
    ...                        rng=np.random.default_rng(1))
    >>> found.replies, found.quantile(0.95)
    (1000, 48.0)
    """

    experiment: dict[str, Any] = field(repr=False)
    costs: Floats
    cycles: int
    passes: tuple[int, ...]
    streams: tuple[Stream, ...] = field(repr=False)

    def __post_init__(self) -> None:
        costs = np.sort(check_costs("costs", self.costs))
        if costs.ndim != 1 or costs.size == 0:
            raise ValueError(f"costs must be a vector with one entry a reply, got {self.costs!r}")
        costs.flags.writeable = False
        object.__setattr__(self, "costs", costs)
        cycles = check_int("cycles", self.cycles, least=costs.size)
        object.__setattr__(self, "cycles", cycles)
        passes = tuple(check_int("passes", one, least=0) for one in self.passes)
        object.__setattr__(self, "passes", passes)

    @classmethod
    def of(
        cls,
        experiment: dict[str, Any],
        costs: Floats,
        cycles: Ints,
        passes: Iterable[int],
        stream: Stream,
    ) -> "ReplyTally":
        """Build a tally from what a kernel filled in: one entry a reply of costs and cycles."""
        return cls(
            experiment=experiment,
            costs=costs,
            cycles=int(cycles.sum()),
            passes=tuple(int(one) for one in passes),
            streams=(stream,),
        )

    @property
    def run_id(self) -> str:
        """Hash of the experiment; tallies add if theirs are equal."""
        return run_id(self.experiment)

    @property
    def replies(self) -> int:
        """Replies run."""
        return int(self.costs.size)

    @property
    def mean(self) -> float:
        """Mean cost of a reply, in target passes."""
        return float(self.costs.mean())

    @property
    def cycles_per_reply(self) -> float:
        """Mean cycles of a reply."""
        return self.cycles / self.replies

    @property
    def sigma(self) -> float:
        """Standard error of `mean`; needs two replies or more."""
        if self.replies < 2:
            raise ValueError("an interval needs at least 2 replies, got 1: simulate more")
        return float(self.costs.std(ddof=1)) / math.sqrt(self.replies)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Interval of `mean`, for many replies."""
        half = quantile(check_confidence(confidence), self.replies - 1) * self.sigma
        return Interval(self.mean - half, self.mean + half)

    def share_within(self, cost: float) -> float:
        """Share of the replies that cost at most `cost` target passes, up to rounding."""
        limit = check_number("cost", cost) * (1.0 + 1e-12)
        return float(np.searchsorted(self.costs, limit, side="right")) / self.replies

    def quantile(self, level: float) -> float:
        """Smallest cost that suffices for a share `level` of the replies, in [0, 1]."""
        check_number("level", level, least=0.0, most=1.0)
        return float(self.costs[self._rank(level * self.replies)])

    def quantile_interval(self, level: float, confidence: float = 0.95) -> Interval:
        """Interval of the quantile between two of the costs, whatever their law.

        The number of replies below the quantile is binomial; if too few replies lie beyond,
        the interval ends at the dearest reply and covers less than `confidence`.

        References
        ----------
        David and Nagaraja, "Order Statistics", 3rd ed., Wiley 2003, Sec. 7.1.
        """
        from scipy.special import bdtrik

        if check_number("level", level, least=0.0, most=1.0) in (0.0, 1.0):
            raise ValueError(f"level must lie strictly between 0 and 1, got {level:g}: say 0.95")
        tail = 0.5 * (1.0 - check_confidence(confidence))
        low = float(bdtrik(tail, self.replies, level))  # between two counts
        high = float(bdtrik(1.0 - tail, self.replies, level)) + 1.0
        return Interval(float(self.costs[self._rank(low)]), float(self.costs[self._rank(high)]))

    def _rank(self, count: float) -> int:
        """Place of the last of the `count` cheapest replies."""
        return min(self.replies, max(1, math.ceil(count - 1e-9))) - 1

    def __add__(self, other: "ReplyTally") -> "ReplyTally":
        if not isinstance(other, ReplyTally):
            return NotImplemented
        if self.run_id != other.run_id:
            raise ValueError("different experiments cannot add: simulate both alike")
        if both := {s.place for s in self.streams} & {s.place for s in other.streams}:
            raise ValueError(
                f"generator state {min(both)[1]} would be counted twice: simulate each part "
                f"with its own generator, for example from rng.spawn(n)"
            )
        return replace(
            self,
            costs=np.concatenate([self.costs, other.costs]),
            cycles=self.cycles + other.cycles,
            passes=tuple(a + b for a, b in zip(self.passes, other.passes, strict=True)),
            streams=self.streams + other.streams,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReplyTally) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.run_id, self.streams))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "experiment": self.experiment,
            "costs": self.costs.tolist(),
            "cycles": self.cycles,
            "passes": list(self.passes),
            "streams": [stream.to_dict() for stream in self.streams],
        }


def simulate_reply(
    cascade: Cascade,
    profile: Profile,
    n_tokens: int,
    n_replies: int,
    *,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None = None,
    abstain: Abstain = None,
    jitter: Mapping[int, float] | None = None,
) -> ReplyTally:
    """Run replies of `n_tokens` tokens each, for their mean cost and its percentiles.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates and model (any), costs, one-shot drafts and verification costs.
    n_tokens : int
        Tokens of a reply, at least 1. The last cycle may emit more; its whole cost counts.
    n_replies : int
        Replies to run, at least 1.
    rng : numpy.random.Generator
        Source of all coins.
    rates, abstain
        As for `simulate`.
    jitter : mapping, model -> float, optional
        Standard deviation, in [0, 10], of the logarithm of a model's pass time. Every pass of
        it takes its usual time times a log-normal factor of mean 1, independently of all
        others; so means stay and percentiles move. Models not named never vary.

    Returns
    -------
    ReplyTally
        Cost of every reply, 8 bytes each: its `mean`, `quantile` and their intervals.

    Raises
    ------
    TypeError, ValueError
        As for `simulate`; or if `n_tokens` is beyond the shortest text of a `Trace`, or
        `jitter` names a model that is not there.

    Notes
    -----
    A prompt of a mixture keeps its rates to the end of its reply. Under `Markov` a reply starts
    after a token drawn from the stationary law of the chain; under `Trace` it is the first
    `n_tokens` of a text picked at random.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> found = simulate_reply(Cascade((Draft(1, 3),)), Profile([1.0], [0.5]), 10, 7,
    ...                        rng=np.random.default_rng(1))
    >>> found.mean, found.quantile(0.99), found.cycles
    (7.5, 7.5, 21)
    """
    check_generator(rng)
    check_int("n_tokens", n_tokens, least=1)
    check_int("n_replies", n_replies, least=1)
    check_pair(cascade, profile)
    model = profile.acceptance
    if rates is None and isinstance(model, Trace) and n_tokens > min(model.lengths):
        raise ValueError(
            f"n_tokens must be <= {min(model.lengths)}, the shortest text of the trace, got "
            f"{n_tokens}: ask for shorter replies or leave that text out"
        )
    options = options_of(profile, abstain, jitter, n_tokens=n_tokens)
    experiment = experiment_of(cascade, profile, rates, **options)
    world = world_of(cascade, profile, rates, abstain, jitter)
    stream = Stream.of(rng, n_replies)
    program = world.program
    spent, cycles = np.zeros(n_replies), np.zeros(n_replies, dtype=np.int64)
    ran = np.zeros(len(program.rows), dtype=np.int64)
    states = np.zeros(program.max_length + 2, dtype=np.int64)
    from cscalc.simulate import _world_kernels as kernels  # numba loads here

    for start in range(0, n_replies, AT_ONCE):
        part = slice(start, min(start + AT_ONCE, n_replies))
        table, picks = world.prompts(part.stop - start, rng)
        kernels.run_replies(
            n_tokens, world.kind, picks, program.depth, states, spent[part], cycles[part], ran,
            rng, *world.tables(table),
        )  # fmt: skip
    return ReplyTally.of(experiment, spent, cycles, ran @ program.passes, stream)
