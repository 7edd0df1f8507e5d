"""The papers' theorems, proved: a difference of two formulas simplifies to zero.

One side is derived by `cscalc.theory.symbolic` from the cascade's description, the other is typed
in from the paper. Slips in the papers are shown to be non-zero in the same way.
"""

import pytest
import sympy
from sympy import Rational, Symbol

from cscalc.cascade import Cascade, Draft, Review
from cscalc.theory.symbolic import (
    X,
    alpha_symbol,
    cost_symbol,
    symbolic_cost,
    symbolic_ewif,
    symbolic_gradient,
    symbolic_law,
    symbolic_pgf,
    symbolic_tokens,
)
from tests.formulas import (
    HORIZONTAL,
    SPECULATIVE,
    VERTICAL,
    a,
    a2,
    c1,
    c2,
    gamma,
    inner,
    k,
    k1,
    k2,
    n,
    phi,
    quotient,
    simplified,
    vertical,
)

# ---- Leviathan et al., ICML 2023, arXiv:2211.17192


def test_eq_1_is_derived_for_any_length():
    got = symbolic_tokens(SPECULATIVE, symbolic_lengths=True)
    assert simplified(got - (1 - a ** (gamma + 1)) / (1 - a)) == 0
    assert simplified(got - (1 - a**gamma) / (1 - a)) != 0  # the bonus token counts


def test_theorem_3_8_is_derived_for_any_length():
    got = symbolic_ewif(SPECULATIVE, symbolic_lengths=True)
    want = (1 - a ** (gamma + 1)) / ((1 - a) * (gamma * c1 + 1))
    assert simplified(got - want) == 0


@pytest.mark.parametrize("length", [1, 2, 5])
def test_symbolic_lengths_become_the_formula_of_a_given_length(length):
    general = symbolic_ewif(SPECULATIVE, symbolic_lengths=True).subs(gamma, length)
    assert simplified(general - symbolic_ewif(Cascade((Draft(1, length),)))) == 0


# ---- CS Drafting, NeurIPS 2024, arXiv:2312.11462


def test_theorem_4_1_is_derived_for_any_length():
    got = symbolic_pgf(SPECULATIVE, symbolic_lengths=True)
    assert simplified(got - phi(X, a, gamma)) == 0


@pytest.mark.parametrize("length", range(1, 7))
def test_theorem_4_1_is_the_pgf_of_the_printed_pmf_eq_3(length):
    law = symbolic_law(Cascade((Draft(1, length),)))
    printed = [0, *(a**i - a ** (i + 1) for i in range(length)), a**length]
    assert [sympy.expand(p - q) for p, q in zip(law, printed, strict=True)] == [0] * (length + 2)
    assert simplified(sum(p * X**i for i, p in enumerate(law)) - phi(X, a, length)) == 0


def test_theorem_4_1_holds_for_every_length_by_induction():
    # from k to k + 1 tokens, mass a**(k+1) moves from k + 1 emitted tokens to k + 2
    step = a ** (k + 1) * (X ** (k + 2) - X ** (k + 1))
    assert simplified(phi(X, a, k + 1) - phi(X, a, k) - step) == 0
    assert simplified(phi(X, a, 0) - X) == 0


def test_corollary_4_2_follows_from_theorem_4_1():
    slope = sympy.diff(phi(X, a, k), X).subs(X, 1)
    want = symbolic_ewif(SPECULATIVE, symbolic_lengths=True).subs(gamma, k)
    assert simplified(slope / (c1 * k + 1) - want) == 0


def test_theorem_4_3_is_derived_for_any_rounds_and_length():
    got = symbolic_ewif(VERTICAL, symbolic_lengths=True)
    want = (1 - a * phi(a, inner, k) ** n) / ((1 - a) * (1 + n * c1 + n * k * c2))
    assert simplified(got - want) == 0
    one_call = symbolic_cost(VERTICAL, one_shot=[2], symbolic_lengths=True)
    assert simplified(one_call - (1 + n * c1 + n * c2)) == 0


@pytest.mark.parametrize(("rounds", "length"), [(1, 1), (1, 4), (2, 3), (3, 2), (5, 1)])
def test_theorem_4_3_is_derived_from_the_grammar(rounds, length):
    cascade = vertical(rounds, length)
    polynomial = quotient(phi(a, inner, length))
    gap = (1 - a) * symbolic_tokens(cascade) - (1 - a * polynomial**rounds)
    assert sympy.expand(gap) == 0
    assert sympy.expand(symbolic_cost(cascade) - (1 + rounds * c1 + rounds * length * c2)) == 0


def test_theorem_4_3_follows_from_the_operator_on_any_pgf():
    # T_a f = (1 - a f(a)) / (1 - a) is linear and sends x**j, j tokens drafted, to Eq. 1
    def operator(pgf):
        return (1 - a * pgf.subs(X, a)) / (1 - a)

    assert (
        simplified(operator(X**gamma) - symbolic_tokens(SPECULATIVE, symbolic_lengths=True)) == 0
    )
    drafted = phi(X, inner, k) ** n  # pgf of n rounds
    assert simplified(operator(drafted) - symbolic_tokens(VERTICAL, symbolic_lengths=True)) == 0


