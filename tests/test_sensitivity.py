"""The segment calculus equals the exact laws, and its derivatives are derivatives."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory.horizontal import horizontal_gradient
from cscalc.theory.law import cycle_law
from cscalc.theory.means import mean_and_cost
from cscalc.theory.segments import Calculus, nodes_of, powers
from cscalc.theory.sensitivity import ewif_gradient
from tests.strategies import cases, seeds

NESTED = Cascade((Review(1, (Draft(2, 3), Draft(3, 2)), rounds=2), Draft(3, 4)))
UNTIL = Cascade((Review(1, (Review(2, (Draft(3, 2),), until=3),), until=4), Draft(3, 2)))


@given(cases())
@settings(max_examples=60, deadline=None)
def test_calculus_equals_the_exact_law(case):
    cascade, profile = case
    law = cycle_law(cascade, profile)
    tokens, cost = mean_and_cost(cascade, profile)
    np.testing.assert_allclose([tokens, cost], [law.mean, law.cost], rtol=1e-12)


@given(cases(), seeds)
@settings(max_examples=40, deadline=None)
def test_many_profiles_at_once_are_the_profiles_one_by_one(case, seed):
    cascade, profile = case
    rng = np.random.default_rng(seed)
    size = profile.n_drafts + 1
    alphas, costs = rng.random((2, 3, size, size)), rng.random((3, size - 1))
    tokens, cost = mean_and_cost(cascade, profile, alphas, costs)
    assert tokens.shape == cost.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        options = {"one_shot": profile.one_shot, "verify": profile.verify}
        law = cycle_law(cascade, Profile(alphas[i, j], costs[j], **options))
        np.testing.assert_allclose([tokens[i, j], cost[i, j]], [law.mean, law.cost], rtol=1e-12)


def test_calculus_is_exact_in_fractions():
    rates = {(0, 1): Fraction(4, 5), (1, 2): Fraction(1, 2)}
    calculus = Calculus(alpha=lambda i, j: rates[i, j], cost=lambda j: Fraction(1, 10**j))
    drafts = nodes_of((Review(1, (Draft(2, 10),), until=5),))
    tokens = calculus.tokens(drafts)
    assert isinstance(tokens, Fraction)
    assert float(tokens) == pytest.approx(3.907611, abs=5e-7)  # enumeration over round lengths
    rounds, law = calculus.lengths(drafts)
    assert float(rounds[0]) == pytest.approx(3.0, abs=1e-12)  # its mean rounds and length
    assert float(sum(n * p for n, p in law.items())) == pytest.approx(5.997070, abs=5e-7)
    assert sum(law.values()) == 1


@given(st.integers(-3, 3), st.integers(0, 40))
def test_powers_are_a_power_and_a_geometric_sum(base, count):
    assert powers(base, count) == (base**count, sum(base**i for i in range(count)))


@given(cases())
@settings(max_examples=30, deadline=None)
def test_gradient_is_the_limit_of_differences(case):
    cascade, profile = case
    gradient, step = ewif_gradient(cascade, profile), 1e-5

    def ewif(alphas, costs):
        tokens, cost = mean_and_cost(cascade, profile, alphas, costs)
        return tokens / cost

    size = profile.n_drafts + 1
    at_alphas, at_costs = profile.alphas, profile.costs
    for i in range(size):
        for j in range(i + 1, size):
            shift = np.zeros((size, size))
            shift[i, j] = step
            ends = (ewif(at_alphas + s * shift, at_costs) for s in (1, -1, 2, -2))
            assert gradient.alphas[i, j] == pytest.approx(_slope(*ends, step), rel=1e-6, abs=1e-7)
    for j in range(size - 1):
        shift = np.zeros(size - 1)
        shift[j] = step
        ends = (ewif(at_alphas, at_costs + s * shift) for s in (1, -1, 2, -2))
        assert gradient.costs[j] == pytest.approx(_slope(*ends, step), rel=1e-6, abs=1e-7)
    assert np.all(gradient.costs <= 0.0)
    assert gradient.ewif == pytest.approx(cycle_law(cascade, profile).ewif, rel=1e-12)


def _slope(up, down, up2, down2, step):
    """Central difference whose error is of fourth order in the step."""
    return (8.0 * (up - down) - (up2 - down2)) / (12.0 * step)


@pytest.mark.parametrize("cascade", [NESTED, UNTIL], ids=str)
@pytest.mark.parametrize("verify", [None, "curve"])
def test_gradient_equals_the_symbolic_one_to_rounding(cascade, verify):
    from cscalc.theory.formula import Formula
    from cscalc.theory.symbolic import alpha_symbol, cost_symbol, symbolic_gradient

    curve = 1.0 + 0.3 * np.sqrt(np.arange(40))
    alphas = np.random.default_rng(7).random((4, 4))
    options = {"one_shot": (3,), "verify": None if verify is None else {0: curve, 1: curve}}
    profile = Profile(alphas, [0.3, 0.1, 0.01], **options)
    got = ewif_gradient(cascade, profile)
    formulas = symbolic_gradient(cascade, one_shot=(3,), verify=verify or "free")
    value = {
        symbol: Formula.of(slope, cascade, (3,), verify or "free").at(profile)
        for symbol, slope in formulas.items()
    }
    for i in range(4):
        for j in range(i + 1, 4):
            want = value.get(alpha_symbol(i, j), 0.0)
            assert got.alphas[i, j] == pytest.approx(want, rel=1e-11, abs=1e-15)
    wanted = [value[cost_symbol(j)] for j in (1, 2, 3) if cost_symbol(j) in value]
    np.testing.assert_allclose(got.costs[got.costs != 0.0], wanted, rtol=1e-11)


def test_gradient_of_single_tokens_is_corollary_4_6():
    # CS Drafting, arXiv:2312.11462: products of the other rates, over a cost of 1.25
    cascade = Cascade((Draft(1, 1), Draft(2, 1), Draft(3, 1)))
    profile = Profile([0.9, 0.8, 0.6], [0.1, 0.1, 0.05])
    got = ewif_gradient(cascade, profile)
    np.testing.assert_allclose(got.alphas[0, 1:], [1.824, 1.152, 0.576], rtol=1e-12)
    closed = horizontal_gradient([0.9, 0.8, 0.6], [0.1, 0.1, 0.05], [1, 1, 1])
    np.testing.assert_allclose(got.alphas[0, 1:], closed, rtol=1e-12)


@given(cases())
@settings(max_examples=30, deadline=None)
def test_cost_slopes_are_minus_ewif_times_the_share_of_passes(case):
    cascade, profile = case
    got, law = ewif_gradient(cascade, profile), cycle_law(cascade, profile)
    # a model's cost is its price times something that does not depend on prices
    spent = law.costs[1:]
    np.testing.assert_allclose(got.costs * profile.costs, -law.ewif * spent / law.cost, atol=1e-12)


def test_other_acceptance_models_are_refused():
    profile = Profile([0.5], [0.1], acceptance=BetaMixture(2.0))
    with pytest.raises(ValueError, match="independent acceptance, got a profile with 'beta_mix"):
        ewif_gradient(Cascade((Draft(1, 2),)), profile)


def test_models_that_the_profile_lacks_are_refused():
    with pytest.raises(ValueError, match="uses model 2"):
        ewif_gradient(Cascade((Draft(2, 2),)), Profile([0.5], [0.1]))
