"""Chance that one of several proposals for the same token is accepted, by verification scheme.

Everywhere `target` and `draft` are the laws of one token (p and q of arXiv:2211.17192), float64,
last axis = vocabulary; leading axes are independent contexts and broadcast. `proposals` counts the
tokens proposed for the one position. All schemes are lossless: the functions named ``*_law`` add
up what is emitted, for a test to compare with the target. The optimum over all schemes is in
`multi_draft_limits`, drafting without replacement in `without_replacement`.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_int
from cscalc.theory._laws import check_pair, normalised, total_variation


def overlap(target: npt.ArrayLike, draft: npt.ArrayLike) -> Floats:
    r"""Chance that a single proposal is accepted: :math:`\sum_x \min(p(x), q(x))`.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1. Leading axes broadcast.

    Returns
    -------
    ndarray, shape (...), float64
        In [0, 1]; 1 minus the total variation distance.

    Raises
    ------
    ValueError
        If a law has a negative entry, does not sum to 1, or the vocabularies differ.

    Notes
    -----
    Leviathan, Kalman, Matias, ICML 2023, arXiv:2211.17192, Theorem 3.5.

    Examples
    --------
    >>> float(overlap([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).round(12))
    0.7
    """
    p, q = check_pair(target, draft)
    return np.asarray(np.minimum(1.0, np.minimum(p, q).sum(axis=-1)))


def recursive_rejection_acceptance(
    target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int
) -> Floats:
    r"""Acceptance of recursive rejection sampling (RRS) over independent proposals.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent draws from `draft`, >= 1, tried one after another.

    Returns
    -------
    ndarray, shape (...), float64
        Chance that one of them is accepted, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If `proposals` is not an int >= 1, or a law is not a law.

    Notes
    -----
    With :math:`R_1 = p`, proposal i is accepted with probability :math:`\min(1, R_i / q)` and
    :math:`R_{i+1} = \mathrm{norm}([R_i - q]_+)`, so the chance is
    :math:`1 - \prod_i \mathrm{TV}(R_i, q)`. Miao et al., "SpecInfer", ASPLOS 2024,
    arXiv:2305.09781.

    Examples
    --------
    >>> float(recursive_rejection_acceptance([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 3).round(12))
    0.892
    """
    return _recursive_rejection(target, draft, proposals)[0]


def recursive_rejection_law(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    """Law of the token that recursive rejection sampling emits; it equals the target.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent draws from `draft`, >= 1.

    Returns
    -------
    ndarray, shape (..., vocab), float64
        Accepted mass of every proposal plus the residual's mass, added term by term.

    Raises
    ------
    TypeError, ValueError
        As `recursive_rejection_acceptance`.

    Examples
    --------
    >>> recursive_rejection_law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 2).round(12).tolist()
    [0.3, 0.5, 0.2]
    """
    return _recursive_rejection(target, draft, proposals)[1]


def k_seq_rho(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    r"""Division factor rho of K-SEQ, in [1, `proposals`].

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent draws from `draft`, >= 1.

    Returns
    -------
    ndarray, shape (...), float64
        Root of :math:`1 - (1 - \beta)^K = \rho \beta` with
        :math:`\beta(\rho) = \sum_x \min(q, p / \rho)`; 1 where the laws share no token
        (every rho solves it).

    Raises
    ------
    TypeError, ValueError
        If `proposals` is not an int >= 1, or a law is not a law.

    Notes
    -----
    Sun et al., "SpecTr", NeurIPS 2023, arXiv:2310.15141. The left side falls and the
    right side rises with rho, so the root is unique; it is bracketed to the last bit from above,
    the side on which the residual cannot be negative.

    Examples
    --------
    >>> float(k_seq_rho([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 2).round(6))
    1.383095
    """
    p, q = check_pair(target, draft)
    count = check_int("proposals", proposals, least=1)
    low = np.ones(p.shape[:-1])
    high = np.full(p.shape[:-1], float(count))
    for _ in range(60):  # halves [1, K] below the spacing of doubles
        middle = 0.5 * (low + high)
        beta = np.minimum(q, p / middle[..., None]).sum(axis=-1)
        above = _any_of(beta, count) <= middle * beta  # rho is large enough
        high = np.where(above, middle, high)
        low = np.where(above, low, middle)
    return np.asarray(np.where(np.minimum(p, q).sum(axis=-1) > 0.0, high, 1.0))


def k_seq_acceptance(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    r"""Acceptance of K-SEQ over independent proposals.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent draws from `draft`, >= 1.

    Returns
    -------
    ndarray, shape (...), float64
        :math:`1 - (1 - \beta(\rho))^K`, at least :math:`1 - 1/e` of `optimal_acceptance`.

    Raises
    ------
    TypeError, ValueError
        If `proposals` is not an int >= 1, or a law is not a law.

    Notes
    -----
    Proposal i is accepted with probability :math:`\min(1, p / (\rho q))`. SpecTr,
    arXiv:2310.15141.

    Examples
    --------
    >>> float(k_seq_acceptance([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 2).round(6))
    0.853238
    """
    p, q = check_pair(target, draft)
    rho = k_seq_rho(p, q, proposals)
    beta = np.minimum(q, p / rho[..., None]).sum(axis=-1)
    return _any_of(beta, int(proposals))


def k_seq_law(target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int) -> Floats:
    """Law of the token that K-SEQ emits; it equals the target.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    proposals : int
        Independent draws from `draft`, >= 1.

    Returns
    -------
    ndarray, shape (..., vocab), float64
        Accepted mass plus the mass of the residual, which is drawn when none is accepted.

    Raises
    ------
    TypeError, ValueError
        As `k_seq_acceptance`.

    Examples
    --------
    >>> k_seq_law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 3).round(12).tolist()
    [0.3, 0.5, 0.2]
    """
    p, q = check_pair(target, draft)
    rho = k_seq_rho(p, q, proposals)
    kept = np.minimum(q, p / rho[..., None])  # (..., vocab): one proposal accepted as x
    beta = kept.sum(axis=-1)
    accept = _any_of(beta, int(proposals))
    scale = np.where(beta > 0.0, accept / np.where(beta > 0.0, beta, 1.0), 0.0)
    accepted = kept * scale[..., None]
    residual = normalised(np.maximum(0.0, p - accepted), p)
    return np.asarray(accepted + (1.0 - accept)[..., None] * residual)


def _any_of(beta: Floats, count: int) -> Floats:
    """1 - (1 - beta)^count."""
    return np.asarray(1.0 - (1.0 - np.minimum(1.0, beta)) ** count)


def _recursive_rejection(
    target: npt.ArrayLike, draft: npt.ArrayLike, proposals: int
) -> tuple[Floats, Floats]:
    p, q = check_pair(target, draft)
    count = check_int("proposals", proposals, least=1)
    residual = p
    law = np.zeros(p.shape)
    reach = np.ones(p.shape[:-1])  # chance that every earlier proposal was rejected
    for _ in range(count):
        law = law + reach[..., None] * np.minimum(residual, q)
        reach = reach * total_variation(residual, q)
        residual = normalised(np.maximum(0.0, residual - q), residual)
    return np.asarray(1.0 - reach), np.asarray(law + reach[..., None] * residual)
