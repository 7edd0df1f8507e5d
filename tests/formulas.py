"""Symbols and shapes of cascades, and when two formulas are the same."""

import sympy
from sympy import Symbol

from cscalc.cascade import Cascade, Draft, Review
from cscalc.theory.symbolic import alpha_symbol, cost_symbol

a, a2, inner = alpha_symbol(0, 1), alpha_symbol(0, 2), alpha_symbol(1, 2)
c1, c2 = cost_symbol(1), cost_symbol(2)
gamma, n, k, k1, k2 = (
    Symbol(s, integer=True, positive=True) for s in ("gamma", "n", "k", "k_1", "k_2")
)
SPECULATIVE = Cascade((Draft(1, 4),))
VERTICAL = Cascade((Review(1, (Draft(2, 2),), rounds=3),))
HORIZONTAL = Cascade((Draft(1, 2), Draft(2, 3)))


def quotient(expression):
    """A quotient of polynomials in the symbols and their powers such as alpha**k."""
    return sympy.cancel(sympy.together(sympy.expand(expression)))


def simplified(expression):
    """`quotient`, with powers of sums, such as phi(alpha)**n, as further unknowns."""
    unknowns = {}

    def power_of_sum(power):
        key = (quotient(power.base), power.exp)
        return unknowns.setdefault(key, sympy.Dummy())

    def is_power_of_sum(part):
        return part.is_Pow and part.base.is_Add and not part.exp.is_number

    return quotient(sympy.sympify(expression).replace(is_power_of_sum, power_of_sum))


def phi(x, alpha, length):
    """Theorem 4.1 of CS Drafting, arXiv:2312.11462, as printed."""
    return 1 + (x - 1) * (1 - (alpha * x) ** (length + 1)) / (1 - alpha * x)


def vertical(rounds, length):
    return Cascade((Review(1, (Draft(2, length),), rounds=rounds),))
