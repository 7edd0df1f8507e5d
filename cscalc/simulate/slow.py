"""The same process in plain Python, for reading and for tests: equal number for number."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int
from cscalc.acceptance import Mixture
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile
from cscalc.simulate.programs import (
    BONUS,
    CORRECTED,
    KEPT,
    PROPOSED,
    Program,
    alphas_as_rates,
    drafts_only,
    experiment_of,
    program_of,
)
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.simulate.worlds import WITH_MEMORY, Abstain, check_abstain
from cscalc.stats import check_generator

Coin = Callable[[int], float]  # reviewer -> uniform number


class Cycle:
    """One cycle of a cascade: tokens in front of reviewers, passes and cost."""

    def __init__(self, cascade: Cascade, profile: Profile, program: Program, coin: Coin) -> None:
        self.profile, self.program, self.coin = profile, program, coin
        self.passes = [0] * program.n_models
        self.cost = 0.0
        self.emitted = len(self.review(0, cascade.drafts, 0))

    def review(self, reviewer: int, drafts: tuple[Segment, ...], start: int) -> list[int]:
        """Kinds of the tokens that a review emits: accepted ones and one of its own.

        The first token in front of it stands at place `start` after the last emitted one.
        """
        u = self.coin(reviewer)  # all coins of this review come from one number
        before, self.cost = self.cost, 0.0
        held = accepted = 0
        chance, alive = 1.0, True
        for segment in drafts:
            calls = 0
            while self.calls_again(segment, calls, held):
                kinds = self.call(segment, start + held)
                calls += 1
                if not kinds:
                    break  # it abstained, and would again
                for kind in kinds:
                    if alive:
                        chance *= self.rate(kind, reviewer, segment.model, held, start + held)
                        alive = u < chance
                        accepted += alive
                    held += 1
        self.passes[reviewer] += 1
        costs, curves = self.program.costs, self.program.curves
        paid = float(costs[reviewer] * curves[reviewer, held + 1])
        self.cost += paid * self.slowness(reviewer)
        self.cost += before  # a review is summed up by itself, as in the kernel
        return [KEPT] * accepted + [BONUS if alive else CORRECTED]

    @staticmethod
    def calls_again(segment: Segment, calls: int, held: int) -> bool:
        """Whether `segment` makes another call after `calls`, with `held` tokens drafted."""
        if segment.until is not None:
            return held < segment.until
        return calls < (segment.rounds or 1 if isinstance(segment, Review) else 1)

    def call(self, segment: Segment, start: int) -> list[int]:
        """Kinds of the tokens that one call adds."""
        if isinstance(segment, Review):
            return self.review(segment.model, segment.drafts, start)
        passes = 1 if segment.model in self.profile.one_shot else segment.length
        self.passes[segment.model] += passes
        self.pay(segment.model, passes)
        return [] if self.abstains(segment.model) else [PROPOSED] * segment.length

    def pay(self, model: int, passes: int) -> None:
        """Add the cost of one call."""
        self.cost += passes * float(self.program.costs[model])

    def rate(self, kind: int, reviewer: int, model: int, position: int, place: int) -> float:
        """Chance of accepting a token; its place in the text does not matter here."""
        rates = self.program.rates
        return float(rates[kind, reviewer, model, min(position, rates.shape[3] - 1)])

    def abstains(self, model: int) -> bool:
        """Whether a draft finds nothing to propose."""
        return False

    def slowness(self, model: int) -> float:
        """Time of this pass over the usual time."""
        return 1.0


def simulate_slow(
    cascade: Cascade,
    profile: Profile,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None = None,
    abstain: Abstain = None,
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
    model = profile.acceptance
    mixed = rates is None and isinstance(model, Mixture)
    if check_abstain(abstain, profile) or (
        rates is None and isinstance(model, WITH_MEMORY) and not mixed
    ):
        from cscalc.simulate.slow_worlds import simulate_world_slow  # it builds on this module

        return simulate_world_slow(cascade, profile, n_cycles, rng, rates, abstain)
    stream = Stream.of(rng, n_cycles)
    experiment = experiment_of(cascade, profile, rates)
    counts = [0] * (cascade.max_length + 2)
    passes = [0] * (profile.n_drafts + 1)
    total = np.zeros(3)
    runs = [(n_cycles, rates)]
    if mixed and isinstance(model, Mixture):
        split = rng.multinomial(n_cycles, np.asarray(model.weights))
        kinds = [alphas_as_rates(one) for one in np.asarray(model.alphas)]
        runs = [(int(size), one) for size, one in zip(split, kinds, strict=True) if size]
    for size, table in runs:
        program = program_of(cascade, profile, table)
        sums = np.zeros((2, 3))
        cost, tokens = 0.0, 0
        for _ in range(size):
            cycle = Cycle(cascade, profile, program, lambda reviewer: rng.random())
            counts[cycle.emitted] += 1
            passes = [a + b for a, b in zip(passes, cycle.passes, strict=True)]
            cost = cycle.cost
            tokens += cycle.emitted
            add(sums, np.array([cost, cost * cost, cost * cycle.emitted]))
        if drafts_only(cascade.drafts):  # one cost for all cycles: no rounding by summing it up
            sums[0] = cost * size, cost**2 * size, cost * tokens
        total = total + sums[0]
    return Tally.of(experiment, counts, passes, total, stream)


def add(sums: Floats, values: Floats) -> None:
    """Add to ``sums[0]``; ``sums[1]`` holds what rounding has lost so far (Kahan's sum)."""
    values = values - sums[1]
    total = sums[0] + values
    sums[1] = (total - sums[0]) - values
    sums[0] = total
