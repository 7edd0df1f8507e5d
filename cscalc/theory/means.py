"""Expected tokens and cost of one cascade for many rates and costs at once.

The segment calculus (`cscalc.theory.segments`) on arrays of rates, real or complex: acceptance is
independent.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc._fit import check_fit, check_longest
from cscalc.acceptance import Independent
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.theory._law_program import review_reach
from cscalc.theory.segments import Calculus, Verification, nodes_of


def mean_and_cost(
    cascade: Cascade,
    profile: Profile,
    alphas: npt.NDArray[Any] | None = None,
    costs: npt.NDArray[Any] | None = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Expected tokens and cost per cycle for many rates and costs at once.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        One-shot models and verification costs; also rates and costs where not given.
    alphas : ndarray, shape (..., n + 1, n + 1), optional
        Acceptance rates, real or complex; not checked.
    costs : ndarray, shape (..., n), optional
        Costs in target passes; leading axes broadcast against those of `alphas`.

    Returns
    -------
    tokens, cost : ndarray, shape (...)
        Their ratio is the EWIF.

    Raises
    ------
    ValueError
        If the profile does not fit the cascade, or its acceptance is not independent.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> profile = Profile([0.8], [0.1])
    >>> tokens, cost = mean_and_cost(Cascade((Draft(1, 5),)), profile)
    >>> round(float(tokens), 5), float(cost)
    (3.68928, 1.5)
    """
    check_fit(cascade, profile)
    check_longest(cascade.max_length)
    check_independent(profile)
    rates = np.moveaxis(profile.alphas if alphas is None else alphas, (-2, -1), (0, 1))
    prices = np.moveaxis(profile.costs if costs is None else costs, -1, 0)
    rates, prices = np.ascontiguousarray(rates), np.ascontiguousarray(prices)
    curves = {model: verify_curve(cascade, profile, model) for model in profile.verify}

    def verification(model: int) -> Verification:
        curve = curves.get(model)
        return None if curve is None else lambda positions: float(curve[positions])

    calculus = Calculus(
        alpha=lambda reviewer, draft: rates[reviewer, draft],
        cost=lambda model: prices[model - 1] if model else 1.0,
        one_shot=profile.one_shot,
        verify=verification,
    )
    drafts = nodes_of(cascade.drafts)
    shape = np.broadcast_shapes(rates.shape[2:], prices.shape[1:])
    tokens = np.broadcast_to(np.asarray(calculus.tokens(drafts)) * 1.0, shape)
    cost = np.broadcast_to(np.asarray(calculus.cycle_cost(drafts)) * 1.0, shape)
    return tokens, cost


def verify_curve(cascade: Cascade, profile: Profile, model: int) -> Floats:
    """Verification cost of one reviewer, as far as a cascade asks for it.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Its `verify` is read.
    model : int
        The reviewer, 0 for the target.

    Returns
    -------
    ndarray, shape (most + 1,)
        V(m), index m positions, in that model's one-position passes; V(0) = 0.

    Raises
    ------
    ValueError
        If the cascade reviews more positions than `verify` covers.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> profile = Profile([0.8], [0.1], verify=[1.0, 1.5])
    >>> verify_curve(Cascade((Draft(1, 1),)), profile, 0).tolist()
    [0.0, 1.0, 1.5]
    """
    reach = review_reach(cascade.drafts, model) if model else cascade.max_length + 1
    return profile.verify_costs(model, reach)


def check_independent(profile: Profile) -> None:
    """Refuse a profile whose acceptance is not independent.

    Parameters
    ----------
    profile : Profile
        Its acceptance model is looked at.

    Raises
    ------
    ValueError
        If that is not `Independent`.

    Examples
    --------
    >>> check_independent(Profile([0.8], [0.1]))
    """
    if not isinstance(profile.acceptance, Independent):
        raise ValueError(
            f"this formula holds for independent acceptance, got a profile with "
            f"{profile.acceptance.kind!r}: use cycle_law, or a profile with Independent()"
        )
