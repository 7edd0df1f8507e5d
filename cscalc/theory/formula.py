"""A symbolic formula compiled to numpy code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

from cscalc._checks import Floats, as_floats, check_costs, check_rates
from cscalc._fit import check_fit
from cscalc.cascade import Cascade
from cscalc.profile import Profile
from cscalc.theory.means import check_independent, verify_curve
from cscalc.theory.series import unwrap
from cscalc.theory.symbols import (
    Expr,
    VerifyForm,
    alpha_symbol,
    cost_symbol,
    slope_symbol,
    verify_symbol,
)

_STRAIGHT = 1e-9  # relative; how well a curve must fit a line to stand for its slope


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """A formula of one cascade; call it with rates and costs.

    Attributes
    ----------
    expression : sympy expression
        The formula.
    cascade : Cascade
        Whose formula it is.
    one_shot : tuple of int
        Models that the formula takes as one-shot.
    verify : {"free", "affine", "curve"} or None
        What it takes verification to cost; None if it does not depend on that.
    symbols : tuple of sympy expression
        What it depends on, sorted by name: rates, costs, slopes, and values V_i(m).

    Examples
    --------
    >>> from cscalc import Cascade, Draft
    >>> from cscalc.theory.symbolic import lambdified
    >>> formula = lambdified(Cascade((Draft(1, 1),)))
    >>> round(float(formula([0.8], [0.1])), 6)
    1.636364
    """

    expression: Expr
    cascade: Cascade
    one_shot: tuple[int, ...]
    verify: VerifyForm | None
    symbols: tuple[Expr, ...]
    _compiled: Callable[..., Any]

    @classmethod
    def of(
        cls,
        expression: Expr,
        cascade: Cascade,
        one_shot: tuple[int, ...],
        verify: VerifyForm | None,
    ) -> "Formula":
        """Compile `expression`."""
        values = expression.atoms(sympy.core.function.AppliedUndef)
        names = sorted(expression.free_symbols | values, key=str)
        places = {name: sympy.Dummy() for name in names}  # a function value is no argument
        arguments = list(places.values())
        compiled = sympy.lambdify(arguments, expression.xreplace(places), "numpy", cse=True)
        return cls(expression, cascade, one_shot, verify, tuple(names), compiled)

    def __call__(
        self,
        alphas: npt.ArrayLike,
        costs: npt.ArrayLike,
        *,
        verify: Mapping[int, npt.ArrayLike] | None = None,
    ) -> Floats:
        """Value of the formula.

        Parameters
        ----------
        alphas : array_like, shape (..., n + 1, n + 1) or (n,)
            Acceptance rates as in `Profile`; leading axes broadcast.
        costs : array_like, shape (..., n)
            Costs in target passes.
        verify : mapping from model to number or array_like, optional
            The slope v_i of an "affine" formula, in [0, inf); or V_i at m = 1, 2, ... of a
            "curve" one. A model without an entry costs 1 per pass.

        Returns
        -------
        float or ndarray, shape (...)

        Raises
        ------
        ValueError
            If a number is out of its range or a shape does not fit the formula's models.

        Examples
        --------
        >>> from cscalc import Draft
        >>> from cscalc.theory.symbolic import lambdified
        >>> cost = lambdified(Cascade((Draft(1, 4),)), "cost", verify="affine")
        >>> round(float(cost([0.8], [0.1], verify={0: 0.05})), 6)
        1.6
        """
        prices = check_costs("costs", costs)
        rates = check_rates("alphas", _matrix(as_floats("alphas", alphas)))
        least = max(self.cascade.models, default=0)
        n = rates.shape[-1] - 1
        if prices.ndim == 0 or prices.shape[-1] != n or n < least:
            raise ValueError(
                f"alphas and costs must cover models up to {least} and have shapes (..., n + 1, "
                f"n + 1) and (..., n), got {rates.shape} and {prices.shape}"
            )
        known = self._values(n, rates, prices, {} if verify is None else verify)
        shape = np.broadcast_shapes(rates.shape[:-2], prices.shape[:-1])
        value = self._compiled(*(known[symbol] for symbol in self.symbols))
        return unwrap(np.broadcast_to(np.asarray(value, dtype=np.float64), shape))

    def _values(
        self, n: int, rates: Floats, prices: Floats, verify: Mapping[int, npt.ArrayLike]
    ) -> dict[Expr, Any]:
        if verify and self.verify not in ("affine", "curve"):
            raise ValueError(
                f"the formula does not depend on verify, got {verify!r}: make it with "
                "verify='affine' or 'curve'"
            )
        known: dict[Expr, Any] = {}
        for model in range(n + 1):
            if model:
                known[cost_symbol(model)] = prices[..., model - 1]
                known |= {alpha_symbol(i, model): rates[..., i, model] for i in range(model)}
            if self.verify == "affine":
                slope = check_costs(f"slope of model {model}", verify.get(model, 0.0))
                known[slope_symbol(model)] = slope
        of_curve = {verify_symbol(model, 1).func: model for model in range(n + 1)}
        for value in self.symbols:
            if value.func in of_curve:
                model, positions = of_curve[value.func], int(value.args[0])
                known[value] = _at(model, verify.get(model), positions)
        return known

    def at(self, profile: Profile) -> float:
        """Value of the formula for a profile.

        Parameters
        ----------
        profile : Profile
            Its `verify` gives the values V_i(m) of a "curve" formula, or the slopes of an
            "affine" one.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If the profile's one-shot models or verification costs are not those of the formula,
            its acceptance is not independent, or it lacks a model.
        """
        check_fit(self.cascade, profile)
        check_independent(profile)
        models = set(self.cascade.models)
        mine, theirs = models.intersection(self.one_shot), models.intersection(profile.one_shot)
        if mine != theirs:
            raise ValueError(
                f"the formula takes {sorted(mine)} as one-shot and the profile {sorted(theirs)}: "
                "give lambdified the profile's one_shot"
            )
        verify: dict[int, npt.ArrayLike] = {}
        for model in {0, *self.cascade.reviewers} & set(profile.verify) if self.verify else ():
            curve = verify_curve(self.cascade, profile, model)[1:]
            verify[model] = curve if self.verify == "curve" else _slope(model, curve)
        if self.verify == "free":
            if any(verify.values()):
                raise ValueError(
                    "the profile's passes cost more over more positions, and the formula takes "
                    "them as free: make it with verify='curve'"
                )
            verify = {}
        return float(self(profile.alphas, profile.costs, verify=verify))


def _matrix(alphas: Floats) -> Floats:
    """Rates as a matrix (..., n + 1, n + 1); a vector holds the rates by the target."""
    if alphas.ndim != 1:
        return np.triu(alphas, 1) if alphas.ndim else np.zeros((1, 1))
    matrix = np.zeros((alphas.size + 1, alphas.size + 1))
    matrix[:, 1:] = alphas
    return np.triu(matrix, 1)


def _at(model: int, values: npt.ArrayLike | None, positions: int) -> float:
    if values is None:
        return 1.0
    curve = check_costs(f"verify of model {model}", values)
    if curve.ndim != 1 or curve.size < positions:
        raise ValueError(
            f"verify of model {model} must be a vector over m = 1..{positions} or more, got shape "
            f"{curve.shape}"
        )
    return float(curve[positions - 1])


def _slope(model: int, curve: Floats) -> float:
    """Slope of V(m) = 1 + slope (m - 1)."""
    slope = float(curve[1] - curve[0]) if curve.size > 1 else 0.0
    line = 1.0 + slope * np.arange(curve.size)
    if np.any(np.abs(curve - line) > _STRAIGHT * np.abs(line)):
        raise ValueError(
            f"verify of model {model} is not a straight line from 1: make the formula with "
            "verify='curve'"
        )
    return slope
