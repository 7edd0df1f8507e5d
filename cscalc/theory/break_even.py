"""What adding a draft must offer to pay: break-even cost and rate, and ceilings."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cscalc._checks import Floats, check_int
from cscalc._fit import check_fit
from cscalc.acceptance import BetaMixture, Independent
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law

_GRID = np.linspace(0.0, 1.0, 129)  # rates between which a crossing is looked for
_ROUNDING = 1e-13  # relative; a smaller difference of two sides is none


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where one cascade starts to be at least as fast as another.

    Attributes
    ----------
    value : float or None
        Cost or rate at which both have the same EWIF; None where there is no such number. A
        negative cost means that the addition does not pay even if it is free.
    pays : {"below", "above", "always", "never"}
        Where, in the admissible range (costs >= 0, rates in [0, 1]), the cascade with the
        addition is the faster one: below or above `value`, everywhere, or nowhere. Two equally
        fast cascades count as "always".

    Examples
    --------
    >>> from cscalc import Draft
    >>> found = break_even_cost(Cascade(()), Cascade((Draft(1, 1),)), Profile([0.8], [0.1]))
    >>> round(found.value, 6), found.pays
    (0.8, 'below')
    """

    value: float | None
    pays: Literal["below", "above", "always", "never"]


def break_even_cost(
    without: Cascade, added: Cascade, profile: Profile, model: int | None = None
) -> BreakEven:
    r"""Cost of a model at which `added` and `without` have the same EWIF.

    Parameters
    ----------
    without, added : Cascade
        Two cascades, usually without and with some draft.
    profile : Profile
        Everything else; the profile's own cost of `model` is not read.
    model : int, optional
        The draft whose cost is asked for; by default the only one that `added` uses and
        `without` does not.

    Returns
    -------
    BreakEven
        Exact: tokens do not depend on costs, and a cycle's cost is :math:`A + w c` with w the
        expected passes of the model, so :math:`T_1 (A_0 + w_0 c) = T_0 (A_1 + w_1 c)` is linear
        in c. CAS-Spec's Appendix B (arXiv:2510.26843) is the case of one draft less.

    Raises
    ------
    ValueError
        If `model` must be named, or is in neither cascade, or the profile does not fit.

    Examples
    --------
    >>> from cscalc import Draft, Review
    >>> vertical = Cascade((Review(1, (Draft(2, 4),), rounds=3),))
    >>> profile = Profile([0.8, 0.3], [0.2, 0.01])
    >>> found = break_even_cost(Cascade((Draft(2, 3),)), vertical, profile)
    >>> round(found.value, 6), found.pays
    (0.450085, 'below')
    """
    chosen = _model(without, added, profile, model)
    free, priced = np.array(profile.costs), np.array(profile.costs)
    free[chosen - 1], priced[chosen - 1] = 0.0, 1.0
    (t0, c0), (t1, c1) = (_mean_and_cost(one, profile, costs=free) for one in (without, added))
    w0, w1 = (
        _mean_and_cost(one, profile, costs=priced)[1] - cost
        for one, cost in ((without, c0), (added, c1))
    )
    lead = t1 * c0 - t0 * c1  # > 0: `added` is faster if the model is free
    slope = t1 * w0 - t0 * w1
    if abs(slope) <= _ROUNDING * t0 * (c1 + w1):
        return BreakEven(None, "always" if lead >= 0.0 else "never")
    value = -lead / slope
    if slope < 0.0:
        return BreakEven(value, "below" if value >= 0.0 else "never")
    return BreakEven(value, "above" if value > 0.0 else "always")


