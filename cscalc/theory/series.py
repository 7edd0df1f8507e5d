"""Geometric sums that keep full accuracy up to, and at, a ratio of 1."""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats

_SMALL = 0.1  # below this terms * gap the closed forms cancel and a Taylor series is better
_ORDERS = 10  # 0.1**10 / 10! is below one unit in the last place


def unwrap(values: npt.ArrayLike) -> Floats:
    """Return a float64 array as it is, and a 0-d one as a NumPy float.

    Parameters
    ----------
    values : array_like
        Numbers.

    Returns
    -------
    ndarray or float64
        The same numbers.

    Examples
    --------
    >>> float(unwrap(np.array(1.5))), unwrap([1.5]).tolist()
    (1.5, [1.5])
    """
    plain: Floats = np.asarray(values, dtype=np.float64)[()]
    return plain


def geometric_sum(ratio: Floats, terms: Floats) -> Floats:
    r"""Sum of the first `terms` powers of `ratio`: :math:`1 + r + \dots + r^{n-1}`.

    Parameters
    ----------
    ratio : ndarray
        In [0, 1].
    terms : ndarray
        Whole numbers >= 0; broadcasts against `ratio`.

    Returns
    -------
    ndarray
        `terms` at ratio 1, where :math:`(1 - r^n) / (1 - r)` is 0/0.

    Examples
    --------
    >>> float(geometric_sum(np.array(0.5), np.array(3.0)))
    1.75
    >>> float(geometric_sum(np.array(1.0), np.array(3.0)))
    3.0
    """
    return geometric_sum_gap(np.asarray(1.0 - ratio), terms)


def geometric_sum_gap(gap: Floats, terms: Floats) -> Floats:
    """`geometric_sum` of the ratio ``1 - gap``, accurate for any `gap` in [0, 1].

    Parameters
    ----------
    gap : ndarray
        1 minus the ratio, in [0, 1]. Pass it when it is known better than the ratio.
    terms : ndarray
        Whole numbers >= 0; broadcasts against `gap`.

    Returns
    -------
    ndarray
        Of the broadcast shape; `terms` at gap 0.

    Examples
    --------
    >>> float(geometric_sum_gap(np.array(1e-300), np.array(5.0)))
    5.0
    """
    inside = (gap > 0.0) & (gap < 1.0)
    safe = np.where(inside, gap, 0.5)
    total = -np.expm1(terms * np.log1p(-safe)) / safe
    if inside.all():
        return np.asarray(total)
    edge = np.where(gap <= 0.0, terms, np.minimum(terms, 1.0))
    return np.where(inside, total, edge)


def geometric_slope(ratio: Floats, terms: Floats) -> Floats:
    r"""Weighted sum :math:`1 + 2 r + 3 r^2 + \dots + n r^{n-1}` over n = `terms`.

    It is the derivative of ``ratio * geometric_sum(ratio, terms)``.

    Parameters
    ----------
    ratio : ndarray
        In [0, 1].
    terms : ndarray
        Whole numbers >= 0; broadcasts against `ratio`.

    Returns
    -------
    ndarray
        Of the broadcast shape; n (n + 1) / 2 at ratio 1.

    Examples
    --------
    >>> float(geometric_slope(np.array(0.5), np.array(3.0)))
    2.75
    """
    gap = np.asarray(1.0 - ratio)
    small = np.asarray(terms * gap < _SMALL)
    sums = geometric_sum_gap(gap, terms)
    closed = np.asarray((sums - terms * ratio**terms) / np.where(small, 1.0, gap))
    if small.any():
        step, count = _select(small, gap, terms)
        taylor = np.zeros(step.shape)
        for order, choose in reversed(list(enumerate(_binomials(count + 1.0, first=2)))):
            taylor = (order + 1) * choose - step * taylor  # Horner
        closed[small] = taylor
    return closed


def capped_variance(ratio: Floats, terms: Floats) -> Floats:
    r"""Variance of a geometric length that stops at `terms`.

    Parameters
    ----------
    ratio : ndarray
        In [0, 1].
    terms : ndarray
        Whole numbers >= 0; broadcasts against `ratio`.

    Returns
    -------
    ndarray
        Of the broadcast shape, >= 0; 0 at the ratios 0 and 1.

    Notes
    -----
    The length is at least i with probability ``ratio**(i - 1)``, i = 1, ..., `terms`.
    With S = `geometric_sum` and D = `geometric_slope`, the variance is
    :math:`2 D - S - S^2`, evaluated for the length less 1, whose variance is the same (so that
    small ratios keep their digits), and as a series where that difference cancels.

    Examples
    --------
    >>> float(capped_variance(np.array(0.5), np.array(2.0)))
    0.25
    """
    gap = np.asarray(1.0 - ratio)
    small = np.asarray(terms * gap < _SMALL)
    fewer = np.maximum(terms - 1.0, 0.0)
    mean = ratio * geometric_sum_gap(gap, fewer)
    closed = np.asarray(2.0 * ratio * geometric_slope(ratio, fewer) - mean - mean * mean)
    if small.any():
        step, count = _select(small, gap, terms)
        sum_at = _binomials(count, first=1)  # coefficients of (-gap)**order
        slope_at = _binomials(count + 1.0, first=2)
        taylor = np.zeros(step.shape)
        for order in reversed(range(1, _ORDERS)):  # Horner; order 0 is exactly 0
            square = sum(sum_at[i] * sum_at[order - i] for i in range(order + 1))
            coefficient = 2.0 * (order + 1) * slope_at[order] - sum_at[order] - square
            taylor = coefficient - step * taylor
        closed[small] = -step * taylor
    return closed


def _select(small: npt.NDArray[np.bool_], *arrays: Floats) -> list[Floats]:
    """The entries of each array, broadcast, where `small` holds."""
    return [np.broadcast_to(values, small.shape)[small] for values in arrays]


def _binomials(top: Floats, first: int) -> list[Floats]:
    """C(top, first), C(top, first + 1), ... as floats; 0 once the lower index exceeds top."""
    value = top if first == 1 else 0.5 * top * (top - 1.0)
    values = []
    for lower in range(first, first + _ORDERS):
        values.append(value)
        value = value * np.maximum(top - lower, 0.0) / (lower + 1)
    return values
