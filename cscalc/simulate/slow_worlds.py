"""Twins in plain Python of the kernels for worlds and trees: equal number for number.

What decides a coin is read from the acceptance model itself, not from the kernels' tables.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.acceptance import Markov, Trace
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.simulate.batch import steps_a_block
from cscalc.simulate.programs import experiment_of
from cscalc.simulate.reply import ReplyTally
from cscalc.simulate.slow import Cycle, add
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.simulate.trees import TokenTree, tree_tables, tree_tally
from cscalc.simulate.worlds import (
    AT_ONCE,
    CHAIN,
    PROMPTS,
    TEXTS,
    Abstain,
    World,
    options_of,
    world_of,
)


class Sequence:
    """One sequence being decoded: its text, its prompt's rates, the state of its last token."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.model = world.profile.acceptance
        self.begin()

    def begin(self) -> None:
        """Begin a text."""
        self.at = 0
        self.prompt: dict[tuple[int, int], float] = {}
        self.states: list[int] = [0]  # 0 easy, 1 hard: of the last emitted token and beyond
        if self.world.kind == TEXTS and isinstance(self.model, Trace):
            text = int(self.rng.random() * self.world.firsts.size)
            self.overlaps = self.model.overlaps(text, self.world.profile.alphas)
        elif self.world.kind == CHAIN:
            self.states = [int(self.rng.random() >= self.world.easy[2])]

    def state(self, place: int) -> int:
        """Difficulty of the token at a place after the last emitted one."""
        while isinstance(self.model, Markov) and len(self.states) <= place + 1:
            easy = self.model.steps[self.states[-1], 0]
            self.states.append(int(self.rng.random() >= easy))
        return self.states[place + 1]

    def rate(self, pair: tuple[int, int], place: int) -> float | None:
        """Chance of accepting a token there; None where a table says it."""
        if self.world.kind == PROMPTS:
            return self.prompt[pair]
        if self.world.kind == TEXTS:
            at = min(self.at + place, len(self.overlaps) - 1)
            return float(self.overlaps[(at, *pair)])
        if self.world.kind == CHAIN and isinstance(self.model, Markov):
            return float(self.model.state_alphas[(self.state(place), *pair)])
        return None

    def left(self) -> int:
        """Tokens left of the text."""
        return len(self.overlaps) - self.at

    def keep(self, tokens: int) -> None:
        """Move on; what was drafted beyond is forgotten."""
        self.at += tokens
        if self.world.kind == CHAIN:
            self.state(tokens - 1)
            self.states = [self.states[tokens]]


class WorldCycle(Cycle):
    """A cycle of a sequence."""

    def __init__(self, cascade: Cascade, sequence: Sequence) -> None:
        self.sequence, world = sequence, sequence.world
        super().__init__(
            cascade, world.profile, world.program, lambda reviewer: sequence.rng.random()
        )
        if world.kind == CHAIN:
            sequence.state(self.emitted - 1)

    def rate(self, kind: int, reviewer: int, model: int, position: int, place: int) -> float:
        """Chance of accepting a token."""
        rate = self.sequence.rate((reviewer, model), place)
        return super().rate(kind, reviewer, model, position, place) if rate is None else rate

    def abstains(self, model: int) -> bool:
        """Whether a draft finds nothing to propose."""
        chance = self.sequence.world.abstain[model]
        return bool(chance > 0.0 and self.sequence.rng.random() < chance)

    def pay(self, model: int, passes: int) -> None:
        """Add the cost of one call, pass by pass if passes differ."""
        if self.sequence.world.sigmas[model] == 0.0:
            return super().pay(model, passes)
        for _ in range(passes):
            self.cost += float(self.program.costs[model]) * self.slowness(model)
        return None

    def slowness(self, model: int) -> float:
        """Time of this pass over the usual time: log-normal with mean 1."""
        sigma = float(self.sequence.world.sigmas[model])
        if sigma == 0.0:
            return 1.0
        return math.exp(sigma * self.sequence.rng.standard_normal() - 0.5 * sigma * sigma)


class Prompts:
    """Rates of prompts one after another, drawn `size` prompts at a time."""

    def __init__(self, world: World, rng: np.random.Generator, total: int, size: int) -> None:
        self.world, self.rng, self.left, self.size = world, rng, total, size
        self.drawn: list[dict[tuple[int, int], float]] = []

    def following(self) -> dict[tuple[int, int], float]:
        """Rate of each pair for the next prompt; nothing where there are no prompts."""
        if self.world.kind != PROMPTS:
            return {}
        if not self.drawn:
            size = min(self.left, self.size)
            self.left -= size
            table, picks = self.world.prompts(size, self.rng)
            for row in picks:
                rates = zip(self.world.pairs, table[row, 0, :, 0], strict=True)
                self.drawn.append({pair: float(rate) for pair, rate in rates})
        return self.drawn.pop(0)


