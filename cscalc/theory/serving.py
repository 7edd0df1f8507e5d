"""Speed-up and goodput of speculative decoding in a batch: MoESD, MagicDec, SmartSpec."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import (
    Floats,
    as_floats,
    check_int,
    check_lengths,
    check_number,
    check_rates,
    check_shapes,
)
from cscalc.theory.speculative import expected_tokens_iid

PassTime = Callable[[float, int], float]  # (sequences, positions per sequence) -> time


def moesd_sigma(alpha: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Share of the longest possible cycle that is emitted, MoESD's sigma.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate in [0, 1].
    length : array_like
        Draft length, whole numbers >= 0.

    Returns
    -------
    ndarray, float64
        :math:`\sigma = (1 - \alpha^{\gamma+1}) / ((1 - \alpha)(\gamma + 1))`, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    Huang et al., "MoESD", NeurIPS 2025, arXiv:2505.19645, Eq. 5; tokens per cycle are
    :math:`S/R = \sigma (\gamma + 1)`, Eq. 4.

    Examples
    --------
    >>> float(moesd_sigma(0.8, 4).round(12))
    0.67232
    """
    check_shapes(alpha=alpha, length=length)
    return np.asarray(expected_tokens_iid(alpha, length) / (check_lengths("length", length) + 1.0))


def target_efficiency(target_time: npt.ArrayLike, verify_time: npt.ArrayLike) -> Floats:
    r"""Target efficiency :math:`T_T(B, 1) / T_T(B, \gamma)`: 1 when verification is free.

    Parameters
    ----------
    target_time : array_like
        The target's pass over one position per sequence, > 0.
    verify_time : array_like
        Its pass over the positions to verify, same unit and batch, > 0.

    Returns
    -------
    ndarray, float64
        Usually in (0, 1]. MoESD (arXiv:2505.19645).

    Raises
    ------
    ValueError
        If a time is not > 0.

    Examples
    --------
    >>> float(target_efficiency(10.0, 12.5))
    0.8
    """
    check_shapes(target_time=target_time, verify_time=verify_time)
    return np.asarray(_times("target_time", target_time) / _times("verify_time", verify_time))


def moesd_speedup(
    alpha: npt.ArrayLike,
    length: npt.ArrayLike,
    draft_time: npt.ArrayLike,
    target_time: npt.ArrayLike,
    verify_time: npt.ArrayLike,
    rejection_time: npt.ArrayLike = 0.0,
) -> Floats:
    r"""Speed-up of speculative decoding in a batch, from pass times.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate in [0, 1].
    length : array_like
        Draft length, whole numbers >= 0.
    draft_time : array_like
        The draft's pass over one position per sequence, :math:`T_D(B, 1)`, >= 0, any one unit.
    target_time : array_like
        The target's, :math:`T_T(B, 1)`, > 0.
    verify_time : array_like
        The target's pass over the draft, :math:`T_T(B, \gamma)`, > 0.
    rejection_time : array_like
        Rejection sampling per cycle, >= 0.

    Returns
    -------
    ndarray, float64
        Ratio to plain decoding of the same batch.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    MoESD (arXiv:2505.19645), Eq. 2 to 5:

    .. math:: \frac{\sigma (\gamma + 1)}{\gamma T_D(B,1)/T_T(B,1) + T_T(B,\gamma)/T_T(B,1)
              + T_{rej}/T_T(B,1)} .

    Examples
    --------
    >>> float(moesd_speedup(0.8, 4, 0.1, 1.0, 1.0).round(6))
    2.401143
    """
    check_shapes(
        alpha=alpha,
        length=length,
        draft_time=draft_time,
        target_time=target_time,
        verify_time=verify_time,
        rejection_time=rejection_time,
    )
    plain = _times("target_time", target_time)
    spent = (
        check_lengths("length", length) * _times("draft_time", draft_time, zero=True)
        + _times("verify_time", verify_time)
        + _times("rejection_time", rejection_time, zero=True)
    )
    return np.asarray(expected_tokens_iid(alpha, length) * plain / spent)


def magicdec_speedup(
    alpha: npt.ArrayLike,
    length: npt.ArrayLike,
    draft_time: npt.ArrayLike,
    verify_time: npt.ArrayLike,
    target_time: npt.ArrayLike,
) -> Floats:
    r"""Speed-up by MagicDec's formula, at one batch size and context length.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate in [0, 1].
    length : array_like
        Draft length, whole numbers >= 0.
    draft_time, verify_time, target_time : array_like
        :math:`T_D` (per draft token, >= 0), :math:`T_V(\gamma)` and :math:`T_T` (> 0), one unit.

    Returns
    -------
    ndarray, float64
        :math:`T_T / T_{SD}` with :math:`T_{SD} = (\gamma T_D + T_V(\gamma)) / \Omega` and
        :math:`\Omega = (1 - \alpha^{\gamma+1})/(1 - \alpha)`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    Chen et al., "MagicDec", arXiv:2408.11049. It is `moesd_speedup` without the
    rejection term.

    Examples
    --------
    >>> float(magicdec_speedup(0.8, 4, 0.1, 1.0, 1.0).round(6))
    2.401143
    """
    return moesd_speedup(alpha, length, draft_time, target_time, verify_time)


