"""Horizontal cascades: closed forms of CS Drafting and CAS-Spec, and their gradient.

Sources: Chen et al., "Cascade Speculative Drafting for Even Faster LLM Inference", NeurIPS 2024,
arXiv:2312.11462 (Theorem 4.5, Corollary 4.6); Ning et al., "CAS-Spec", NeurIPS 2025,
arXiv:2510.26843 (Eq. 2). Segments follow each other in what the target verifies; acceptance is
independent; costs are in target passes.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_costs, check_lengths, check_rates, check_shapes
from cscalc.theory.series import geometric_slope, geometric_sum, unwrap


def horizontal_tokens(alphas: npt.ArrayLike, lengths: npt.ArrayLike) -> Floats:
    r"""Expected tokens per cycle of a horizontal cascade, the numerator of Theorem 4.5.

    Parameters
    ----------
    alphas : array_like, shape (..., segments)
        Acceptance rate of each segment's tokens by the target, in [0, 1], in drafting order.
    lengths : array_like of int, shape (..., segments)
        Tokens of each segment, >= 0. All ones gives the theorem's form, one rate per token.

    Returns
    -------
    float or ndarray, shape (...)
        :math:`\sum_{i=0}^{k} \prod_{j \le i} \alpha_j`, over all tokens of all segments.

    Raises
    ------
    ValueError
        If a rate or length is out of its range, or there is no axis of segments.

    Examples
    --------
    >>> round(float(horizontal_tokens([0.9, 0.7, 0.4], [2, 2, 1])), 5)
    3.83266
    """
    rates, counts = _segments_first(alphas, lengths)
    parts = _reach(rates**counts) * rates * geometric_sum(rates, counts)  # (segments, ...)
    return unwrap(1.0 + parts.sum(axis=0))


def horizontal_ewif(
    alphas: npt.ArrayLike,
    costs: npt.ArrayLike,
    lengths: npt.ArrayLike,
    *,
    one_shot: bool | npt.ArrayLike = False,
) -> Floats:
    r"""EWIF of a horizontal cascade, Theorem 4.5 and Eq. 2 of CAS-Spec.

    Parameters
    ----------
    alphas : array_like, shape (..., segments)
        Acceptance rate of each segment's tokens by the target, in [0, 1], in drafting order.
    costs : array_like, shape (..., segments)
        Time of one pass of each segment's draft, in target passes, >= 0.
    lengths : array_like of int, shape (..., segments)
        Tokens of each segment, >= 0; all ones gives the per-token form of Theorem 4.5.
    one_shot : bool or array_like of bool, shape (..., segments)
        Whether the segment's draft proposes all its tokens in one pass.

    Returns
    -------
    float or ndarray, shape (...)
        With two segments (CAS-Spec, Ning et al., NeurIPS 2025, arXiv:2510.26843, Eq. 2)
        :math:`\Bigl[\frac{1 - \alpha_1^{k_1+1}}{1 - \alpha_1} + \alpha_1^{k_1} \alpha_2
        \frac{1 - \alpha_2^{k_2}}{1 - \alpha_2}\Bigr] / (1 + k_1 c_1 + k_2 c_2)`.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range, or there is no axis of segments.

    Examples
    --------
    >>> round(float(horizontal_ewif([0.9, 0.8], [0.4, 0.3], [2, 2])), 6)
    1.615167
    """
    tokens = horizontal_tokens(alphas, lengths)
    check_shapes(alphas=alphas, costs=costs, lengths=lengths)
    return unwrap(tokens / _horizontal_cost(costs, lengths, one_shot))


def horizontal_gradient(
    alphas: npt.ArrayLike,
    costs: npt.ArrayLike,
    lengths: npt.ArrayLike,
    *,
    one_shot: bool | npt.ArrayLike = False,
) -> Floats:
    r"""Gradient of `horizontal_ewif` by each segment's acceptance rate, Corollary 4.6.

    Parameters
    ----------
    alphas, costs, lengths, one_shot
        As in `horizontal_ewif`.

    Returns
    -------
    ndarray, shape (..., segments)
        With all lengths 1: :math:`\partial T / \partial \alpha_l =
        \sum_{i \ge l} \prod_{j \le i, j \ne l} \alpha_j / (1 + \sum_i c_i)`. A longer segment
        sums this over its tokens, which share the rate.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range, or there is no axis of segments.

    Examples
    --------
    >>> horizontal_gradient([0.9, 0.8, 0.6], [0.1, 0.1, 0.05], [1, 1, 1]).round(3)
    array([1.824, 1.152, 0.576])
    """
    rates, counts = _segments_first(alphas, lengths)
    inner = rates * geometric_sum(rates, counts)
    powers = rates**counts
    rest = np.zeros(rates.shape[1:])  # tokens expected after segment s once all of it is accepted
    follow = np.empty(rates.shape)
    for s in reversed(range(len(rates))):
        follow[s] = rest
        rest = inner[s] + powers[s] * rest
    last = counts * rates ** np.maximum(counts - 1.0, 0.0)  # slope of rates**counts
    slope = _reach(powers) * (geometric_slope(rates, counts) + last * follow)
    cost = _horizontal_cost(costs, lengths, one_shot)
    return np.moveaxis(np.asarray(slope / cost), 0, -1)


def _segments_first(alphas: npt.ArrayLike, lengths: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both arrays broadcast, with the segments' axis in front: sums over it run fast."""
    rates, counts = check_rates("alphas", alphas), check_lengths("lengths", lengths)
    for name, values in (("alphas", rates), ("lengths", counts)):
        if values.ndim == 0:
            raise ValueError(f"{name} needs an axis of segments, got {values:g}: give a list")
    _same_segments(alphas=rates, lengths=counts)
    check_shapes(alphas=rates, lengths=counts)
    rates, counts = np.broadcast_arrays(rates, counts)
    return _front(rates), _front(counts)


def _same_segments(**arrays: Floats) -> None:
    sizes = {name: values.shape[-1] for name, values in arrays.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ValueError(f"one entry per segment is needed, got {told}: give equally many")


def _front(values: Floats) -> Floats:
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _reach(powers: Floats) -> Floats:
    """P(every token before segment s is accepted) from P(all of each is), (segments, ...)."""
    reach = np.ones(powers.shape)
    np.cumprod(powers[:-1], axis=0, out=reach[1:])
    return reach


def _horizontal_cost(
    costs: npt.ArrayLike, lengths: npt.ArrayLike, one_shot: bool | npt.ArrayLike
) -> Floats:
    """Time of one cycle, the target's pass included, shape (...)."""
    prices, counts = check_costs("costs", costs), check_lengths("lengths", lengths)
    if prices.ndim == 0:
        raise ValueError(f"costs needs an axis of segments, got {prices:g}: give a list")
    _same_segments(costs=prices, lengths=counts)
    check_shapes(costs=prices, lengths=counts, one_shot=one_shot)
    single = as_floats("one_shot", one_shot) != 0.0
    passes = np.where(single, np.minimum(counts, 1.0), counts) if single.any() else counts
    parts = _front(np.asarray(prices * passes))  # (segments, ...)
    return np.asarray(1.0 + parts.sum(axis=0))
