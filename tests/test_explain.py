"""What `Plan.explain` says is true: break-evens, ends of curves, limits, assumptions."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc import Cascade, Draft, Profile, Review, ewif, optimal_config
from cscalc._plan_words import break_even_anew, curve_ends
from cscalc.acceptance import ByPosition
from cscalc.plan import Plan, make_plan
from cscalc.theory.speculative import speculative_ewif


def test_the_break_even_of_quickstart_is_that_of_its_lengths_and_of_lengths_chosen_anew():
    plan = optimal_config([0.8], [0.1])
    said = (
        "with these lengths unchanged, it pays up to a cost of 0.4919 (now 0.1); with the length "
        "chosen anew, up to 0.8."
    )
    assert said in plan.explain()
    at = Profile([0.8], [plan.cost_break_even(1)])
    assert ewif(plan.cascade, at) == pytest.approx(1.0, rel=1e-12)
    assert optimal_config([0.8], [0.79]).cascade.drafts
    assert not optimal_config([0.8], [0.8]).cascade.drafts


@given(st.floats(0.05, 0.95), st.booleans(), st.none() | st.floats(0.0, 0.2), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_lone_draft_pays_up_to_the_break_even_with_its_length_chosen_anew(
    alpha, one_shot, slope, longest
):
    verify = None if slope is None else [1.0 + slope * m for m in range(9)]
    options = {"one_shot": (1,) if one_shot else (), "verify": verify}
    crossing = break_even_anew(Profile([alpha], [0.1], **options), longest)
    for factor, pays in ((0.99, True), (1.01, False)):
        if crossing > 0.01:
            plan = optimal_config([alpha], [crossing * factor], max_length=longest, **options)
            assert bool(plan.cascade.drafts) is pays


def test_free_verification_lets_a_lone_draft_cost_its_acceptance_rate():
    """Corollary 3.9 of Leviathan et al. (arXiv:2211.17192), and its converse."""
    lengths = np.arange(1, 65)
    for alpha in (0.0, 0.3, 0.8, 0.99):
        crossing = break_even_anew(Profile([alpha], [0.1]), 64)
        assert crossing == pytest.approx(alpha, rel=1e-15)
        assert (speculative_ewif(alpha, crossing, lengths) <= 1.0 + 1e-12).all()


def test_only_a_lone_independent_draft_has_a_break_even_anew():
    assert break_even_anew(Profile([0.8, 0.5], [0.1, 0.01]), 64) is None
    by_position = ByPosition({(0, 1): [0.9, 0.5]})
    assert break_even_anew(Profile([0.8], [0.1], acceptance=by_position), 64) is None
    assert break_even_anew(Profile([0.8], [0.1], verify=[1.0]), 64) is None
    two = optimal_config([0.8, 0.5], [0.2, 0.01]).explain()
    assert "with these lengths unchanged" in two
    assert "chosen anew" not in two


def test_a_short_curve_is_said_to_end_the_search():
    plan = optimal_config([0.9], [0.01], verify=[1, 1.4, 1.5])
    assert plan.limits["verify_ends"] == {"0": 3}
    assert (
        "The verification cost of target ends at 3 positions, so nothing with more than 2 tokens "
        "in front of it was searched; the chosen cascade stops there: measure it further"
    ) in plan.explain()
    shorter = optimal_config([0.3], [0.2], verify=[1, 1.4, 1.8])
    assert "in front of it was searched; the chosen cascade is shorter." in shorter.explain()
    free = optimal_config([0.9], [0.1])
    assert "verify_ends" not in free.limits
    assert "searched" not in free.explain()
    long = optimal_config([0.3], [0.1], verify=[1.0] * 100)  # longer than any one draft
    assert long.limits["verify_ends"] == {"0": 100}
    assert "searched" not in long.explain()
    assert Plan.from_dict(plan.to_dict()) == plan


def test_the_curve_of_a_draft_ends_the_search_in_front_of_it():
    rates = [[1, 0.9, 0.2], [0, 1, 0.9], [0, 0, 1]]
    profile = Profile(rates, [0.3, 0.001], verify={1: [1.0, 1.0, 1.0], 2: [1.0]})
    assert curve_ends(profile, 256) == {1: 3}  # nothing is drafted for the last
    plan = optimal_config(profile)
    assert plan.cascade.reviewers == (1,)
    assert "of draft 1 ends at 3 positions" in plan.explain()
    assert "the chosen cascade stops there" in plan.explain()


@pytest.mark.parametrize(
    ("segments", "reached"),
    [
        ((Draft(1, 8),), True),
        ((Draft(1, 7),), False),
        ((Draft(1, 1, until=8),), True),
        ((Review(1, (Draft(2, 1),), rounds=8),), True),
        ((Review(1, (Draft(2, 8),), rounds=1),), True),
        ((Review(1, (Draft(2, 1),), until=7),), False),
    ],
)
def test_the_longest_length_allowed_is_named_if_it_is_used(segments, reached):
    limits = {"max_length": 8, "most_tokens": 128}
    plan = make_plan(Profile([0.9, 0.9], [0.1, 0.0]), Cascade(segments), [], limits)
    said = "uses the largest length allowed, 8 (max_length)" in plan.explain()
    assert said is reached


def test_drafts_from_cheap_to_dear_are_told_to_be_numbered_otherwise():
    said = optimal_config([0.5, 0.8], [0.01, 0.2]).explain()
    assert "draft 1 costs less than draft 2 (0.01 < 0.2), but only a draft with a smaller" in said
    assert "number the drafts from dear to cheap" in said
    assert "dear to cheap" not in optimal_config([0.8, 0.5], [0.2, 0.01]).explain()
    assert "dear to cheap" not in optimal_config([0.8, 0.5], [0.2, 0.2]).explain()


def test_rates_as_a_vector_are_said_to_be_cas_specs_assumption():
    assert optimal_config([0.8, 0.5], [0.2, 0.01]).explain().count("CAS-Spec") == 1
    matrix = [[1, 0.8, 0.5], [0, 1, 0.6], [0, 0, 1]]
    assert "CAS-Spec" not in optimal_config(matrix, [0.2, 0.01]).explain()
    assert "CAS-Spec" not in optimal_config([0.8], [0.1]).explain()  # no draft to review
    lookups = optimal_config([0.8, 0.5], [0.2, 0.01], one_shot=(1, 2))
    assert "CAS-Spec" not in lookups.explain()


def test_a_plan_without_limits_explains_itself():
    plan = make_plan(Profile([0.8], [0.1]), Cascade((Draft(1, 4),)), [], {})
    assert re.match(r"Best: draft 1:4 \(speculative\)\.", plan.explain())


def test_curves_that_end_alike_are_one_sentence():
    curve = [1.0, *[1.2] * 15]
    alphas = [[1, 0.8, 0.5], [0, 1, 0.6], [0, 0, 1]]
    said = optimal_config(alphas, [0.2, 0.02], verify={0: curve, 1: curve}).explain()
    assert said.count("The verification cost of") == 1
    assert "The verification cost of target and draft 1 ends at 16 positions" in said
