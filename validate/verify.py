"""Accept and correct: the one step that keeps the output law the reviewer's own."""

import torch

from validate.sampling import DenseLaw, Law, PointLaw


def accept_probability(target: Law, draft: Law, token: int) -> float:
    r"""Chance that the reviewer keeps `token`: :math:`\min(1, p/q)` (arXiv:2211.17192, Alg. 1).

    Parameters
    ----------
    target, draft : Law
        Law of the reviewer, and the law that `token` was drawn from.
    token : int
        The proposal.

    Raises
    ------
    ValueError
        If the draft gives the token no mass, so that it cannot have proposed it.
    """
    chance = draft.prob(token)
    if not chance > 0.0:  # also true for nan
        raise ValueError(f"the draft gives token {token} mass {chance}, so it cannot propose it")
    return min(1.0, target.prob(token) / chance)


def correction(target: Law, draft: Law) -> Law:
    r"""Law to draw from after a rejection: :math:`(p - q)_+` normalised.

    Raises
    ------
    ValueError
        If p <= q everywhere, so that nothing can be rejected.
    """
    if isinstance(target, PointLaw):
        if draft.prob(target.token) >= 1.0:
            raise ValueError(f"p <= q everywhere (both at {target.token}): nothing to reject")
        return target
    excess = (target.dense() - draft.dense().to(target.dense().device)).clamp_(min=0.0)
    mass = excess.sum(dtype=torch.float64)
    if not mass > 0.0:  # dividing would hand back nan
        raise ValueError(f"p <= q everywhere (mass {mass}), so nothing can be rejected")
    return DenseLaw(excess / mass.to(excess.dtype))
