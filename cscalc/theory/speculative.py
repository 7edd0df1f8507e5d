"""Speculative decoding with one draft: closed forms of Leviathan et al. and their optima.

Source of every numbered statement here: Leviathan, Kalman, Matias. "Fast inference from
transformers via speculative decoding." ICML 2023, arXiv:2211.17192. Acceptance is independent
from token to token, and the target's pass costs 1 however many proposals it verifies.
"""

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_int, check_lengths, check_rates, check_shapes
from cscalc.theory.series import geometric_sum, unwrap
from cscalc.theory.speculative_optima import break_even_alpha as break_even_alpha
from cscalc.theory.speculative_optima import optimal_length as optimal_length


def mean_tokens(position_alphas: npt.ArrayLike) -> Floats:
    r"""Expected number of tokens one cycle emits, the bonus token included.

    Parameters
    ----------
    position_alphas : array_like, shape (..., length)
        Acceptance rate at each drafted position, each in [0, 1]. Leading axes are independent
        cascades; ``length`` may be 0 (plain decoding).

    Returns
    -------
    float or ndarray, shape (...)
        Tokens per cycle, between 1 and ``length + 1``.

    Raises
    ------
    ValueError
        If a rate lies outside [0, 1], or there is no axis of positions.

    Notes
    -----
    The cycle emits the accepted prefix plus one token of the target, so

    .. math:: E = 1 + \sum_{j=1}^{\gamma} \prod_{m=1}^{j} \alpha_m .

    With one common alpha this is Eq. (1), `expected_tokens_iid`.

    Examples
    --------
    >>> float(mean_tokens([0.5, 0.5]))
    1.75
    """
    alphas = check_rates("position_alphas", position_alphas)
    if alphas.ndim == 0:
        raise ValueError(
            f"position_alphas needs an axis of draft positions, got the scalar {alphas:g}: "
            "give a list, or use expected_tokens_iid"
        )
    survive = np.cumprod(alphas, axis=-1)  # (..., length): P(positions 1..j all accepted)
    return unwrap(1.0 + survive.sum(axis=-1))


