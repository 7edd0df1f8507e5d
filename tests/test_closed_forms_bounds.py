"""Effective bounds and step rules of CAS-Spec, NeurIPS 2025, arXiv:2510.26843."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory.cas_spec import (
    dytc_best,
    dytc_objective,
    effective_bound,
    effective_bound_details,
    greedy_local_objective,
    horizontal_bound_at,
    horizontal_bound_line,
    updated_rate,
    vertical_bound_at,
)
from cscalc.theory.cs_drafting import horizontal_ewif, vertical_ewif
from cscalc.theory.speculative import optimal_length, speculative_ewif

ALPHA_D1 = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
ALPHA_D2 = np.array([0.1, 0.2, 0.3, 0.5, 0.8])
BOUNDS = {  # one row per alpha_d2; 0 where no positive cost pays
    "vertical": """
        .001 .095 .192 .290 .390 .492 .596 .701 .809 .878 .952
        0    .001 .074 .168 .265 .365 .470 .583 .734 .821 .927
        0    0    .001 .070 .151 .247 .362 .500 .664 .773 .905
        0    0    0    0    .004 .072 .175 .317 .517 .662 .855
        0    0    0    0    0    0    0    .008 .173 .371 .708""",
    "horizontal": """
        .010 .110 .211 .312 .413 .514 .615 .716 .817 .868 .908
        0    .010 .109 .211 .313 .415 .517 .619 .721 .772 .812
        0    0    .010 .111 .212 .315 .418 .521 .624 .675 .717
        0    0    0    0    .010 .113 .218 .323 .428 .481 .523
        0    0    0    0    0    0    0    .010 .123 .179 .225""",
}


@pytest.mark.parametrize("kind", BOUNDS)
def test_table_of_effective_bounds(kind):
    want = np.array(BOUNDS[kind].split(), dtype=float).reshape(5, 11)
    got = effective_bound(kind, ALPHA_D1, ALPHA_D2[:, None], 0.01)
    np.testing.assert_allclose(got, want, atol=6e-4)
    assert (got[want == 0.0] == 0.0).all()
    assert (got[want > 0.0] > 0.0).all()


def test_optimal_lengths_of_the_effective_bounds():
    vertical = effective_bound_details("vertical", [0.9, 0.99], ALPHA_D2[:, None], 0.01)
    np.testing.assert_array_equal(vertical.passes_d1, [[1, 4], [2, 5], [2, 6], [3, 7], [3, 6]])
    np.testing.assert_array_equal(vertical.length_d2, [[1, 1], [2, 2], [3, 3], [4, 5], [6, 12]])
    horizontal = effective_bound_details("horizontal", ALPHA_D1, ALPHA_D2[:, None], 0.01)
    assert (horizontal.passes_d1[horizontal.cost_d1 > 0] == 1).all()
    np.testing.assert_array_equal(horizontal.length_d2[:, 8], [1, 2, 3, 5, 13])
    np.testing.assert_array_equal(vertical.length_alone[:, 0], [1, 2, 3, 5, 14])
    want = [1.08911, 1.21569, 1.37573, 1.87500, 4.23165]
    np.testing.assert_allclose(vertical.ewif_alone[:, 0], want, atol=5e-6)


def cascade_ewif(kind, alpha_d1, alpha_d2, inner, cost_d1, cost_d2, passes, length, one_shot):
    if kind == "vertical":
        return vertical_ewif(alpha_d1, cost_d1, inner, cost_d2, passes, length, one_shot=one_shot)
    lengths = np.stack(np.broadcast_arrays(passes, length), axis=-1)
    flags = [False, one_shot]
    return horizontal_ewif(
        [alpha_d1, alpha_d2], [cost_d1, cost_d2], lengths, one_shot=np.array(flags)
    )


kinds = st.sampled_from(["vertical", "horizontal"])
inner_rates = st.floats(0.0, 0.95)


@given(
    kinds,
    st.floats(0.0, 0.97),
    st.floats(0.0, 0.95),
    inner_rates,
    st.floats(0.003, 0.5),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_at_the_bound_no_cascade_beats_the_rival_and_the_best_one_equals_it(
    kind, alpha_d1, alpha_d2, inner, cost_d2, one_shot
):
    cap = 10 if one_shot else None
    bound = effective_bound_details(
        kind, alpha_d1, alpha_d2, cost_d2, alpha_inner=inner, one_shot=one_shot, max_length=cap
    )
    rates = kind, alpha_d1, alpha_d2, inner
    longest = cap or 60
    passes = np.arange(1, 61)[:, None]
    lengths = np.arange(kind == "vertical", longest + 1)
    everything = cascade_ewif(
        *rates, float(bound.cost_d1), cost_d2, passes, lengths, one_shot
    )  # (60, longest + 1)
    assert everything.max() <= bound.ewif_alone * (1 + 1e-10)
    if bound.cost_d1 > 0.0:
        own = int(bound.passes_d1), int(bound.length_d2)
        best = cascade_ewif(*rates, float(bound.cost_d1), cost_d2, *own, one_shot)
        assert float(best) == pytest.approx(float(bound.ewif_alone), abs=1e-10)
    else:
        assert (bound.passes_d1, bound.length_d2) == (0, 0)  # no cascade to show
    if not one_shot:
        alone = speculative_ewif(alpha_d2, cost_d2, np.arange(400))
        assert float(bound.ewif_alone) == pytest.approx(alone.max(), rel=1e-12)


def test_a_good_inner_review_earns_longer_inner_drafts():
    passes, lengths = np.arange(1, 400)[:, None], np.arange(1, 200)
    bound = effective_bound_details("vertical", 0.95, 0.2, 0.005, alpha_inner=0.95)
    tokens = vertical_ewif(0.95, 0.0, 0.95, 0.0, passes, lengths)
    brute = (tokens / bound.ewif_alone - 1.0) / passes - lengths * 0.005  # (399, 199)
    assert float(bound.cost_d1) == pytest.approx(brute.max(), abs=1e-13)
    best = np.unravel_index(brute.argmax(), brute.shape)
    assert (bound.passes_d1, bound.length_d2) == (best[0] + 1, best[1] + 1)
    assert best[1] + 1 > 5


@given(kinds, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.1, 0.9))
@settings(deadline=None)
def test_the_bound_rises_with_alpha_d1(kind, first, second, alpha_d2):
    low, high = sorted((first, second))
    few, many = effective_bound(kind, [low, high], alpha_d2, 0.02)
    assert few <= many + 1e-12


def test_corners_of_the_bound_are_finite_and_silent():
    grid = np.array([0.0, 1e-300, 0.5, 1.0])
    for kind in ("vertical", "horizontal"):
        for cost in (0.0, 1e-9, 0.01, 1.0, 50.0):
            bound = effective_bound(kind, grid[:, None], grid, cost, max_length=50)
            assert np.isfinite(bound).all()
            assert (bound >= 0.0).all()
            assert (bound[0] == 0.0).all()  # d1 never accepted: nothing to pay for
    # a perfect d1 over a useless d2 decodes one token per pass: it may cost all but the limit
    perfect = effective_bound("vertical", 1.0, 0.0, 0.01, max_passes=1000)
    assert float(perfect) == pytest.approx(1.0 - 0.01, abs=2e-3)


def test_scalars_give_scalars_and_arrays_keep_their_shape():
    assert isinstance(effective_bound("vertical", 0.9, 0.5, 0.01), float)
    assert effective_bound("vertical", ALPHA_D1, ALPHA_D2[:, None], 0.01).shape == (5, 11)
    assert effective_bound("horizontal", [], 0.5, 0.01).shape == (0,)


# ---- bounds at fixed lengths (Appendix B, corrected)


def test_pinned_fixed_length_bounds():
    rival = float(speculative_ewif(0.3, 0.01, 3))
    assert rival == pytest.approx(1.375728, abs=1e-6)
    bound = float(vertical_bound_at(0.8, 0.3, 0.01, 3, 4, 3))
    assert bound == pytest.approx(0.450085, abs=1e-6)
    assert float(vertical_ewif(0.8, bound, 0.3, 0.01, 3, 4)) == pytest.approx(rival, rel=1e-12)
    bound = float(horizontal_bound_at(0.8, 0.3, 0.01, 2, 3))
    assert bound == pytest.approx(0.468799, abs=1e-6)
    ewif = float(horizontal_ewif([0.8, 0.3], [bound, 0.01], [2, 3]))
    assert ewif == pytest.approx(rival, rel=1e-12)


def test_appendix_b_as_printed_misses_the_break_even():
    alpha, rival = 0.8, float(speculative_ewif(0.3, 0.01, 3))
    bound = float(vertical_bound_at(alpha, 0.3, 0.01, 3, 4, 3))
    printed_phi = (1 - alpha**5) / ((1 - alpha) * (1 + 4 * 0.01))  # an EWIF, not a pgf
    tokens = (1 - alpha * printed_phi**3) / (1 - alpha)
    assert tokens < 0.0  # no number of tokens at all
    assert (tokens / rival - (1 + 12 * 0.01)) / 3 != pytest.approx(bound, abs=1.0)


@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 0.5),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_both_sides_are_equal_at_a_fixed_length_bound(a1, a2, inner, cost, n, k, k0):
    rival = float(speculative_ewif(a2, cost, k0))
    bound = float(vertical_bound_at(a1, a2, cost, n, k, k0, alpha_inner=inner))
    if bound >= 0.0:
        ewif = float(vertical_ewif(a1, bound, inner, cost, n, k))
        assert ewif == pytest.approx(rival, rel=1e-10)
    bound = float(horizontal_bound_at(a1, a2, cost, n, k, k0))
    if bound >= 0.0:
        ewif = float(horizontal_ewif([a1, a2], [bound, cost], [n, k]))
        assert ewif == pytest.approx(rival, rel=1e-10)


def test_the_line_is_the_bound_of_one_token_and_touches_the_maximum():
    grid = np.linspace(0.01, 0.99, 50)
    for alpha_d2 in ALPHA_D2:
        line = horizontal_bound_line(grid, alpha_d2, 0.01)
        alone = optimal_length(alpha_d2, 0.01)
        fixed = horizontal_bound_at(grid, alpha_d2, 0.01, 1, alone, alone)
        np.testing.assert_allclose(line, fixed, atol=1e-12)
        np.testing.assert_allclose(np.diff(line, 2), 0.0, atol=1e-12)
        best = effective_bound_details("horizontal", grid, alpha_d2, 0.01)
        assert (best.cost_d1 >= line - 1e-12).all()
        same = (best.cost_d1 > 0.0) & (best.length_d2 == alone) & (best.passes_d1 == 1)
        assert same.any()
        np.testing.assert_allclose(best.cost_d1[same], line[same], atol=1e-3)


# ---- worked examples of section 4.3, Eq. 4 to 6


def test_worked_example_of_the_paper():
    lengths = np.arange(1, 12)
    alone = speculative_ewif(0.8, 0.3, lengths)
    assert (lengths[alone.argmax()], round(float(alone.max()), 6)) == (3, 1.553684)
    alone = speculative_ewif(0.9, 0.4, lengths)
    assert (lengths[alone.argmax()], round(float(alone.max()), 6)) == (4, 1.575038)
    grid = np.stack(np.meshgrid(lengths, lengths, indexing="ij"), axis=-1)
    table = horizontal_ewif([0.9, 0.8], [0.4, 0.3], grid)
    ranked = np.argsort(table, axis=None)[::-1]
    first, second = (np.unravel_index(i, table.shape) for i in ranked[:2])
    assert (first, second) == ((1, 1), (2, 0))  # lengths (2, 2) and (3, 1)
    np.testing.assert_allclose(table[[1, 2], [1, 0]], [1.615167, 1.608880], atol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "cost", "bottom", "want"),
    [
        (0.9, 0.4, (0.8, 0.3), (2.314, 2.144, 2.015, 1.905, 1.808)),
        (0.8, 0.3, (0.8, 0.3), (2.400, 2.169, 1.968, 1.793, 1.640)),
        (0.8, 0.6, (0.3, 0.01), (1.705, 1.349, 1.163, 1.031, 0.926)),
        (0.3, 0.01, (0.3, 0.01), (19.5, 13.9, 10.628, 8.551, 7.138)),
    ],
)
def test_eq_5_as_printed(alpha, cost, bottom, want):
    got = dytc_objective(alpha, cost, *bottom, np.arange(1, 6))
    np.testing.assert_allclose(got, want, atol=6e-4)


def test_eq_6_prefers_the_cheapest_draft():
    assert dytc_best([0.9, 0.8], [0.4, 0.3], 0.8, 0.3) == (1, 1)
    assert dytc_best([0.8, 0.3], [0.6, 0.01], 0.3, 0.01) == (1, 1)  # prompt lookup over all
    assert dytc_best([1.0, 1.0], [0.1, 0.1], 0.0, 0.2, max_length=4) == (0, 4)


def test_greedy_local_objective_is_accepted_tokens_per_drafting_time():
    lengths = np.arange(1, 6)
    accepted = np.cumsum(0.8**lengths)
    got = greedy_local_objective(0.8, 0.3, lengths, reach=0.5)
    np.testing.assert_allclose(got, 0.5 * accepted / (0.3 * lengths), rtol=1e-13)


def test_rate_estimate_is_an_exponential_average():
    assert updated_rate(0.5, [1] * 20) == pytest.approx(0.7 * 0.5 + 0.3)
    assert updated_rate(0.5, []) == 0.5  # an idle draft keeps its estimate
    assert updated_rate(0.5, [True, False], memory=0.0) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effective_bound("tree", 0.9, 0.5, 0.01), "kind must be one of 'vertical'"),
        (lambda: effective_bound("vertical", 1.9, 0.5, 0.01), "alpha_d1 must lie in"),
        (lambda: effective_bound("vertical", 0.9, np.nan, 0.01), "alpha_d2 must lie in"),
        (lambda: effective_bound("vertical", 0.9, 0.5, -1), "cost_d2 must be finite"),
        (
            lambda: effective_bound("vertical", 0.9, 0.5, 0.1, alpha_inner=2),
            "alpha_inner must lie in",
        ),
        (lambda: effective_bound("vertical", 0.9, 0.5, 0.1, max_length=0), "max_length must be"),
        (lambda: effective_bound("vertical", 0.9, 0.5, 0.1, max_passes=0), "max_passes must be"),
        (
            lambda: effective_bound("vertical", 0.9, 0.5, 0.1, one_shot=True),
            "max_length must be given for a one-shot d2",
        ),
        (lambda: vertical_bound_at(0.8, 0.3, 0.01, 0, 4, 3), "rounds must be whole numbers >= 1"),
        (lambda: horizontal_bound_at(0.8, 0.3, 0.01, 0, 3), "length_d1 must be whole"),
        (lambda: horizontal_bound_line(0.8, 0.3, 0.0), "give max_length|no finite length"),
        (lambda: dytc_objective(0.8, 0.0, 0.3, 0.0, 1), "must be > 0, got 0"),
        (lambda: dytc_best([], [], 0.3, 0.1), "alphas must be a list of candidates"),
        (lambda: greedy_local_objective(0.8, 0.0, 1), "cost must be > 0"),
        (lambda: updated_rate(0.5, [0.5]), "first_accepted must hold True and False"),
        (lambda: updated_rate(1.5, [1]), "previous must lie in"),
    ],
)
def test_bad_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
