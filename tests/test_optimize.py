"""`optimal_config` against complete enumeration of its grammar, and against known optima."""

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cscalc import _search_kernel
from cscalc._search import Space
from cscalc._search_laws import Judge
from cscalc._search_neighbours import neighbours, restructured
from cscalc._search_proof import Proof, ewif_bound
from cscalc.cascade import Cascade, Draft, Review
from cscalc.optimize import optimal_config
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.theory.adaptive import adaptive_bound
from cscalc.theory.law import ewif

ISSUE = (
    [[1, 0.8, 0.55, 0.25], [0, 1, 0.6, 0.3], [0, 0, 1, 0.35], [0, 0, 0, 1]],
    [0.2, 0.05, 0.0005],
)


def drafts_of(profile, reviewer, most, depth):
    """Every tuple of segments that may serve `reviewer`, written as the docstring says it."""
    per_model = []
    for model in range(reviewer + 1, profile.n_drafts + 1):
        choices = [(), *((Draft(model, length),) for length in range(1, most + 1))]
        if depth and model not in profile.one_shot:
            for inner in drafts_of(profile, model, most, depth - 1):
                choices += [(one,) for one in reviews_of(model, inner, most)]
        per_model.append(choices)
    for parts in itertools.product(*per_model):
        yield tuple(segment for part in parts for segment in part)


def reviews_of(model, inner, most):
    """Every review of `inner` by `model`; none where a threshold inside is already met."""
    for k in range(1, most + 1 if inner else 1):
        for stop in ("rounds", "until"):
            with contextlib.suppress(ValueError):
                yield Review(model, inner, **{stop: k})


def enumerated_best(profile, most, depth):
    """Best EWIF of all cascades of the grammar, each evaluated by its exact law."""
    best = 1.0
    for drafts in drafts_of(profile, 0, most, depth):
        try:
            value = ewif(Cascade(drafts), profile)
        except ValueError:  # a threshold that is already met, or longer than `verify` covers
            continue
        best = max(best, value)
    return best


def proved_alone(profile, most, depth):
    """EWIF that branch and bound reaches from plain decoding, without the climb."""
    models = tuple(range(1, profile.n_drafts + 1))
    proof = Proof.of(profile, models, most, depth, 0.0)
    reached, cascade, proved = proof.improve((1.0, Cascade(())), 10_000_000)
    assert proved
    assert reached == ewif(cascade, profile)
    return reached


curves = st.sampled_from(
    [
        None,
        np.r_[1.0, np.full(60, 1.7)],  # a step from one position to two
        1 + 0.15 * np.arange(61),
        1 + 0.3 * np.sqrt(np.arange(61)),
        np.array([1.0, 1.1, 1.2, 1.5, 1.5]),  # measured to five positions only
    ]
)


@st.composite
def profiles(draw, n_drafts):
    rates = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.8, 0.5]))
    alphas = np.eye(n_drafts + 1)
    for i, j in itertools.combinations(range(n_drafts + 1), 2):
        alphas[i, j] = draw(rates)
    costs = [draw(st.one_of(st.just(0.0), st.floats(0, 0.5))) for _ in range(n_drafts)]
    one_shot = [j for j in range(1, n_drafts + 1) if draw(st.integers(0, 2)) == 0]
    reviewers = [m for m in range(n_drafts) if m not in one_shot]
    verify = {m: draw(curves) for m in reviewers}
    return Profile(alphas, costs, one_shot=one_shot, verify=verify)


