"""Simulated texts whose drafts get better and worse in mid-text, to put a router to the proof.

The models are hash functions: greedy decoding, the real tree decoder, the real router, and a
clock that charges each pass what the profile says. Only the networks are missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cscalc._checks import check_costs, check_int, check_rates
from cscalc.cascade import Cascade, Draft, Review, Segment, call_length
from validate.hash_models import VOCAB, HashLookup, HashModel
from validate.models import Models
from validate.sampling import Sampling
from validate.tree_decode import TreeCompletion, generate_tree
from validate.tree_decoder import Grower
from validate.tree_shape import Comb


@dataclass(frozen=True)
class Phase:
    """A stretch of text with constant acceptance.

    Attributes
    ----------
    tokens : int
        Its length.
    alphas : tuple of float
        Rate at which the target accepts each draft's token.
    """

    tokens: int
    alphas: tuple[float, ...]

    def __post_init__(self) -> None:
        check_int("tokens", self.tokens, least=1)
        check_rates("alphas", self.alphas)


@dataclass(frozen=True)
class Stream:
    """A simulated text.

    Attributes
    ----------
    phases : tuple of Phase
    costs : tuple of float
        One pass of each draft, in target passes; the last draft is one-shot.
    verify_slope : float
        What each further position adds to any pass, relative to its first one.
    second : float
        Chance that a draft's second choice is right where the first is wrong.

    Raises
    ------
    ValueError
        If phases and costs do not name the same number of drafts.

    Examples
    --------
    >>> stream = Stream((Phase(200, (0.8, 0.2)), Phase(200, (0.4, 0.9))), costs=(0.3, 0.01))
    >>> stream.tokens, round(stream.fixed(Comb(Cascade((Draft(2, 4),)))), 3)
    (400, 1.824)
    """

    phases: tuple[Phase, ...]
    costs: tuple[float, ...]
    verify_slope: float = 0.01
    second: float = 0.3

    def __post_init__(self) -> None:
        check_costs("costs", self.costs)
        for phase in self.phases:
            if len(phase.alphas) != len(self.costs):
                raise ValueError(
                    f"every phase needs {len(self.costs)} alphas, as many as there are costs; "
                    f"got {phase.alphas}"
                )

    @property
    def tokens(self) -> int:
        """Length of the text."""
        return sum(phase.tokens for phase in self.phases)

    @property
    def switches(self) -> bool:
        """Whether acceptance changes at all."""
        return len({phase.alphas for phase in self.phases}) > 1

    def alpha(self, place: int, model: int) -> float:
        """Acceptance rate of `model` at a place in the text; past its end, as in the end."""
        for phase in self.phases:
            if place < phase.tokens:
                break
            place -= phase.tokens
        return phase.alphas[model - 1]

    def fixed(self, comb: Comb) -> float:
        """EWIF of one configuration over the whole text, exact.

        A phase is taken to begin and end with a cycle.
        """
        times = [phase.tokens / self._in_phase(comb, phase) for phase in self.phases]
        return self.tokens / sum(times)

    def _in_phase(self, comb: Comb, phase: Phase) -> float:
        """Tokens over cost of one cycle, in a phase."""
        reach = tokens = size = 1.0
        cost = 0.0
        for segment in comb.cascade.drafts:
            one = self._segment(segment, phase, comb.width)
            tokens += reach * one.accepted
            reach *= one.end
            size += one.nodes
            cost += one.cost
        return tokens / (cost + self._pass(size))

    def _pass(self, positions: float) -> float:
        return 1.0 + self.verify_slope * (positions - 1.0)

    def _segment(self, segment: Segment, phase: Phase, width: int) -> "_Worth":
        model = segment.model
        alpha, cost = phase.alphas[model - 1], self.costs[model - 1]
        side = (1.0 - alpha) * self.second if width > 1 else 0.0
        if isinstance(segment, Draft):
            powers = [alpha**i for i in range(segment.length + 1)]
            if model == len(self.costs):
                return _Worth(sum(powers[1:]), powers[-1], segment.length, cost)
            accepted = sum(powers[1:]) + side * sum(powers[:-1])
            return _Worth(accepted, powers[-1], width * segment.length, cost * segment.length)
        inner = segment.drafts[0]
        length, other = call_length(inner)[0], phase.alphas[inner.model - 1]
        both = alpha * other  # the target takes what the inner reviewer takes
        same = both + (1.0 - alpha) * (1.0 - other) / (VOCAB - 1)  # the inner reviewer takes it
        whole = sum(both**i for i in range(length))
        end = whole * (alpha - both) + both**length * alpha
        accepted = both * whole + end + side * sum(both**i for i in range(length + 1))
        nodes = width * sum(same**i for i in range(length + 1))
        price = self.costs[inner.model - 1] * (1 if inner.model == len(self.costs) else length)
        price += cost * self._pass(length + 1)
        rounds = int(segment.rounds or 1)
        return _Worth(
            accepted * sum(end**i for i in range(rounds)), end**rounds, nodes * rounds,
            price * rounds,
        )  # fmt: skip

    def configurations(self, longest: int) -> Iterator[Comb]:
        """Plain decoding, and combs of one or two drafts or vertical cascades.

        Drafts of up to `longest` tokens; vertical cascades of up to 4 rounds over the one-shot
        draft; all with and without a runner-up at each node.
        """
        n = len(self.costs)
        drafts = [Draft(m, k) for m in range(1, n + 1) for k in range(1, longest + 1)]
        reviews = [
            Review(m, (Draft(n, k),), rounds=r)
            for m in range(1, n) for k in range(1, longest + 1, 2) for r in range(1, 5)
        ]  # fmt: skip
        singles: list[Segment] = [*drafts, *reviews]
        firsts: list[Segment] = [*reviews, *drafts]
        pairs = [(a, b) for a in firsts for b in drafts if a.model != b.model]
        every: list[tuple[Segment, ...]] = [(), *((one,) for one in singles), *pairs]
        for segments in every:
            for width in (1, 2):
                yield Comb(Cascade(segments), width)

    def best_fixed(self, longest: int = 10) -> tuple[Comb, float]:
        """The best of `configurations` in hindsight, the same for the whole text."""
        best = max(self.configurations(longest), key=self.fixed)
        return best, self.fixed(best)

    def oracle(self, longest: int = 10) -> float:
        """EWIF of the best fixed configuration of every phase, switched without delay."""
        times = []
        for phase in self.phases:
            alone = Stream((phase,), self.costs, self.verify_slope, self.second)
            times.append(phase.tokens / alone.best_fixed(longest)[1])
        return self.tokens / sum(times)

    def models(self, seed: int) -> Models:
        """The target and its drafts for one draw of the text."""
        n = len(self.costs)
        language = {m: HashModel(self.alpha, self.second, seed, m) for m in range(n)}
        lookup = HashLookup(self.alpha, self.second, seed, n)
        return Models(language, {n: lookup})  # type: ignore[arg-type]

    def seconds(self, model: int, positions: int) -> float:
        """Seconds of a pass, a target pass being 0.02 s."""
        cost = 1.0 if model == 0 else self.costs[model - 1]
        return 0.02 * cost * (1.0 + self.verify_slope * (positions - 1))

    def run(self, tree: Grower, seed: int) -> TreeCompletion:
        """Decode one draw of the text."""
        return generate_tree(
            tree, self.models(seed), [1], generator=torch.Generator().manual_seed(seed),
            max_tokens=self.tokens, sampling=Sampling(temperature=0.0), costs=self.seconds,
        )  # fmt: skip

    def ewif(self, run: TreeCompletion) -> float:
        """Tokens over time, in target passes of one position."""
        return sum(run.emitted) * 0.02 / sum(run.seconds.values())


@dataclass(frozen=True, slots=True)
class _Worth:
    """What a segment adds to a cycle, if all before it is accepted."""

    accepted: float  # expected
    end: float  # chance that its whole chain is accepted
    nodes: float  # expected
    cost: float


COSTS = (0.3, 0.15, 0.01)
STATIONARY = Stream((Phase(3000, (0.8, 0.6, 0.3)),), COSTS)
SWITCHING = Stream((Phase(400, (0.85, 0.5, 0.2)), Phase(400, (0.5, 0.4, 0.9))) * 3, COSTS)


@dataclass(frozen=True)
class Trial:
    """A router beside the best fixed cascade in hindsight, on one stream.

    Attributes
    ----------
    ewif, sigma : float
        Mean of the router over draws of the text, and its standard error.
    fixed : float
        EWIF of the best fixed cascade, exact.
    best : Comb
        That configuration.
    oracle : float
        EWIF of the best fixed configuration of each phase.
    draws : int
        Draws of the text.
    """

    ewif: float
    sigma: float
    fixed: float
    best: Comb
    oracle: float
    draws: int

    @property
    def regret(self) -> float:
        """Share of the best fixed cascade's speed that the router loses; negative: it gains."""
        return 1.0 - self.ewif / self.fixed

    @property
    def regret_sigma(self) -> float:
        """Standard error of `regret`."""
        return self.sigma / self.fixed


def try_router(stream: Stream, routers: Sequence[Grower], *, first_seed: int = 0) -> Trial:
    """Run a fresh router on each of several draws of the text.

    Parameters
    ----------
    stream : Stream
    routers : sequence of DyTC, or other growers
        One for each draw, so that draws are independent.
    first_seed : int
        Seed of the first draw.

    Examples
    --------
    >>> from validate.tree_shape import Comb
    >>> stream = Stream((Phase(400, (0.7, 0.4)),), costs=(0.2, 0.01))
    >>> chain = Comb(Cascade((Draft(1, 3),)))
    >>> trial = try_router(stream, [chain] * 4)
    >>> expected = stream.fixed(chain)
    >>> abs(trial.ewif - expected) < 5 * trial.sigma
    True
    """
    speeds = [stream.ewif(stream.run(router, first_seed + i)) for i, router in enumerate(routers)]
    best, fixed = stream.best_fixed()
    spread = float(np.std(speeds, ddof=1)) if len(speeds) > 1 else float("inf")
    return Trial(
        float(np.mean(speeds)), spread / len(speeds) ** 0.5, fixed, best, stream.oracle(),
        len(speeds),
    )  # fmt: skip
