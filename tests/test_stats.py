"""Intervals and goodness of fit, against other ways to compute them and their own promises."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft, Review
from cscalc.goodness import chi_square, false_alarm, z_score
from cscalc.profile import Profile
from cscalc.simulate import simulate
from cscalc.stats import (
    Interval,
    bootstrap_ratio,
    proportion_interval,
    quantile,
    ratio_interval,
    ratio_sigma,
)
from cscalc.theory.law import ewif

rng = np.random.default_rng
positive = st.lists(st.floats(0.1, 10.0), min_size=2, max_size=30)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_solves_its_equation(case):
    k, n = case
    z2 = scipy.stats.norm.ppf(0.975) ** 2
    for end in proportion_interval(k, n):
        # the ends are where (k/n - p)^2 = z^2 p (1 - p) / n; 0 and 1 stand for themselves
        assert (k / n - end) ** 2 == pytest.approx(z2 * end * (1 - end) / n, abs=1e-12)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=30)
def test_the_exact_interval_leaves_half_the_rest_on_either_side(case):
    k, n = case
    low, high = proportion_interval(k, n, confidence=0.9, method="exact")
    if k > 0:
        assert scipy.stats.binom.sf(k - 1, n, low) == pytest.approx(0.05, rel=1e-6)
    if k < n:
        assert scipy.stats.binom.cdf(k, n, high) == pytest.approx(0.05, rel=1e-6)
    assert Interval(low, high).holds(k / n)


@pytest.mark.parametrize(
    ("args", "options", "error"),
    [
        ((5, 4), {}, ValueError),
        ((-1, 4), {}, ValueError),
        ((0, 0), {}, ValueError),
        ((0.5, 4), {}, TypeError),
        ((1, 4), {"method": "wald"}, ValueError),
        ((1, 4), {"confidence": 1.0}, ValueError),
    ],
)
def test_impossible_counts_are_refused(args, options, error):
    with pytest.raises(error):
        proportion_interval(*args, **options)


@given(positive)
def test_the_ratio_to_ones_is_the_mean_with_students_interval(values):
    low, high = ratio_interval(values, np.ones(len(values)))
    sigma = np.std(values, ddof=1) / np.sqrt(len(values))
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * sigma
    assert low == pytest.approx(np.mean(values) - half, rel=1e-6, abs=1e-6)
    assert high == pytest.approx(np.mean(values) + half, rel=1e-6, abs=1e-6)


@given(positive, st.floats(0.1, 5.0))
def test_a_constant_ratio_has_no_width(values, ratio):
    interval = ratio_interval(ratio * np.array(values), values)
    assert interval.half_width == pytest.approx(0.0, abs=1e-5)
    assert interval.low == pytest.approx(ratio, abs=1e-5)


def test_sigma_is_the_slope_of_the_ratio_applied_to_the_covariance():
    x, y = rng(1).random((2, 50)) + 0.5
    covariance = np.cov(x, y) / 50
    slope = np.array([1 / y.mean(), -x.mean() / y.mean() ** 2])  # of the ratio of means
    _, sigma = ratio_sigma(50, x.sum(), y.sum(), x @ x, x @ y, y @ y)
    assert sigma == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=1e-10)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1.0], [1.0], "at least 2"),
        ([1.0, 2.0], [1.0], "one length"),
        ([1.0, 2.0], [0.0, 0.0], "> 0"),
        ([1.0, np.nan], [1.0, 1.0], "finite"),
        ([[1.0, 2.0]], [[1.0, 1.0]], "vectors"),
    ],
)
def test_ratios_of_nothing_are_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        ratio_interval(x, y)
    with pytest.raises(ValueError, match=words):
        bootstrap_ratio(x, y, rng=rng(1))


def test_coverage_of_the_interval_of_ewif_is_95_percent():
    # 2000 repetitions: sigma 0.49 %, so 1.5 % is 3.1 sigma, false alarm 0.2 % per new seed
    profile = Profile([0.8, 0.5], [0.1, 0.02], verify=1.0 + 0.05 * np.arange(30))
    for cascade in (
        Cascade((Draft(1, 5),)),
        Cascade((Review(1, (Draft(2, 3),), until=6), Draft(2, 2, until=9))),
    ):
        truth = ewif(cascade, profile)
        hits = sum(
            simulate(cascade, profile, 1000, rng=stream).interval().holds(truth)
            for stream in rng(21).spawn(2000)
        )
        assert abs(hits / 2000 - 0.95) < 0.015, f"{cascade} covers {hits / 20:.1f} %"


def test_the_bootstrap_agrees_with_the_delta_method_and_with_scipy():
    x = rng(3).gamma(4.0, size=400)
    y = 0.5 * x + rng(4).gamma(2.0, size=400)
    found = bootstrap_ratio(x, y, rng=rng(5), n_resamples=8000)
    _, sigma = ratio_sigma(400, x.sum(), y.sum(), x @ x, x @ y, y @ y)
    # 8000 resamples know sigma to 0.8 %, ends to 2 % of sigma; 5 sigma each
    assert found.estimate == pytest.approx(x.sum() / y.sum())
    assert found.sigma == pytest.approx(sigma, rel=0.06)
    other = scipy.stats.bootstrap(
        (x, y), lambda a, b, axis=-1: a.sum(axis) / b.sum(axis), paired=True, vectorized=True,
        method="percentile", n_resamples=8000, batch=1000, random_state=rng(6),
    ).confidence_interval  # fmt: skip
    assert found.interval == pytest.approx(tuple(other), abs=0.15 * sigma)


def test_paired_prompts_make_a_narrow_difference():
    easy = rng(7).gamma(3.0, size=200)  # how easy a prompt is moves both systems
    a, b = (easy * 1.1, np.ones(200)), (easy, np.ones(200))
    paired = bootstrap_ratio(*a, rng=rng(8), against=b)
    alone = bootstrap_ratio(*a, rng=rng(8))
    assert paired.estimate == pytest.approx(0.1 * easy.mean())
    assert paired.interval.low > 0.0
    assert paired.sigma < 0.15 * alone.sigma


def test_the_bootstrap_draws_prompts_not_cycles():
    # ten cycles of each of 50 prompts, all alike within a prompt: 50 facts, not 500
    per_prompt = rng(9).random(50) + 1.0
    found = bootstrap_ratio(10 * per_prompt, np.full(50, 10.0), rng=rng(10))
    assert found.sigma == pytest.approx(per_prompt.std() / np.sqrt(50), rel=0.1)


def test_memory_of_the_bootstrap_is_bounded():
    found = bootstrap_ratio(np.ones(30_000), np.full(30_000, 2.0), rng=rng(1), n_resamples=200)
    assert found.interval == (0.5, 0.5)
    assert found.n_resamples == 200


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rng": 3}, TypeError, "default_rng"),
        ({"n_resamples": 10}, ValueError, "n_resamples"),
        ({"confidence": 2}, ValueError, "confidence"),
        ({"against": ([1, 2, 3], [1, 1, 1])}, ValueError, "same prompts"),
        ({"denominators": [1.0, 0.0]}, ValueError, "each prompt"),
    ],
)
def test_the_bootstrap_refuses(options, error, words):
    given = {"numerators": [1, 2], "denominators": [1, 1], "rng": rng(1), **options}
    with pytest.raises(error, match=words):
        bootstrap_ratio(**given)


@given(st.lists(st.integers(5, 50), min_size=2, max_size=8), st.integers(0, 2**32))
def test_without_small_bins_it_is_scipys_chi_square(weights, seed):
    law = np.array(weights) / sum(weights)
    counts = rng(seed).multinomial(1000, law)
    found, other = chi_square(counts, law), scipy.stats.chisquare(counts, 1000 * law)
    assert found.statistic == pytest.approx(other.statistic, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(other.pvalue, rel=1e-9)


def test_small_bins_are_merged_with_their_neighbours():
    law = [0.5, 0.3, 0.19, 0.005, 0.005]
    found = chi_square([50, 30, 18, 1, 1], law)  # the last two expect 1 of 100 together
    merged = scipy.stats.chisquare([50, 30, 20], [50, 30, 20])
    assert (found.dof, found.statistic) == (2, pytest.approx(merged.statistic))
    assert chi_square([3, 1], [0.5, 0.5]).p_value == 1.0  # nothing left to test


def test_bins_are_merged_by_what_they_expect_not_by_what_was_seen():
    assert chi_square([1, 99], [0.06, 0.94]).dof == 1
    assert chi_square([9, 91], [0.04, 0.96]).dof == 0


def test_p_values_are_uniform_if_the_law_is_right():
    law = 0.7 ** np.arange(1, 12)
    law /= law.sum()
    values = [chi_square(rng(i).multinomial(2000, law), law).p_value for i in range(1000)]
    # Kolmogorov-Smirnov over 1000 p-values, fixed seeds; false alarm 0.1 % per new set
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.001


def test_an_impossible_outcome_refutes_the_law():
    assert chi_square([90, 10, 1], [0.9, 0.1, 0.0]).p_value == 0.0


@pytest.mark.parametrize(
    ("counts", "pmf"),
    [
        ([1, 2], [1.0]),
        ([1, -2], [0.5, 0.5]),
        ([1, 2.5], [0.5, 0.5]),
        ([1, 2], [0.5, 0.6]),
        ([1, 2], [1.5, -0.5]),
        ([[1, 2]], [[0.5, 0.5]]),
    ],
)
def test_what_is_no_histogram_or_no_law_is_refused(counts, pmf):
    with pytest.raises(ValueError, match=r"counts|pmf"):
        chi_square(counts, pmf)


def test_quantiles_and_false_alarms_are_scipys():
    assert quantile(0.9, 7) == pytest.approx(scipy.stats.t.ppf(0.95, 7))
    assert false_alarm(-3.0) == pytest.approx(2 * scipy.stats.norm.sf(3.0))


def test_a_sure_number_is_off_by_nothing_or_by_infinity():
    assert z_score(0.0, 0.0) == z_score(1e-10, 1e-14) == 0.0
    assert z_score(1e-3, 0.0) == np.inf
    assert z_score(-0.5, 0.25) == -2.0
    with pytest.raises(ValueError, match="sigma"):
        z_score(1.0, -1.0)
