"""Simulation of cascades, cycle by cycle: every proposal, every review, every coin."""

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int, check_number
from cscalc.acceptance import Mixture
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.simulate.programs import (
    alphas_as_rates,
    check_pair,
    curves_of,
    drafts_only,
    experiment_of,
    program_of,
    rate_table,
    round_of,
)
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.simulate.worlds import (
    AT_ONCE,
    WITH_MEMORY,
    Abstain,
    World,
    check_abstain,
    options_of,
    world_of,
)
from cscalc.stats import check_confidence, check_generator

BATCH = 1 << 14  # uniform numbers held at once: 128 KiB stay in the cache
FIRST = 10_000  # cycles before `simulate_until` believes its first interval
Progress = Callable[[int, int], Any]
Filled = tuple[Iterable[int], Iterable[int], Iterable[float]]  # counts, passes, sums of cost


def simulate(
    cascade: Cascade,
    profile: Profile,
    n_cycles: int,
    *,
    rng: np.random.Generator,
    rates: npt.ArrayLike | None = None,
    abstain: Abstain = None,
    batch: int = BATCH,
) -> Tally:
    """Run cycles of `cascade` on `profile`, event by event.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates and model (any), costs, one-shot drafts and verification costs.
    n_cycles : int
        Cycles to run, at least 1.
    rng : numpy.random.Generator
        Source of all coins. It moves on, so a second call with it draws new cycles.
    rates : array_like, shape (4, n + 1, n + 1, n_positions), optional
        Acceptance rates that replace the profile's: ``rates[kind, i, j, at]`` is the chance
        that reviewer i accepts a token of model j at position `at` (from 0; the last entry
        serves all later ones) in front of it. Kinds: 0 proposed by a draft; 1 kept,
        2 corrected, 3 added as bonus token by the inner review that j made.
    abstain : mapping, one-shot model -> float, optional
        Chance in [0, 1] that a call finds no match and proposes nothing. It is paid all the
        same, and ends its segment, even one that runs until some length: the text has not
        changed, so the model would find nothing again.
    batch : int
        Cycles at a time; the result does not depend on it, memory does.

    Returns
    -------
    Tally
        Emitted lengths, passes and cost; tallies of one experiment add.

    Raises
    ------
    TypeError
        If `rng` is not a generator.
    ValueError
        If `n_cycles` is not positive, the profile lacks a model or a length that the cascade
        needs, or `abstain` names a model that is not one-shot.

    Notes
    -----
    A reviewer takes the tokens in front of it in order, accepts each with its rate until one
    is rejected, and adds one token of its own. One uniform number serves the coins of one
    review (inversion); what no later event depends on is not drawn. The readable twin is
    `cscalc.simulate.slow.simulate_slow`.

    Under `Mixture` and `BetaMixture` each cycle is of a prompt of its own. Under `Markov` the
    run begins after a token drawn from the stationary law of the chain; it goes on from the
    last emitted token, and what lies beyond is drawn anew. Under `Trace` it begins a text
    picked at random, and another one at its end, beyond which nothing is emitted. In these two
    cycles depend on one another, so intervals are taken over blocks that are independent: from
    one cycle to the next that follows a token of the more common state, or one text. The
    start's trace in the means fades as 1 / `n_cycles`: take many blocks in one run, not many
    short runs.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> tally = simulate(Cascade((Draft(1, 2),)), Profile([1.0], [0.25]), 10,
    ...                  rng=np.random.default_rng(1))
    >>> tally.counts, tally.passes, tally.ewif
    ((0, 0, 0, 10), (10, 20), 2.0)
    """
    check_generator(rng)
    check_int("n_cycles", n_cycles, least=1)
    check_int("batch", batch, least=1)
    check_pair(cascade, profile)
    experiment = experiment_of(cascade, profile, rates, **options_of(profile, abstain))
    stream = Stream.of(rng, n_cycles)
    model = profile.acceptance
    memory = rates is None and isinstance(model, WITH_MEMORY)
    if check_abstain(abstain, profile) or (memory and not isinstance(model, Mixture)):
        world = world_of(cascade, profile, rates, abstain)
        filled, blocks = run_world(world, n_cycles, rng)
        return Tally.of(experiment, *filled, stream, blocks if world.has_memory else ())
    run = _run_drafts if drafts_only(cascade.drafts) else _run
    if rates is None and isinstance(model, Mixture):
        filled = _run_kinds(run, cascade, profile, model, n_cycles, rng, batch)
    else:
        filled = run(cascade, profile, rates, n_cycles, rng, batch)
    return Tally.of(experiment, *filled, stream)


