"""CAS-Spec's step rule: which draft to run next, and for how long (dynamic tree cascade)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_choice, check_costs, check_int, check_number, check_rates

Objective = Literal["ratio", "printed"]


@dataclass(frozen=True, slots=True)
class Step:
    """The next drafting step.

    Attributes
    ----------
    model : int or None
        Draft 1..n; None: stop drafting, the target verifies.
    length : int
        Passes of that model; 0 with None.
    value : float
        The objective's value at this step.

    Examples
    --------
    >>> step = best_step([0.9, 0.8], [0.4, 0.3], 0.8, 0.3, 5)
    >>> step.model, step.length
    (1, 3)
    """

    model: int | None
    length: int
    value: float


def step_values(
    alphas: npt.ArrayLike,
    costs: npt.ArrayLike,
    alpha_bottom: float,
    cost_bottom: float,
    max_length: int,
    *,
    objective: Objective = "ratio",
    tokens: float = 1.0,
    cost: float = 1.0,
    reach: float = 1.0,
) -> npt.NDArray[np.float64]:
    """Value of every step `best_step` chooses among.

    Parameters
    ----------
    alphas, costs, alpha_bottom, cost_bottom, max_length, objective, tokens, cost, reach
        As in `best_step`.

    Returns
    -------
    ndarray, shape (n, max_length), float64
        Row j - 1 for draft j, column k - 1 for length k. Where the printed rule divides by 0 it
        skips the step, and the entry is -inf.

    Raises
    ------
    TypeError, ValueError
        As `best_step`.

    Examples
    --------
    >>> step_values([0.9, 0.8], [0.4, 0.3], 0.8, 0.3, 2, objective="printed").round(3).tolist()
    [[2.314, 2.144], [2.4, 2.169]]
    """
    rates, prices = check_rates("alphas", alphas), check_costs("costs", costs)
    if rates.ndim != 1 or rates.size == 0 or rates.shape != prices.shape:
        raise ValueError(
            f"alphas and costs need one entry per draft, got shapes {rates.shape} and "
            f"{prices.shape}"
        )
    last = check_number("alpha_bottom", alpha_bottom, 0.0, 1.0)
    last_price = check_number("cost_bottom", cost_bottom, 0.0)
    check_int("max_length", max_length, least=1)
    check_choice("objective", objective, ("ratio", "printed"))
    reach = check_number("reach", reach, 0.0, 1.0)
    powers = rates[:, None] ** np.arange(1, max_length + 1)  # (n, max_length)
    gain = reach * (np.cumsum(powers, axis=1) + powers * last)
    price = prices[:, None] * np.arange(1, max_length + 1) + last_price
    if objective == "ratio":
        tokens, cost = check_number("tokens", tokens, 1.0), check_number("cost", cost, 0.0)
        total = cost + price
        if not np.all(total > 0.0):
            raise ValueError(f"cost must be > 0 when a draft is free, got {cost}")
        return np.asarray((tokens + gain) / total)
    paid = price > 0.0
    return np.asarray(np.where(paid, gain / np.where(paid, price, 1.0), -np.inf))


def best_step(
    alphas: npt.ArrayLike,
    costs: npt.ArrayLike,
    alpha_bottom: float,
    cost_bottom: float,
    max_length: int,
    *,
    objective: Objective = "ratio",
    tokens: float = 1.0,
    cost: float = 1.0,
    reach: float = 1.0,
) -> Step:
    r"""The drafting step to take next, the bottom draft adding one token after it.

    Parameters
    ----------
    alphas : array_like, shape (n,)
        Rate at which the target accepts each candidate draft's tokens.
    costs : array_like, shape (n,)
        One pass of each candidate, in target passes.
    alpha_bottom, cost_bottom : float
        The same of the bottom draft, which is assumed to follow with one token.
    max_length : int
        Longest step >= 1, in tokens.
    objective : {"ratio", "printed"}
        "ratio" (default): the EWIF after the step. "printed": Eq. 5 as the paper has it, which
        leaves out the target's pass and so prefers whatever is cheapest.
    tokens, cost : float
        Expected tokens (>= 1) and cost of the cycle so far, the target's own token and pass
        included; for "ratio" only. Default: nothing drafted yet.
    reach : float
        Chance that all tokens before this step are accepted.

    Returns
    -------
    Step
        ``model=None`` when, by "ratio", no step raises tokens / cost (then `value` is this
        ratio), or, by "printed", no step has a positive value. Ties go to the dearer model and
        the shorter step.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or `alphas` and `costs` differ in length.

    Notes
    -----
    CAS-Spec (Ning et al., NeurIPS 2025, arXiv:2510.26843), Eq. 5 and 6:

    .. math:: T_s = \left[ \alpha \frac{1 - \alpha^k}{1 - \alpha} + \alpha^k \alpha_{dn} \right]
              / (c k + c_{dn})

    times the chance of reaching the step. With :math:`\Delta T` and :math:`\Delta C` its
    numerator and denominator, "ratio" maximises
    :math:`(T + \Delta T) / (C + \Delta C)`; this exceeds T/C exactly when
    :math:`\Delta T / \Delta C` does (Dinkelbach).

    Examples
    --------
    >>> step = best_step([0.9, 0.8], [0.4, 0.3], 0.8, 0.3, 5)
    >>> step.model, step.length, round(step.value, 6)
    (1, 3, 1.60888)
    >>> best_step([0.9, 0.8], [0.4, 0.3], 0.8, 0.3, 5, objective="printed").model
    2
    """
    values = step_values(
        alphas,
        costs,
        alpha_bottom,
        cost_bottom,
        max_length,
        objective=objective,
        tokens=tokens,
        cost=cost,
        reach=reach,
    )
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    best = float(values[row, column])
    now = tokens / cost if cost > 0.0 else np.inf
    floor = 0.0 if objective == "printed" else now
    if not best > floor:
        return Step(None, 0, float(floor))
    return Step(int(row) + 1, int(column) + 1, best)
