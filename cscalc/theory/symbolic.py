r"""Formulas of any cascade, derived from its description by sympy; nothing is typed in.

Symbols: :math:`\alpha_{ij}` is the acceptance rate of model j's tokens by model i, :math:`c_j` the
cost of a pass of model j in target passes, :math:`v_i` the slope of model i's verification cost,
:math:`V_i(m)` that cost itself. The derivation is the segment calculus of
`cscalc.theory.segments`; acceptance is independent. Importing this module loads sympy.
"""

from collections.abc import Collection
from typing import Any, Literal

import sympy

from cscalc._checks import check_choice
from cscalc.cascade import Cascade
from cscalc.theory.formula import Formula
from cscalc.theory.segments import nodes_of
from cscalc.theory.symbols import (
    Expr,
    VerifyForm,
    calculus_of,
    shape_of,
    tidy,
)
from cscalc.theory.symbols import alpha_symbol as alpha_symbol
from cscalc.theory.symbols import cost_symbol as cost_symbol
from cscalc.theory.symbols import slope_symbol as slope_symbol
from cscalc.theory.symbols import verify_symbol as verify_symbol

Quantity = Literal["tokens", "cost", "ewif"]
X = sympy.Symbol("x", nonnegative=True)
_NAMES = {"tokens": r"E[\mathrm{tokens}]", "cost": r"E[\mathrm{cost}]", "ewif": r"\mathrm{EWIF}"}


def symbolic_tokens(cascade: Cascade, *, symbolic_lengths: bool = False) -> Expr:
    """Expected tokens per cycle of `cascade` as a formula in its acceptance rates.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    symbolic_lengths : bool
        Replace lengths and rounds by symbols: gamma for a single draft, n and k for a vertical
        cascade, and k_1, k_2, ..., n_1, n_2, ... in drafting order otherwise. The cascade then
        only gives the shape. The formula is 0/0 where a rate is 1: take the limit there.

    Returns
    -------
    sympy expression
        Without symbolic lengths a polynomial (not expanded), so that no rate is special.

    Raises
    ------
    ValueError
        If lengths are to be symbols and a segment repeats `until` a threshold.

    Examples
    --------
    >>> from cscalc import Draft
    >>> symbolic_tokens(Cascade((Draft(1, 2),)))
    alpha_01*(alpha_01 + 1) + 1
    >>> symbolic_tokens(Cascade((Draft(1, 2),)), symbolic_lengths=True)
    alpha_01*(1 - alpha_01**gamma)/(1 - alpha_01) + 1
    """
    return sympy.sympify(calculus_of(symbolic_lengths).tokens(shape_of(cascade, symbolic_lengths)))


def symbolic_pgf(cascade: Cascade, *, symbolic_lengths: bool = False) -> Expr:
    """Probability generating function of the tokens per cycle, in the symbol x.

    Parameters
    ----------
    cascade, symbolic_lengths
        As in `symbolic_tokens`.

    Returns
    -------
    sympy expression
        E[x**N], N the tokens a cycle emits. For one draft it is Theorem 4.1 of CS Drafting
        (arXiv:2312.11462).

    Raises
    ------
    ValueError
        As `symbolic_tokens`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> symbolic_pgf(Cascade((Draft(1, 1),)))
    -(1 - x)*(alpha_01*x + 1) + 1
    """
    calculus = calculus_of(symbolic_lengths)
    return 1 - (1 - X) * calculus.tokens(shape_of(cascade, symbolic_lengths), x=X)


def symbolic_law(cascade: Cascade) -> list[Expr]:
    """Probabilities that a cycle emits 0, 1, 2, ... tokens, as polynomials in the rates.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.

    Returns
    -------
    list of sympy expression
        Index = tokens; max_length + 2 entries.

    Examples
    --------
    >>> from cscalc import Draft
    >>> symbolic_law(Cascade((Draft(1, 1),)))
    [0, 1 - alpha_01, alpha_01]
    """
    tail = [*calculus_of(False).tail(nodes_of(cascade.drafts), 0), 0]
    law = [sympy.expand(tail[i] - tail[i + 1]) for i in range(len(tail) - 1)]
    return [sympy.Integer(0), *law]


def symbolic_cost(
    cascade: Cascade,
    *,
    one_shot: Collection[int] = (),
    verify: VerifyForm = "free",
    symbolic_lengths: bool = False,
) -> Expr:
    """Expected cost per cycle of `cascade`, in target passes, as a formula.

    Parameters
    ----------
    cascade, symbolic_lengths
        As in `symbolic_tokens`.
    one_shot : collection of int
        Models whose call is one pass however many tokens it proposes.
    verify : {"free", "affine", "curve"}
        Cost of a reviewing pass over m positions, for the target and every inner reviewer i, in
        its own passes: 1, or 1 + v_i (m - 1), or an unknown function V_i(m).

    Returns
    -------
    sympy expression

    Raises
    ------
    ValueError
        As `symbolic_tokens`; or if a one-shot model reviews, or lengths are symbols and `verify`
        is "curve".

    Examples
    --------
    >>> from cscalc import Draft, Review
    >>> symbolic_cost(Cascade((Review(1, (Draft(2, 4),), rounds=3),)))
    3*c_1 + 12*c_2 + 1
    >>> symbolic_cost(Cascade((Draft(1, 4),)), verify="affine")
    4*c_1 + 4*v_0 + 1
    """
    check_choice("verify", verify, ("free", "affine", "curve"))
    if wrong := sorted(set(one_shot) & set(cascade.reviewers)):
        raise ValueError(f"model {wrong[0]} is one-shot and cannot review: let it draft instead")
    if symbolic_lengths and verify == "curve":
        raise ValueError(
            "verify='curve' needs lengths that are numbers: give symbolic_lengths=False"
        )
    calculus = calculus_of(symbolic_lengths, tuple(one_shot), verify)
    cost = sympy.sympify(calculus.cycle_cost(shape_of(cascade, symbolic_lengths)))
    return cost if symbolic_lengths and verify == "affine" else tidy(cost)


