"""Simulation of a batch: several sequences run a cascade side by side, step by step."""

import math

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_choice, check_int
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.simulate.events import run_world
from cscalc.simulate.programs import check_pair, experiment_of
from cscalc.simulate.streams import Stream
from cscalc.simulate.tally import Tally
from cscalc.simulate.worlds import Abstain, World, options_of, world_of
from cscalc.stats import check_generator

MODES = ("lockstep", "ragged")


def simulate_batch(
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
    """Run a batch of sequences; in each step every one runs a cycle.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Of this batch size: costs and `verify` are those of a pass over the whole batch.
    batch : int
        Sequences, at least 1.
    n_steps : int
        Steps to run, at least 1.
    rng : numpy.random.Generator
        Source of all coins.
    mode : {"lockstep", "ragged"}
        "lockstep": all sequences keep as many tokens as the one that emits fewest, so that they
        stay equally long. "ragged": each keeps its own.
    rates, abstain
        As for `simulate`.

    Returns
    -------
    Tally
        Of ``batch * n_steps`` cycles, one of one sequence each, at the cost of its whole step:
        `ewif` is tokens of one sequence over target-pass time, `batch` times that the batch's.
        Standard errors are over steps, not cycles, which share what a step costs and, in
        lockstep, what it keeps.

    Raises
    ------
    TypeError, ValueError
        As for `simulate`, or if `batch` or `n_steps` is not positive or `mode` is unknown.

    Notes
    -----
    A step costs what its dearest sequence costs: passes are made together, and sequences that
    need fewer of them wait. Under `Mixture` and `BetaMixture` every cycle of every sequence is
    of a prompt of its own. Under `Markov` and `Trace` steps depend on one another; standard
    errors are then over about ``sqrt(n_steps)`` batches of equally many steps, and a sequence
    whose text ends begins another one.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> cascade, profile = Cascade((Draft(1, 2),)), Profile([0.5], [0.1])
    >>> one, four = (simulate_batch(cascade, profile, batch, 20_000, rng=np.random.default_rng(1))
    ...              for batch in (1, 4))
    >>> one.tokens_interval(0.999).holds(1.75), round(four.tokens_per_cycle, 1), four.cycles
    (True, 1.1, 80000)
    """
    check_generator(rng)
    check_int("batch", batch, least=1)
    check_int("n_steps", n_steps, least=1)
    check_choice("mode", mode, MODES)
    check_pair(cascade, profile)
    options = options_of(profile, abstain, batch=batch, mode=mode)
    experiment = experiment_of(cascade, profile, rates, **options)
    world = world_of(cascade, profile, rates, abstain)
    stream = Stream.of(rng, batch * n_steps)
    filled, blocks = run_world(
        world, n_steps, rng, batch=batch, lockstep=mode == "lockstep",
        block_steps=steps_a_block(world, n_steps),
    )  # fmt: skip
    return Tally.of(experiment, *filled, stream, blocks)


def steps_a_block(world: World, n_steps: int) -> int:
    """Steps whose sums count as one observation."""
    return math.isqrt(n_steps) if world.has_memory else 1
