"""Accept and correct: the one step that keeps the output law the reviewer's own."""

import torch

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

    Raises
    ------
    ValueError
        If p <= q everywhere, so that nothing can be rejected.
    """
    if isinstance(target, PointLaw):
        if draft.prob(target.token) >= 1.0:
            raise ValueError(f"p <= q everywhere (both at {target.token}): nothing to reject")
        return target
    own = target.dense() if lenience == 1.0 else lenience * target.dense()
    excess = (own - draft.dense().to(own.device)).clamp_(min=0.0)
    mass = excess.sum(dtype=torch.float64)
    if not mass > 0.0:  # dividing would hand back nan
        raise ValueError(f"p <= q everywhere (mass {mass}), so nothing can be rejected")
    return DenseLaw(excess / mass.to(excess.dtype))


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