@settings(max_examples=60, deadline=None)
@given(profiles(2), st.integers(2, 3), st.integers(0, 2))
def test_two_drafts_equal_complete_enumeration(profile, most, depth):
    plan = optimal_config(profile, max_length=most, max_depth=depth, tolerance=0.0)
    best = enumerated_best(profile, most, depth)
    assert plan.limits["proved"]
    assert plan.ewif == pytest.approx(best, rel=1e-9)
    assert proved_alone(profile, most, depth) == pytest.approx(best, rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(profiles(3), st.sampled_from([1, 2]))
@example(Profile(*ISSUE, one_shot=(3,)), 2)
def test_three_drafts_equal_complete_enumeration(profile, depth):
    plan = optimal_config(profile, max_length=2, max_depth=depth, tolerance=0.0)
    best = enumerated_best(profile, 2, depth)
    assert plan.limits["proved"]
    assert plan.ewif == pytest.approx(best, rel=1e-9)
    assert proved_alone(profile, 2, depth) == pytest.approx(best, rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(profiles(4), st.sampled_from([0, 1]))
def test_four_drafts_equal_complete_enumeration(profile, depth):
    plan = optimal_config(profile, max_length=1, max_depth=depth, tolerance=0.0)
    best = enumerated_best(profile, 1, depth)
    assert plan.limits["proved"]
    assert plan.ewif == pytest.approx(best, rel=1e-9)
    assert proved_alone(profile, 1, depth) == pytest.approx(best, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(profiles(3), st.integers(1, 2), st.floats(0.0, 1.0))
def test_no_cascade_exceeds_the_bound_from_any_rate_below_it(profile, depth, share):
    best = enumerated_best(profile, 1, depth)
    proof = Proof.of(profile, (1, 2, 3), 1, depth, 0.0)
    for rising in (False, True):
        bound = ewif_bound([proof], np.ones(1), 1.0 + share * (best - 1.0), rising)
        assert bound >= best * (1 - 1e-9)


@settings(max_examples=100, deadline=None)
@given(profiles(3), st.data())
def test_the_compiled_score_is_the_exact_law(profile, data):
    space = Space.of(profile, 4, 2, 0.0)
    state = np.array([data.draw(st.sampled_from(np.flatnonzero(row))) for row in space.can])
    value = np.array([data.draw(st.integers(1, 4)) for _ in state])
    got = _search_kernel.score(
        space.model, space.parent, state, value, space.tables, space.room, np.array([10])
    )
    try:
        cascade = space.cascade(state, value)
        expected = ewif(cascade, profile)
    except ValueError:  # a review of nothing, a threshold already met, beyond `verify`
        expected = -1.0
    assert got == pytest.approx(expected, rel=1e-11)


def test_the_issue_example_is_found_and_proved():
    plan = optimal_config(*ISSUE, one_shot=(3,))
    assert plan.ewif >= 2.35308
    assert plan.kind == "nested"
    assert plan.cascade.depth == 2
    assert plan.limits["proved"]
    assert ewif(plan.cascade, plan.profile) == plan.ewif


def test_a_good_start_is_not_needed_for_the_proof():
    """The proof alone, from plain decoding, finds what the climb finds."""
    profile = Profile(*ISSUE, one_shot=(3,))
    proof = Proof.of(profile, (1, 2, 3), 16, 2, 5e-7)
    reached, _, proved = proof.improve((1.0, Cascade(())), 10_000_000)
    assert proved
    plan = optimal_config(profile, max_length=16)
    assert reached == pytest.approx(plan.ewif, rel=3e-6)


def test_a_proof_cut_short_says_so():
    plan = optimal_config(*ISSUE, one_shot=(3,), proof_steps=10)
    assert not plan.limits["proved"]
    assert plan.ewif < plan.limits["bound"] < 1.01 * plan.ewif
    unproved = optimal_config(*ISSUE, one_shot=(3,), proof_steps=0).limits
    assert not unproved["proved"]
    assert "bound" not in unproved
    proved = optimal_config(*ISSUE, one_shot=(3,))
    assert proved.ewif <= proved.limits["bound"] <= proved.ewif * (1 + 1e-6)
    assert proved.limits["bound"] <= plan.limits["bound"]


# Optimal draft length of one draft, and its speed-up, from Leviathan et al., "Fast inference
# from transformers via speculative decoding", ICML 2023, arXiv:2211.17192, Theorem 3.8,
# maximised over lengths in exact arithmetic; ties go to the smaller length.
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
LENGTHS = {
    0.01: (1, 2, 3, 4, 5, 7, 9, 11, 14, 17, 24, 40),
    0.02: (1, 2, 3, 3, 4, 6, 8, 9, 11, 14, 19, 31),
    0.05: (1, 1, 2, 2, 3, 4, 6, 7, 8, 10, 13, 21),
    0.1: (0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 10, 15),
    0.2: (0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 7, 10),
    0.3: (0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 8),
    0.5: (0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 5),
}
SPEEDUPS = {
    0.01: (1.089, 1.216, 1.376, 1.586, 1.875, 2.297, 2.972, 3.489, 4.232, 5.392, 7.486, 12.542),
    0.1: (1, 1.091, 1.182, 1.300, 1.458, 1.674, 1.981, 2.192, 2.470, 2.853, 3.431, 4.479),
    0.5: (1, 1, 1, 1, 1, 1.067, 1.133, 1.167, 1.220, 1.286, 1.376, 1.514),
}


@pytest.mark.parametrize("cost", LENGTHS)
def test_one_draft_equals_the_table_of_optimal_lengths(cost):
    plans = [optimal_config([alpha], [cost]) for alpha in ALPHAS]
    assert tuple(plan.cascade.max_length for plan in plans) == LENGTHS[cost]
    if cost in SPEEDUPS:
        assert [plan.ewif for plan in plans] == pytest.approx(SPEEDUPS[cost], abs=5e-4)


def test_plain_decoding_is_chosen_where_nothing_pays():
    plan = optimal_config([0.1, 0.05], [0.5, 0.4])
    assert plan.cascade == Cascade(())
    assert plan.ewif == 1.0
    assert plan.kind == "plain"


def test_alternatives_rank_the_best_of_each_kind_and_model_set():
    plan = optimal_config(*ISSUE, one_shot=(3,))
    ranked = [one.ewif for one in plan.alternatives]
    assert ranked == sorted(ranked, reverse=True)
    keys = {(one.kind, one.cascade.models) for one in plan.alternatives}
    assert keys >= {("plain", ()), ("nested", (1, 2, 3))}
    assert keys >= {("speculative", (m,)) for m in (1, 2, 3)}
    assert keys >= {("vertical", pair) for pair in itertools.combinations((1, 2, 3), 2)}
    assert keys >= {("horizontal", pair) for pair in itertools.combinations((1, 2, 3), 2)}
    for one in plan.alternatives:
        if one.kind == "speculative":
            (draft,) = one.cascade.drafts
            lengths = [ewif(Cascade((Draft(draft.model, k),)), plan.profile) for k in range(1, 65)]
            assert one.ewif == pytest.approx(max(lengths), rel=2e-6)


def test_the_best_vertical_and_horizontal_pairs_equal_enumeration():
    profile = Profile(*ISSUE, one_shot=(3,))
    plan = optimal_config(profile, max_length=12)
    span = range(1, 13)
    for dear, cheap in ((1, 2), (1, 3), (2, 3)):
        inner = [(Draft(cheap, k),) for k in span]
        vertical = [
            Review(dear, drafts, **{stop: k})
            for drafts in inner
            for k in span
            for stop in ("rounds", "until")
        ]
        horizontal = [(Draft(dear, a), Draft(cheap, b)) for a in span for b in span]
        best = {
            "vertical": max(ewif(Cascade((one,)), profile) for one in vertical),
            "horizontal": max(ewif(Cascade(one), profile) for one in horizontal),
        }
        for one in plan.alternatives:
            if one.cascade.models == (dear, cheap) and one.kind in best:
                assert one.ewif == pytest.approx(best[one.kind], rel=2e-6)


def test_five_drafts_three_deep_end_in_bounded_work_and_beat_every_smaller_choice():
    rng = np.random.default_rng(0)
    alphas = np.eye(6)
    for i in range(5):
        alphas[i, i + 1 :] = np.sort(rng.uniform(0.2, 0.95, 5 - i))[::-1]
    costs = np.sort(rng.uniform(0, 1, 5) ** 3 * 0.5)[::-1] * np.array([1, 1, 1, 1, 0.01])
    plan = optimal_config(alphas, costs, one_shot=(5,), max_depth=3)
    assert plan.ewif >= max(one.ewif for one in plan.alternatives) * (1 - 1e-6)
    assert plan.ewif > 2.727
    assert plan.cascade.depth <= 3
    assert plan.ewif <= plan.limits["bound"] <= plan.ewif * 1.003


def test_four_drafts_beat_the_proved_best_of_every_three_and_keep_below_the_bound():
    alphas = [0.85, 0.7, 0.55, 0.25]
    costs = [0.3, 0.1, 0.03, 0.0005]
    profile = Profile(alphas, costs, one_shot=(4,))
    plan = optimal_config(profile, max_length=8)
    for three in itertools.combinations(range(4), 3):
        one_shot = (3,) if 3 in three else ()
        part = optimal_config(
            [alphas[i] for i in three], [costs[i] for i in three], one_shot=one_shot, max_length=8
        )
        assert part.limits["proved"]
        assert plan.ewif >= part.ewif * (1 - 1e-6)
    assert plan.limits["bound"] <= plan.ewif * 1.002
    bound = adaptive_bound(profile, max_length=plan.cascade.max_length)
    assert 0.99 < bound.share(plan) <= 1.0


def test_a_climb_that_stops_short_is_put_right_by_the_proof():
    """Four drafts, where no single change of the climb's end improves it."""
    alphas = np.eye(5)
    alphas[np.triu_indices(5, 1)] = [1, 0.73, 0.5, 0.78, 0.3, 0.5, 0.89, 0.92, 0.75, 0.27]
    profile = Profile(alphas, [0.3712, 0.1924, 0.05, 0.3069], one_shot=(2, 4))
    climbed = optimal_config(profile, max_length=4, proof_steps=0)
    plan = optimal_config(profile, max_length=4)
    assert plan.limits["proved"]
    assert plan.cascade == Cascade((Review(1, (Draft(4, 4),), rounds=4), Draft(2, 4)))
    assert plan.ewif > climbed.ewif * 1.01


def test_no_neighbour_of_a_proved_plan_of_four_drafts_is_better():
    rng, proved = np.random.default_rng(4), 0
    for _ in range(12):
        alphas = np.eye(5)
        alphas[np.triu_indices(5, 1)] = rng.uniform(0.0, 1.0, 10)
        profile = Profile(alphas, np.sort(rng.uniform(0.0, 0.6, 4) ** 2)[::-1], one_shot=(4,))
        plan = optimal_config(profile, max_length=12)
        assert plan.ewif <= plan.limits["bound"] <= 1.01 * plan.ewif
        if plan.limits["proved"]:
            proved += 1
            near = [
                *neighbours(plan.cascade, 12, pairs=True),
                *restructured(plan.cascade, 4, (4,), 2, 12),
            ]
            judge = Judge.of(profile, 12)  # 0 for those outside the limits
            assert max(judge.score(one) for one in near) <= plan.limits["bound"]
    assert proved >= 9


def test_many_drafts_that_cost_nothing_leave_a_bound_or_say_that_there_is_none():
    free = optimal_config([0.99] * 6, [0.0] * 6, proof_steps=1000)
    assert not free.limits["proved"]
    assert free.limits["bound"] is None or free.limits["bound"] >= free.ewif
    assert "bound" in optimal_config([0.8], [0.1]).limits


def test_the_plan_says_how_far_from_the_best_it_can_be():
    proved = optimal_config(*ISSUE, one_shot=(3,))
    assert "proved the best within its limits" in proved.explain()
    open_end = optimal_config(*ISSUE, one_shot=(3,), proof_steps=10)
    assert f"no cascade within its limits exceeds EWIF {open_end.limits['bound']:.6g}" in (
        open_end.explain()
    )
    assert "limits" not in optimal_config(*ISSUE, one_shot=(3,), proof_steps=0).explain()


def test_a_verification_array_limits_what_is_reviewed():
    profile = Profile([0.9, 0.6], [0.05, 0.001], one_shot=(2,), verify=[1, 1.1, 1.2, 1.3])
    plan = optimal_config(profile)
    assert plan.cascade.max_length <= 3
    assert ewif(plan.cascade, profile) == plan.ewif


def test_a_profile_with_no_draft_gives_plain_decoding():
    assert optimal_config([], []).cascade == Cascade(())


def test_tolerance_only_shortens():
    exact = optimal_config(*ISSUE, one_shot=(3,), max_length=20, tolerance=0.0)
    loose = optimal_config(*ISSUE, one_shot=(3,), max_length=20, tolerance=1e-3)
    assert exact.ewif * (1 - 7e-3) <= loose.ewif <= exact.ewif * (1 + 1e-12)
    assert loose.cascade.max_length < exact.cascade.max_length


def test_a_plan_survives_json(tmp_path):
    plan = optimal_config(*ISSUE, one_shot=(3,), max_length=8)
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert (again.cascade, again.ewif, again.limits) == (plan.cascade, plan.ewif, plan.limits)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (([0.8],), {}, TypeError, "costs are missing"),
        ((Profile([0.8], [0.1]), [0.1]), {}, TypeError, "already holds costs"),
        (([1.8], [0.1]), {}, ValueError, "alphas must lie in"),
        (([0.8], [0.1]), {"max_length": 0}, ValueError, "max_length must be >= 1, got 0"),
        (([0.8], [0.1]), {"max_depth": -1}, ValueError, "max_depth must be >= 0, got -1"),
        (([0.8], [0.1]), {"tolerance": 0.5}, ValueError, "tolerance must be"),
        (([0.8], [0.1]), {"proof_steps": 1.5}, TypeError, "proof_steps must be an int"),
    ],
)
def test_bad_input_is_one_sentence(arguments, options, error, text):
    with pytest.raises(error, match=text):
        optimal_config(*arguments, **options)


def test_a_segment_that_often_makes_no_call_is_not_pruned():
    """Once a false proof: where a threshold is already met, the next draft is not the last's."""
    alphas = [[1, 0.898, 0.389, 0.13], [0, 1, 0.8894, 0.238], [0, 0, 1, 0.3968], [0, 0, 0, 1]]
    plan = optimal_config(Profile(alphas, [0.4648, 0.05413, 0.00411]), max_length=8)
    assert plan.ewif == pytest.approx(2.927954844798, abs=1e-9)
    assert plan.limits["proved"]


def test_a_round_whose_repetition_is_hopeless_may_still_be_the_last():
    """Once a false proof: the bound on later rounds also dropped the stop at hand."""
    alphas = np.eye(4)
    alphas[np.triu_indices(4, 1)] = [0.7626, 0.6913, 0.6234, 0.9296, 0.6067, 0.2]
    profile = Profile(
        alphas,
        [0.1226247918, 0.0300741482, 0.0083417471],
        one_shot=(3,),
        verify={m: 1 + 0.15 * np.arange(131) for m in (1, 2)},
    )
    better = Cascade(
        (
            Review(1, (Draft(2, 2), Draft(3, 1)), rounds=1),
            Review(2, (Draft(3, 1),), until=2),
            Draft(3, 12),
        )
    )
    plan = optimal_config(profile, max_length=12, tolerance=0.0)
    assert plan.limits["proved"]
    assert plan.ewif >= ewif(better, profile) * (1 - 1e-12)


def test_the_proof_from_plain_decoding_agrees_with_the_plan_where_enumeration_is_too_long():
    rng, proved = np.random.default_rng(11), 0
    for _ in range(25):
        alphas = np.eye(4)
        alphas[np.triu_indices(4, 1)] = rng.uniform(0.0, 1.0, 6)
        costs = np.sort(rng.uniform(0.0, 1.0, 3) ** 3)[::-1]
        profile = Profile(alphas, costs, one_shot=(3,))
        plan = optimal_config(profile, max_length=9, tolerance=0.0)
        if plan.limits["proved"]:  # all but one, with an almost free and good model 2
            proved += 1
            assert proved_alone(profile, 9, 2) == pytest.approx(plan.ewif, rel=1e-9)
    assert proved == 24
