"""Closed forms of one draft: Leviathan et al., ICML 2023, arXiv:2211.17192."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory import published
from cscalc.theory.lenience import Lenience
from cscalc.theory.series import capped_variance, geometric_slope, geometric_sum
from cscalc.theory.speculative import (
    accepted_fraction,
    alpha_from_counts,
    break_even_alpha,
    expected_tokens_iid,
    mean_tokens,
    operations_factor,
    optimal_length,
    speculative_ewif,
    tokens_pmf_iid,
)

near_one = st.integers(1, 52).map(lambda bits: 1.0 - 2.0**-bits)
near_zero = st.integers(1, 60).map(lambda bits: 2.0**-bits)
rates = st.one_of(st.floats(0.0, 1.0), near_one, near_zero, st.sampled_from([0.0, 1.0]))
costs = st.one_of(st.floats(0.0, 2.0), st.sampled_from([0.0, 1.0]))
lengths = st.integers(0, 40)
weights = st.lists(st.integers(0, 20), min_size=5, max_size=5).filter(any)
laws = weights.map(lambda w: np.array(w) / sum(w))  # (5,), zeros allowed


def exact_sum(ratio, terms):
    return sum((Fraction(ratio) ** i for i in range(terms)), Fraction(0))


# ---- stability


@given(rates, lengths)
def test_geometric_sums_equal_exact_arithmetic_up_to_ratio_one(ratio, terms):
    args = np.array(ratio), np.array(float(terms))
    assert float(geometric_sum(*args)) == pytest.approx(float(exact_sum(ratio, terms)), rel=1e-13)
    slope = sum((i * Fraction(ratio) ** (i - 1) for i in range(1, terms + 1)), Fraction(0))
    assert float(geometric_slope(*args)) == pytest.approx(float(slope), rel=1e-12)
    variance = 2 * slope - exact_sum(ratio, terms) - exact_sum(ratio, terms) ** 2
    assert float(capped_variance(*args)) == pytest.approx(float(variance), rel=1e-12)


@pytest.mark.parametrize("bits", range(2, 53))
def test_capped_variance_keeps_its_digits_near_one(bits):
    ratio, terms = Fraction(1) - Fraction(1, 2**bits), 37
    first = exact_sum(ratio, terms)
    second = sum((2 * i - 1) * ratio ** (i - 1) for i in range(1, terms + 1))
    got = float(capped_variance(np.array(float(ratio)), np.array(float(terms))))
    assert got == pytest.approx(float(second - first**2), rel=1e-12)


@pytest.mark.parametrize("terms", [100, 10_000, 1_000_000])
def test_long_sums_equal_mpmath(terms):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        for bits in range(1, 50):
            gap = mpmath.mpf(2) ** -bits
            want = float((1 - (1 - gap) ** terms) / gap)
            got = float(expected_tokens_iid(float(1 - gap), terms - 1))
            assert got == pytest.approx(want, rel=1e-13)


def test_every_form_is_finite_and_silent_on_a_grid_with_its_corners():
    alpha = np.array([0.0, 5e-324, 1e-300, 0.3, np.nextafter(1.0, 0.0), 1.0])[:, None, None]
    cost = np.array([0.0, 1e-300, 0.5, 1.0, 100.0])[:, None]
    length = np.array([0, 1, 2, 1000, 10**9])
    assert np.isfinite(speculative_ewif(alpha, cost, length)).all()
    assert np.isfinite(operations_factor(alpha, cost, length)).all()
    assert np.isfinite(accepted_fraction(alpha, np.maximum(length, 1))).all()
    assert (expected_tokens_iid(1.0, length) == length + 1).all()
    assert (expected_tokens_iid(0.0, length) == 1.0).all()


# ---- tokens


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_mean_tokens_agrees_with_the_tail_sum_in_exact_arithmetic(alphas):
    survive, exact = Fraction(1), Fraction(1)
    for alpha in alphas:
        survive *= Fraction(alpha)
        exact += survive
    assert float(mean_tokens(alphas)) == pytest.approx(float(exact), rel=1e-13)


@given(rates, lengths)
def test_one_rate_is_the_special_case_of_rates_by_position(alpha, length):
    want = float(mean_tokens([alpha] * length))
    assert float(expected_tokens_iid(alpha, length)) == pytest.approx(want, rel=1e-13)


@given(rates, lengths)
def test_pmf_is_a_law_with_the_expected_mean(alpha, length):
    pmf = tokens_pmf_iid(alpha, length)
    assert pmf.shape == (length + 2,)
    assert pmf[0] == 0.0
    assert (pmf >= 0.0).all()
    assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
    mean = float(expected_tokens_iid(alpha, length))
    assert pmf @ np.arange(length + 2) == pytest.approx(mean, rel=1e-11)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), lengths)
def test_tokens_rise_with_alpha_and_length(first, second, length):
    low, high = sorted((first, second))
    few = float(expected_tokens_iid(low, length))
    assert few <= float(expected_tokens_iid(high, length)) * (1 + 1e-14)
    assert few <= float(expected_tokens_iid(low, length + 1)) * (1 + 1e-14)


def test_published_tokens():
    pairs = [(0.6, 4), (0.8, 5), (0.9, 10), (0.5, 5), (0.7, 5)]
    want = [2.3056, 3.68928, 6.861894, 1.96875, 2.94117]
    np.testing.assert_allclose([expected_tokens_iid(*p) for p in pairs], want, atol=1e-6)
    assert np.mean(expected_tokens_iid([0.5, 0.9], 5)) == pytest.approx(3.32717, abs=5e-6)
    assert float(expected_tokens_iid(0.8, 4)) / 5 == pytest.approx(0.67232, abs=1e-6)
    assert float(expected_tokens_iid(0.2, 60)) == pytest.approx(1.25, abs=1e-12)


@pytest.mark.parametrize("row", published.LEVIATHAN_TABLE_1)
def test_leviathan_table_1(row):
    operations = operations_factor(row.alpha, 0.0, row.length)
    assert float(operations) == pytest.approx(row.operations, abs=0.005)
    speed = speculative_ewif(row.alpha, 0.0, row.length)
    assert float(speed) == pytest.approx(row.speed, abs=0.005)


CALC = (3.157, 3.251, 2.497, 2.258, 2.347, 1.934, 2.402, 2.619, 2.025, 1.891, 1.803, 1.536)


@pytest.mark.parametrize(
    ("row", "calc"), list(zip(published.LEVIATHAN_TABLES_2_AND_4, CALC, strict=True))
)
def test_leviathan_tables_2_and_4(row, calc):
    ewif = float(speculative_ewif(row.alpha, row.cost, row.length))
    assert ewif == pytest.approx(calc, abs=5e-4)
    assert ewif == pytest.approx(row.expected, abs=0.07)


@given(rates, costs, st.floats(0.0, 2.0), lengths)
def test_operations_and_ewif_are_the_printed_quotients(alpha, cost, ratio, length):
    tokens = exact_sum(alpha, length + 1)
    ewif = float(tokens / (1 + length * Fraction(cost)))
    assert float(speculative_ewif(alpha, cost, length)) == pytest.approx(ewif, rel=1e-13)
    factor = float((length * Fraction(ratio) + length + 1) / tokens)
    assert float(operations_factor(alpha, ratio, length)) == pytest.approx(factor, rel=1e-13)
    assert factor >= 1.0


# ---- optimal length

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
OPTIMA = {  # cost -> (length, speed-up to .0005), one pair per alpha
    0.01: """1 1.089 2 1.216 3 1.376 4 1.586 5 1.875 7 2.297 9 2.972 11 3.489 14 4.232 17 5.392
             24 7.486 40 12.542""",
    0.02: """1 1.078 2 1.192 3 1.337 3 1.532 4 1.794 6 2.170 8 2.758 9 3.199 11 3.817 14 4.753
             19 6.365 31 9.954""",
    0.05: """1 1.048 1 1.143 2 1.264 2 1.418 3 1.630 4 1.921 6 2.353 7 2.666 8 3.092 10 3.701
             13 4.674 21 6.600""",
    0.1: """0 1 1 1.091 1 1.182 2 1.300 2 1.458 3 1.674 4 1.981 5 2.192 6 2.470 7 2.853 10 3.431
            15 4.479""",
    0.2: """0 1 0 1 1 1.083 1 1.167 1 1.250 2 1.400 3 1.583 3 1.709 4 1.868 5 2.076 7 2.373
            10 2.875""",
    0.3: """0 1 0 1 0 1 1 1.077 1 1.154 1 1.231 2 1.369 2 1.445 3 1.554 4 1.686 5 1.874
            8 2.175""",
    0.5: "0 1 0 1 0 1 0 1 0 1 1 1.067 1 1.133 1 1.167 2 1.220 2 1.286 3 1.376 5 1.514",
}


@pytest.mark.parametrize("cost", OPTIMA)
def test_table_of_optimal_lengths(cost):
    want = np.array(OPTIMA[cost].split(), dtype=float).reshape(-1, 2)
    best = optimal_length(ALPHAS, cost)
    np.testing.assert_array_equal(best, want[:, 0])
    np.testing.assert_allclose(speculative_ewif(ALPHAS, cost, best), want[:, 1], atol=5e-4)


@given(st.integers(1, 99), st.integers(1, 7))
def test_alpha_equal_to_cost_is_a_tie_that_plain_decoding_wins(percent, scale):
    rate = percent / 100 * (scale / 7) / (scale / 7)  # rounding differs from draw to draw
    assert optimal_length(rate, percent / 100) == 0
    assert optimal_length(percent / 100, rate) == 0


def test_exact_ties_go_to_the_shorter_draft():
    assert optimal_length(0.5, 0.2) == 1
    assert speculative_ewif(0.5, 0.2, 1) == pytest.approx(speculative_ewif(0.5, 0.2, 2))
    assert optimal_length(1.0, 1.0) == 0
    assert optimal_length(0.6, 0.01) == 7  # not 3, as one summary of the paper claims


@given(st.floats(0.0, 0.97), st.floats(0.005, 1.5), st.none() | st.integers(0, 30))
def test_optimal_length_equals_brute_force(alpha, cost, cap):
    most = 400 if cap is None else cap
    ewif = speculative_ewif(alpha, cost, np.arange(most + 1))
    best = optimal_length(alpha, cost, max_length=cap)
    assert ewif[best] >= ewif.max() * (1 - 1e-12)
    assert best == 0 or ewif[best] > ewif[best - 1]


@given(st.floats(0.0, 1.0), st.floats(0.001, 1.0), st.integers(0, 60))
def test_ewif_has_one_peak_in_length(alpha, cost, length):
    ewif = [float(speculative_ewif(alpha, cost, length + i)) for i in range(3)]
    assert not (ewif[1] < ewif[0] * (1 - 1e-12) and ewif[2] > ewif[1] * (1 + 1e-12))


def test_no_finite_optimum_is_said_unless_a_cap_is_given():
    for alpha, cost in [(0.5, 0.0), (1.0, 0.0), (1.0, 0.99)]:
        with pytest.raises(ValueError, match=r"no finite length is best .* give max_length"):
            optimal_length(alpha, cost)
        assert optimal_length(alpha, cost, max_length=4000) == 4000
    assert optimal_length(0.0, 0.0) == 0
    assert optimal_length(1.0, 1.5) == 0
    assert optimal_length(1 - 1e-12, 1e-12) > 10**11


# ---- counts and break-even


@given(rates, st.integers(1, 40))
def test_accepted_fraction_is_accepted_over_proposed(alpha, length):
    want = float((exact_sum(alpha, length + 1) - 1) / length)
    got = float(accepted_fraction(alpha, length))
    assert got == pytest.approx(want, rel=1e-13)
    assert got <= alpha * (1 + 1e-14)


@given(st.integers(1, 10), st.integers(1, 12))
def test_alpha_from_expected_counts_returns_alpha(tenths, length):
    alpha = Fraction(tenths, 10)
    accepted = exact_sum(alpha, length + 1) - 1
    rejected = 1 - alpha**length
    scale = 10**length
    got = alpha_from_counts(int(accepted * scale), int(rejected * scale))
    assert float(got) == pytest.approx(float(alpha), rel=1e-15)


@given(st.floats(1e-6, 1.0), st.integers(1, 60))
def test_ewif_is_one_at_the_break_even_alpha(cost, length):
    alpha = float(break_even_alpha(cost, length))
    assert 0.0 <= alpha <= 1.0
    assert float(speculative_ewif(alpha, cost, length)) == pytest.approx(1.0, abs=1e-13)


def test_break_even_alpha_at_length_one_is_the_cost():
    np.testing.assert_allclose(break_even_alpha([0.0, 0.3, 1.0], 1), [0.0, 0.3, 1.0], rtol=1e-15)


# ---- lenience


@given(laws, laws, st.floats(0.05, 1.0))
@settings(max_examples=60)
def test_the_two_conventions_of_lenience_are_reciprocal(target, draft, value):
    ours, theirs = Lenience.cs_drafting(1 / value), Lenience.leviathan(value)
    assert ours.factor == pytest.approx(theirs.factor)
    assert theirs.leviathan_value == pytest.approx(value)
    alpha = float(theirs.alpha(target, draft))
    assert alpha == pytest.approx(np.minimum(draft, target / value).sum(), abs=1e-12)
    chance = theirs.accept_probability(target, draft)
    assert alpha == pytest.approx(float(draft @ chance), abs=1e-12)
    assert alpha >= np.minimum(draft, target).sum() - 1e-12


@given(laws, laws, st.floats(1.0, 20.0))
def test_lenient_review_emits_a_law_below_factor_times_the_target(target, draft, factor):
    law = Lenience.cs_drafting(factor).emitted_law(target, draft)
    assert law.sum() == pytest.approx(1.0, abs=1e-12)
    assert (law <= factor * target + 1e-12).all()


@given(laws, laws)
def test_lenience_one_is_lossless(target, draft):
    law = Lenience.leviathan(1.0).emitted_law(target, draft)
    np.testing.assert_allclose(law, target, atol=1e-12)


def test_lenience_of_a_worked_example():
    target, draft = [0.3, 0.5, 0.2], [0.6, 0.3, 0.1]
    alphas = [float(Lenience.leviathan(value).alpha(target, draft)) for value in (1.0, 0.8, 0.5)]
    np.testing.assert_allclose(alphas, [0.7, 0.775, 1.0], atol=1e-12)
    law = Lenience.leviathan(0.8).emitted_law(target, draft)
    np.testing.assert_allclose(law, [0.375, 0.45, 0.175], atol=1e-12)


# ---- bad input


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf, 80])
def test_rates_out_of_range_are_refused_by_name(bad):
    for call in (
        lambda: expected_tokens_iid(bad, 3),
        lambda: speculative_ewif([0.5, bad], 0.1, 3),
        lambda: operations_factor(bad, 0.1, 3),
        lambda: optimal_length(bad, 0.1),
        lambda: accepted_fraction(bad, 3),
        lambda: tokens_pmf_iid(bad, 3),
    ):
        with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got .*"):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_tokens(0.5), "position_alphas needs an axis"),
        (lambda: speculative_ewif(0.5, -0.1, 3), "cost must be finite and >= 0"),
        (lambda: speculative_ewif(0.5, np.nan, 3), "cost must be finite and >= 0"),
        (lambda: speculative_ewif(0.5, 0.1, 2.5), "length must be whole numbers"),
        (lambda: accepted_fraction(0.5, 0), "length must be whole numbers >= 1"),
        (lambda: alpha_from_counts(0, 0), "no proposal was judged"),
        (lambda: break_even_alpha(1.2, 3), "cost must be <= 1"),
        (lambda: optimal_length(0.5, 0.1, max_length=-1), "max_length must be >= 0"),
        (lambda: Lenience.cs_drafting(0.5), "value must be a finite number in"),
        (lambda: Lenience.leviathan(2.0), "value must be a finite number in"),
        (lambda: Lenience.leviathan(0.0), "value must be > 0"),
        (lambda: Lenience(0.5), "factor must be >= 1, got 0.5: for Leviathan's l"),
        (lambda: Lenience(2.0).alpha([0.5, 0.6], [0.5, 0.5]), "target must sum to 1"),
        (
            lambda: Lenience(2.0).alpha([0.5, 0.5], [1.5, -0.5]),
            "draft must hold probabilities >= 0",
        ),
        (lambda: Lenience(2.0).alpha(1.0, [1.0]), "target needs a last axis over the vocabulary"),
    ],
)
def test_bad_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scalars_in_give_floats_out():
    assert isinstance(speculative_ewif(0.8, 0.1, 5), float)
    assert isinstance(mean_tokens([0.8]), float)
    assert type(optimal_length(0.8, 0.1)) is int
    assert optimal_length([0.8], 0.1).dtype == np.int64
