"""Averages over prompts: nodes and weights of a mixture, and their quadrature to convergence."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from cscalc._checks import Floats
from cscalc.acceptance import BetaMixture, Mixture
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile

TOLERANCE = 1e-12  # two rules in a row agree so well, relative to the largest entry
ACCURACY = 1e-8  # what the last rule must reach
LEVELS = 8


def average(function: Callable[[Floats], Floats], cascade: Cascade, profile: Profile) -> Floats:
    """Mean over prompts of ``function(alphas)``, a vector; alphas (n + 1, n + 1) of a prompt.

    Raises
    ------
    ValueError
        If the quadrature of a beta mixture does not settle to `ACCURACY`.
    """
    model = profile.acceptance
    if isinstance(model, Mixture):
        weights, alphas = np.asarray(model.weights), np.asarray(model.alphas)
        return _sum(function, weights, alphas)
    if not isinstance(model, BetaMixture):
        raise ValueError(f"acceptance of kind {model.kind!r} is not a mixture")
    last: Floats | None = None
    for level in range(LEVELS):
        found = _sum(function, *beta_rule(cascade, profile, model.concentration, level))
        gap = np.inf if last is None else float(np.max(np.abs(found - last)))
        scale = max(1.0, float(np.max(np.abs(found))))
        if gap <= TOLERANCE * scale:
            return found
        last = found
    if gap > ACCURACY * scale:
        raise ValueError(
            f"the average over prompts does not settle (last change {gap:.1e}) at "
            f"concentration={model.concentration:g}: give a Mixture of a few kinds of prompts"
        )
    return found


def _sum(function: Callable[[Floats], Floats], weights: Floats, alphas: Floats) -> Floats:
    total: Floats = weights[0] * function(alphas[0])
    for weight, one in zip(weights[1:], alphas[1:], strict=True):
        total = total + weight * function(one)
    return total


def beta_rule(
    cascade: Cascade, profile: Profile, concentration: float, level: int
) -> tuple[Floats, Floats]:
    """Weights (k,) and alphas (k, n + 1, n + 1) of a quadrature over prompts.

    With one rate between 0 and 1 in use, Gauss-Jacobi with 16 * 2**level nodes, exact for
    polynomials up to degree 32 * 2**level - 1 in the rate, which a cycle's law is. With
    several, all are functions of one quantile, steep at 0, at 1 and, for small concentrations,
    where each jumps from reject to accept: double-exponential rules between these points.
    """
    key = ("beta", level, _pairs(0, cascade.drafts))
    if key not in profile._curves:
        used = np.zeros(profile.alphas.shape, dtype=bool)
        for i, j in _pairs(0, cascade.drafts):
            used[i, j] = 0.0 < profile.alphas[i, j] < 1.0
        distinct = np.unique(profile.alphas[used])
        if distinct.size == 0:
            rule = np.ones(1), profile.alphas[None]
        elif distinct.size == 1:
            weights, rates = _gauss_jacobi(float(distinct[0]), concentration, 16 << level)
            rule = weights, np.where(used, rates[:, None, None], profile.alphas)
        else:
            rule = _double_exponential(profile.alphas, used, distinct, concentration, level)
        profile._curves[key] = rule
    weights, alphas = profile._curves[key]
    return weights, alphas


def _pairs(reviewer: int, drafts: tuple[Segment, ...]) -> tuple[tuple[int, int], ...]:
    found = {(reviewer, segment.model) for segment in drafts}
    for segment in drafts:
        if isinstance(segment, Review):
            found.update(_pairs(segment.model, segment.drafts))
    return tuple(sorted(found))


def _gauss_jacobi(alpha: float, concentration: float, nodes: int) -> tuple[Floats, Floats]:
    from scipy.special import roots_jacobi

    a, b = concentration * alpha, concentration * (1.0 - alpha)
    points, weights = roots_jacobi(nodes, b - 1.0, a - 1.0)
    return weights / weights.sum(), np.clip(0.5 * (1.0 + points), 0.0, 1.0)


def _double_exponential(
    alphas: Floats, used: Floats, distinct: Floats, concentration: float, level: int
) -> tuple[Floats, Floats]:
    from scipy.special import betainccinv, betaincinv

    step = 0.25 / 2**level
    t = np.arange(-3.25, 3.25 + step / 2, step)  # (nodes,); beyond, weights are below 1e-17
    push = 0.5 * np.pi * np.sinh(t)
    left = 1.0 / (1.0 + np.exp(-2.0 * push))  # share of a panel below the node
    right = 1.0 / (1.0 + np.exp(2.0 * push))  # and above it, each without cancellation
    slope = 0.25 * np.pi * np.cosh(t) / np.cosh(push) ** 2 * step * 2.0
    edges = np.concatenate([[0.0], np.sort(1.0 - distinct), [1.0]])
    below, above, weights = [], [], []
    for low, high in pairwise(edges):
        width = high - low
        below.append(low + width * left)
        above.append((1.0 - high) + width * right)
        weights.append(0.5 * width * slope)
    u, over = np.concatenate(below), np.concatenate(above)  # u and 1 - u
    table = np.repeat(alphas[None], u.size, axis=0)
    for alpha in distinct:
        a, b = concentration * alpha, concentration * (1.0 - alpha)
        rates = np.where(u < 0.5, betaincinv(a, b, u), betainccinv(a, b, over))
        table[:, used & (alphas == alpha)] = rates[:, None]
    joined = np.concatenate(weights)
    return joined / joined.sum(), table
