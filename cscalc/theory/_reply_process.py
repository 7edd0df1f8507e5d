"""Cycles that follow each other: what one may do from each place and state, and replies of them.

Slow twins: tests enumerate every branch of short replies.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.acceptance import Acceptance, Independent, Markov, Trace, rate_table
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.theory._joint_law import NOISE, split
from cscalc.theory._law_markov import markov_moves
from cscalc.theory._law_program import program_of, reach_of, tables_of

Ints = npt.NDArray[np.int64]
SIGMAS = 15.0
NEGLIGIBLE = 1e-12


class Outcomes(NamedTuple):
    """What a cycle may do, row by row; see `reply_pmf`."""

    first: Ints
    tokens: Ints
    steps: Ints
    after: Ints
    chances: Floats


class Process(NamedTuple):
    """laws : (places, S, most + 2, S), costs : (places, S), start : (S,)."""

    laws: Floats
    costs: Floats
    start: Floats

    def outcomes(self, step: float | None = None) -> Outcomes:
        """Each cycle takes one step, or its expected cost, split between neighbouring steps."""
        place, before, tokens, after = np.nonzero(self.laws)
        chances = self.laws[place, before, tokens, after]
        steps = np.ones(tokens.size, dtype=np.int64)
        if step is not None:
            pairs = np.array([split(cost, step) for cost in self.costs.ravel()])
            whole, part = pairs.T[:, place * self.start.size + before]
            steps = np.stack([whole, whole + 1], axis=1).astype(np.int64).ravel()
            chances = np.stack([chances * (1.0 - part), chances * part], axis=1).ravel()
            place, before, tokens, after = (
                np.repeat(x, 2) for x in (place, before, tokens, after)
            )
        rows = place * self.start.size + before
        first = np.searchsorted(rows, np.arange(self.costs.size + 1))
        return Outcomes(first, tokens, steps, after, chances)


def time_pmf(joint: Floats, n_tokens: int, size: int) -> Floats:
    """P(the cycles of a reply take g steps), shape (size,), by Fourier transform.

    The transform is periodic, so its length must hold all but a negligible share of the law:
    the mean and `SIGMAS`, or more if anything is seen near the end.
    """
    from cscalc.theory._reply_kernel import reply_spectrum

    mean, sigma = _moments(joint, n_tokens)
    period = min(size, int(mean + SIGMAS * sigma) + joint.shape[1])
    while True:
        spectrum = np.fft.rfft(joint, n=max(period, joint.shape[1]), axis=1)
        found = reply_spectrum(np.ascontiguousarray(spectrum.T), n_tokens)
        pmf = np.fft.irfft(found, n=max(period, joint.shape[1]))[:size]
        if period == size or pmf[-(period // 20) :].sum() < NEGLIGIBLE:
            break
        period = min(size, 2 * period)
    return np.pad(np.where(pmf > NOISE, pmf, 0.0), (0, size - pmf.size))


def _moments(joint: Floats, n_tokens: int) -> tuple[float, float]:
    """Mean and standard deviation of the steps of a reply."""
    steps = np.arange(joint.shape[1])
    chance, once, twice = joint.sum(axis=1), joint @ steps, joint @ steps**2  # (most + 2,)
    mean, square = np.zeros(n_tokens + 1), np.zeros(n_tokens + 1)
    for n in range(1, n_tokens + 1):
        left = np.maximum(n - np.arange(joint.shape[0]), 0)  # tokens after the first cycle
        left[0] = 0
        mean[n] = once.sum() + chance @ mean[left]
        square[n] = twice.sum() + 2.0 * once @ mean[left] + chance @ square[left]
    variance = float(square[-1] - mean[-1] ** 2)
    return float(mean[-1]), max(0.0, variance) ** 0.5


def run(process: Process, outcomes: Outcomes, n_tokens: int, size: int) -> Floats:
    from cscalc.theory._reply_kernel import reply_pmf

    places = process.laws.shape[0]
    return reply_pmf(*outcomes, process.start, places, n_tokens, size)


def mean_times(process: Process, n_tokens: int) -> Floats:
    places, n_states, most, _ = process.laws.shape
    starts = np.zeros((n_tokens + most, n_states))  # P(a cycle starts after t tokens, state)
    starts[0] = process.start
    spent = np.zeros(n_tokens)
    for t in range(n_tokens):
        place = t if places > 1 else 0
        spent[t] = starts[t] @ process.costs[place]
        starts[t + 1 : t + most] += np.einsum("a,amb->mb", starts[t], process.laws[place])[1:]
    return np.cumsum(spent)


def at_alphas(
    cascade: Cascade, profile: Profile, alphas: Floats, model: Acceptance | None = None
) -> tuple[Process, Floats]:
    """Cycles that are alike and independent, and their table of rates."""
    from cscalc.theory import _law_kernel

    program = program_of(cascade)
    tables = tables_of(profile, reach_of(profile, cascade, program[2]))
    rates = rate_table(alphas, Independent() if model is None else model)
    pmf, _, costs = _law_kernel.cycle(*program, rates, *tables[1:])
    return Process(pmf[None, None, :, None], np.full((1, 1), costs.sum()), np.ones(1)), rates


def markov_process(cascade: Cascade, profile: Profile, model: Markov) -> Process:
    found = markov_moves(cascade, profile, model)
    laws = np.ascontiguousarray(found.tokens.transpose(1, 0, 2))[None]
    return Process(laws, found.costs.sum(axis=1)[None], model.stationary)


def text_processes(
    cascade: Cascade, profile: Profile, model: Trace, n_tokens: int
) -> list[Process]:
    from cscalc.theory._law_trace import text_laws

    if n_tokens > min(model.lengths):
        raise ValueError(
            f"n_tokens must be <= {min(model.lengths)}, the length of the shortest text of the "
            f"Trace, got {n_tokens}"
        )
    program = program_of(cascade)
    _, costs, curves = tables_of(profile, reach_of(profile, cascade, program[2]))
    found = []
    for text in range(len(model.lengths)):
        overlaps = model.overlaps(text, profile.alphas)
        laws, _, spent = text_laws(*program, overlaps, costs, curves)
        found.append(Process(laws[:, None, :, None], spent.sum(axis=1)[:, None], np.ones(1)))
    return found