def simulate_until(
    cascade: Cascade,
    profile: Profile,
    *,
    rel_err: float,
    rng: np.random.Generator,
    confidence: float = 0.95,
    max_cycles: int = 10**9,
    rates: npt.ArrayLike | None = None,
    abstain: Abstain = None,
    progress: bool | Progress | None = None,
) -> Tally:
    """Simulate until the EWIF is known to a relative precision.

    Parameters
    ----------
    cascade, profile, rng, rates, abstain
        As for `simulate`.
    rel_err : float
        Wanted half-width of the EWIF's interval over the EWIF, > 0; 0.001 is 0.1 %.
    confidence : float
        Of that interval, strictly between 0 and 1.
    max_cycles : int
        Stop here, with a `RuntimeWarning`, if the precision is not reached.
    progress : bool or callable, optional
        True: a bar on stderr. A callable is called with (cycles done, cycles expected).

    Returns
    -------
    Tally
        Of all cycles; its `relative_error` is at most `rel_err`, unless warned.

    Raises
    ------
    TypeError, ValueError
        As for `simulate`, or if `rel_err` is not > 0.

    Notes
    -----
    The first 10,000 cycles give an interval, from which the cycles still needed follow; at
    most ten times as many are added before looking again. Stopping at a precision, not at a
    value, leaves the coverage of the interval what it is.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> tally = simulate_until(Cascade((Draft(1, 5),)), Profile([0.8], [0.1]), rel_err=0.01,
    ...                        rng=np.random.default_rng(1))
    >>> tally.relative_error() <= 0.01
    True
    """
    check_generator(rng)
    if not check_number("rel_err", rel_err, least=0.0) > 0.0:
        raise ValueError(f"rel_err must be > 0, got {rel_err}: 0.001 asks for 0.1 %")
    check_confidence(confidence)
    check_int("max_cycles", max_cycles, least=2)
    bar = _bar() if progress is True else progress if callable(progress) else None
    tally: Tally | None = None
    wanted = min(FIRST, max_cycles)
    while tally is None or tally.cycles < wanted:
        done = tally.cycles if tally else 0
        part = simulate(cascade, profile, wanted - done, rng=rng, rates=rates, abstain=abstain)
        tally = part if tally is None else tally + part
        error = tally.relative_error(confidence) if tally.observations > 1 else math.inf
        if error > rel_err:
            scale = min((error / rel_err) ** 2, max_cycles / tally.cycles)
            more = math.ceil(1.02 * tally.cycles * scale)
            wanted = min(max_cycles, more, 10 * tally.cycles)
        if bar is not None:
            expected = tally.cycles if error <= rel_err else min(max_cycles, more)
            bar(tally.cycles, expected)
    if error > rel_err:
        warnings.warn(
            f"the relative error is {error:.2g} after max_cycles={max_cycles}, not "
            f"rel_err={rel_err:g}: raise max_cycles or ask for less",
            RuntimeWarning,
            stacklevel=2,
        )
    return tally


def _bar() -> Progress:
    from tqdm import tqdm

    bar = tqdm(unit=" cycles", unit_scale=True, desc="simulate")

    def show(done: int, expected: int) -> None:
        bar.total = expected
        bar.update(done - bar.n)
        if done >= expected:
            bar.close()

    return show


