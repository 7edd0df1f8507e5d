"""Trees that several drafts grow, against every assignment of models to levels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory.tree_cascade import leaf_cascade, level_cascade
from cscalc.theory.tree_search import tree_token_table
from tests.tree_cases import acceptance, curves


@st.composite
def cascade_cases(draw):
    count = draw(st.integers(1, 3))
    rates = [draw(acceptance(2)) for _ in range(count)]
    costs = draw(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.3]), min_size=count, max_size=count))
    one_shot = draw(st.sets(st.integers(1, count)))
    return rates, costs, one_shot, draw(st.integers(1, 6)), draw(st.integers(0, 3))


@given(cascade_cases(), curves(6))
@settings(max_examples=40, deadline=None)
def test_level_cascade_beats_every_assignment_of_models_to_levels(case, curve):
    rates, costs, one_shot, size, depth = case
    best = 1.0 / curve[0]
    for used in range(depth + 1):
        for models in itertools.product(range(1, len(rates) + 1), repeat=used):
            rows = [np.pad(rates[m - 1], (0, 2 - rates[m - 1].size)) for m in models]
            spent = sum(
                0.0 if m in one_shot and i and models[i - 1] == m else costs[m - 1]
                for i, m in enumerate(models)
            )
            table = tree_token_table(np.array(rows), size, used)[:, -1] if used else np.ones(size)
            best = max(best, float(np.max(table / (curve[:size] + spent))))
    plan = level_cascade(rates, costs, size=size, depth=depth, verify=curve, one_shot=one_shot)
    assert plan.ewif == pytest.approx(best, rel=1e-11)
    assert len(plan.models) == plan.tree.depth


def test_level_cascade_of_chains_finds_the_best_horizontal_cascade():
    plan = level_cascade([[0.9], [0.8]], [0.4, 0.3], size=12, depth=10)  # CAS-Spec's example
    assert plan.models == (1, 1, 2, 2)
    assert plan.ewif == pytest.approx(1.615167, abs=5e-7)


def test_a_one_shot_draft_pays_once_for_consecutive_levels():
    # one lookup is dearer and worse than one pass, but twelve levels of it cost no more than one
    plan = level_cascade([[0.9], [0.8]], [0.1, 0.15], size=13, depth=12, one_shot=[2])
    best = {}
    for passes in range(12):
        rates = [0.9] * passes + [0.8] * (12 - passes)
        best[passes] = (1 + np.cumprod(rates).sum()) / (1 + 0.1 * passes + 0.15)
    passes = max(best, key=best.get)
    assert plan.models == (1,) * passes + (2,) * (12 - passes)
    assert plan.ewif == pytest.approx(best[passes])


def test_a_one_shot_draft_is_not_free():
    plan = level_cascade([[0.3]], [0.5], size=4, depth=3, one_shot=[1])
    assert plan.models == ()
    assert plan.ewif == 1.0


@given(cascade_cases(), curves(8))
@settings(max_examples=60, deadline=None)
def test_leaf_cascade_reports_what_its_tree_gives_and_never_loses(case, curve):
    rates, costs, _, _, _ = case
    grown = leaf_cascade(rates, costs, size=8, verify=curve)
    scores = [1.0]
    for node in range(1, grown.tree.size):
        row = rates[grown.models[node] - 1]
        scores.append(scores[grown.tree.parents[node]] * row[grown.tree.ranks[node] - 1])
    assert grown.tokens == pytest.approx(sum(scores), rel=1e-12)
    assert grown.ewif == pytest.approx(grown.tokens / grown.cycle_cost, rel=1e-12)
    assert grown.ewif >= (1.0 - 1e-12) / curve[0]


def test_leaf_cascade_sees_past_the_cheapest_model():
    grown = leaf_cascade([[0.9], [0.8]], [0.4, 0.3], size=8)
    assert grown.models == (0, 1, 1, 1, 2)
    assert grown.ewif == pytest.approx(1.60888, abs=5e-7)  # M_d2 alone: 1.553684


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: level_cascade([[0.5]], [0.1, 0.2], size=2, depth=1), ValueError, "one vector"),
        (
            lambda: level_cascade([[0.5]], [0.1], size=2, depth=1, one_shot=[2]),
            ValueError,
            "one_shot names drafts 1..1, got 2",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