def goodput(alphas: npt.ArrayLike, lengths: npt.ArrayLike, batch_time: float) -> float:
    r"""Tokens emitted per unit of time by one cycle of a batch of requests.

    Parameters
    ----------
    alphas : array_like, shape (requests,)
        Acceptance rate of each request.
    lengths : array_like, shape (requests,)
        Draft length of each request, whole numbers >= 0; broadcasts with `alphas`.
    batch_time : float
        Time of the whole cycle, drafting and verification, > 0.

    Returns
    -------
    float
        :math:`\sum_i [(1 - \alpha_i^{k_i+1}) / (1 - \alpha_i)] / T_{batch}`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Notes
    -----
    Liu et al., "SmartSpec / TurboSpec", arXiv:2406.14066.

    Examples
    --------
    >>> goodput([0.5, 0.5], [1, 0], 2.0)
    1.25
    """
    check_shapes(alphas=alphas, lengths=lengths)
    time = check_number("batch_time", batch_time, 0.0)
    if not time > 0.0:
        raise ValueError(f"batch_time must be > 0, got {batch_time}")
    tokens = expected_tokens_iid(alphas, lengths)
    return float(np.sum(tokens) / time)


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """The best draft length at one batch size.

    Attributes
    ----------
    batch : float
        Sequences.
    length : int
        Draft length; 0: plain decoding is best.
    goodput : float
        Tokens per unit of time of the whole batch.
    speedup : float
        Predicted ratio to plain decoding at this batch size.

    Examples
    --------
    >>> step = lambda sequences, positions: max(1.0, sequences * positions / 100)
    >>> small = lambda sequences, positions: 0.1 * step(sequences, positions)
    >>> (choice,) = best_lengths(0.8, [32], target_time=step, draft_time=small)
    >>> choice.length
    2
    """

    batch: float
    length: int
    goodput: float
    speedup: float


def best_lengths(
    alpha: float,
    batches: npt.ArrayLike,
    *,
    target_time: PassTime,
    draft_time: PassTime,
    max_length: int = 16,
    overhead: float = 0.0,
) -> tuple[BatchChoice, ...]:
    """The draft length with the largest goodput, for every batch size.

    Parameters
    ----------
    alpha : float
        Acceptance rate, the same for all requests.
    batches : array_like, shape (sizes,)
        Batch sizes, sequences, each > 0.
    target_time, draft_time : callable
        (sequences, positions per sequence) -> time of one pass. The target takes length + 1
        positions; the draft makes one pass of one position per token.
    max_length : int
        Longest draft tried, >= 0.
    overhead : float
        Further time of a speculative cycle (sampling, scheduling), >= 0.

    Returns
    -------
    tuple of BatchChoice
        In the order of `batches`; ties go to the shorter draft.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or a pass takes no time.

    Notes
    -----
    SmartSpec (arXiv:2406.14066): choose the length by argmax of goodput, 0 allowed.

    Examples
    --------
    >>> step = lambda sequences, positions: max(1.0, sequences * positions / 100)
    >>> small = lambda sequences, positions: 0.1 * step(sequences, positions)
    >>> [c.length for c in best_lengths(0.8, [1, 32, 128], target_time=step, draft_time=small)]
    [6, 2, 0]
    """
    check_rates("alpha", check_number("alpha", alpha, 0.0, 1.0))
    check_int("max_length", max_length, least=0)
    extra = check_number("overhead", overhead, 0.0)
    choices = []
    for batch in _times("batches", batches).ravel():
        rates = []
        for length in range(max_length + 1):
            time = float(target_time(float(batch), length + 1))
            if length:
                time += length * float(draft_time(float(batch), 1)) + extra
            if not (np.isfinite(time) and time > 0.0):
                raise ValueError(f"a cycle of batch {batch:g} must take time > 0, got {time}")
            rates.append(float(batch) * float(expected_tokens_iid(alpha, length)) / time)
        best = max(range(max_length + 1), key=lambda k: (rates[k], -k))
        choices.append(BatchChoice(float(batch), best, rates[best], rates[best] / rates[0]))
    return tuple(choices)


def _times(name: str, values: npt.ArrayLike, *, zero: bool = False) -> Floats:
    times = as_floats(name, values)
    good = np.isfinite(times) & ((times >= 0.0) if zero else (times > 0.0))
    if not np.all(good):
        bound = ">= 0" if zero else "> 0"
        raise ValueError(f"{name} must be finite and {bound}, got {times[~good].flat[0]:g}")
    return times