def symbolic_ewif(
    cascade: Cascade,
    *,
    one_shot: Collection[int] = (),
    verify: VerifyForm = "free",
    symbolic_lengths: bool = False,
) -> Expr:
    """Expected walltime improvement factor of `cascade` as a formula: tokens over cost.

    Parameters
    ----------
    cascade, one_shot, verify, symbolic_lengths
        As in `symbolic_cost`.

    Returns
    -------
    sympy expression

    Raises
    ------
    ValueError
        As `symbolic_cost`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> symbolic_ewif(Cascade((Draft(1, 1),)))
    (alpha_01 + 1)/(c_1 + 1)
    """
    cost = symbolic_cost(
        cascade, one_shot=one_shot, verify=verify, symbolic_lengths=symbolic_lengths
    )
    return symbolic_tokens(cascade, symbolic_lengths=symbolic_lengths) / cost


def symbolic_gradient(
    cascade: Cascade,
    quantity: Quantity = "ewif",
    *,
    one_shot: Collection[int] = (),
    verify: VerifyForm = "free",
    symbolic_lengths: bool = False,
) -> dict[Expr, Expr]:
    """Derivative of a quantity by every rate, cost and slope that it depends on.

    Parameters
    ----------
    cascade, one_shot, verify, symbolic_lengths
        As in `symbolic_cost`.
    quantity : {"tokens", "cost", "ewif"}
        What to differentiate.

    Returns
    -------
    dict of symbol -> sympy expression
        Keys sorted by name. For numbers see `cscalc.theory.sensitivity.ewif_gradient`.

    Raises
    ------
    ValueError
        As `symbolic_cost`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> symbolic_gradient(Cascade((Draft(1, 1),)))
    {alpha_01: 1/(c_1 + 1), c_1: -(alpha_01 + 1)/(c_1 + 1)**2}
    """
    options: dict[str, Any] = {"one_shot": one_shot, "verify": verify}
    formula = symbolic(cascade, quantity, symbolic_lengths=symbolic_lengths, **options)
    free = sorted(formula.free_symbols, key=str)
    return {symbol: sympy.diff(formula, symbol) for symbol in free if not symbol.is_integer}


def symbolic(
    cascade: Cascade,
    quantity: Quantity = "ewif",
    *,
    one_shot: Collection[int] = (),
    verify: VerifyForm = "free",
    symbolic_lengths: bool = False,
) -> Expr:
    """`symbolic_tokens`, `symbolic_cost` or `symbolic_ewif`, chosen by name.

    Parameters
    ----------
    cascade, one_shot, verify, symbolic_lengths
        As in `symbolic_cost`.
    quantity : {"tokens", "cost", "ewif"}
        Which formula.

    Returns
    -------
    sympy expression

    Raises
    ------
    ValueError
        As `symbolic_cost`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> symbolic(Cascade((Draft(1, 1),)), "tokens")
    alpha_01 + 1
    """
    check_choice("quantity", quantity, ("tokens", "cost", "ewif"))
    if quantity == "tokens":
        return symbolic_tokens(cascade, symbolic_lengths=symbolic_lengths)
    formula = symbolic_cost if quantity == "cost" else symbolic_ewif
    return formula(cascade, one_shot=one_shot, verify=verify, symbolic_lengths=symbolic_lengths)


def latex(
    cascade: Cascade,
    quantity: Quantity = "ewif",
    *,
    one_shot: Collection[int] = (),
    verify: VerifyForm = "free",
    symbolic_lengths: bool = False,
) -> str:
    r"""Formula of a cascade as LaTeX, with its left side.

    Parameters
    ----------
    cascade, one_shot, verify, symbolic_lengths
        As in `symbolic_cost`.
    quantity : {"tokens", "cost", "ewif"}
        Which formula.

    Returns
    -------
    str
        Without dollar signs.

    Raises
    ------
    ValueError
        As `symbolic_cost`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> print(latex(Cascade((Draft(1, 1),))))
    \mathrm{EWIF} = \frac{\alpha_{01} + 1}{c_{1} + 1}
    """
    options: dict[str, Any] = {"one_shot": one_shot, "verify": verify}
    formula = symbolic(cascade, quantity, symbolic_lengths=symbolic_lengths, **options)
    return f"{_NAMES[quantity]} = {sympy.latex(formula)}"


def lambdified(
    cascade: Cascade,
    quantity: Quantity = "ewif",
    *,
    one_shot: Collection[int] = (),
    verify: VerifyForm = "free",
) -> Formula:
    """Formula of a cascade compiled to numpy code, for many rates and costs at once.

    Parameters
    ----------
    cascade, one_shot, verify
        As in `symbolic_cost`.
    quantity : {"tokens", "cost", "ewif"}
        Which formula.

    Returns
    -------
    Formula
        Call it with rates and costs, or with ``.at(profile)``; it equals the numeric laws of
        `cscalc.ewif` and its neighbours to 1e-12.

    Raises
    ------
    ValueError
        As `symbolic_cost`.

    Examples
    --------
    >>> from cscalc import Draft
    >>> formula = lambdified(Cascade((Draft(1, 5),)))
    >>> round(float(formula([0.8], [0.1])), 5)
    2.45952
    """
    expression = symbolic(cascade, quantity, one_shot=one_shot, verify=verify)
    form = None if quantity == "tokens" else verify
    return Formula.of(expression, cascade, tuple(sorted(one_shot)), form)
