"""Averages over prompts: a sum for a mixture, a quadrature to convergence for a beta mixture."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.acceptance import BetaMixture, Mixture
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile

Mask = npt.NDArray[np.bool_]
TOLERANCE = 1e-12  # two rules in a row agree so well, relative to the largest entry
ACCURACY = 1e-8  # what the last rule must reach
LEVELS = 10  # each has twice the nodes of the one before
ENDS = 3.25  # of the double-exponential variable: weights beyond are below 1e-16 of the largest


def average(
    function: Callable[[Floats], Floats],
    cascade: Cascade,
    profile: Profile,
    tolerance: float = TOLERANCE,
) -> Floats:
    """Mean over prompts of ``function(alphas)``, a vector; alphas (n + 1, n + 1) of a prompt.

    A beta mixture is an integral over its one quantile u. All rates are functions of u, steep
    near 0 and 1 and, for small concentrations, where each jumps from reject to accept, at
    u = 1 - alpha: double-exponential rules between these points, doubled until two agree to
    `tolerance`.
    (Gauss-Jacobi, natural for one rate, loses digits as the concentration leaves 1.)

    Raises
    ------
    ValueError
        If the quadrature does not settle to `ACCURACY`.
    """
    model = profile.acceptance
    if isinstance(model, Mixture):
        return _sum(function, np.asarray(model.weights), np.asarray(model.alphas))
    if not isinstance(model, BetaMixture):
        raise ValueError(f"acceptance of kind {model.kind!r} is not a mixture")
    used = np.zeros(profile.alphas.shape, dtype=bool)
    for i, j in _pairs(0, cascade.drafts):
        used[i, j] = 0.0 < profile.alphas[i, j] < 1.0
    if not used.any():
        return function(profile.alphas)
    total, mass, gap, scale = np.zeros(1), 0.0, np.inf, 1.0
    found: Floats | None = None
    for level in range(LEVELS):
        weights, alphas = _rule(profile, used, model.concentration, level)
        total, mass = total + _sum(function, weights, alphas), mass + float(weights.sum())
        last, found = found, np.asarray(total / mass)
        if last is not None:
            gap, scale = float(np.max(np.abs(found - last))), max(1.0, float(np.max(found)))
        if gap <= tolerance * scale:
            break
    if found is None or gap > ACCURACY * scale:
        raise ValueError(
            f"the average over prompts does not settle (last change {gap:.1e}) at "
            f"concentration={model.concentration:g}: give a Mixture of a few kinds of prompts"
        )
    return found


def _sum(function: Callable[[Floats], Floats], weights: Floats, alphas: Floats) -> Floats:
    total = weights[0] * function(alphas[0])
    for weight, one in zip(weights[1:], alphas[1:], strict=True):
        total += weight * function(one)
    return np.asarray(total)


def _pairs(reviewer: int, drafts: tuple[Segment, ...]) -> set[tuple[int, int]]:
    found = {(reviewer, segment.model) for segment in drafts}
    for segment in drafts:
        if isinstance(segment, Review):
            found |= _pairs(segment.model, segment.drafts)
    return found


def _rule(profile: Profile, used: Mask, concentration: float, level: int) -> tuple[Floats, Floats]:
    """Weights (k,) and alphas (k, n + 1, n + 1) of the nodes that `level` adds."""
    key = ("beta", level, used.tobytes())
    if key not in profile._curves:
        profile._curves[key] = _double_exponential(profile.alphas, used, concentration, level)
    weights, alphas = profile._curves[key]
    return weights, alphas


def _double_exponential(
    alphas: Floats, used: Mask, concentration: float, level: int
) -> tuple[Floats, Floats]:
    step = ENDS / (8 << level)
    count = 16 << level
    t = step * np.arange(-count // 2, count // 2 + 1)  # (nodes,)
    if level:
        t = t[1::2]  # the others are nodes of the levels before
    push = np.pi * np.sinh(t)
    left, right = 1.0 / (1.0 + np.exp(-push)), 1.0 / (1.0 + np.exp(push))  # shares of a panel
    slope = np.cosh(t) * left * right
    distinct = np.unique(alphas[used])
    edges = np.concatenate([[0.0], np.sort(1.0 - distinct), [1.0]])
    panels = [(low, high) for low, high in pairwise(edges) if high > low]
    u = np.concatenate([low + (high - low) * left for low, high in panels])
    above = np.concatenate([(1.0 - high) + (high - low) * right for low, high in panels])  # 1 - u
    table = np.repeat(alphas[None], u.size, axis=0)
    for alpha in distinct:
        a, b = concentration * alpha, concentration * (1.0 - alpha)
        rates = np.where(u < 0.5, _low_quantile(a, b, u), 1.0 - _low_quantile(b, a, above))
        table[:, used & (alphas == alpha)] = rates[:, None]
    return np.concatenate([(high - low) * slope for low, high in panels]), table


def _low_quantile(a: float, b: float, u: Floats) -> Floats:
    """u-quantile of Beta(a, b), precise near u = 0."""
    from scipy.special import betaincinv, betaln

    found = betaincinv(a, b, u)
    lost = np.isnan(found)  # scipy, for some u below 1e-12: there x^a / (a B(a, b)) = u
    found[lost] = np.exp(np.minimum(0.0, (np.log(a * u[lost]) + betaln(a, b)) / a))
    return np.asarray(found)
