"""The step rule of dynamic tree cascades: the printed one, and the one of the ratio."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscalc.theory.dytc import best_step, step_values


@pytest.mark.parametrize(
    ("alphas", "costs", "bottom", "rows"),
    [
        (
            (0.9, 0.8),
            (0.4, 0.3),
            (0.8, 0.3),
            ([2.314, 2.144, 2.015, 1.905, 1.808], [2.400, 2.169, 1.968, 1.793, 1.640]),
        ),
        (
            (0.8, 0.3),
            (0.6, 0.01),
            (0.3, 0.01),
            ([1.705, 1.349, 1.163, 1.031, 0.926], [19.5, 13.9, 10.628, 8.551, 7.138]),
        ),
    ],
)
def test_printed_step_rule_is_reproduced(alphas, costs, bottom, rows):
    values = step_values(alphas, costs, *bottom, 5, objective="printed")
    np.testing.assert_allclose(values, rows, atol=5.1e-4)
    step = best_step(alphas, costs, *bottom, 5, objective="printed")
    assert (step.model, step.length) == (2, 1)  # the cheapest draft, whatever it gives


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(1, 5),
    st.floats(1, 3),
    st.floats(0, 1),
)
def test_ratio_step_is_the_best_and_taken_only_if_it_pays(
    models, alpha, price, tokens, cost, reach
):
    alphas, costs = zip(*models, strict=True)
    step = best_step(alphas, costs, alpha, price, 4, tokens=tokens, cost=cost, reach=reach)
    best, now = tokens / cost, tokens / cost
    for a, c in models:
        for k in range(1, 5):
            gain = reach * (sum(a**i for i in range(1, k + 1)) + a**k * alpha)
            best = max(best, (tokens + gain) / (cost + k * c + price))
    assert step.value == pytest.approx(best, rel=1e-12)
    if step.model is None:
        assert best == pytest.approx(now, rel=1e-12)
        assert step.length == 0
    else:
        a, c = models[step.model - 1]
        gain = reach * (sum(a**i for i in range(1, step.length + 1)) + a**step.length * alpha)
        assert (tokens + gain) / (cost + step.length * c + price) == pytest.approx(best, rel=1e-12)


def test_printed_rule_skips_steps_that_cost_nothing():
    values = step_values([0.5, 0.5], [0.0, 0.1], 0.3, 0.0, 2, objective="printed")
    assert np.all(np.isneginf(values[0]))
    assert np.all(np.isfinite(values[1]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: best_step([0.5], [0.1, 0.2], 0.3, 0.1, 5), ValueError, "one entry per draft"),
        (
            lambda: best_step([0.5], [0.1], 0.3, 0.1, 5, objective="best"),
            ValueError,
            "objective must be one of",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
