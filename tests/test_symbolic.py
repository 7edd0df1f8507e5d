"""Formulas of any cascade: forms of cost, LaTeX, and compiled ones against the numeric law."""

from itertools import product

import numpy as np
import pytest
import sympy

from cscalc.acceptance import BetaMixture
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory.law import cycle_law
from cscalc.theory.symbolic import (
    alpha_symbol,
    lambdified,
    latex,
    slope_symbol,
    symbolic,
    symbolic_cost,
    symbolic_tokens,
    verify_symbol,
)
from tests.formulas import HORIZONTAL, SPECULATIVE, VERTICAL, c1, c2, inner, vertical

CASCADES = [
    Cascade(()),
    SPECULATIVE,
    VERTICAL,
    HORIZONTAL,
    Cascade((Review(1, (Draft(2, 2), Draft(3, 2)), rounds=2), Draft(3, 3))),
    Cascade((Review(1, (Review(2, (Draft(3, 3),), rounds=2),), rounds=2),)),
    Cascade((Review(1, (Draft(2, 3),), until=5), Draft(3, 4))),
    Cascade((Draft(3, 2), Review(1, (Review(2, (Draft(3, 2),), until=3),), until=5))),
    Cascade.from_k_matrix([[13, 10], [0, 10]]),
]
CURVE = np.concatenate([[1.0], 1.3 + 0.05 * np.arange(40) ** 0.5])


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("form", ["free", "affine", "curve"])
def test_compiled_formula_equals_the_numeric_law(cascade, form):
    rng = np.random.default_rng(5)
    one_shot = () if 3 in cascade.reviewers else (3,)
    line = 1.0 + 0.04 * np.arange(40)
    verify = {"free": None, "affine": {0: line, 1: line}, "curve": {0: CURVE, 2: CURVE}}[form]
    options = {"one_shot": one_shot, "verify": form}
    tokens, cost, ewif = (lambdified(cascade, q, **options) for q in ("tokens", "cost", "ewif"))
    for corner in range(8):
        alphas = rng.random((4, 4)) ** (1.0, 0.1)[corner % 2]  # near 1 in every other profile
        alphas = np.round(alphas) if corner > 5 else alphas  # and 0 or 1
        profile = Profile(alphas, rng.random(3), one_shot=one_shot, verify=verify)
        law = cycle_law(cascade, profile)
        got = [tokens.at(profile), cost.at(profile), ewif.at(profile)]
        np.testing.assert_allclose(got, [law.mean, law.cost, law.ewif], rtol=1e-12)


def test_compiled_formula_broadcasts_over_grids():
    formula = lambdified(VERTICAL)
    alphas = np.random.default_rng(1).random((5, 1, 3, 3))
    costs = np.array([[0.1, 0.01], [0.3, 0.02]])
    got = formula(alphas, costs)
    assert got.shape == (5, 2)
    for i, j in product(range(5), range(2)):
        want = cycle_law(VERTICAL, Profile(alphas[i, 0], costs[j])).ewif
        assert got[i, j] == pytest.approx(want, rel=1e-12)


def test_verification_slopes_and_curves_enter_the_cost():
    v0, v1 = slope_symbol(0), slope_symbol(1)
    affine = symbolic_cost(SPECULATIVE, verify="affine")
    assert sympy.expand(affine - (1 + 4 * v0 + 4 * c1)) == 0
    inner_pass = symbolic_cost(vertical(1, 2), verify="affine") - (
        1 + v0 * (1 + inner + inner**2) + c1 * (1 + 2 * v1) + 2 * c2
    )
    assert sympy.expand(inner_pass) == 0
    curve = symbolic_cost(SPECULATIVE, verify="curve")
    assert sympy.expand(curve - (verify_symbol(0, 5) + 4 * c1)) == 0
    substituted = {verify_symbol(0, m): 1 + (m - 1) * v0 for m in range(1, 20)}
    substituted |= {verify_symbol(1, m): 1 + (m - 1) * v1 for m in range(1, 20)}
    until = Cascade((Review(1, (Draft(2, 3),), until=5),))
    general = symbolic_cost(until, verify="curve").subs(substituted)
    assert sympy.expand(general - symbolic_cost(until, verify="affine")) == 0


def test_latex_names_the_quantity():
    assert latex(Cascade((Draft(1, 1),)), "tokens") == r"E[\mathrm{tokens}] = \alpha_{01} + 1"
    assert r"\gamma" in latex(SPECULATIVE, symbolic_lengths=True)
    assert latex(SPECULATIVE, "cost", verify="affine") == (
        r"E[\mathrm{cost}] = 4 c_{1} + 4 v_{0} + 1"
    )


def test_models_beyond_9_have_symbols_of_their_own():
    assert alpha_symbol(1, 11) != alpha_symbol(11, 12) != alpha_symbol(1, 2)
    assert str(alpha_symbol(1, 10)) == "alpha_1_10"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: symbolic_tokens(Cascade((Draft(1, 2, until=3),)), symbolic_lengths=True),
            "until",
        ),
        (lambda: symbolic_cost(VERTICAL, one_shot=[1]), "model 1 is one-shot"),
        (lambda: symbolic_cost(VERTICAL, verify="no"), "verify must be one of"),
        (lambda: symbolic_cost(VERTICAL, verify="curve", symbolic_lengths=True), "numbers"),
        (lambda: symbolic(VERTICAL, "speedup"), "quantity must be one of"),
        (lambda: lambdified(VERTICAL)([0.5], [0.1]), "must cover models up to 2"),
        (lambda: lambdified(SPECULATIVE)([1.5], [0.1]), "alphas must lie in"),
        (lambda: lambdified(SPECULATIVE)([0.5], [0.1], verify={0: 0.1}), "does not depend"),
        (
            lambda: lambdified(SPECULATIVE, verify="curve")([0.5], [0.1], verify={0: [1.0, 2.0]}),
            "must be a vector over m = 1..5",
        ),
        (
            lambda: lambdified(SPECULATIVE, verify="curve")([0.5], [0.1], verify={0: 0.1}),
            "must be a vector over m = 1..5",
        ),
        (
            lambda: lambdified(SPECULATIVE).at(Profile([0.5], [0.1], one_shot=[1])),
            "one-shot",
        ),
        (
            lambda: lambdified(SPECULATIVE).at(Profile([0.5], [0.1], verify=1 + np.arange(9))),
            "verify='curve'",
        ),
        (
            lambda: lambdified(SPECULATIVE, verify="affine").at(
                Profile([0.5], [0.1], verify=CURVE)
            ),
            "verify='curve'",
        ),
        (
            lambda: lambdified(SPECULATIVE).at(Profile([0.5], [0.1], acceptance=BetaMixture(2.0))),
            "beta_mixture",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
