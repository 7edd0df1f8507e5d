"""Whole replies: cycles and time until N tokens are out, as a renewal process of cycles.

Times are in target passes and count drafting and verification, not the prompt's own pass.
"""

from dataclasses import dataclass

import numpy as np

from cscalc._checks import Floats, check_int, check_number
from cscalc._fit import check_fit
from cscalc.acceptance import BetaMixture, Markov, Mixture, Trace
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.theory._joint_law import fixed_cost, joint_law, lattice, most_steps
from cscalc.theory._law_mixture import average
from cscalc.theory._law_program import program_of, reach_of, tables_of
from cscalc.theory._reply_process import (
    Process,
    at_alphas,
    markov_process,
    mean_times,
    run,
    text_processes,
    time_pmf,
)
from cscalc.theory.law import cycle_law

PROMPTS = 1e-8  # two quadratures over the prompts of a beta mixture agree so well


@dataclass(frozen=True, slots=True, eq=False)
class ReplyLaw:
    """Cycles and time until a reply of `n_tokens` is out.

    The last cycle may emit more than is asked for; its whole cost counts.

    Attributes
    ----------
    n_tokens : int
        Tokens of the reply.
    cycles : ndarray, shape (n_tokens + 1,)
        ``cycles[i]`` is the probability that the reply takes i cycles. Exact.
    times : ndarray, shape (k,)
        Times that the reply may take, in target passes, increasing.
    time_pmf : ndarray, shape (k,)
        Their probabilities. The mean is exact.
    exact : bool
        Whether `time_pmf` is exact, or rounded as `reply_law` tells.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> law = reply_law(Cascade((Draft(1, 2),)), Profile([0.5], [0.1]), 2)
    >>> round(law.mean, 12), law.quantile(0.95)
    (1.8, 2.4)
    """

    n_tokens: int
    cycles: Floats
    times: Floats
    time_pmf: Floats
    exact: bool

    @property
    def mean_cycles(self) -> float:
        """Expected cycles."""
        return float(self.cycles @ np.arange(self.cycles.size))

    @property
    def mean(self) -> float:
        """Expected time, in target passes."""
        return float(self.time_pmf @ self.times)

    @property
    def variance(self) -> float:
        """Variance of the time, in target passes squared."""
        return float(self.time_pmf @ (self.times - self.mean) ** 2)

    def quantile(self, level: float) -> float:
        """Smallest time that suffices with probability `level`, in target passes."""
        return float(self.times[_quantile(self.time_pmf, level)])

    def cycles_quantile(self, level: float) -> int:
        """Smallest number of cycles that suffices with probability `level`."""
        return _quantile(self.cycles, level)

    def tokens_per_second(self, target_seconds: float) -> float:
        """Tokens over expected time, from the time of one target pass in seconds, > 0."""
        check_number("target_seconds", target_seconds, least=0.0)
        if target_seconds == 0.0:
            raise ValueError("target_seconds must be > 0, got 0: give the time of one target pass")
        return self.n_tokens / (self.mean * target_seconds)


def reply_law(cascade: Cascade, profile: Profile, n_tokens: int) -> ReplyLaw:
    r"""Law of the cycles and of the time that a reply of `n_tokens` takes.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates, costs and acceptance model of its models.
    n_tokens : int
        Tokens of the reply, >= 1. Small numbers give the time to the first tokens.

    Returns
    -------
    ReplyLaw
        Probabilities of the number of cycles and of the time.

    Raises
    ------
    ValueError
        If `n_tokens` is below 1 or beyond the shortest text of a `Trace`, or the profile does
        not fit the cascade.

    Notes
    -----
    Cycles are independent given the prompt, so tokens are a renewal process: with
    :math:`f_N(i)` the probability that N tokens take i cycles and p the law of a cycle,
    :math:`f_N(i) = \sum_m p_m f_{N-m}(i - 1)`. A prompt of a mixture keeps its alphas to the
    end of its reply. Under `Markov` difficulty goes on from cycle to cycle, and starts as at
    a random token. Under `Trace` the reply is the first `n_tokens` of a text picked at random.

    The time adds up the costs of cycles. Where all cycles cost the same, which needs no until-rule
    or verification curve over drafts of random length, it is exact. Otherwise tokens and cost
    of a cycle are dependent, and their joint law is used, on a lattice of costs: exact if all
    passes cost multiples of one unit not below 1/256 of a cycle, else each cost is split
    between its two neighbours on a lattice of 1/128 cycle so that its mean is kept (each adds
    less than (1/256 cycle)^2 to the variance). Under `BetaMixture` the lattice is one of 1/16
    cycle, as prompts differ far more, and a reply of hundreds of tokens takes seconds. Under
    `Markov` and `Trace`, cycles of unequal cost are taken to cost their mean given where they
    start. In all cases the mean is exact.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> law = reply_law(Cascade((Draft(1, 2),)), Profile([0.5], [0.1]), 2)
    >>> law.cycles.tolist(), round(law.mean, 12), law.quantile(0.95)
    ([0.0, 0.5, 0.5], 1.8, 2.4)
    """
    check_int("n_tokens", n_tokens, least=1)
    check_fit(cascade, profile)
    fixed = fixed_cost(cascade, profile)
    step, exact = (fixed, True) if fixed is not None else (0.0, False)
    if fixed is None:
        step, exact = lattice(cascade, profile, cycle_law(cascade, profile).cost)
        exact = exact and not isinstance(profile.acceptance, Markov | Trace)
    size = 1
    if fixed is None:
        size = n_tokens * most_steps(0, cascade.drafts, profile, step) + 1

    def laws(process: Process, rates: Floats | None) -> Floats:
        """Law of the cycles, followed by that of the time unless it is fixed."""
        parts = [run(process, process.outcomes(), n_tokens, n_tokens + 1)]
        if fixed is None and rates is not None:
            joint = joint_law(cascade, profile, rates, step)
            parts.append(time_pmf(joint, n_tokens, size))
        elif fixed is None:
            parts.append(run(process, process.outcomes(step), n_tokens, size))
        return np.concatenate(parts)

    model = profile.acceptance
    joined: Floats
    if isinstance(model, Mixture | BetaMixture):
        joined = average(
            lambda alphas: laws(*at_alphas(cascade, profile, alphas)),
            cascade,
            profile,
            PROMPTS,
        )
    elif isinstance(model, Trace):
        runs = [laws(one, None) for one in text_processes(cascade, profile, model, n_tokens)]
        joined = np.asarray(np.mean(runs, axis=0))
    elif isinstance(model, Markov):
        joined = laws(markov_process(cascade, profile, model), None)
    else:
        joined = laws(*at_alphas(cascade, profile, profile.alphas, model))
    cycles, time = joined[: n_tokens + 1], joined[n_tokens + 1 :] if fixed is None else joined
    used = np.flatnonzero(time)
    times = np.asarray(used * step, dtype=np.float64)
    return ReplyLaw(n_tokens, cycles, times, time[used], exact)