def _run(
    cascade: Cascade, profile: Profile, rates: Any, n_cycles: int, rng: np.random.Generator,
    batch: int,
) -> Filled:  # fmt: skip
    from cscalc.simulate import _kernels  # numba loads here, not with `import cscalc`

    program = program_of(cascade, profile, rates)
    root = np.zeros(1, dtype=np.int64)
    counts = np.zeros((1, program.max_length + 2), dtype=np.int64)
    ran = np.zeros(len(program.rows), dtype=np.int64)
    sums = np.zeros((2, 3, 2))
    for start in range(0, n_cycles, 64 * batch):  # returns now and then, to hear ctrl-C
        size = min(64 * batch, n_cycles - start)
        _kernels.run_cycles(size, root, 0, program.depth, *program.tables, counts, ran, sums, rng)
    return counts[0], ran @ program.passes, (sums[0, 0, 1], sums[0, 2, 1], sums[0, 1, 1])


def _run_drafts(
    cascade: Cascade, profile: Profile, rates: Any, n_cycles: int, rng: np.random.Generator,
    batch: int,
) -> Filled:  # fmt: skip
    """Run cycles with no inner review: they are all alike but for the target's coins."""
    from cscalc.simulate import _kernels

    table, curves = rate_table(profile, rates), curves_of(cascade, profile)
    cycle = round_of(0, cascade.drafts, profile, table, curves)
    thresholds = np.array(cycle.thresholds, dtype=np.float64)
    counts = np.zeros(cascade.max_length + 2, dtype=np.int64)
    uniforms = np.empty(min(batch, n_cycles))
    for start in range(0, n_cycles, batch):
        part = uniforms[: min(batch, n_cycles - start)]
        rng.random(out=part)
        _kernels.histogram_of_drafts(part, thresholds, counts)
    tokens = int(counts @ np.arange(counts.size))
    sums = (cycle.cost * n_cycles, cycle.cost**2 * n_cycles, cycle.cost * tokens)
    return counts, [n_cycles * one for one in cycle.passes], sums


def _run_kinds(
    run: Callable[..., Filled], cascade: Cascade, profile: Profile, model: Mixture, n_cycles: int,
    rng: np.random.Generator, batch: int,
) -> Filled:  # fmt: skip
    """Run as many cycles of each kind of prompt as a draw of kinds gives."""
    counts = np.zeros(cascade.max_length + 2, dtype=np.int64)
    passes, sums = np.zeros(profile.n_drafts + 1, dtype=np.int64), np.zeros(3)
    split = rng.multinomial(n_cycles, np.asarray(model.weights))
    for size, alphas in zip(split, np.asarray(model.alphas), strict=True):
        if size:
            rates = alphas_as_rates(alphas)
            found = run(cascade, profile, rates, int(size), rng, batch)
            counts += np.asarray(found[0])
            passes += np.asarray(found[1])
            sums += np.asarray(found[2])
    return counts, passes, sums


def run_world(
    world: World, n_steps: int, rng: np.random.Generator, *, batch: int = 1,
    lockstep: bool = False, block_steps: int | None = None,
) -> tuple[Filled, Floats]:  # fmt: skip
    """Run `n_steps` cycles of each sequence of a batch; also the sums over blocks."""
    from cscalc.simulate import _world_kernels as kernels

    program = world.program
    if block_steps is None:
        block_steps = 0 if world.has_memory else 1
    counts = np.zeros(program.max_length + 2, dtype=np.int64)
    ran = np.zeros(len(program.rows), dtype=np.int64)
    places = np.zeros((batch, 2), dtype=np.int64)
    states = np.zeros((batch, program.max_length + 2), dtype=np.int64)
    sums, block, blocks = np.zeros((2, 3)), np.zeros(3), np.zeros(kernels.TALLIES)
    for place, state in zip(places, states, strict=True):
        kernels.begin(world.kind, place, state, world.firsts, world.lasts, world.easy, rng)
    at_once = max(1, AT_ONCE // batch)
    for start in range(0, n_steps, at_once):
        steps = min(at_once, n_steps - start)
        table, picks = world.prompts(steps * batch, rng)
        kernels.run_steps(
            steps, lockstep, block_steps, world.reference, world.kind, picks, program.depth,
            places, states, block, counts, ran, sums, blocks, rng, *world.tables(table),
        )  # fmt: skip
    kernels.close_block(block, blocks)
    return (counts, ran @ program.passes, sums[0]), blocks
