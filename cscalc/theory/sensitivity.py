"""How EWIF changes with every acceptance rate and every cost, exactly."""

from dataclasses import dataclass

import numpy as np

from cscalc._checks import Floats
from cscalc._fit import check_fit
from cscalc.cascade import Cascade, Review, Segment
from cscalc.profile import Profile
from cscalc.theory.means import mean_and_cost

_STEP = 1e-30  # imaginary; its square vanishes beside any real part


@dataclass(frozen=True, slots=True, eq=False)
class EwifGradient:
    """Derivatives of the EWIF of one cascade.

    Attributes
    ----------
    ewif : float
        Tokens per target-pass time.
    alphas : ndarray, shape (n + 1, n + 1)
        ``alphas[i, j]`` is the derivative by the acceptance rate of model j's tokens by model
        i; 0 for pairs that do not meet in the cascade.
    costs : ndarray, shape (n,)
        ``costs[j - 1]`` is the derivative by the cost of model j; <= 0.

    Examples
    --------
    >>> from cscalc import Draft
    >>> gradient = ewif_gradient(Cascade((Draft(1, 1),)), Profile([0.8], [0.2]))
    >>> round(float(gradient.alphas[0, 1]), 6)
    0.833333
    """

    ewif: float
    alphas: Floats
    costs: Floats


def ewif_gradient(cascade: Cascade, profile: Profile) -> EwifGradient:
    r"""Derivatives of `cscalc.ewif` by every acceptance rate and cost of the profile.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates and costs; acceptance is independent.

    Returns
    -------
    EwifGradient
        For a horizontal cascade of single tokens, ``alphas[0]`` is Corollary 4.6 of CS Drafting
        (arXiv:2312.11462) over the cost.

    Raises
    ------
    ValueError
        If the profile does not fit the cascade, or its acceptance is not independent.

    Notes
    -----
    Tokens and cost are polynomials in rates and costs, so their values at
    :math:`\alpha + i h`, with h = 1e-30, have h times the derivative as imaginary part, with no
    difference taken: the result is exact to rounding (relative error about 1e-14). See Squire
    and Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
    40(1), 1998. All directions run through the segment calculus at once.

    Examples
    --------
    >>> from cscalc import Draft
    >>> gradient = ewif_gradient(Cascade((Draft(1, 1),)), Profile([0.8], [0.2]))
    >>> round(float(gradient.alphas[0, 1]), 12), round(float(gradient.costs[0]), 12)
    (0.833333333333, -1.25)
    """
    check_fit(cascade, profile)
    pairs = sorted(_pairs(cascade.drafts, 0))
    size, n = len(pairs) + len(cascade.models), profile.n_drafts
    alphas = np.repeat(profile.alphas[None].astype(np.complex128), size, axis=0)
    costs = np.repeat(profile.costs[None].astype(np.complex128), size, axis=0)
    for at, (reviewer, draft) in enumerate(pairs):
        alphas[at, reviewer, draft] += 1j * _STEP
    for at, model in enumerate(cascade.models, start=len(pairs)):
        costs[at, model - 1] += 1j * _STEP
    tokens, cost = mean_and_cost(cascade, profile, alphas, costs)  # (size,) each
    ewif = tokens.real / cost.real
    slopes = (tokens.imag - ewif * cost.imag) / cost.real / _STEP
    by_alpha, by_cost = np.zeros((n + 1, n + 1)), np.zeros(n)
    for at, (reviewer, draft) in enumerate(pairs):
        by_alpha[reviewer, draft] = slopes[at]
    for at, model in enumerate(cascade.models, start=len(pairs)):
        by_cost[model - 1] = slopes[at]
    plain = mean_and_cost(cascade, profile)
    return EwifGradient(float(plain[0] / plain[1]), by_alpha, by_cost)


def _pairs(drafts: tuple[Segment, ...], reviewer: int) -> set[tuple[int, int]]:
    """Reviewer and draft of every segment."""
    pairs = {(reviewer, segment.model) for segment in drafts}
    for segment in drafts:
        if isinstance(segment, Review):
            pairs |= _pairs(segment.drafts, segment.model)
    return pairs