def break_even_alpha(
    without: Cascade, added: Cascade, profile: Profile, model: int | None = None, reviewer: int = 0
) -> BreakEven:
    """Acceptance rate at which `added` and `without` have the same EWIF.

    Parameters
    ----------
    without, added : Cascade
        Two cascades, usually without and with some draft.
    profile : Profile
        Everything else; the profile's own rate of this pair is not read.
    model : int, optional
        The draft whose rate is asked for; by default the only one that `added` uses and
        `without` does not.
    reviewer : int
        The model that accepts or rejects its tokens; 0, the target, by default.

    Returns
    -------
    BreakEven
        The smallest rate at which the faster cascade changes; there both sides agree to 1e-12
        (Brent's method; both are polynomials). Two crossings closer than 1/128 may be missed.

    Raises
    ------
    ValueError
        If `model` must be named, or is not behind `reviewer`, or the profile does not fit.

    Examples
    --------
    >>> from cscalc import Draft
    >>> plain, drafted = Cascade(()), Cascade((Draft(1, 2),))
    >>> found = break_even_alpha(plain, drafted, Profile([0.8], [0.3]))
    >>> round(found.value, 6), found.pays
    (0.421954, 'above')
    """
    from scipy.optimize import brentq  # slow to load

    chosen = _model(without, added, profile, model)
    if check_int("reviewer", reviewer, least=0) >= chosen:
        raise ValueError(
            f"reviewer {reviewer} cannot review model {chosen}: a reviewer has the smaller number"
        )
    if not isinstance(profile.acceptance, Independent | BetaMixture):
        raise ValueError(
            f"acceptance of kind {profile.acceptance.kind!r} has rates of its own, so no alpha "
            "can be asked for: give a profile whose acceptance is Independent()"
        )

    def lead(rate: float) -> float:
        """Above 0 where `added` is the faster one; 0 where the difference is rounding."""
        alphas = np.array(profile.alphas)
        alphas[reviewer, chosen] = rate
        (t0, c0), (t1, c1) = (_mean_and_cost(one, profile, alphas) for one in (without, added))
        ahead = t1 * c0 - t0 * c1
        return 0.0 if abs(ahead) <= _ROUNDING * t0 * c1 else ahead

    values = np.array([lead(float(rate)) for rate in _GRID])
    signs = np.sign(values)
    if not signs.any():
        return BreakEven(None, "always")
    first = signs[np.flatnonzero(signs)[0]]
    turned = np.flatnonzero(signs == -first)
    if turned.size == 0:
        edge = _edge(signs)
        return BreakEven(edge, "always" if first > 0.0 else "never")
    high = int(turned[0])
    low = int(np.flatnonzero(signs[:high] == first)[-1])
    root = brentq(lead, float(_GRID[low]), float(_GRID[high]), xtol=1e-16, rtol=1e-15)
    return BreakEven(float(root), "above" if first < 0.0 else "below")


def _edge(signs: Floats) -> float | None:
    """End of the range at which both are equal, if there is one."""
    ends = [rate for rate, sign in ((0.0, signs[0]), (1.0, signs[-1])) if sign == 0.0]
    return ends[0] if ends else None


@dataclass(frozen=True, slots=True)
class Ceilings:
    """EWIF of a cascade, and what it would be if one thing were ideal.

    Attributes
    ----------
    ewif : float
        As it is.
    drafting_free : float
        All drafts cost nothing; what is left is the target's pass.
    drafting_perfect : float
        Every reviewer accepts everything.
    verification_free : float
        A pass over many positions costs as much as over one, for every reviewer.

    Examples
    --------
    >>> from cscalc import Draft
    >>> ceilings(Cascade((Draft(1, 4),)), Profile([0.8], [0.25])).drafting_perfect
    2.5
    """

    ewif: float
    drafting_free: float
    drafting_perfect: float
    verification_free: float


def ceilings(cascade: Cascade, profile: Profile) -> Ceilings:
    """EWIF of `cascade` were drafting free, drafting perfect, or verification free.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    profile : Profile
        Acceptance rates and costs.

    Returns
    -------
    Ceilings
        Lengths stay as they are. `drafting_free` bounds what cheaper drafts can give this
        cascade, and `drafting_perfect` what better ones can unless a longer draft costs the
        reviewers more than it brings.

    Raises
    ------
    ValueError
        If the profile does not fit the cascade.

    Examples
    --------
    >>> from cscalc import Draft
    >>> found = ceilings(Cascade((Draft(1, 4),)), Profile([0.8], [0.25]))
    >>> round(found.ewif, 4), round(found.drafting_free, 4), found.drafting_perfect
    (1.6808, 3.3616, 2.5)
    """

    def ewif(**changes: Any) -> float:
        tokens, cost = _mean_and_cost(cascade, profile, **changes)
        return tokens / cost

    return Ceilings(
        ewif=ewif(),
        drafting_free=ewif(costs=np.zeros(profile.n_drafts)),
        drafting_perfect=ewif(alphas=np.ones_like(profile.alphas), acceptance=Independent()),
        verification_free=ewif(verify=None),
    )


def _mean_and_cost(
    cascade: Cascade,
    profile: Profile,
    alphas: Floats | None = None,
    costs: Floats | None = None,
    **changes: Any,
) -> tuple[float, float]:
    """Expected tokens and cost per cycle on a changed profile."""
    options: dict[str, Any] = {"verify": profile.verify, "acceptance": profile.acceptance}
    changed = Profile(
        profile.alphas if alphas is None else alphas,
        profile.costs if costs is None else costs,
        one_shot=profile.one_shot,
        **(options | changes),
    )
    law = cycle_law(cascade, changed)
    return law.mean, law.cost


def _model(without: Cascade, added: Cascade, profile: Profile, model: int | None) -> int:
    for cascade in (without, added):
        check_fit(cascade, profile)
    new = sorted(set(added.models) - set(without.models))
    if model is None:
        if len(new) != 1:
            raise ValueError(
                f"model must be named: the second cascade uses {len(new)} models that the first "
                f"does not ({new})"
            )
        return new[0]
    used = {*added.models, *without.models}
    if check_int("model", model, least=1) not in used:
        raise ValueError(f"model {model} is in neither cascade: they use {sorted(used)}")
    return model