def test_corollary_4_4_has_a_positive_difference():
    # alpha - phi(alpha) = (1 - alpha) (sum of (alpha alpha')**i for i = 1..k) > 0
    ratio = a * inner
    rest = (1 - ratio ** (k + 1)) / (1 - ratio) - 1
    assert simplified(a - phi(a, inner, k) - (1 - a) * rest) == 0
    for length in range(1, 7):
        positive = sum(ratio**i for i in range(1, length + 1))
        assert simplified(rest.subs(k, length) - positive) == 0


def test_corollary_4_4_compares_with_the_reviewer_drafting_alone():
    # SD(M_d1) with n steps is the cascade with phi(alpha) = alpha
    alone = symbolic_ewif(SPECULATIVE, symbolic_lengths=True).subs(gamma, n)
    assert simplified(alone - (1 - a * a**n) / ((1 - a) * (1 + n * c1))) == 0


@pytest.mark.parametrize("tokens", range(1, 6))
def test_theorem_4_5_and_corollary_4_6_are_derived_from_the_grammar(tokens):
    cascade = Cascade(tuple(Draft(j, 1) for j in range(1, tokens + 1)))
    rates = [alpha_symbol(0, j) for j in range(1, tokens + 1)]
    cost = 1 + sum(cost_symbol(j) for j in range(1, tokens + 1))
    reach = [sympy.prod(rates[:i]) for i in range(tokens + 1)]
    assert simplified(symbolic_ewif(cascade) - sum(reach) / cost) == 0
    gradient = symbolic_gradient(cascade)
    for at, rate in enumerate(rates):
        others = [
            sympy.prod([r for r in rates[:i] if r != rate]) for i in range(at + 1, tokens + 1)
        ]
        assert simplified(gradient[rate] - sum(others) / cost) == 0


def test_tokens_are_the_derivative_of_the_pgf_at_1():
    deep = Cascade((Review(1, (Review(2, (Draft(3, 2),), rounds=2), Draft(3, 1)), rounds=2),))
    until = Cascade((Review(1, (Draft(2, 2),), until=4), Draft(3, 2, until=6)))
    for cascade in (SPECULATIVE, HORIZONTAL, VERTICAL, deep, until):
        slope = sympy.diff(symbolic_pgf(cascade), X).subs(X, 1)
        assert sympy.expand(slope - symbolic_tokens(cascade)) == 0
        assert sympy.expand(symbolic_pgf(cascade).subs(X, 1)) == 1


# ---- the until rule, Algorithm 1 of CS Drafting


def test_until_rule_has_the_exact_means_of_enumeration():
    # values: complete enumeration over the lengths of rounds
    cases = [((8, 5), 5, 10, 3.907611), ((9, 6), 8, 4, 6.516903)]
    for (outer, own), until, length, want in cases:
        cascade = Cascade((Review(1, (Draft(2, length),), until=until),))
        at = {a: Rational(outer, 10), inner: Rational(own, 10)}
        assert float(symbolic_tokens(cascade).subs(at)) == pytest.approx(want, abs=5e-7)


def test_until_of_a_draft_is_whole_calls():
    repeated, once = Cascade((Draft(1, 3, until=7),)), Cascade((Draft(1, 9),))
    assert sympy.expand(symbolic_tokens(repeated) - symbolic_tokens(once)) == 0
    assert sympy.expand(symbolic_cost(repeated) - symbolic_cost(once)) == 0


def test_until_1_is_one_round():
    one = Cascade((Review(1, (Draft(2, 3),), until=1),))
    assert simplified(symbolic_ewif(one) - symbolic_ewif(vertical(1, 3))) == 0


# ---- CAS-Spec, NeurIPS 2025, arXiv:2510.26843


def test_cas_spec_eq_2_is_derived_for_any_lengths():
    got = symbolic_ewif(HORIZONTAL, symbolic_lengths=True)
    tokens = (1 - a ** (k1 + 1)) / (1 - a) + a**k1 * a2 * (1 - a2**k2) / (1 - a2)
    assert simplified(got - tokens / (1 + k1 * c1 + k2 * c2)) == 0


def test_both_sides_are_equal_at_the_bounds_of_appendix_b():
    derived = symbolic_tokens(VERTICAL, symbolic_lengths=True)
    assert simplified(derived - (1 - a * phi(a, inner, k) ** n) / (1 - a)) == 0
    tokens, rival = Symbol("T", positive=True), Symbol("T_SD", positive=True)  # for any rival
    bound = (tokens / rival - (1 + n * k * c2)) / n
    cost = symbolic_cost(VERTICAL, symbolic_lengths=True)
    assert simplified(tokens / cost.subs(c1, bound) - rival) == 0
    derived = symbolic_tokens(HORIZONTAL, symbolic_lengths=True)
    printed = (1 - a ** (k1 + 1)) / (1 - a) + a**k1 * a2 * (1 - a2**k2) / (1 - a2)
    assert simplified(derived - printed) == 0
    bound = (tokens / rival - (1 + k2 * c2)) / k1
    cost = symbolic_cost(HORIZONTAL, symbolic_lengths=True)
    assert simplified(tokens / cost.subs(c1, bound) - rival) == 0