def reply_quantile(cascade: Cascade, profile: Profile, n_tokens: int, level: float) -> float:
    """Time that suffices for `n_tokens` with probability `level`, in target passes.

    Parameters
    ----------
    cascade, profile, n_tokens
        As for `reply_law`.
    level : float
        In [0, 1]; 0.95 asks for the 95th percentile.

    Returns
    -------
    float
        Time of the quantile, accurate as `reply_law` tells.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> reply_quantile(Cascade((Draft(1, 5),)), Profile([0.8], [0.1]), 100, 0.95)
    48.0
    """
    return reply_law(cascade, profile, n_tokens).quantile(level)


def mean_reply_times(cascade: Cascade, profile: Profile, n_tokens: int) -> Floats:
    r"""Expected time to the first 1, 2, ..., `n_tokens` tokens, in target passes.

    Parameters
    ----------
    cascade, profile, n_tokens
        As for `reply_law`.

    Returns
    -------
    ndarray, shape (n_tokens,)
        Exact under every acceptance model: the first k tokens take the cycles that start
        after fewer than k, and cost :math:`\sum_{t<k} P(\text{a cycle starts after } t)` times
        the expected cost of a cycle from there.

    Raises
    ------
    ValueError
        As for `reply_law`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> mean_reply_times(Cascade((Draft(1, 2),)), Profile([0.5], [0.1]), 3).round(12).tolist()
    [1.2, 1.8, 2.4]
    """
    check_int("n_tokens", n_tokens, least=1)
    check_fit(cascade, profile)
    model = profile.acceptance
    if isinstance(model, Mixture | BetaMixture):
        return average(
            lambda alphas: mean_times(at_alphas(cascade, profile, alphas)[0], n_tokens),
            cascade,
            profile,
        )
    if isinstance(model, Trace):
        texts = text_processes(cascade, profile, model, n_tokens)
        return np.asarray(np.mean([mean_times(text, n_tokens) for text in texts], axis=0))
    if isinstance(model, Markov):
        return mean_times(markov_process(cascade, profile, model), n_tokens)
    return mean_times(at_alphas(cascade, profile, profile.alphas, model)[0], n_tokens)


def trace_cycles(cascade: Cascade, profile: Profile) -> Floats:
    """Expected cycles to produce each text of the profile's `Trace`.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        With `Trace` acceptance.

    Returns
    -------
    ndarray, shape (n_texts,)
        Cycles, in the order of the texts.

    Raises
    ------
    ValueError
        If the profile's acceptance model is not a `Trace`.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> profile = Profile([0.7], [0.1], acceptance=Trace([{(0, 1): [1.0, 0.0, 0.5, 0.5]}]))
    >>> trace_cycles(Cascade((Draft(1, 1),)), profile).tolist()
    [2.5]
    """
    from cscalc.theory._law_trace import trace_law

    model = profile.acceptance
    if not isinstance(model, Trace):
        raise ValueError(
            f"acceptance must be a Trace, got kind {model.kind!r}: make "
            f"Profile(..., acceptance=Trace(texts))"
        )
    check_fit(cascade, profile)
    program = program_of(cascade)
    tables = tables_of(profile, reach_of(profile, cascade, program[2]))
    return trace_law(cascade, profile, model, program, tables)[3]


def _quantile(pmf: Floats, level: float) -> int:
    check_number("level", level, least=0.0, most=1.0)
    used = np.flatnonzero(pmf)
    reached = np.cumsum(pmf[used])
    found = int(np.searchsorted(reached, level - 1e-12, side="left"))
    return int(used[min(found, used.size - 1)])  # level 1: the sum may round below 1
