"""What is easily given wrong: a sentence with the remedy, or it works all the same."""

import copy
import json
import pickle

import numpy as np
import pytest

import cscalc._verify_costs
from cscalc import (
    Cascade,
    Draft,
    Profile,
    Review,
    cycle_cost,
    ewif,
    expected_tokens,
    optimal_config,
    token_law,
)
from cscalc._fit import LONGEST
from cscalc.rivals import best_probability
from cscalc.simulate.events import simulate
from cscalc.sweep import sweep
from cscalc.theory import (
    cas_spec,
    chains,
    cs_drafting,
    effective,
    horizontal,
    parallel,
    serving,
    speculative,
    swi,
)
from cscalc.theory.law import cycle_law, cycle_law_slow
from cscalc.theory.means import mean_and_cost
from cscalc.theory.sensitivity import ewif_gradient
from cscalc.theory.trees import Tree
from cscalc.uncertainty import ewif_interval

PROFILE, FOUR = Profile([0.8], [0.1]), Cascade((Draft(1, 4),))


def simulated(cascade, profile):
    return simulate(cascade, profile, 10, rng=np.random.default_rng(0))


def interval(cascade, profile):
    return ewif_interval(cascade, profile, rng=np.random.default_rng(0))


PAIRS = [
    ewif, token_law, expected_tokens, cycle_cost, cycle_law, cycle_law_slow, mean_and_cost,
    ewif_gradient, simulated, interval,
]  # fmt: skip
SWAPPED = "give the cascade first, then the profile"


@pytest.mark.parametrize("function", PAIRS)
def test_a_cascade_and_a_profile_are_asked_for_by_name(function):
    plan = optimal_config(PROFILE)
    for cascade, profile, said in [
        (plan, PROFILE, "got a Plan: give its cascade, plan.cascade"),
        (plan.alternatives[0], PROFILE, "alternative.cascade"),
        (Draft(1, 4), PROFILE, r"got Draft\(1, 4\): write Cascade\(\(Draft\(1, 4\),\)\)"),
        ((Draft(1, 4),), PROFILE, "cascade must be a Cascade, got"),
        (PROFILE, FOUR, SWAPPED),
        (FOUR, [0.8], r"profile must be a Profile, got \[0.8\]: write Profile"),
        (FOUR, FOUR, SWAPPED),
        (FOUR, plan, "got a Plan: give its profile, plan.profile"),
    ]:
        with pytest.raises(TypeError, match=said):
            function(cascade, profile)


def test_what_is_compared_comes_before_the_profile():
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match="choice must be a Plan or a list of cascades"):
        best_probability(PROFILE, [FOUR], rng=rng)
    with pytest.raises(TypeError, match="choice must be a Plan or a list of cascades"):
        best_probability(FOUR, PROFILE, rng=rng)
    with pytest.raises(TypeError, match="profile must be a Profile"):
        best_probability([FOUR], [0.8], rng=rng)


@pytest.mark.parametrize("function", [cycle_law, mean_and_cost, simulated])
def test_a_cascade_too_long_for_memory_is_refused(function):
    for segment in (
        Draft(1, 10**9), Draft(1, 1, until=10**9),
        Review(1, (Draft(2, 10**6),), rounds=1), Review(1, (Draft(2, 1),), rounds=10**9),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"tokens in front .* up to {LONGEST}: shorten"):
            function(Cascade((segment,)), Profile([0.8, 0.5], [0.1, 0.1]))


def test_the_longest_cascade_is_computed():
    assert expected_tokens(Cascade((Draft(1, LONGEST),)), PROFILE) == pytest.approx(5.0)


