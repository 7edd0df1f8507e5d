"""The same process in plain Python, for reading and for tests: equal number for number."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile
from cscalc.simulate.programs import (
    BONUS,
    CORRECTED,
    KEPT,
    PROPOSED,
    Program,
    drafts_only,
    experiment_of,
    program_of,
)
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.stats import check_generator

Coin = Callable[[int], float]  # reviewer -> uniform number
Token = tuple[int, int]  # model of the segment it came from, kind


class Cycle:
    """One cycle of a cascade: tokens in front of reviewers, passes and cost."""

    def __init__(self, cascade: Cascade, profile: Profile, program: Program, coin: Coin) -> None:
        self.profile, self.program, self.coin = profile, program, coin
        self.passes = [0] * program.n_models
        self.cost = 0.0
        self.emitted = len(self.review(0, cascade.drafts))

    def review(self, reviewer: int, drafts: tuple[Segment, ...]) -> list[int]:
        """Kinds of the tokens that a review emits: accepted ones and one of its own."""
        u = self.coin(reviewer)  # drawn first, used last: the kernel then stores no tokens
        before, self.cost = self.cost, 0.0
        held: list[Token] = []
        for segment in drafts:
            calls = 0
            while self.calls_again(segment, calls, len(held)):
                held += [(segment.model, kind) for kind in self.call(segment)]
                calls += 1
        self.passes[reviewer] += 1
        costs, curves = self.program.costs, self.program.curves
        self.cost += float(costs[reviewer] * curves[reviewer, len(held) + 1])
        self.cost += before  # a review is summed up by itself, as in the kernel
        accepted = self.accepted(reviewer, held, u)
        return [KEPT] * accepted + [BONUS if accepted == len(held) else CORRECTED]

    @staticmethod
    def calls_again(segment: Segment, calls: int, held: int) -> bool:
        """Whether `segment` makes another call after `calls`, with `held` tokens drafted."""
        if segment.until is not None:
            return held < segment.until
        return calls < (segment.rounds or 1 if isinstance(segment, Review) else 1)

    def call(self, segment: Segment) -> list[int]:
        """Kinds of the tokens that one call adds."""
        if isinstance(segment, Review):
            return self.review(segment.model, segment.drafts)
        passes = 1 if segment.model in self.profile.one_shot else segment.length
        self.passes[segment.model] += passes
        self.cost += passes * float(self.program.costs[segment.model])
        return [PROPOSED] * segment.length

    def accepted(self, reviewer: int, held: list[Token], u: float) -> int:
        """Tokens accepted: coin after coin, each made from the same uniform number."""
        rates = self.program.rates
        chance = 1.0
        for position, (model, kind) in enumerate(held):
            at = min(position, rates.shape[3] - 1)
            chance *= float(rates[kind, reviewer, model, at])
            if u >= chance:
                return position
        return len(held)


def simulate_slow(
    cascade: Cascade,
    profile: Profile,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None = None,
) -> Tally:
    """Twin of `cscalc.simulate.events.simulate`: the same tally from the same generator.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> cascade, profile = Cascade((Draft(1, 3),)), Profile([0.8], [0.1])
    >>> simulate_slow(cascade, profile, 100, rng=np.random.default_rng(1)).cycles
    100
    """
    check_generator(rng)
    check_int("n_cycles", n_cycles, least=1)
    program = program_of(cascade, profile, rates)
    stream = Stream.of(rng, n_cycles)
    counts = [0] * (program.max_length + 2)
    passes = [0] * program.n_models
    sums = np.zeros((2, 3))
    cost = 0.0
    for _ in range(n_cycles):
        cycle = Cycle(cascade, profile, program, lambda reviewer: rng.random())
        counts[cycle.emitted] += 1
        passes = [a + b for a, b in zip(passes, cycle.passes, strict=True)]
        cost = cycle.cost
        add(sums, np.array([cost, cost * cost, cost * cycle.emitted]))
    if drafts_only(cascade.drafts):  # one cost for all cycles: no rounding by summing it up
        tokens = sum(i * count for i, count in enumerate(counts))
        sums[0] = cost * n_cycles, cost**2 * n_cycles, cost * tokens
    experiment = experiment_of(cascade, profile, rates)
    return Tally.of(experiment, counts, passes, sums[0], stream)


def add(sums: Floats, values: Floats) -> None:
    """Add to ``sums[0]``; ``sums[1]`` holds what rounding has lost so far (Kahan's sum)."""
    values = values - sums[1]
    total = sums[0] + values
    sums[1] = (total - sums[0]) - values
    sums[0] = total