def run_steps_slow(
    world: World, cascade: Cascade, batch: int, n_steps: int, lockstep: bool, block_steps: int,
    rng: np.random.Generator,
) -> tuple[list[int], list[int], Floats, Floats]:  # fmt: skip
    """Counts, passes, sums of cost, sums over blocks, of `n_steps` cycles of each sequence."""
    counts = [0] * (cascade.max_length + 2)
    passes = [0] * world.program.n_models
    sums, block, blocks = np.zeros((2, 3)), np.zeros(3), np.zeros(7)

    def close() -> None:
        n, t, c = block
        if n:
            blocks[:] += [1.0, n * n, n * t, n * c, t * t, t * c, c * c]
            block[:] = 0.0

    sequences = [Sequence(world, rng) for _ in range(batch)]
    prompts = Prompts(world, rng, n_steps * batch, max(1, AT_ONCE // batch) * batch)
    for _ in range(n_steps):
        cycles = []
        for sequence in sequences:
            sequence.prompt = prompts.following()
            cycles.append(WorldCycle(cascade, sequence))
            passes = [a + b for a, b in zip(passes, cycles[-1].passes, strict=True)]
        cost = max(cycle.cost for cycle in cycles)
        worst = min(cycle.emitted for cycle in cycles)
        total, ends = 0, False
        for sequence, cycle in zip(sequences, cycles, strict=True):
            keeps = worst if lockstep else cycle.emitted
            if world.kind == TEXTS:
                keeps = min(keeps, sequence.left())
            sequence.keep(keeps)
            if world.kind == TEXTS and sequence.left() == 0:
                sequence.begin()
                ends = True
            elif world.kind == CHAIN:
                ends = sequence.states[0] == world.reference
            counts[keeps] += 1
            total += keeps
        add(sums, np.array([batch * cost, batch * cost * cost, cost * total]))
        block += [batch, total, batch * cost]
        if (ends and not block_steps) or block[0] == block_steps * batch:
            close()
    close()
    return counts, passes, sums[0], blocks


def simulate_world_slow(
    cascade: Cascade,
    profile: Profile,
    n_cycles: int,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None,
    abstain: Abstain,
) -> Tally:
    """`simulate_slow` where no table of rates will do."""
    world = world_of(cascade, profile, rates, abstain)
    stream = Stream.of(rng, n_cycles)
    block_steps = 0 if world.has_memory else 1
    found = run_steps_slow(world, cascade, 1, n_cycles, False, block_steps, rng)
    experiment = experiment_of(cascade, profile, rates, **options_of(profile, abstain))
    return Tally.of(experiment, *found[:3], stream, found[3] if world.has_memory else ())


def simulate_batch_slow(
    cascade: Cascade,
    profile: Profile,
    batch: int,
    n_steps: int,
    *,
    rng: np.random.Generator,
    mode: str = "lockstep",
    rates: npt.ArrayLike | None = None,
    abstain: Abstain = None,
) -> Tally:
    """Twin of `cscalc.simulate.batch.simulate_batch`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> cascade, profile = Cascade((Draft(1, 3),)), Profile([0.8], [0.1])
    >>> simulate_batch_slow(cascade, profile, 4, 25, rng=np.random.default_rng(1)).cycles
    100
    """
    world = world_of(cascade, profile, rates, abstain)
    stream = Stream.of(rng, n_steps * batch)
    found = run_steps_slow(
        world, cascade, batch, n_steps, mode == "lockstep", steps_a_block(world, n_steps), rng
    )
    options = options_of(profile, abstain, batch=batch, mode=mode)
    experiment = experiment_of(cascade, profile, rates, **options)
    return Tally.of(experiment, *found[:3], stream, found[3])


def simulate_reply_slow(
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
    """Twin of `cscalc.simulate.reply.simulate_reply`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> cascade, profile = Cascade((Draft(1, 3),)), Profile([0.8], [0.1])
    >>> simulate_reply_slow(cascade, profile, 9, 5, rng=np.random.default_rng(1)).replies
    5
    """
    world = world_of(cascade, profile, rates, abstain, jitter)
    stream = Stream.of(rng, n_replies)
    prompts = Prompts(world, rng, n_replies, AT_ONCE)
    passes = [0] * world.program.n_models
    spent, cycles = np.zeros(n_replies), np.zeros(n_replies, dtype=np.int64)
    for reply in range(n_replies):
        prompt = prompts.following()
        sequence = Sequence(world, rng)
        sequence.prompt = prompt
        while sequence.at < n_tokens:
            cycle = WorldCycle(cascade, sequence)
            sequence.keep(cycle.emitted)
            passes = [a + b for a, b in zip(passes, cycle.passes, strict=True)]
            spent[reply] += cycle.cost
            cycles[reply] += 1
    options = options_of(profile, abstain, jitter, n_tokens=n_tokens)
    experiment = experiment_of(cascade, profile, rates, **options)
    return ReplyTally.of(experiment, spent, cycles, passes, stream)


def simulate_tree_slow(
    tree: TokenTree,
    rank_acceptance: npt.ArrayLike,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    cost: float = 1.0,
) -> Tally:
    """Twin of `cscalc.simulate.trees.simulate_tree`: it looks children up in the tree itself.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> chain = SimpleNamespace(parents=(-1, 0), ranks=(0, 1))
    >>> simulate_tree_slow(chain, [1.0], 3, rng=np.random.default_rng(1)).counts
    (0, 0, 3)
    """
    experiment = tree_tables(tree, rank_acceptance, cost)[0]
    pairs = zip(tree.parents, tree.ranks, strict=True)
    nodes = {pair: node for node, pair in enumerate(pairs)}
    stream = Stream.of(rng, n_cycles)
    counts = [0] * (experiment["depth"] + 2)
    for _ in range(n_cycles):
        node, depth = 0, 0
        while node in tree.parents:
            u, below = rng.random(), 0.0
            found = None
            for rank, rate in enumerate(experiment["rank_acceptance"][depth], start=1):
                below += rate
                if u < below:
                    found = nodes.get((node, rank))
                    break
            if found is None:
                break
            node, depth = found, depth + 1
        counts[depth + 1] += 1
    return tree_tally(experiment, counts, stream)