# ---- other results of the reference


def test_correlated_vertical_formula_reduces_to_theorem_4_3():
    kept, corrected = Symbol("alpha_A", nonnegative=True), Symbol("alpha_R", nonnegative=True)
    alpha = inner * kept + (1 - inner) * corrected
    u = inner * kept
    f = alpha * (1 - u ** (k + 1)) / (1 - u)
    s = (1 - inner) * corrected * (1 - u**k) / (1 - u) + u**k * alpha
    tokens = 1 + f * (1 - s**n) / (1 - s)
    theorem = symbolic_tokens(VERTICAL, symbolic_lengths=True)
    assert simplified(tokens.subs({kept: a, corrected: a}) - theorem) == 0
    assert simplified(tokens.subs({n: 1, corrected: a}) - theorem.subs(n, 1)) != 0


def test_variance_of_a_capped_length_is_that_of_its_pgf():
    # polybasic's Theorem 3.3, corrected; cap = draft length + 1
    g, cap = symbolic_pgf(SPECULATIVE, symbolic_lengths=True), gamma + 1
    mean, second = (sympy.diff(g, X, order).subs(X, 1) for order in (1, 2))
    want = (a * (1 - a ** (2 * cap - 1)) - (2 * cap - 1) * a**cap * (1 - a)) / (1 - a) ** 2
    assert simplified(second + mean - mean**2 - want) == 0


# ---- slips in the papers


def test_eq_6_of_cs_drafting_is_off_by_x_minus_1():
    # the proof prints "x + (x - 1) ..." in Eq. 6 where Theorem 4.1 has "1 + (x - 1) ..."
    printed = X + (X - 1) * (1 - (a * X) ** (k + 1)) / (1 - a * X)
    assert simplified(printed - phi(X, a, k) - (X - 1)) == 0
    at = {a: Rational(7, 10), X: Rational(6, 10), k: 5}
    assert float(printed.subs(at)) == pytest.approx(-0.0859, abs=5e-5)  # no pgf is negative
    assert float(phi(X, a, k).subs(at)) == pytest.approx(0.3141, abs=5e-5)
    for length in range(1, 6):  # Eq. 4 and 5 are right
        sums = X + (X - 1) * sum((a * X) ** i for i in range(1, length + 1))
        assert simplified(sums - phi(X, a, length)) == 0


def test_the_proof_of_corollary_4_4_claims_a_ratio_below_1_that_is_above():
    # (1 - r**(k+1)) / (1 - r) - 1 has only positive coefficients in r = alpha alpha'
    r = Symbol("r", positive=True)
    for length in range(1, 7):
        excess = sympy.Poly(sympy.cancel((1 - r ** (length + 1)) / (1 - r) - 1), r)
        assert excess.coeffs() == [1] * length


def test_appendix_b_of_cas_spec_misses_its_bound_with_the_printed_phi():
    # it defines phi as an EWIF, not as the pgf of Theorem 4.1
    printed_phi = (1 - a ** (k + 1)) / ((1 - a) * (1 + k * c1))
    assert simplified(printed_phi - phi(a, inner, k)) != 0
    at = {a: Rational(8, 10), a2: Rational(3, 10), inner: Rational(3, 10)}
    at |= {n: 3, k: 4, c1: Rational("0.450085"), c2: Rational(1, 100)}  # c1: the bound
    rival = symbolic_ewif(Cascade((Draft(2, 3),))).subs(at)
    right = symbolic_ewif(VERTICAL, symbolic_lengths=True)
    assert float((right - rival).subs(at)) == pytest.approx(0.0, abs=2e-6)
    tokens = (1 - a * printed_phi**n) / (1 - a)
    assert abs(float((tokens / symbolic_cost(vertical(3, 4)) - rival).subs(at))) > 0.1


def test_eq_5_of_cas_spec_leaves_out_the_targets_own_token_and_pass():
    cascade = Cascade((Draft(1, 3), Draft(2, 1)))
    eq_5 = (a * (1 - a**3) / (1 - a) + a**3 * a2) / (3 * c1 + c2)
    tokens, cost = symbolic_tokens(cascade), symbolic_cost(cascade)
    assert simplified((tokens - 1) / (cost - 1) - eq_5) == 0
    assert simplified(tokens / cost - eq_5) != 0


def test_polybasic_prints_117_for_a_threshold_that_is_negative():
    # Theorem 3.2 on the last case of Table 1: L_new (1 / L_i - 1 / L_i-new)
    threshold = Rational("3.77") * (1 / Rational("4.34") - 1 / Rational("3.83"))
    assert threshold - Rational("0.117") != 0
    assert float(threshold) == pytest.approx(-0.115671, abs=5e-7)
