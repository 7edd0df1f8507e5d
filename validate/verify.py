"""Accept and correct: the one step that keeps the output law the reviewer's own."""

import math

import numpy as np
import torch
from torch import Tensor

from validate import draws
from validate.sampling import DenseLaw, Law, PointLaw

SURE = 1.0 - 1e-14  # rounding alone must not reject where the correction has no mass


def accept_probability(target: Law, draft: Law, token: int, lenience: float = 1.0) -> float:
    r"""Chance that the reviewer keeps `token`: :math:`\min(1, f p/q)` (arXiv:2211.17192, Alg. 1).

    Parameters
    ----------
    target, draft : Law
        Law of the reviewer, and the law that `token` was drawn from.
    token : int
        The proposal.
    lenience : float
        The factor f >= 1; 1 is lossless.

    Raises
    ------
    ValueError
        If the draft gives the token no mass, so that it cannot have proposed it.
    """
    chance = draft.prob(token)
    if not chance > 0.0:  # also true for nan
        raise ValueError(f"the draft gives token {token} mass {chance}, so it cannot propose it")
    ratio = lenience * target.prob(token) / chance
    return ratio if ratio < SURE else 1.0


def correction(target: Law, draft: Law, lenience: float = 1.0) -> Law:
    r"""Law to draw from after a rejection: :math:`(f p - q)_+` normalised.

    Where that has no mass, rounding alone has rejected, with a chance of about 1e-7 in float32,
    and the token follows the target's own law.

    Raises
    ------
    ValueError
        If a law holds nan.
    """
    if isinstance(target, PointLaw):
        return target
    own = target.dense()
    found: Law
    if own.device.type == "cpu" and not isinstance(draft, PointLaw):
        found = over = ExcessLaw(own, draft.dense(), lenience)
        mass = over.mass
    else:
        excess = lenience * own  # a copy
        if isinstance(draft, PointLaw):
            excess[draft.token] -= 1.0
        else:
            excess -= draft.dense().to(own.device)
        mass = float(excess.clamp_(min=0.0).sum(dtype=torch.float64))
        found = DenseLaw(excess / mass)
    if math.isnan(mass):
        raise ValueError("a law is not a number: the model's logits overflow, try a wider dtype")
    return found if mass > 0.0 else target


class ExcessLaw:
    """:math:`(f p - q)_+` normalised, of two laws on the CPU; drawn from without writing it down.

    Parameters
    ----------
    own, draft : Tensor, shape (vocab_size,)
    factor : float
        f >= 1.
    """

    def __init__(self, own: Tensor, draft: Tensor, factor: float) -> None:
        self.vocab_size = len(own)
        self._dtype = own.dtype
        self._weights = own.numpy(), draft.numpy(), factor
        self._sums = draws.excess_sums(*self._weights)
        self.mass = float(self._sums.sum())  # 0 where p <= q everywhere: nothing to draw

    def prob(self, token: int) -> float:
        own, draft, factor = self._weights
        return max(factor * float(own[token]) - float(draft[token]), 0.0) / self.mass

    def draw(self, uniform: float) -> int:
        return int(draws.invert_excess(*self._weights, self._sums, uniform))

    def dense(self) -> Tensor:
        own, draft, factor = self._weights
        excess = np.maximum(factor * own - draft, 0.0) / self.mass
        return torch.from_numpy(excess).to(self._dtype)


def lenient_law(target: Law, draft: Law, lenience: float) -> Law:
    r"""Law of the token that a lenient review emits where `draft` proposed.

    :math:`\min(q, f p) + (1 - \sum \min(q, f p)) \, \mathrm{norm}((f p - q)_+)`: no token has
    more than f p, as in appendix A.5 of arXiv:2211.17192.

    Parameters
    ----------
    target, draft : Law
        Law of the reviewer, and the law that the proposal was drawn from.
    lenience : float
        The factor f >= 1.
    """
    own = lenience * target.dense()
    kept = torch.minimum(own, draft.dense().to(own.device))
    left = 1.0 - kept.sum()
    excess = (own - kept).clamp_(min=0.0)
    mass = excess.sum()
    if not (mass > 0.0 and left > 0.0):  # everything is kept
        return DenseLaw(kept / kept.sum())
    return DenseLaw(kept + left * excess / mass)