def test_integers_of_numpy_become_pythons():
    two, three = np.int64(2), np.int32(3)
    inner = Draft(two, three, until=np.uint8(6))
    cascade = Cascade((Review(np.int8(1), (inner,), rounds=two), Draft(two, three)))
    plain = (Review(1, (Draft(2, 3, until=6),), rounds=2), Draft(2, 3))
    assert cascade == Cascade(plain)
    assert json.dumps(cascade.to_dict()) == json.dumps(Cascade(plain).to_dict())
    assert Review(1, (Draft(2, 3),), until=three) == Review(1, (Draft(2, 3),), until=3)
    assert type(Review(1, (Draft(2, 3),), until=three).until) is int
    tree = Tree((np.int64(-1), np.int64(0)), (np.int64(0), np.int64(1)))
    assert json.dumps([tree.parents, tree.ranks]) == "[[-1, 0], [0, 1]]"
    profile = Profile([0.8], np.array([0.1]), verify={np.int64(0): [1.0, 1.0]})
    assert [type(model) for model in profile.verify] == [int]
    matrix = Cascade.from_k_matrix(np.array([[13, 10], [0, 10]]), bottom_length=np.int64(10))
    assert json.dumps(matrix.to_dict())
    plan = optimal_config([0.8], [0.1], max_length=np.int64(8), max_depth=np.int64(1))
    assert json.dumps(plan.to_dict())


