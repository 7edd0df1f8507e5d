"""Parallel and trained variants: lookahead, DSI, OSD, MBSU.

Sources: Fu et al., "Break the Sequential Dependency of LLM Inference Using Lookahead Decoding",
ICML 2024, arXiv:2402.02057; Timor et al., "Distributed Speculative Inference", ICLR 2025,
arXiv:2405.14105; Liu et al., "Online Speculative Decoding", ICML 2024, arXiv:2310.07177; Zhou et
al., "DistillSpec", ICLR 2024, arXiv:2310.08461.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import (
    Floats,
    as_floats,
    check_costs,
    check_int,
    check_lengths,
    check_number,
    check_rates,
    check_shapes,
)
from cscalc.theory.series import geometric_slope, geometric_sum, unwrap

_NEGLIGIBLE = 1e-18  # a block reached so rarely no longer changes a float64 sum


def lookahead_tokens(
    alpha: npt.ArrayLike, length: npt.ArrayLike, guesses: npt.ArrayLike
) -> Floats:
    r"""Expected tokens of one pass that verifies several guesses in parallel (lookahead).

    Parameters
    ----------
    alpha : array_like
        Acceptance rate of a guess's tokens, in [0, 1], independent between guesses.
    length : array_like of int
        Tokens of each guess, >= 0 (the n-gram size less one).
    guesses : array_like of int
        Guesses verified per pass, >= 1.

    Returns
    -------
    float or ndarray
        :math:`E = (\gamma + 1) - \sum_{i=1}^{\gamma} (1 - \alpha^i)^b`, arXiv:2402.02057,
        section 4; `expected_tokens_iid` at one guess.

    Raises
    ------
    ValueError
        If a rate or count is out of its range.

    Examples
    --------
    >>> round(float(lookahead_tokens(0.6, 4, 3)), 6)
    3.532554
    """
    check_shapes(alpha=alpha, length=length, guesses=guesses)
    alphas, lengths, tries = np.broadcast_arrays(
        check_rates("alpha", alpha),
        check_lengths("length", length),
        check_lengths("guesses", guesses, least=1),
    )
    total = np.ones(alphas.shape)
    for position in range(1, int(lengths.max(initial=0)) + 1):
        one = alphas**position  # P(one guess is right up to here)
        some = np.where(one < 1.0, -np.expm1(tries * np.log1p(-np.where(one < 1.0, one, 0.5))), 1)
        total = total + np.where(position <= lengths, some, 0.0)
    return unwrap(total)


def lookahead_compression(
    alpha: npt.ArrayLike, length: npt.ArrayLike, guesses: npt.ArrayLike, period: npt.ArrayLike
) -> Floats:
    r"""Tokens per decoding pass of lookahead decoding.

    Parameters
    ----------
    alpha, length, guesses
        As in `lookahead_tokens`; the paper sets guesses = window and length = n-gram size - 1.
    period : array_like
        Passes per one that has good guesses, >= 1 (the paper's f; it fits alpha .425, f 3.106).

    Returns
    -------
    float or ndarray
        :math:`S = (f - 1 + E) / f`, >= 1.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> round(float(lookahead_compression(0.425, 4, 15, 3.106)), 3)
    1.979
    """
    check_shapes(alpha=alpha, length=length, guesses=guesses, period=period)
    periods = check_costs("period", period)
    if not np.all(periods >= 1.0):
        raise ValueError(
            f"period must be >= 1, got {np.min(periods):g}: one pass in `period` hits"
        )
    return unwrap((periods - 1.0 + lookahead_tokens(alpha, length, guesses)) / periods)


def dsi_servers(cost: npt.ArrayLike, length: npt.ArrayLike) -> int | npt.NDArray[np.int64]:
    r"""Target servers that distributed speculative inference needs.

    Parameters
    ----------
    cost : array_like
        Time of one draft pass, in target passes, > 0.
    length : array_like of int
        Tokens drafted per verification, >= 1 (the paper's lookahead).

    Returns
    -------
    int or ndarray of int64
        :math:`\lceil t_{target} / (k\, t_{draft}) \rceil`, arXiv:2405.14105, so that no block
        waits for a server. A ratio within 1e-12 (relative) of a whole number is that number.

    Raises
    ------
    ValueError
        If a cost or length is out of its range.

    Examples
    --------
    >>> dsi_servers(0.1, 3)
    4
    """
    check_shapes(cost=cost, length=length)
    costs, lengths = check_costs("cost", cost), check_lengths("length", length, least=1)
    if not np.all(costs > 0.0):
        raise ValueError("cost must be > 0, got 0: a free draft needs endlessly many servers")
    servers = np.ceil((1.0 - 1e-12) / (lengths * costs)).astype(np.int64)
    return int(servers) if servers.ndim == 0 else servers


def dsi_time_per_token(alpha: npt.ArrayLike, cost: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Time per token of distributed speculative inference on a long reply, in target passes.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    cost : array_like
        Time of one draft pass, in target passes, >= 0.
    length : array_like of int
        Tokens drafted per verification, >= 1.

    Returns
    -------
    float or ndarray
        In [0, 1]; plain decoding takes 1.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range.

    See Also
    --------
    dsi_time : the same for a reply of given length, exactly.

    Notes
    -----
    The model of the authors' offline simulator (arXiv:2405.14105): the draft never waits; each
    block of k tokens takes :math:`k c`; a rejection, after N tokens in all, takes one target
    pass; and the run since the last rejection takes no more than N target passes, as plain
    decoding is running beside it. Runs are independent, so the time per token is
    :math:`E[\min(1 + k c \lceil N/k \rceil, N)] / E[N]` with N geometric. Per block b, the
    saving :math:`(1 + k c b - N)_+` has a closed form; blocks with
    :math:`b \ge 1 / (1 - c)` save nothing.

    Examples
    --------
    >>> round(float(dsi_time_per_token(0.8, 0.1, 1)), 4)
    0.296
    """
    check_shapes(alpha=alpha, cost=cost, length=length)
    rates, costs, lengths = np.broadcast_arrays(
        check_rates("alpha", alpha),
        check_costs("cost", cost),
        check_lengths("length", length, least=1),
    )
    gap = 1.0 - rates
    fast = np.minimum(costs, 1.0)  # a draft as slow as the target leaves plain decoding
    time = gap + fast * lengths / geometric_sum(rates, lengths)  # before the saving
    step = lengths * fast
    saving = np.zeros(rates.shape)
    block = 1.0
    while True:
        before = (block - 1.0) * lengths
        reach = rates**before
        active = (block * (1.0 - fast) < 1.0) & (gap > 0.0) & (reach > _NEGLIGIBLE) & (fast < 1.0)
        if not active.any():
            break
        ahead = 1.0 + block * step - before  # plain decoding wins while N - before < ahead
        count = np.clip(np.ceil(ahead) - 1.0, 0.0, lengths)
        won = ahead * geometric_sum(rates, count) - geometric_slope(rates, count)
        saving = saving + np.where(active, reach * won, 0.0)
        block += 1.0
    return unwrap(np.where(fast < 1.0, time - gap**2 * saving, 1.0))


def dsi_time(alpha: float, cost: float, length: int, tokens: int) -> float:
    r"""Expected time of a reply of `tokens` tokens under distributed speculative inference.

    Parameters
    ----------
    alpha : float
        Acceptance rate, in [0, 1].
    cost : float
        Time of one draft pass, in target passes, >= 0.
    length : int
        Tokens drafted per verification, >= 1.
    tokens : int
        Tokens of the reply, >= 0.

    Returns
    -------
    float
        In target passes; the model of `dsi_time_per_token`, with the last token always the
        target's own and the last block cut short, as in the authors' simulator.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> round(dsi_time(0.8, 0.1, 1, 1000), 1)
    296.7
    """
    rate, price = check_number("alpha", alpha, 0.0, 1.0), float(check_costs("cost", cost))
    size, total = check_int("length", length, least=1), check_int("tokens", tokens, least=0)
    ends = np.arange(1.0, total + 1.0)  # a run that ends with token 1, 2, ..., its rejection
    stop = rate ** (ends - 1.0)  # P(run reaches this token)
    blocks = size * np.ceil(ends / size)
    expected = np.zeros(total + 1)  # expected[left] = time of the last `left` tokens
    for left in range(1, total + 1):
        law = stop[:left] * (1.0 - rate)
        law[-1] = stop[left - 1]
        drafted = np.minimum(blocks[:left], left - 1.0)
        time = np.minimum(1.0 + price * drafted, ends[:left])
        expected[left] = law @ (time + expected[left - 1 :: -1])
    return float(expected[total])


def osd_relative_gain(
    alpha_before: npt.ArrayLike, alpha_after: npt.ArrayLike, length: npt.ArrayLike
) -> Floats:
    r"""Gain from a draft whose acceptance rate has risen, at equal cost (OSD).

    Parameters
    ----------
    alpha_before, alpha_after : array_like
        Acceptance rate before and after training, in [0, 1].
    length : array_like of int
        Draft length >= 0, in tokens.

    Returns
    -------
    float or ndarray
        :math:`\frac{1 + \alpha_2 + \dots + \alpha_2^k}{1 + \alpha_1 + \dots + \alpha_1^k}`,
        arXiv:2310.07177.

    Raises
    ------
    ValueError
        If a rate or length is out of its range.

    Examples
    --------
    >>> round(float(osd_relative_gain(0.5, 0.8, 5)), 3)
    1.874
    """
    check_shapes(alpha_before=alpha_before, alpha_after=alpha_after, length=length)
    terms = check_lengths("length", length) + 1.0
    before = geometric_sum(check_rates("alpha_before", alpha_before), terms)
    return unwrap(geometric_sum(check_rates("alpha_after", alpha_after), terms) / before)


def memory_bound_speedup(
    tokens_per_cycle: npt.ArrayLike, size_ratio: npt.ArrayLike, length: npt.ArrayLike
) -> Floats:
    r"""Memory-bound speed-up (MBSU) of DistillSpec: passes cost their model's size.

    Parameters
    ----------
    tokens_per_cycle : array_like
        Mean tokens emitted per cycle, >= 1 (the paper's block efficiency tau).
    size_ratio : array_like
        Size of the target over that of the draft, > 0 (C).
    length : array_like of int
        Draft length >= 0, in tokens.

    Returns
    -------
    float or ndarray
        :math:`\frac{C \tau}{C + \gamma} = \tau / (1 + \gamma / C)`, arXiv:2310.08461.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(memory_bound_speedup(3.0, 10.0, 5))
    2.0
    """
    check_shapes(tokens_per_cycle=tokens_per_cycle, size_ratio=size_ratio, length=length)
    emitted, ratio = (
        as_floats("tokens_per_cycle", tokens_per_cycle),
        check_costs("size_ratio", size_ratio),
    )
    if not np.all(np.isfinite(emitted) & (emitted >= 1.0)):
        raise ValueError(
            f"tokens_per_cycle must be finite and >= 1, got {tokens_per_cycle!r}: "
            "each cycle emits the target's own token"
        )
    if not np.all(ratio > 0.0):
        raise ValueError(f"size_ratio must be > 0, got {np.min(ratio):g}: give target / draft")
    return unwrap(emitted * ratio / (ratio + check_lengths("length", length)))
