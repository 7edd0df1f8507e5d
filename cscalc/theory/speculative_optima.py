"""Speculative decoding with one draft: where it is best, and where it stops to pay.

Source: Leviathan, Kalman, Matias. "Fast inference from transformers via speculative decoding."
ICML 2023, arXiv:2211.17192, Theorem 3.8 and Corollary 3.9. Costs are in target passes.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_int, check_lengths, check_rates, check_shapes
from cscalc.theory.series import geometric_sum, unwrap

TIE_TOLERANCE = 1e-12  # relative; a longer draft must beat a shorter one by more than rounding
_LONGEST = 1 << 53  # beyond it float64 no longer holds every whole number


def optimal_length(
    alpha: npt.ArrayLike, cost: npt.ArrayLike, max_length: int | None = None
) -> int | npt.NDArray[np.int64]:
    r"""Draft length with the largest `speculative_ewif`; the smallest one on a tie.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    cost : array_like
        Time of one draft pass, in target passes, >= 0; broadcasts against `alpha`.
    max_length : int, optional
        Longest draft to consider, >= 0. Without it, every length is.

    Returns
    -------
    int or ndarray of int64
        0 means that plain decoding is best.

    Raises
    ------
    ValueError
        If longer is always better (cost 0 with alpha > 0, or alpha 1 with cost < 1) and no
        `max_length` is given.

    Notes
    -----
    One more token pays iff its gain beats its share of the cost,
    :math:`\alpha^{\gamma+1} (1 + \gamma c) > c E(\alpha, \gamma)`. The left side minus the right
    falls by :math:`\alpha^{\gamma+1} (1 - \alpha)(1 + (\gamma + 1) c) \ge 0` from one length to
    the next, so EWIF has a single peak and bisection finds it. Both sides are equal at exact
    ties (alpha = cost; alpha .5, cost .2 at lengths 1 and 2); so that rounding cannot decide, a
    token pays only if the left side is larger by more than `TIE_TOLERANCE` (relative).

    Examples
    --------
    >>> optimal_length(0.8, 0.05)
    8
    >>> optimal_length([0.1, 0.5, 0.9], [[0.1], [0.5]])
    array([[ 0,  2, 10],
           [ 0,  0,  3]])
    """
    check_shapes(alpha=alpha, cost=cost)
    alphas, costs = np.broadcast_arrays(check_rates("alpha", alpha), check_costs("cost", cost))
    endless = ((costs == 0.0) & (alphas > 0.0)) | ((alphas == 1.0) & (costs < 1.0))
    cap = _LONGEST if max_length is None else check_int("max_length", max_length, least=0)
    if max_length is None and endless.any():
        at = np.flatnonzero(endless)[0]
        raise ValueError(
            f"no finite length is best at alpha={alphas.flat[at]:g}, cost={costs.flat[at]:g}, "
            "where longer is always better: give max_length"
        )

    def pays(lengths: Floats) -> npt.NDArray[np.bool_]:
        gain = alphas ** (lengths + 1.0) * (1.0 + lengths * costs)
        share = costs * geometric_sum(alphas, lengths + 1.0)
        return np.asarray(endless | (gain > share * (1.0 + TIE_TOLERANCE)))

    low = np.zeros(alphas.shape)  # every length below `low` pays for one more token
    high = np.full(alphas.shape, min(1.0, cap))  # `high` does not, or is the cap
    while (longer := pays(high) & (high < cap)).any():
        low = np.where(longer, high + 1.0, low)
        high = np.where(longer, np.minimum(2.0 * high, cap), high)
    while (low < high).any():
        middle = np.floor(0.5 * (low + high))
        more = pays(middle) & (low < high)
        low, high = np.where(more, middle + 1.0, low), np.where(more, high, middle)
    if max_length is None and (low >= _LONGEST).any():
        raise ValueError("the best length exceeds 2**53 tokens: give max_length")
    best = low.astype(np.int64)
    return int(best) if best.ndim == 0 else best


def break_even_alpha(cost: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Acceptance rate at which drafting `length` tokens is worth exactly nothing.

    Parameters
    ----------
    cost : array_like
        Time of one draft pass, in target passes, in [0, 1].
    length : array_like of int
        Draft length >= 1, in tokens; broadcasts against `cost`.

    Returns
    -------
    float or ndarray
        The root in [0, 1] of ``speculative_ewif(alpha, cost, length) == 1``, that is of
        :math:`\alpha + \dots + \alpha^\gamma = \gamma c` (from Theorem 3.8); `cost` at length 1
        (Corollary 3.9).

    Raises
    ------
    ValueError
        If a cost exceeds 1, where no draft can pay, or an argument is out of its range.

    Examples
    --------
    >>> round(float(break_even_alpha(0.3, 2)), 6)
    0.421954
    """
    check_shapes(cost=cost, length=length)
    costs = check_costs("cost", cost)
    if not np.all(costs <= 1.0):
        raise ValueError(f"cost must be <= 1, got {costs.max():g}: such a draft never pays")
    costs, lengths = np.broadcast_arrays(costs, check_lengths("length", length, least=1))
    total = lengths * costs
    low, high = costs, np.minimum(1.0, total)  # alpha <= sum of powers <= length * alpha
    for _ in range(100):
        middle = 0.5 * (low + high)
        if np.all((middle <= low) | (middle >= high)):
            break
        below = middle * geometric_sum(middle, lengths) < total
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return unwrap(high)
