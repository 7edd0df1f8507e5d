"""Deferral rules about single tokens (arXiv:2405.19261, Eq. 11 and 13 to 15)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.theory._laws import check_pair
from cscalc.theory.deferral import Bools, DeferralLaw, check_threshold, sampled_laws


class TokenRule:
    """Keeps or defers each token: pi(v) = q(v) (1 - r(v)) + p(v) eta, eta = sum of r q."""

    __slots__ = ()

    def defer(self, target: npt.ArrayLike, draft: npt.ArrayLike) -> Bools:
        """Which tokens are deferred, shape (..., vocab), from the laws at temperature 1."""
        return ~self._keep(*check_pair(target, draft))

    def law(
        self,
        target: npt.ArrayLike,
        draft: npt.ArrayLike,
        target_scaled: npt.ArrayLike | None = None,
        draft_scaled: npt.ArrayLike | None = None,
    ) -> DeferralLaw:
        r"""Resulting law, Eq. (11) of arXiv:2405.19261.

        Acceptance is :math:`\sum q (1 - r) + \sum r \min(q, \eta p)` and deferral eta, both of
        the scaled laws.

        Parameters
        ----------
        target, draft : array_like, shape (..., vocab)
            Laws at temperature 1, for the decision.
        target_scaled, draft_scaled : array_like, shape (..., vocab), optional
            Laws sampled from. Default: `target`, `draft`.

        Returns
        -------
        DeferralLaw

        Raises
        ------
        ValueError
            If a law is not a law or shapes do not fit.
        """
        p, q = sampled_laws(target, draft, target_scaled, draft_scaled)
        deferred = np.broadcast_to(self.defer(target, draft), p.shape)
        kept = np.where(deferred, 0.0, q)
        moved = q - kept
        eta = np.minimum(1.0, moved.sum(axis=-1))
        share = p * eta[..., None]
        acceptance = kept.sum(axis=-1) + np.minimum(moved, share).sum(axis=-1)
        return DeferralLaw(kept + share, np.asarray(np.minimum(1.0, acceptance)), eta, False)

    def mix(
        self, target: Floats, draft: Floats, target_scaled: Floats, draft_scaled: Floats
    ) -> Floats:
        """Law of the emitted token in one context, unchecked: what a decoder asks at every token.

        Parameters
        ----------
        target, draft : ndarray, shape (vocab,)
            At temperature 1, for the decision.
        target_scaled, draft_scaled : ndarray, shape (vocab,)
            Sampled from.
        """
        kept = np.where(self._keep(target, draft), draft_scaled, 0.0)
        moved = min(1.0, float((draft_scaled - kept).sum()))
        return np.asarray(kept + moved * target_scaled)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TokenV1(TokenRule):
    """Keep token v iff q(v) >= max p - threshold; Eq. (13).

    Attributes
    ----------
    threshold : float
        In [-1, 1].

    Examples
    --------
    >>> TokenV1(0.25).law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).law.round(12).tolist()
    [0.63, 0.35, 0.02]
    """

    threshold: float

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        return np.asarray(q >= p.max(axis=-1, keepdims=True) - self.threshold)


@dataclass(frozen=True, slots=True)
class TokenV2(TokenRule):
    """Keep token v iff p(v) >= max p - threshold; Eq. (14).

    Attributes
    ----------
    threshold : float
        In [-1, 1].

    Examples
    --------
    >>> TokenV2(0.25).law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).law.round(12).tolist()
    [0.63, 0.35, 0.02]
    """

    threshold: float

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        return np.asarray(p >= p.max(axis=-1, keepdims=True) - self.threshold)


@dataclass(frozen=True, slots=True)
class TokenV3(TokenRule):
    """Keep token v iff p(v) >= (1 - threshold) max p; Eq. (15).

    At temperature 0 it is the greedy lenient rule of arXiv:2211.17192.

    Attributes
    ----------
    threshold : float
        In [-1, 1]; below 0 every token is deferred and the law is the target's.

    Examples
    --------
    >>> TokenV3(0.25).law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).law.round(12).tolist()
    [0.21, 0.65, 0.14]
    """

    threshold: float

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        return np.asarray(p >= (1.0 - self.threshold) * p.max(axis=-1, keepdims=True))