def test_a_transposed_matrix_is_refused_and_no_other():
    upper = np.array([[1.0, 0.8, 0.5], [0.0, 1.0, 0.6], [0.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match="alphas looks transposed: all rates above the diagonal"):
        Profile(upper.T, [0.1, 0.01])
    full = np.maximum(upper, upper.T)
    free = [[1.0, 0.8, 0.5], [9.0, 1.0, 0.6], [np.nan, -3.0, 1.0]]  # only i < j is read
    for matrix in (full, free):
        assert Profile(matrix, [0.1, 0.01]) == Profile(upper, [0.1, 0.01])
    assert Profile(np.eye(2), [0.1]).alphas[0, 1] == 0.0
    assert Profile([[1.0, 0.0], [np.nan, 1.0]], [0.1]).alphas[0, 1] == 0.0


def test_a_plan_hashes_as_its_profile_does():
    one, other = optimal_config([0.8], [0.1]), optimal_config([0.8], [0.1])
    assert hash(one) == hash(other)
    assert len({one, other, optimal_config([0.7], [0.1])}) == 2


def import_of_nothing(name):
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("cloudpickle", [True, False])
def test_a_profile_with_a_function_travels_or_says_why_not(cloudpickle, monkeypatch):
    if cloudpickle:
        pytest.importorskip("cloudpickle")
    else:
        monkeypatch.setattr(cscalc._verify_costs, "import_module", import_of_nothing)
    profile = Profile([0.8], [0.1], verify=lambda m: 1.0 + 0.1 * (m - 1))
    if cloudpickle:
        again = pickle.loads(pickle.dumps(profile))
        assert again == profile
        assert again.pass_cost(0, 900) == profile.pass_cost(0, 900)  # not a table
    else:
        with pytest.raises(TypeError, match=r"verify of model 0 is a function .* give an array"):
            pickle.dumps(profile)
    assert copy.deepcopy(profile) == profile
    assert copy.copy(profile) is profile
    named = Profile([0.8], [0.1], verify=np.sqrt)
    assert pickle.loads(pickle.dumps(named)).verify[0] is np.sqrt


def test_a_sweep_that_computed_nothing_leaves_nothing(tmp_path):
    store = tmp_path / "grid.nc"
    with pytest.raises(ValueError, match="cost must be finite"):
        sweep(speculative.speculative_ewif, vectorized=True, store=store, alpha=0.5,
              cost=[0.01, -0.1], length=1)  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    sweep(speculative.speculative_ewif, vectorized=True, store=store, alpha=0.5,
          cost=[0.01, 0.1], length=1)  # fmt: skip
    assert store.exists()


def test_a_folder_is_no_file_to_write(tmp_path):
    plan = optimal_config(PROFILE)
    with pytest.raises(ValueError, match=rf"cannot write {tmp_path}: it is a folder: give the"):
        plan.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


THREE, TWO = [0.1, 0.2, 0.3], [0.1, 0.2]
COUNTS = [1, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda: speculative.speculative_ewif(THREE, TWO, 4),
        lambda: speculative.expected_tokens_iid(THREE, COUNTS),
        lambda: speculative.operations_factor(THREE, TWO, 4),
        lambda: speculative.accepted_fraction(THREE, COUNTS),
        lambda: speculative.alpha_from_counts([1, 2, 3], COUNTS),
        lambda: speculative.optimal_length(THREE, TWO),
        lambda: speculative.break_even_alpha(THREE, COUNTS),
        lambda: cs_drafting.review_pgf(0.5, THREE, COUNTS),
        lambda: cs_drafting.vertical_tokens(THREE, TWO, 1, 1),
        lambda: cs_drafting.vertical_ewif(THREE, TWO, 0.5, 0.1, 1, 1),
        lambda: cs_drafting.vertical_beats_reviewer_alone(THREE, TWO, 0.5, 0.1, 1, 1),
        lambda: cs_drafting.correlated_vertical_tokens(THREE, TWO, 0.5, 1, 1),
        lambda: cas_spec.vertical_bound_at(THREE, TWO, 0.1, 1, 1, 1),
        lambda: cas_spec.horizontal_bound_at(THREE, TWO, 0.1, 1, 1),
        lambda: cas_spec.horizontal_bound_line(THREE, TWO, 0.1),
        lambda: cas_spec.dytc_objective(THREE, TWO, 0.5, 0.1, 1),
        lambda: cas_spec.dytc_best(THREE, TWO, 0.5, 0.1),
        lambda: cas_spec.greedy_local_objective(THREE, TWO, 1),
        lambda: horizontal.horizontal_tokens([[0.5, 0.5]] * 3, [COUNTS] * 2),
        lambda: horizontal.horizontal_ewif([[0.5, 0.5]] * 3, [[0.1, 0.1]] * 2, COUNTS),
        lambda: parallel.lookahead_tokens(THREE, COUNTS, 1),
        lambda: parallel.lookahead_compression(THREE, COUNTS, 1, 1.0),
        lambda: parallel.dsi_servers(THREE, COUNTS),
        lambda: parallel.dsi_time_per_token(THREE, TWO, 1),
        lambda: parallel.osd_relative_gain(THREE, TWO, 1),
        lambda: parallel.memory_bound_speedup([1, 2, 3], COUNTS, 1),
        lambda: effective.effective_bound("vertical", THREE, TWO, 0.1),
        lambda: swi.tokens_per_second(THREE, TWO),
        lambda: swi.ewif_from_speed(THREE, TWO),
        lambda: serving.moesd_sigma(THREE, COUNTS),
        lambda: serving.target_efficiency(THREE, TWO),
        lambda: serving.moesd_speedup(THREE, 1, TWO, 1.0, 1.0),
        lambda: serving.magicdec_speedup(THREE, 1, TWO, 1.0, 1.0),
        lambda: serving.goodput(THREE, COUNTS, 1.0),
        lambda: chains.insertion_threshold_before(THREE, TWO, 1.0),
        lambda: chains.insertion_threshold_behind(THREE, TWO, 1.0),
        lambda: chains.capped_length_mean(THREE, COUNTS),
        lambda: chains.capped_length_variance(THREE, COUNTS),
        lambda: chains.cos_speedup(THREE, TWO, 1),
        lambda: chains.cos_alternate_speedup(THREE, TWO, 1, 1),
    ],
)
def test_shapes_that_do_not_broadcast_are_named(call):
    with pytest.raises(ValueError, match=r"do not broadcast: \w+ \((3|3, 2),?\), \w+ \(2"):
        call()


def test_a_list_that_is_no_array_is_told_of_its_own_field():
    with pytest.raises(TypeError, match="alpha must be numbers in a regular array"):
        speculative.speculative_ewif([0.1, [0.2]], TWO, 4)
