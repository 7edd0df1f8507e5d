"""Lossy speculative decoding: more acceptance for a law that is no longer the target's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_number
from cscalc.theory._laws import check_pair, normalised
from cscalc.theory.deferral import DeferralLaw


def lossy_acceptance(target: npt.ArrayLike, draft: npt.ArrayLike, threshold: float) -> Floats:
    r"""Chance that a proposal is accepted: :math:`\sum_x \min(q, p / (1 - \alpha))`.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws p and q of one token; rows sum to 1.
    threshold : float
        The alpha of the formula, in [0, 1); 0 is lossless. 1 - alpha is the lenience of
        arXiv:2211.17192, appendix A.5.

    Returns
    -------
    ndarray, shape (...), float64
        In [0, 1].

    Raises
    ------
    TypeError, ValueError
        If `threshold` is outside [0, 1) or a law is not a law.

    Examples
    --------
    >>> float(lossy_acceptance([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 0.2).round(12))
    0.775
    """
    p, q = check_pair(target, draft)
    return np.asarray(np.minimum(1.0, _accepted(p, q, threshold).sum(axis=-1)))


def lossy_beta(target: npt.ArrayLike, draft: npt.ArrayLike, threshold: float) -> Floats:
    r"""The beta for which the residual norm(max(0, p / beta - q)) gives the lossy law its form.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    threshold : float
        In [0, 1).

    Returns
    -------
    ndarray, shape (...), float64
        Smallest solution of :math:`\sum_x \max\{\min(q, p/(1-\alpha)),\, p/\beta\} = 1`, >= 1;
        infinite where every proposal is accepted and the draft misses a token of the target.

    Raises
    ------
    TypeError, ValueError
        If `threshold` is outside [0, 1) or a law is not a law.

    Notes
    -----
    Solved exactly. With :math:`t = 1/\beta` and m the accepted mass, the sum is the largest of
    :math:`m(S^c) + t\, p(S)` over sets S, so t is the smallest of
    :math:`(1 - m(S^c)) / p(S)`; for given t the largest is at S = {m < p t}, hence only prefixes
    after sorting by m/p count. S = everything gives t <= 1. Tran-Thien's lossy rule as
    Lemma 2 of arXiv:2405.19261 states it.

    Examples
    --------
    >>> float(lossy_beta([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 0.2).round(12))
    1.12
    """
    p, q = check_pair(target, draft)
    inverse = _inverse_beta(p, _accepted(p, q, threshold))
    positive = inverse > 0.0
    return np.asarray(np.where(positive, 1.0 / np.where(positive, inverse, 1.0), np.inf))


def lossy_law(target: npt.ArrayLike, draft: npt.ArrayLike, threshold: float) -> Floats:
    r"""Law of lossy speculative decoding, :math:`\max\{\min(q, p/(1-\alpha)),\, p/\beta\}`.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    threshold : float
        In [0, 1); at 0 the law is the target's.

    Returns
    -------
    ndarray, shape (..., vocab), float64
        Rows sum to 1.

    Raises
    ------
    TypeError, ValueError
        If `threshold` is outside [0, 1) or a law is not a law.

    Notes
    -----
    Narasimhan et al., ICLR 2025, arXiv:2405.19261, Lemma 2.

    Examples
    --------
    >>> lossy_law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 0.2).round(6).tolist()
    [0.375, 0.446429, 0.178571]
    """
    p, q = check_pair(target, draft)
    kept = _accepted(p, q, threshold)
    return np.asarray(np.maximum(kept, p * _inverse_beta(p, kept)[..., None]))


def simple_lossy_law(target: npt.ArrayLike, draft: npt.ArrayLike, threshold: float) -> Floats:
    """Law of the simple variant, which corrects from norm(max(0, p - q)), that is beta = 1.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws of one token; rows sum to 1.
    threshold : float
        In [0, 1); at 0 the law is the target's.

    Returns
    -------
    ndarray, shape (..., vocab), float64
        Rows sum to 1; not of the form of `lossy_law`.

    Raises
    ------
    TypeError, ValueError
        If `threshold` is outside [0, 1) or a law is not a law.

    Examples
    --------
    >>> simple_lossy_law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1], 0.2).round(6).tolist()
    [0.375, 0.45, 0.175]
    """
    p, q = check_pair(target, draft)
    kept = _accepted(p, q, threshold)
    rejected = np.maximum(0.0, 1.0 - kept.sum(axis=-1, keepdims=True))
    return np.asarray(kept + rejected * normalised(np.maximum(0.0, p - q), p))


@dataclass(frozen=True, slots=True)
class Lossy:
    """Lossy speculative decoding as a `DeferralRule`, the baseline of the deferral rules.

    Attributes
    ----------
    threshold : float
        In [0, 1); 0 is lossless speculative decoding.
    simple : bool
        Correct with beta = 1 instead of the exact beta.

    Examples
    --------
    >>> float(Lossy(0.2).law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).acceptance.round(12))
    0.775
    """

    threshold: float
    simple: bool = False

    def __post_init__(self) -> None:
        _check_lossy(self.threshold)

    def law(
        self,
        target: npt.ArrayLike,
        draft: npt.ArrayLike,
        target_scaled: npt.ArrayLike | None = None,
        draft_scaled: npt.ArrayLike | None = None,
    ) -> DeferralLaw:
        """Resulting law, acceptance, and 1 - acceptance as the deferral rate.

        Parameters
        ----------
        target, draft : array_like, shape (..., vocab)
            Laws at temperature 1; used only where no scaled law is given.
        target_scaled, draft_scaled : array_like, shape (..., vocab), optional
            Laws sampled from, on which the rule is evaluated.

        Returns
        -------
        DeferralLaw

        Raises
        ------
        ValueError
            If a law is not a law or shapes do not fit.
        """
        p, q = check_pair(
            target if target_scaled is None else target_scaled,
            draft if draft_scaled is None else draft_scaled,
        )
        acceptance = lossy_acceptance(p, q, self.threshold)
        law = (simple_lossy_law if self.simple else lossy_law)(p, q, self.threshold)
        return DeferralLaw(law, acceptance, np.asarray(1.0 - acceptance), False)

    def mix(
        self, target: Floats, draft: Floats, target_scaled: Floats, draft_scaled: Floats
    ) -> Floats:
        """Law of the emitted token in one context, unchecked: what a decoder asks at every token.

        Parameters
        ----------
        target, draft : ndarray, shape (vocab,)
            Not read.
        target_scaled, draft_scaled : ndarray, shape (vocab,)
            Sampled from.
        """
        p, q = target_scaled, draft_scaled
        kept = np.minimum(q, p / (1.0 - self.threshold))
        if not self.simple:
            return np.maximum(kept, _one_inverse_beta(p, kept) * p)
        over = np.maximum(p - q, 0.0)
        mass = float(over.sum())
        rejected = max(0.0, 1.0 - float(kept.sum()))
        return np.asarray(kept + (rejected / mass) * over if mass > 0.0 else kept + rejected * p)


def _check_lossy(threshold: object) -> float:
    value = check_number("threshold", threshold, 0.0, 1.0)
    if value == 1.0:
        raise ValueError(
            "threshold must be < 1, got 1: it would accept tokens the target excludes"
        )
    return value


def _accepted(p: Floats, q: Floats, threshold: float) -> Floats:
    """Mass drafted and accepted at each token, shape (..., vocab)."""
    return np.asarray(np.minimum(q, p / (1.0 - _check_lossy(threshold))))


def _inverse_beta(p: Floats, kept: Floats) -> Floats:
    some = p > 0.0
    ratio = np.where(some, kept / np.where(some, p, 1.0), np.inf)  # kept is 0 where p is 0
    order = np.argsort(ratio, axis=-1, kind="stable")
    p_in = np.cumsum(np.take_along_axis(p, order, axis=-1), axis=-1)  # (..., vocab): p(S)
    kept = np.take_along_axis(kept, order, axis=-1)
    kept_out = np.flip(np.cumsum(np.flip(kept, axis=-1), axis=-1), axis=-1) - kept  # m(S^c)
    inverse = np.full(p.shape, np.inf)
    np.divide(1.0 - kept_out, p_in, out=inverse, where=p_in > 0.0)
    return np.asarray(np.clip(inverse.min(axis=-1), 0.0, 1.0))


def _one_inverse_beta(p: Floats, kept: Floats) -> float:
    """As `_inverse_beta` for one context, without sorting.

    Newton's method from the right on a sum that is convex and piecewise linear in t: each step
    goes to the t at which the tokens with kept < p t would do, and a token that has left them
    never comes back.
    """
    inverse, out = 1.0, 0.0
    while True:
        short = kept < inverse * p  # where the correction adds mass
        out += float(kept.sum(where=~short))
        p, kept = p[short], kept[short]
        mass = float(p.sum())
        if mass == 0.0:
            return inverse
        lower = (1.0 - out) / mass
        if not lower < inverse:
            return inverse
        inverse = max(lower, 0.0)