def expected_tokens_iid(alpha: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Expected tokens per cycle with one acceptance rate, Eq. (1).

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    length : array_like of int
        Draft length >= 0, in tokens; broadcasts against `alpha`.

    Returns
    -------
    float or ndarray
        :math:`(1 - \alpha^{\gamma + 1}) / (1 - \alpha)`, and ``length + 1`` at alpha 1.

    Raises
    ------
    ValueError
        If a rate lies outside [0, 1] or a length is not a whole number >= 0.

    Examples
    --------
    >>> round(float(expected_tokens_iid(0.8, 5)), 5)
    3.68928
    >>> float(expected_tokens_iid(1.0, 5))
    6.0
    """
    check_shapes(alpha=alpha, length=length)
    alphas = check_rates("alpha", alpha)
    lengths = check_lengths("length", length)
    return unwrap(geometric_sum(alphas, lengths + 1.0))


def speculative_ewif(alpha: npt.ArrayLike, cost: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Expected walltime improvement factor (EWIF) of one autoregressive draft, Theorem 3.8.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate of the draft's tokens by the target, in [0, 1].
    cost : array_like
        Time of one pass of the draft, in target passes, >= 0.
    length : array_like of int
        Draft length >= 0, in tokens; 0 is plain decoding. All three broadcast.

    Returns
    -------
    float or ndarray
        :math:`\frac{1 - \alpha^{\gamma+1}}{(1 - \alpha)(\gamma c + 1)}`, tokens per target-pass
        time; 1 is plain decoding.

    Raises
    ------
    ValueError
        If a rate, cost or length is out of its range.

    Examples
    --------
    >>> round(float(speculative_ewif(0.75, 0.02, 7)), 3)
    3.157
    >>> speculative_ewif(0.5, [0.0, 0.2], [[1], [2]])
    array([[1.5 , 1.25],
           [1.75, 1.25]])
    """
    check_shapes(alpha=alpha, cost=cost, length=length)
    costs = check_costs("cost", cost)
    lengths = check_lengths("length", length)
    tokens = geometric_sum(check_rates("alpha", alpha), lengths + 1.0)
    return unwrap(tokens / (1.0 + lengths * costs))


def operations_factor(
    alpha: npt.ArrayLike, ops_ratio: npt.ArrayLike, length: npt.ArrayLike
) -> Floats:
    r"""Expected growth of the number of arithmetic operations, Theorem 3.11.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    ops_ratio : array_like
        Operations of the draft per token over those of the target, >= 0 (the paper's c-hat).
    length : array_like of int
        Draft length >= 0, in tokens.

    Returns
    -------
    float or ndarray
        :math:`\frac{(1 - \alpha)(\gamma \hat c + \gamma + 1)}{1 - \alpha^{\gamma+1}}`, >= 1:
        operations per emitted token over those of plain decoding.

    Raises
    ------
    ValueError
        If a rate, ratio or length is out of its range.

    Examples
    --------
    >>> round(float(operations_factor(0.6, 0.0, 2)), 2)
    1.53
    """
    check_shapes(alpha=alpha, ops_ratio=ops_ratio, length=length)
    ratios = check_costs("ops_ratio", ops_ratio)
    lengths = check_lengths("length", length)
    tokens = geometric_sum(check_rates("alpha", alpha), lengths + 1.0)
    return unwrap((lengths * ratios + lengths + 1.0) / tokens)


def accepted_fraction(alpha: npt.ArrayLike, length: npt.ArrayLike) -> Floats:
    r"""Expected accepted proposals over proposed ones, which is smaller than `alpha`.

    Parameters
    ----------
    alpha : array_like
        Acceptance rate, in [0, 1].
    length : array_like of int
        Draft length >= 1, in tokens.

    Returns
    -------
    float or ndarray
        :math:`\alpha (1 - \alpha^\gamma) / (\gamma (1 - \alpha))`, in [0, alpha]: proposals
        after the first rejection are thrown away unseen (from Eq. (1)).

    Raises
    ------
    ValueError
        If a rate or length is out of its range.

    Examples
    --------
    >>> round(float(accepted_fraction(0.8, 5)), 2)
    0.54
    """
    check_shapes(alpha=alpha, length=length)
    alphas = check_rates("alpha", alpha)
    lengths = check_lengths("length", length, least=1)
    return unwrap(alphas * geometric_sum(alphas, lengths) / lengths)


def alpha_from_counts(accepted: npt.ArrayLike, rejected: npt.ArrayLike) -> Floats:
    """Acceptance rate from counts: accepted proposals over judged ones.

    Parameters
    ----------
    accepted : array_like of int
        Proposals kept, >= 0.
    rejected : array_like of int
        Cycles that ended in a rejection, >= 0 (each judges one proposal more than it keeps).
        Proposals behind a rejection were never judged and do not count.

    Returns
    -------
    float or ndarray
        In [0, 1]: the maximum-likelihood estimate under independent acceptance.

    Raises
    ------
    ValueError
        If a count is not a whole number >= 0, or nothing was judged.

    Examples
    --------
    >>> float(alpha_from_counts(60, 20))
    0.75
    """
    check_shapes(accepted=accepted, rejected=rejected)
    kept = check_lengths("accepted", accepted)
    judged = kept + check_lengths("rejected", rejected)
    if not np.all(judged > 0.0):
        raise ValueError("accepted + rejected must be > 0, got 0: no proposal was judged")
    return unwrap(kept / judged)


def tokens_pmf_iid(alpha: npt.ArrayLike, length: int) -> Floats:
    r"""Law of the number of tokens one cycle emits, with one acceptance rate.

    Parameters
    ----------
    alpha : array_like, shape (...)
        Acceptance rate, in [0, 1].
    length : int
        Draft length >= 0, in tokens.

    Returns
    -------
    ndarray, shape (..., length + 2)
        ``pmf[..., i]`` is the probability of i tokens: 0 for i = 0,
        :math:`\alpha^{i-1} (1 - \alpha)` for i <= length, :math:`\alpha^\gamma` for length + 1
        (capped geometric, section 3.1; printed as Eq. 3 of CS Drafting, arXiv:2312.11462).

    Raises
    ------
    ValueError
        If a rate or the length is out of its range.

    Examples
    --------
    >>> tokens_pmf_iid(0.5, 2)
    array([0.  , 0.5 , 0.25, 0.25])
    """
    alphas = check_rates("alpha", alpha)[..., np.newaxis]
    reach = alphas ** np.arange(check_int("length", length, least=0) + 1.0)  # (..., length + 1)
    stop = reach * (1.0 - alphas)
    stop[..., -1] = reach[..., -1]
    return np.concatenate([np.zeros((*stop.shape[:-1], 1)), stop], axis=-1)
