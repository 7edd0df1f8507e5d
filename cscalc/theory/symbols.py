"""Symbols of rates and costs, and the segment calculus over them; loads sympy."""

from collections.abc import Collection
from functools import lru_cache
from math import prod
from typing import Any, Literal

import sympy

from cscalc._checks import check_int
from cscalc.cascade import Cascade, Review, walk
from cscalc.theory.segments import Affine, Calculus, Node, Verification, nodes_of

Expr = Any  # sympy ships no types
VerifyForm = Literal["free", "affine", "curve"]
_MOST_TERMS = 128


def alpha_symbol(reviewer: int, draft: int) -> Expr:
    r"""Symbol :math:`\alpha_{ij}`: rate at which `reviewer` accepts tokens of `draft`.

    Parameters
    ----------
    reviewer : int
        >= 0.
    draft : int
        >= 1.

    Returns
    -------
    sympy symbol
        ``alpha_ij``, non-negative.

    Examples
    --------
    >>> alpha_symbol(0, 1)
    alpha_01
    """
    i, j = check_int("reviewer", reviewer, least=0), check_int("draft", draft, least=1)
    gap = "_" if max(i, j) > 9 else ""
    return sympy.Symbol(f"alpha_{i}{gap}{j}", nonnegative=True)


def cost_symbol(model: int) -> Expr:
    """Symbol :math:`c_j`: one pass of `model` in target passes; the number 1 for the target.

    Parameters
    ----------
    model : int
        >= 0.

    Returns
    -------
    sympy expression
        ``c_j``, non-negative, or 1.

    Examples
    --------
    >>> cost_symbol(2), cost_symbol(0)
    (c_2, 1)
    """
    if check_int("model", model, least=0) == 0:
        return sympy.Integer(1)
    return sympy.Symbol(f"c_{model}", nonnegative=True)


def slope_symbol(model: int) -> Expr:
    """Symbol :math:`v_i`: what each further position adds to a pass, in passes of `model`.

    Parameters
    ----------
    model : int
        The reviewer, >= 0.

    Returns
    -------
    sympy symbol
        ``v_i``, non-negative.

    Examples
    --------
    >>> slope_symbol(0)
    v_0
    """
    return sympy.Symbol(f"v_{check_int('model', model, least=0)}", nonnegative=True)


def verify_symbol(model: int, positions: Expr) -> Expr:
    """Expression :math:`V_i(m)`: a pass of `model` over m positions, in its own passes.

    Parameters
    ----------
    model : int
        The reviewer, >= 0.
    positions : sympy expression or int
        m.

    Returns
    -------
    sympy expression
        ``V_i(m)``, an undefined function.

    Examples
    --------
    >>> verify_symbol(0, 3)
    V_0(3)
    """
    return sympy.Function(f"V_{check_int('model', model, least=0)}")(positions)


def calculus_of(
    symbolic_lengths: bool, one_shot: Collection[int] = (), verify: VerifyForm = "free"
) -> Calculus:
    """The segment calculus over symbols.

    Parameters
    ----------
    symbolic_lengths : bool
        Whether geometric sums are closed, for lengths that are symbols, or written out.
    one_shot : collection of int
        Drafts that cost one pass a call.
    verify : {"free", "affine", "curve"}
        Verification costs nothing more, `slope_symbol` a position, or `verify_symbol`.

    Returns
    -------
    Calculus
        Over `alpha_symbol` and `cost_symbol`.

    Examples
    --------
    >>> calculus_of(False).alpha(0, 1)
    alpha_01
    """

    def verification(model: int) -> Verification:
        if verify == "affine":
            return Affine(slope_symbol(model))
        return (lambda m: verify_symbol(model, m)) if verify == "curve" else None

    def sums(base: Expr, count: Expr) -> tuple[Expr, Expr]:
        return base**count, sum((base**i for i in range(count)), sympy.Integer(0))

    def closed_sums(base: Expr, count: Expr) -> tuple[Expr, Expr]:
        return base**count, (1 - base**count) / (1 - base)

    return Calculus(
        alpha=alpha_symbol,
        cost=cost_symbol,
        one_shot=one_shot,
        verify=verification,
        powers=closed_sums if symbolic_lengths else sums,
        tidy=tidy,
    )


def tidy(expression: Expr) -> Expr:
    """Expanded, for chances of lengths cancel much, unless that might be longer than before.

    Parameters
    ----------
    expression : sympy expression
        Any.

    Returns
    -------
    sympy expression
        Equal to it.

    Examples
    --------
    >>> x = sympy.Symbol("x")
    >>> tidy((1 - x) * x + x**2)
    x
    """
    return sympy.expand(expression) if _terms(expression) <= _MOST_TERMS else expression


@lru_cache(maxsize=65_536)
def _terms(expression: Expr) -> int:
    """Most terms that `expression` can have when expanded."""
    if isinstance(expression, sympy.Add):
        return sum(_terms(part) for part in expression.args)
    if isinstance(expression, sympy.Mul):
        return prod(_terms(part) for part in expression.args)
    if isinstance(expression, sympy.Pow) and expression.exp.is_Integer and expression.exp > 0:
        return int(_terms(expression.base) ** int(expression.exp))
    return 1


def shape_of(cascade: Cascade, symbolic_lengths: bool) -> tuple[Node, ...]:
    """Segments of the cascade, their lengths and rounds replaced by symbols if asked.

    Parameters
    ----------
    cascade : Cascade
        Any cascade of the grammar.
    symbolic_lengths : bool
        Whether to put symbols k, gamma (lengths) and n (rounds) in place of the numbers.

    Returns
    -------
    tuple of Node
        As `nodes_of` makes them.

    Raises
    ------
    ValueError
        If symbols are asked for and a segment repeats until a threshold.

    Examples
    --------
    >>> from cscalc.cascade import Draft
    >>> shape_of(Cascade((Draft(1, 4),)), True)[0].length
    gamma
    """
    drafts = nodes_of(cascade.drafts)
    if not symbolic_lengths:
        return drafts
    segments = list(walk(cascade.drafts))
    if any(segment.until is not None for segment in segments):
        raise ValueError(
            "symbolic lengths need drafts and rounds that are counted, and this cascade repeats "
            "until a threshold: give symbolic_lengths=False"
        )
    rounds = sum(isinstance(segment, Review) for segment in segments)
    lengths = len(segments) - rounds
    one_length = "k" if rounds else "gamma"
    names_k = [one_length] if lengths == 1 else [f"k_{i + 1}" for i in range(lengths)]
    names_n = ["n"] if rounds == 1 else [f"n_{i + 1}" for i in range(rounds)]

    def symbol(names: list[str]) -> Expr:
        return sympy.Symbol(names.pop(0), integer=True, positive=True)

    def one(node: Node) -> Node:
        if not node.inner:
            return node._replace(length=symbol(names_k))
        calls = symbol(names_n)
        return node._replace(calls=calls, inner=tuple(one(child) for child in node.inner))

    return tuple(one(node) for node in drafts)
