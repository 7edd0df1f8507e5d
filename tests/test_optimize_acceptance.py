"""`optimal_config` under acceptance models that are not independent."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc import _search_laws
from cscalc.acceptance import (
    BetaMixture,
    ByPosition,
    Conditional,
    Independent,
    Markov,
    Mixture,
    Trace,
)
from cscalc.cascade import Cascade, Draft, Review
from cscalc.optimize import optimal_config
from cscalc.profile import Profile
from cscalc.theory.adaptive import adaptive_bound
from cscalc.theory.law import ewif

ALPHAS = [[1, 0.8, 0.5], [0, 1, 0.6], [0, 0, 1]]
COSTS = [0.15, 0.02]
RNG = np.random.default_rng(7)
MODELS = {
    "by position": ByPosition({(0, 1): [0.95, 0.9, 0.5, 0.2], (1, 2): [0.9, 0.3]}),
    "conditional": Conditional(kept={(0, 1): 0.95}, corrected={(0, 1): 0.5}),
    "mixture": Mixture([1, 2], [[0.95, 0.9], [0.6, 0.2]]),
    "beta mixture": BetaMixture(2.0),
    "markov": Markov([0.95, 0.8], [0.4, 0.1], to_easy=0.1, to_hard=0.1),
    "trace": Trace([{(0, 1): RNG.uniform(0.4, 1, 30), (0, 2): RNG.uniform(0, 1, 30)}]),
}
rates = st.floats(0.05, 0.97)


def every_cascade(most):
    """All cascades of two drafts, one or two reviews deep, with numbers up to `most`."""
    span = range(1, most + 1)
    second = [(), *((Draft(2, k),) for k in span)]
    first = [(), *((Draft(1, k),) for k in span)]
    for inner, n in itertools.product(span, span):
        draft = (Draft(2, inner),)
        first += [(Review(1, draft, rounds=n),), (Review(1, draft, until=n),)]
    for drafts in itertools.product(first, second):
        yield Cascade(tuple(itertools.chain(*drafts)))


def best_of_all(profile, most):
    return max(ewif(cascade, profile) for cascade in every_cascade(most))


@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_of_a_plan_are_those_of_its_own_acceptance_model(name):
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS[name])
    plan = optimal_config(profile, max_length=8)
    assert plan.ewif == ewif(plan.cascade, profile)
    assert plan.limits["acceptance"] == MODELS[name].kind
    assert plan.limits["proved"] is False
    for one in plan.alternatives:
        assert one.ewif == ewif(one.cascade, profile)
    assert plan.ewif >= plan.alternatives[0].ewif * (1 - 1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_no_worse_than_what_independent_acceptance_would_choose(name):
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS[name])
    naive = optimal_config(Profile(ALPHAS, COSTS), max_length=8)
    plan = optimal_config(profile, max_length=8)
    assert plan.ewif >= max(ewif(one.cascade, profile) for one in naive.alternatives) * (1 - 1e-6)
    assert plan.ewif > ewif(naive.cascade, profile) * 1.001  # these models are far from it


@pytest.mark.parametrize("name", [name for name in MODELS if name != "beta mixture"])
def test_here_the_search_finds_the_best_of_all_cascades(name):
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS[name])
    plan = optimal_config(profile, max_length=4, tolerance=0.0)
    best = best_of_all(profile, 4)
    assert plan.ewif == pytest.approx(best, rel=1e-9)
    assert best * (1 - 1e-9) <= plan.limits["bound"] < 15.0


def test_the_bound_of_a_mixture_is_near_its_best():
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS["mixture"])
    plan = optimal_config(profile, max_length=8)
    assert plan.ewif <= plan.limits["bound"] <= 1.4 * plan.ewif


def test_so_it_does_for_a_beta_mixture_up_to_the_sum_that_stands_for_it():
    profile = Profile([0.8], [0.05], acceptance=BetaMixture(1.5))
    plan = optimal_config(profile, max_length=30)
    best = max(ewif(Cascade((Draft(1, k),)), profile) for k in range(1, 31))
    assert plan.ewif == pytest.approx(best, rel=1e-6)
    assert best <= plan.limits["bound"] < 1.5 * best


def test_of_random_profiles_the_search_misses_little():
    rng = np.random.default_rng(3)
    gaps = []
    for _ in range(12):
        easy, hard = rng.uniform(0.4, 0.98, 2), rng.uniform(0.0, 0.6, 2)
        stay = rng.uniform(0.02, 0.5, 2)
        costs = np.sort(rng.uniform(0.0, 0.3, 2))[::-1]
        alphas = np.eye(3)
        alphas[np.triu_indices(3, 1)] = rng.uniform(0.1, 0.95, 3)
        kept = {(0, 1): float(rng.uniform(alphas[0, 1], 1.0))}
        for model in (
            Markov(easy, hard, to_easy=stay[0], to_hard=stay[1]),
            Mixture(rng.uniform(0.1, 1.0, 2), [easy, hard]),
            Conditional(kept=kept, corrected={(0, 1): float(rng.uniform(0.0, alphas[0, 1]))}),
        ):
            profile = Profile(alphas, costs, acceptance=model)
            best = best_of_all(profile, 3)
            plan = optimal_config(profile, max_length=3)
            assert plan.limits["bound"] >= best * (1 - 1e-9)
            gaps.append(1.0 - plan.ewif / best)
    assert max(gaps) < 1e-3
    assert np.mean(np.array(gaps) > 1e-6) <= 0.1  # the search is not proved, only good


@settings(max_examples=15, deadline=None)
@given(rates, rates, st.floats(0.0, 0.4))
def test_an_acceptance_model_that_is_in_truth_independent_gives_the_same_plan(one, two, cost):
    plain = optimal_config([one, two], [cost, 0.01], max_length=10)
    for model in (ByPosition({}), Mixture([1.0], [[one, two]]), Conditional({}, {})):
        profile = Profile([one, two], [cost, 0.01], acceptance=model)
        plan = optimal_config(profile, max_length=10)
        assert plan.ewif == pytest.approx(plain.ewif, rel=1e-6)


def test_limits_and_measured_curves_hold_under_every_model():
    verify = [1.0, 1.05, 1.1, 1.15, 1.2]
    for name, model in MODELS.items():
        profile = Profile(ALPHAS, COSTS, verify={0: verify, 1: verify}, acceptance=model)
        plan = optimal_config(profile, max_length=6, max_depth=1)
        assert plan.cascade.max_length <= 4, name
        assert plan.cascade.depth <= 1, name


def test_the_same_search_twice_gives_the_same_plan():
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS["markov"])
    first, second = (optimal_config(profile, max_length=6) for _ in range(2))
    assert (first.cascade, first.limits) == (second.cascade, second.limits)
    assert list(first.alternatives) == list(second.alternatives)


def test_a_spent_budget_ends_the_climb_but_keeps_the_best():
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS["mixture"])
    judge = replace(_search_laws.Judge.of(profile, 8), left=3)
    start = Cascade((Draft(1, 1),))
    end = judge.climbed(start)
    assert len([value for value in judge.known.values() if value > 0.0]) == 3
    assert judge.score(end) >= judge.score(start) > 0.0


def test_stand_ins_are_independent_and_hold_the_mean_rates():
    for model in MODELS.values():
        found = _search_laws.stand_ins(Profile(ALPHAS, COSTS, one_shot=(2,), acceptance=model))
        assert all(isinstance(one.acceptance, Independent) for one in found)
        assert all(one.one_shot == (2,) for one in found)
        if isinstance(model, Mixture | Markov):
            np.testing.assert_allclose(found[0].alphas, model.mean_alphas)


@pytest.mark.parametrize("name", MODELS)
def test_the_adaptive_bound_is_refused(name):
    profile = Profile(ALPHAS, COSTS, acceptance=MODELS[name])
    with pytest.raises(ValueError, match="holds for independent acceptance, got a profile with"):
        adaptive_bound(profile)
