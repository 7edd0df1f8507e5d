"""Break-even costs and rates: at the bound both cascades are equally fast."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture, ByPosition
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory.break_even import break_even_alpha, break_even_cost, ceilings
from cscalc.theory.cas_spec import horizontal_bound_at, vertical_bound_at
from cscalc.theory.law import ewif
from cscalc.theory.speculative_optima import break_even_alpha as closed_break_even_alpha
from tests.strategies import cases, rates, small

prices = st.floats(0.0, 1.0)
CURVE = 1.0 + 0.05 * np.arange(60)
PAIRS = [  # without, added, the model that is added
    (Cascade(()), Cascade((Draft(1, 4),)), 1),
    (Cascade((Draft(2, 3),)), Cascade((Draft(1, 2), Draft(2, 3))), 1),
    (Cascade((Draft(2, 3),)), Cascade((Review(1, (Draft(2, 4),), rounds=3),)), 1),
    (Cascade((Draft(1, 4),)), Cascade((Review(1, (Draft(2, 4),), until=4),)), 2),
    (Cascade((Draft(1, 4),)), Cascade((Review(1, (Draft(2, 4),), until=4),)), 1),
    (Cascade((Draft(2, 2),)), Cascade((Review(1, (Draft(3, 4),), until=4), Draft(2, 2))), 3),
]
pairs = st.sampled_from(PAIRS)
alphas = st.lists(rates, min_size=16, max_size=16).map(lambda r: np.array(r).reshape(4, 4))
costs = st.lists(prices, min_size=3, max_size=3)
verifies = st.sampled_from([None, {0: CURVE}, {0: CURVE, 1: CURVE}])


def changed(profile, model, *, cost=None, alpha=None, reviewer=0):
    """The profile with another cost or rate of one model."""
    prices, table = np.array(profile.costs), np.array(profile.alphas)
    if cost is not None:
        prices[model - 1] = cost
    if alpha is not None:
        table[reviewer, model] = alpha
    options = {"one_shot": profile.one_shot, "verify": profile.verify}
    return Profile(table, prices, acceptance=profile.acceptance, **options)


@given(pairs, alphas, costs, verifies)
@settings(max_examples=80, deadline=None)
def test_both_sides_are_equal_at_the_break_even_cost(pair, alphas, costs, verify):
    without, added, model = pair
    profile = Profile(alphas, costs, verify=verify)
    found = break_even_cost(without, added, profile, model)
    if found.value is None or found.value < 0.0:
        assert found.pays in ("always", "never")
        at = 0.5
    else:
        at = found.value
        assume(at < 1e6)
        there = changed(profile, model, cost=at)
        assert ewif(added, there) == pytest.approx(ewif(without, there), rel=1e-10)
        at += 0.1
    there = changed(profile, model, cost=at)
    gap = ewif(added, there) - ewif(without, there)
    if abs(gap) > 1e-9:
        assert (gap > 0.0) == (found.pays in ("above", "always"))


@given(pairs, alphas, costs, verifies, st.sampled_from([0, 1]))
@settings(max_examples=40, deadline=None)
def test_both_sides_are_equal_at_the_break_even_alpha(pair, alphas, costs, verify, reviewer):
    without, added, model = pair
    profile = Profile(alphas, costs, verify=verify)
    if reviewer >= model:
        with pytest.raises(ValueError, match="cannot review"):
            break_even_alpha(without, added, profile, model, reviewer)
        return
    found = break_even_alpha(without, added, profile, model, reviewer)
    leads = []
    for rate in np.linspace(0.0, 1.0, 11):
        there = changed(profile, model, alpha=rate, reviewer=reviewer)
        leads.append(ewif(added, there) - ewif(without, there))
    if found.pays in ("above", "below"):
        there = changed(profile, model, alpha=found.value, reviewer=reviewer)
        assert ewif(added, there) == pytest.approx(ewif(without, there), rel=1e-10)
        first = [gap for gap in leads if abs(gap) > 1e-9][:1]
        assert not first or (first[0] > 0.0) == (found.pays == "below")
    else:
        sign = 1.0 if found.pays == "always" else -1.0
        assert min(sign * gap for gap in leads) >= -1e-9


@given(st.floats(0.01, 0.9), st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_break_even_alpha_of_one_draft_is_the_closed_form(cost, length):
    found = break_even_alpha(Cascade(()), Cascade((Draft(1, length),)), Profile([0.5], [cost]))
    assert found.pays == "above"
    assert found.value == pytest.approx(float(closed_break_even_alpha(cost, length)), abs=1e-12)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_break_even_cost_is_appendix_b_of_cas_spec(alpha, cheap, many, length):
    # arXiv:2510.26843, with the pgf in place of the printed phi
    profile, alone = Profile([alpha, cheap], [0.3, 0.01]), Cascade((Draft(2, 3),))
    vertical = Cascade((Review(1, (Draft(2, length),), rounds=many),))
    want = float(vertical_bound_at(alpha, cheap, 0.01, many, length, 3))
    assert break_even_cost(alone, vertical, profile).value == pytest.approx(
        want, rel=1e-10, abs=1e-12
    )
    horizontal = Cascade((Draft(1, many), Draft(2, length)))
    want = float(horizontal_bound_at(alpha, cheap, 0.01, many, length, 3))
    got = break_even_cost(alone, horizontal, profile)
    assert got.value == pytest.approx(want, rel=1e-10, abs=1e-12)
    assert got.pays == ("below" if want >= 0.0 else "never")


def test_published_vertical_bound():
    profile, added = Profile([0.8, 0.3], [0.2, 0.01]), PAIRS[2][1]
    found = break_even_cost(PAIRS[2][0], added, profile)
    assert found.value == pytest.approx(0.450085, abs=5e-7)


def test_a_draft_that_is_never_accepted_never_pays():
    plain, drafted = Cascade(()), Cascade((Draft(1, 3),))
    found = break_even_cost(plain, drafted, Profile([0.0], [0.1]))
    assert found.value == pytest.approx(0.0, abs=1e-15)  # pays at no positive cost
    never = break_even_alpha(plain, drafted, Profile([0.5], [1.5]))
    assert (never.value, never.pays) == (None, "never")
    edge = break_even_alpha(plain, drafted, Profile([0.5], [1.0]))
    assert (edge.value, edge.pays) == (1.0, "never")
    free = break_even_alpha(plain, drafted, Profile([0.5], [0.0]))
    assert (free.value, free.pays) == (0.0, "always")


def test_cascades_that_do_not_use_the_cost_differ_always_or_never():
    profile = Profile([0.8, 0.3], [0.2, 0.01])
    long, short = Cascade((Draft(1, 5), Draft(2, 1))), Cascade((Draft(1, 1), Draft(2, 1)))
    assert break_even_cost(short, long, profile, 2).value is not None
    same = break_even_cost(long, long, profile, 2)
    assert (same.value, same.pays) == (None, "always")


def test_beta_mixture_acceptance_has_break_even_points_too():
    profile = Profile([0.7], [0.4], acceptance=BetaMixture(3.0))
    plain, drafted = Cascade(()), Cascade((Draft(1, 2),))
    for found, name in (
        (break_even_cost(plain, drafted, profile), "cost"),
        (break_even_alpha(plain, drafted, profile), "alpha"),
    ):
        there = changed(profile, 1, **{name: found.value})
        assert ewif(drafted, there) == pytest.approx(1.0, rel=1e-10)


# ---- ceilings


@given(cases())
@settings(max_examples=100, deadline=None)
def test_ceilings_are_the_laws_of_ideal_profiles(case):
    cascade, profile = case
    found, n = ceilings(cascade, profile), profile.n_drafts
    options = {"one_shot": profile.one_shot, "verify": profile.verify}
    ideal = [
        profile,
        Profile(profile.alphas, np.zeros(n), **options),
        Profile(np.ones((n + 1, n + 1)), profile.costs, **options),
        Profile(profile.alphas, profile.costs, one_shot=profile.one_shot),
    ]
    want = [ewif(cascade, one) for one in ideal]
    got = [found.ewif, found.drafting_free, found.drafting_perfect, found.verification_free]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert found.drafting_free >= found.ewif * (1.0 - 1e-12)
    assert found.verification_free >= found.ewif * (1.0 - 1e-12)


@given(alphas, costs, small, small)
@settings(max_examples=40, deadline=None)
def test_perfect_drafting_is_a_ceiling_of_fixed_rounds(alphas, costs, many, length):
    cascade = Cascade((Review(1, (Draft(2, length),), rounds=many), Draft(3, length)))
    found = ceilings(cascade, Profile(alphas, costs))
    assert found.drafting_perfect >= found.ewif * (1.0 - 1e-12)
    spent = 1 + many * (costs[0] + length * costs[1]) + length * costs[2]
    tokens = many * (length + 1) + length + 1
    assert found.drafting_perfect == pytest.approx(tokens / spent, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: break_even_cost(Cascade(()), Cascade(()), p), "model must be named"),
        (
            lambda p: break_even_cost(Cascade(()), Cascade((Draft(1, 1), Draft(2, 1))), p),
            "uses 2 models that the first does not",
        ),
        (lambda p: break_even_cost(Cascade(()), Cascade((Draft(1, 1),)), p, 2), "neither"),
        (lambda p: break_even_alpha(Cascade(()), Cascade((Draft(3, 1),)), p), "uses model 3"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(Profile([0.5, 0.4], [0.1, 0.1]))


def test_alphas_that_acceptance_does_not_read_are_refused():
    profile = Profile([0.5], [0.1], acceptance=ByPosition({(0, 1): [0.9, 0.5]}))
    with pytest.raises(ValueError, match="has rates of its own"):
        break_even_alpha(Cascade(()), Cascade((Draft(1, 2),)), profile)
