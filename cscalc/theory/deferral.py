"""Speculative cascades: rules that keep the draft's law or defer to the target's, token by token.

Here are rules about a whole context; rules about single tokens are in `token_deferral`, BiLD's in
`bild`. A rule decides from the laws at temperature 1 (`target`, `draft`); the law it results in
mixes the laws actually sampled from (`target_scaled`, `draft_scaled`; by default the same). Every
array has the vocabulary as its last axis, rows sum to 1, leading axes are contexts. In the
formulas p is the target, q the draft, r = 1 means defer, TV is the total variation distance.

Source of all rules: Narasimhan et al., "Faster cascades via speculative decoding", ICLR 2025,
arXiv:2405.19261; its alpha is `threshold` here, for alpha is an acceptance rate in this program.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_number
from cscalc.theory._laws import check_pair, total_variation
from cscalc.theory.speculative import expected_tokens_iid

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DeferralLaw:
    r"""What a rule makes of a target and a draft.

    Attributes
    ----------
    law : ndarray, shape (..., vocab)
        The law pi of the emitted token.
    acceptance : ndarray, shape (...)
        Chance that a drafted token is accepted when pi is sampled speculatively,
        :math:`\sum_v \min(q, \pi)`.
    deferral : ndarray, shape (...)
        Chance of deferring: 0 or 1 for a rule about the context; the draft's mass on deferred
        tokens for a rule about tokens.
    sequential : bool
        Whether the decision needs the draft's law only, so that no target pass is spent on
        contexts that are kept.

    Examples
    --------
    >>> law = Chow(0.25).law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])
    >>> law.law.round(3).tolist()
    [0.3, 0.5, 0.2]
    """

    law: Floats
    acceptance: Floats
    deferral: Floats
    sequential: bool

    def tokens_per_cycle(self, length: int) -> float:
        """Expected tokens per cycle at this draft length and the mean acceptance.

        Raises
        ------
        ValueError
            If `length` is not a whole number >= 0.
        """
        return float(expected_tokens_iid(min(1.0, float(np.mean(self.acceptance))), length))

    def speculative_cost(self, cost: float, length: int) -> float:
        """Expected target passes per token, run speculatively: (1 + c length) / tokens.

        Raises
        ------
        ValueError
            If `cost` is negative or `length` is not a whole number >= 0.
        """
        price = float(check_costs("cost", cost))
        return (1.0 + price * length) / self.tokens_per_cycle(length)

    def sequential_cost(self, cost: float) -> float:
        """Expected target passes per token of the plain cascade: c + deferral rate.

        Raises
        ------
        ValueError
            If `cost` is negative, or the rule looks at the target before it decides.
        """
        price = float(check_costs("cost", cost))
        if not self.sequential:
            raise ValueError(
                "sequential_cost needs a rule that reads the draft only (Chow, ChowLog); "
                "for this one use speculative_cost"
            )
        return price + float(np.mean(self.deferral))


class DeferralRule(Protocol):
    """Anything that turns a pair of laws into a `DeferralLaw`."""

    def law(
        self,
        target: npt.ArrayLike,
        draft: npt.ArrayLike,
        target_scaled: npt.ArrayLike | None = None,
        draft_scaled: npt.ArrayLike | None = None,
    ) -> DeferralLaw:
        """Law, acceptance and deferral rate in every context."""
        ...


class ContextRule:
    """Keeps or defers a whole context: pi = (1 - r) q + r p."""

    __slots__ = ()
    sequential: ClassVar[bool] = False

    def defer(self, target: npt.ArrayLike, draft: npt.ArrayLike) -> Bools:
        """Whether to defer, shape (...), from the laws at temperature 1."""
        return ~self._keep(*check_pair(target, draft))

    def law(
        self,
        target: npt.ArrayLike,
        draft: npt.ArrayLike,
        target_scaled: npt.ArrayLike | None = None,
        draft_scaled: npt.ArrayLike | None = None,
    ) -> DeferralLaw:
        """Resulting law; acceptance is 1 - r TV of the scaled laws (Lemma 3).

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
        deferred = np.broadcast_to(self.defer(target, draft), p.shape[:-1]).astype(np.float64)
        weight = deferred[..., None]
        return DeferralLaw(
            np.asarray((1.0 - weight) * q + weight * p),
            np.asarray(1.0 - deferred * total_variation(p, q)),
            deferred,
            self.sequential,
        )

    def keeps(self, target: Floats, draft: Floats) -> bool:
        """Whether the draft is kept in one context, unchecked, from laws at temperature 1."""
        return bool(self._keep(target, draft))

    def mix(
        self, target: Floats, draft: Floats, target_scaled: Floats, draft_scaled: Floats
    ) -> Floats:
        """Law of the emitted token in one context, unchecked: what a decoder asks at every token.

        Parameters
        ----------
        target, draft : ndarray, shape (vocab,)
            At temperature 1, for the decision.
        target_scaled, draft_scaled : ndarray, shape (vocab,)
            Sampled from; one of them is returned.
        """
        return draft_scaled if self.keeps(target, draft) else target_scaled

    def _keep(self, p: Floats, q: Floats) -> Bools:
        """The rule proper, on laws of one shape."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Chow(ContextRule):
    """Keep the draft iff max q >= 1 - threshold; Eq. (2).

    Attributes
    ----------
    threshold : float
        In [-1, 1]; 1 always keeps, below 0 always defers.

    Examples
    --------
    >>> Chow(0.5).law([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]).law.tolist()
    [0.6, 0.3, 0.1]
    """

    threshold: float
    sequential: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        return np.asarray(q.max(axis=-1) >= 1.0 - self.threshold)


@dataclass(frozen=True, slots=True)
class ChowLog(ContextRule):
    """Keep the draft iff the entropy of q is <= threshold.

    Attributes
    ----------
    threshold : float
        Nats, >= 0.

    Examples
    --------
    >>> bool(ChowLog(0.5).defer([0.3, 0.5, 0.2], [0.6, 0.3, 0.1]))
    True
    """

    threshold: float
    sequential: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0.0)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        logs = np.log(np.where(q > 0.0, q, 1.0))
        return np.asarray(-(q * logs).sum(axis=-1) <= self.threshold)


@dataclass(frozen=True, slots=True)
class Diff(ContextRule):
    """Keep the draft iff max q >= max p - threshold; Eq. (5).

    Attributes
    ----------
    threshold : float
        In [-1, 1].

    Examples
    --------
    >>> bool(Diff(0.0).defer([0.7, 0.3], [0.6, 0.4]))
    True
    """

    threshold: float

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        return np.asarray(q.max(axis=-1) >= p.max(axis=-1) - self.threshold)


@dataclass(frozen=True, slots=True)
class Opt(ContextRule):
    """Keep the draft iff max q >= max p - threshold TV(p, q); Eq. (10).

    The plug-in form of the optimal rule for speculative execution (Lemma 4), whose price of a
    deferral is its chance of a rejection.

    Attributes
    ----------
    threshold : float
        In [-1, 1].

    Examples
    --------
    >>> bool(Opt(1.0).defer([0.7, 0.3], [0.6, 0.4]))
    False
    """

    threshold: float

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def _keep(self, p: Floats, q: Floats) -> Bools:
        margin = self.threshold * total_variation(p, q)
        return np.asarray(q.max(axis=-1) >= p.max(axis=-1) - margin)


def check_threshold(threshold: object) -> None:
    """Refuse a threshold that is no number in [-1, 1].

    Parameters
    ----------
    threshold : float
        The paper's alpha: what a target pass may cost in loss.

    Raises
    ------
    TypeError, ValueError
        If it is no number, or out of range.

    Examples
    --------
    >>> check_threshold(0.25)
    """
    check_number("threshold", threshold, -1.0, 1.0)


def sampled_laws(
    target: npt.ArrayLike,
    draft: npt.ArrayLike,
    target_scaled: npt.ArrayLike | None,
    draft_scaled: npt.ArrayLike | None,
) -> tuple[Floats, Floats]:
    """The laws sampled from, broadcast to the shape of all four.

    Parameters
    ----------
    target, draft : array_like, shape (..., vocab)
        Laws at temperature 1.
    target_scaled, draft_scaled : array_like or None
        The same at the sampling temperature; None: temperature 1.

    Returns
    -------
    (ndarray, ndarray), shape (..., vocab)
        Target and draft, as they are sampled.

    Raises
    ------
    ValueError
        If one is no law, or they do not broadcast.

    Examples
    --------
    >>> p, q = sampled_laws([0.5, 0.5], [0.9, 0.1], None, None)
    >>> q.tolist()
    [0.9, 0.1]
    """
    plain, _ = check_pair(target, draft)
    p, q = check_pair(
        target if target_scaled is None else target_scaled,
        draft if draft_scaled is None else draft_scaled,
    )
    p, _ = check_pair(p, plain)
    q, _ = check_pair(q, plain)
    return p, q
