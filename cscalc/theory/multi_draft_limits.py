"""What no scheme with several independent proposals can beat, and what a coupling guarantees."""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int
from cscalc.theory._laws import check_pair


def optimal_acceptance(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    r"""Largest acceptance that any lossless scheme reaches with independent proposals.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent draws from `draft`, >= 1.

    Returns
    -------
    ndarray, shape (...), float64
        Value of the optimal transport problem, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If `proposals` is not an int >= 1, or a law is not a law.

    Notes
    -----
    Khisti et al., "Multi-draft speculative sampling: canonical decomposition and theoretical
    limits", ICLR 2025, arXiv:2410.18234:

    .. math:: P^* = \min_S \; p(S) + 1 - q(S)^K .

    Because :math:`t^K` is convex, it is the upper envelope of its tangents, and for a tangent of
    slope :math:`\lambda` the best set is :math:`\{x : p(x) < \lambda q(x)\}`. So some minimiser
    is a prefix after sorting by p/q, and the cost is O(V log V) in place of :math:`2^V` sets.

    Examples
    --------
    >>> [float(optimal_acceptance([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], k).round(12)) for k in (1, 2)]
    [0.7, 0.94]
    """
    p, q = check_pair(target, draft)
    count = check_int("proposals", proposals, least=1)
    # p/q without a division by 0: p/(p + q) orders tokens alike
    total = p + q
    share = np.where(total > 0.0, p / np.where(total > 0.0, total, 1.0), 1.0)
    order = np.argsort(share, axis=-1, kind="stable")
    p_below = np.cumsum(np.take_along_axis(p, order, axis=-1), axis=-1)  # (..., vocab)
    q_below = np.cumsum(np.take_along_axis(q, order, axis=-1), axis=-1)
    values = p_below + 1.0 - np.minimum(1.0, q_below) ** count
    return np.asarray(np.clip(values.min(axis=-1), 0.0, 1.0))  # 1: the empty set


def list_coupling_bound(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    r"""Lower bound on the matching probability of Gumbel-coupled lists.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent proposals, >= 1.

    Returns
    -------
    ndarray, shape (...), float64
        In [0, 1].

    Raises
    ------
    TypeError, ValueError
        If `proposals` is not an int >= 1, or a law is not a law.

    Notes
    -----
    Rowan, Phan, Khisti, "List-level distribution coupling", NeurIPS 2025, Theorem 1, in our
    letters (p target, q draft):

    .. math:: \sum_j \frac{K}{\sum_i \left[ \max\{p_i/p_j,\, q_i/q_j\} + (K-1)\, p_i/p_j \right]} .

    A token that either law gives no mass adds nothing. Sorting by p/q makes it O(V log V).

    Examples
    --------
    >>> float(list_coupling_bound([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 1).round(6))
    0.694118
    """
    p, q = check_pair(target, draft)
    count = check_int("proposals", proposals, least=1)
    total = np.where(p + q > 0.0, p + q, 1.0)
    order = np.argsort(p / total, axis=-1, kind="stable")
    p, q = np.take_along_axis(p, order, axis=-1), np.take_along_axis(q, order, axis=-1)
    shared = (p > 0.0) & (q > 0.0)
    # for i after j in this order p_i/p_j >= q_i/q_j; before it the other way round
    p_from = np.flip(np.cumsum(np.flip(p, axis=-1), axis=-1), axis=-1)  # sum of p_i, i >= j
    q_before = np.cumsum(q, axis=-1) - q
    p_j, q_j = np.where(shared, p, 1.0), np.where(shared, q, 1.0)
    # both fractions multiplied by p_j q_j, so that tiny masses do not overflow
    below = q_j * p_from + p_j * q_before + (count - 1) * q_j
    terms = np.where(shared, count * p_j * q_j / np.where(shared, below, 1.0), 0.0)
    return np.asarray(np.minimum(1.0, terms.sum(axis=-1)))
