"""Posteriors of counts, bootstrap over prompts, and the intervals of a prediction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture, ByPosition
from cscalc.cascade import Cascade, Draft
from cscalc.profile import Profile
from cscalc.resamples import alpha_posterior, bootstrap_profiles
from cscalc.theory.law import ewif, expected_tokens
from cscalc.uncertainty import ewif_interval, tokens_interval
from tests.measured import SINGLE, VERTICAL, measured, own_ewif, prompts, synthetic, varied

# ---- posterior of counts


def test_posterior_covers_the_rate_it_was_drawn_from():
    # N = 4000 experiments; with alpha from the prior, coverage is exactly 90 %: sigma .0047
    rng = np.random.default_rng([2, 11])
    n, hits = 4000, 0
    for _ in range(n):
        alpha = rng.beta(0.5, 0.5)
        accepted = int(rng.binomial(30, alpha))
        hits += alpha_posterior(accepted, 30 - accepted).interval(0.9).holds(alpha)
    z = (hits / n - 0.9) / np.sqrt(0.9 * 0.1 / n)
    assert abs(z) < 5.0, f"{z:.1f} sigma"  # false alarm 6e-7, were the seed not fixed


@given(st.integers(0, 200), st.integers(0, 200))
def test_more_of_the_same_counts_give_a_narrower_interval(accepted, rejected):
    few, many = (alpha_posterior(accepted * m, rejected * m) for m in (1, 4))
    low, high = few.interval()
    assert 0.0 <= low <= high <= 1.0
    assert few.interval(0.5).half_width <= few.interval(0.9).half_width
    if accepted and rejected:
        assert many.interval().half_width < few.interval().half_width
    assert alpha_posterior(accepted + 1, rejected).mean > few.mean


def test_counts_move_only_the_pairs_they_name():
    profile, rng = Profile([0.8, 0.3], [0.2, 0.01]), np.random.default_rng(1)
    second = Cascade((Draft(2, 3),))
    fixed = ewif_interval(second, profile, rng=rng, counts={(0, 1): (10, 10)})
    assert fixed.low == pytest.approx(ewif(second, profile), rel=1e-12)
    assert fixed.half_width == pytest.approx(0.0, abs=1e-12)
    wide = ewif_interval(second, profile, rng=rng, counts={(0, 2): (3, 7)})
    narrow = ewif_interval(second, profile, rng=rng, counts={(0, 2): (300, 700)})
    assert narrow.half_width < 0.2 * wide.half_width


# ---- bootstrap over prompts


def test_bootstrap_interval_covers_the_true_ewif():
    # N = 400 experiments of 40 prompts each. The percentile interval is of first order only: at
    # 40 prompts its coverage of a 90 % level is within 3 points, so |z| <= 5 about .9 +- .03
    rng = np.random.default_rng([2312, 11462])
    n, hits, cascade = 400, 0, SINGLE[0]
    truth = ewif(cascade, Profile([0.75], [0.1]))  # the mean of Beta(6, 2) is .75
    for _ in range(n):
        profile = measured(synthetic(40, rng, contexts=10))
        interval = ewif_interval(cascade, profile, rng=rng, confidence=0.9, n_resamples=200)
        hits += interval.holds(truth)
    sigma = np.sqrt(0.9 * 0.1 / n)  # .015; false alarm 6e-7, were the seed not fixed
    assert abs(hits / n - 0.9) < 0.03 + 5.0 * sigma, f"coverage {hits / n:.3f}"
    assert hits / n < 0.995  # an interval that always covers would pass as well


def test_bootstrap_spread_is_that_of_the_sample_mean():
    records = synthetic(50, np.random.default_rng(5))
    means = np.array([np.mean(record["overlap"]["0,1"]) for record in records])
    n = 4000
    drawn = bootstrap_profiles(measured(records), n, rng=np.random.default_rng(6))
    alphas = np.array([float(one.alphas[0, 1]) for one in drawn])
    sigma = means.std() / np.sqrt(50)
    z = (alphas.mean() - means.mean()) / (sigma / np.sqrt(n))
    assert abs(z) < 5.0  # false alarm 6e-7
    assert alphas.std() == pytest.approx(sigma, rel=5.0 / np.sqrt(2 * n))  # 5 sigma again


def test_contexts_of_a_prompt_stay_together():
    # two prompts, all or nothing: only three rates can come out
    records = [{"overlap": {"0,1": [r] * 100}} for r in (0.0, 1.0)]
    drawn = bootstrap_profiles(measured(records), 200, rng=np.random.default_rng(1))
    assert {float(one.alphas[0, 1]) for one in drawn} == {0.0, 0.5, 1.0}


def test_resampled_profiles_keep_everything_but_the_rates():
    records = [
        {"overlap": {"0,1": [r, 0.5], "0,2": [r, 0.0], "1,2": [r]}} for r in (0.2, 0.9, 0.4)
    ]
    curve = 1.0 + 0.1 * np.arange(20)
    profile = measured(records, (0.2, 0.01), (2,), verify={0: curve}, names=("t", "d", "p"))
    one, *_ = bootstrap_profiles(profile, 3, rng=np.random.default_rng(1))
    assert one.one_shot == (2,)
    assert one.names == ("t", "d", "p")
    assert one.verify_costs(0, 5).tolist() == profile.verify_costs(0, 5).tolist()
    assert one.measurement is None
    assert one.acceptance == profile.acceptance
    assert np.array_equal(one.costs, profile.costs)


def test_equal_prompts_give_an_interval_of_no_width():
    records = [{"overlap": {"0,1": [0.5, 0.9]}}] * 5
    profile = measured(records)
    interval = ewif_interval(SINGLE[0], profile, rng=np.random.default_rng(1))
    assert interval.low == pytest.approx(ewif(SINGLE[0], profile), rel=1e-12)
    assert interval.half_width == pytest.approx(0.0, abs=1e-12)


def test_a_prompt_without_contexts_does_not_break_a_resample():
    records = [{"overlap": {"0,1": []}}, {"overlap": {"0,1": [0.5, 0.7]}}]
    drawn = bootstrap_profiles(measured(records), 100, rng=np.random.default_rng(1))
    assert {round(float(one.alphas[0, 1]), 12) for one in drawn} == {0.6}


def test_more_confidence_is_wider_and_more_prompts_are_narrower():
    rng, cascade = np.random.default_rng(8), SINGLE[1]
    records = synthetic(400, rng)
    few, many = measured(records[:25]), measured(records)
    widths = [
        ewif_interval(cascade, few, rng=np.random.default_rng(2), confidence=c).half_width
        for c in (0.5, 0.9, 0.99)
    ]
    assert widths == sorted(widths)
    assert ewif_interval(cascade, many, rng=rng).half_width < 0.5 * widths[1]
    tokens = tokens_interval(cascade, many, rng=rng)
    assert tokens.holds(expected_tokens(cascade, many))


def test_beta_mixture_is_evaluated_by_its_own_law():
    records = [{"overlap": {"0,1": [0.5, 0.9]}}] * 3
    profile = measured(records, acceptance=BetaMixture(2.0))
    interval = ewif_interval(SINGLE[0], profile, rng=np.random.default_rng(1), n_resamples=100)
    assert interval.low == pytest.approx(ewif(SINGLE[0], profile), rel=1e-9)
    assert interval.low > ewif(SINGLE[0], measured(records)) * 1.01  # Jensen


@given(prompts(most=3))
@settings(max_examples=20, deadline=None)
def test_vectorised_resamples_equal_profiles_one_by_one(records):
    records = [*records, *records]
    profile = measured(records, (0.2, 0.02), (2,))
    interval = ewif_interval(VERTICAL, profile, rng=np.random.default_rng(1), n_resamples=100)
    drawn = bootstrap_profiles(profile, 100, rng=np.random.default_rng(1))
    values = [ewif(VERTICAL, one) for one in drawn]
    np.testing.assert_allclose(interval, np.quantile(values, [0.025, 0.975]), rtol=1e-12)


def test_own_rates_resample_prompts_with_their_rates():
    profile = varied(12, 29)
    records, n = profile.measurement["prompts"], 100
    found = {
        what: of(VERTICAL, profile, rng=np.random.default_rng(7), n_resamples=n, own_rates=True)
        for what, of in (("ewif", ewif_interval), ("tokens", tokens_interval))
    }
    drawn = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), n)
    ewifs, tokens = [], []
    for times in drawn:
        chosen = [r for r, count in zip(records, times, strict=True) for _ in range(count)]
        chosen = [{**r, "question_id": number} for number, r in enumerate(chosen)]
        numbers = own_ewif(VERTICAL, measured(chosen, (0.2, 0.01), (2,)))
        tokens.append(numbers[0])
        ewifs.append(numbers[2])
    np.testing.assert_allclose(found["ewif"], np.quantile(ewifs, [0.025, 0.975]), rtol=1e-12)
    np.testing.assert_allclose(found["tokens"], np.quantile(tokens, [0.025, 0.975]), rtol=1e-12)


# ---- refusals

RNG = np.random.default_rng(0)
GOOD = measured([{"overlap": {"0,1": [0.5]}}, {"overlap": {"0,1": [0.9]}}])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ewif_interval(SINGLE[0], GOOD, rng=1), TypeError, "rng must be a numpy"),
        (
            lambda: ewif_interval(SINGLE[0], GOOD, rng=RNG, n_resamples=10),
            ValueError,
            "n_resamples must be >= 100",
        ),
        (
            lambda: ewif_interval(SINGLE[0], GOOD, rng=RNG, confidence=1.0),
            ValueError,
            "confidence must lie strictly",
        ),
        (
            lambda: ewif_interval(SINGLE[0], Profile([0.5], [0.1]), rng=RNG),
            ValueError,
            "at least 2 prompts, got 0",
        ),
        (
            lambda: bootstrap_profiles(measured([{"overlap": {"0,1": [0.5]}}]), 5, rng=RNG),
            ValueError,
            "at least 2 prompts, got 1",
        ),
        (
            lambda: ewif_interval(
                SINGLE[0], Profile([0.6], [0.1], measurement=GOOD.measurement), rng=RNG
            ),
            ValueError,
            r"alphas\[0, 1\] is 0.6, but the profile's prompts give 0.7",
        ),
        (
            lambda: ewif_interval(SINGLE[0], GOOD, rng=RNG, counts={(1, 0): (1, 1)}),
            ValueError,
            "counts must name pairs",
        ),
        (
            lambda: ewif_interval(
                SINGLE[0],
                measured(GOOD.measurement["prompts"], acceptance=ByPosition({(0, 1): [0.7]})),
                rng=RNG,
            ),
            ValueError,
            "has rates of its own",
        ),
        (lambda: alpha_posterior(-1, 2), ValueError, "accepted must be whole numbers >= 0"),
        (lambda: alpha_posterior(1, 2, prior=(0.0, 1.0)), ValueError, "prior must be two numbers"),
        (
            lambda: ewif_interval(
                SINGLE[0], GOOD, rng=RNG, counts={(0, 1): (1, 1)}, own_rates=True
            ),
            ValueError,
            "counts have no prompts",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
