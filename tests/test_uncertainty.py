"""Pooled rates, posteriors, bootstrap intervals, and how sure the choice of a cascade is."""

import time
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture, ByPosition
from cscalc.cascade import Cascade, Draft, Review
from cscalc.own_rates import combined, own_profiles, pooled_rates
from cscalc.plan import Alternative, make_plan
from cscalc.profile import Profile
from cscalc.rates import rate_sums
from cscalc.resamples import resamples_of
from cscalc.theory.law import cycle_law, ewif, expected_tokens
from cscalc.uncertainty import (
    alpha_posterior,
    best_probability,
    bootstrap_profiles,
    ewif_interval,
    prompts_to_settle,
    tokens_interval,
)

LENGTHS = (6, 3, 12)
SINGLE = [Cascade((Draft(1, length),)) for length in LENGTHS]
VERTICAL = Cascade((Review(1, (Draft(2, 6),), until=6),))
rates = st.floats(0.0, 1.0)


@st.composite
def prompts(draw, most=5):
    """Records of 1 to `most` prompts for models 0, 1 and the one-shot model 2."""
    records = []
    for number in range(draw(st.integers(1, most))):
        overlap = {
            pair: draw(st.lists(rates, min_size=1, max_size=6)) for pair in ("0,1", "0,2", "1,2")
        }
        records.append({"question_id": number, "contexts": 6, "overlap": overlap})
    return records


def measured(records, costs=(0.1,), one_shot=(), **options):
    """Profile with the rates of its own records."""
    alphas = pooled_rates(records, len(costs) + 1, one_shot)
    measurement = {"prompts": list(records)}
    return Profile(alphas, costs, one_shot=one_shot, measurement=measurement, **options)


def synthetic(n_prompts, rng, contexts=40):
    """Prompts of one draft whose rate varies by prompt around .75, and 1 in 3 places by place."""
    own = rng.beta(6.0, 2.0, n_prompts)
    return [{"overlap": {"0,1": rng.beta(9 * r, 9 * (1 - r), contexts).tolist()}} for r in own]


# ---- rates


@given(prompts())
def test_pooled_rates_equal_a_slow_sum(records):
    got = rate_sums(records, 3, one_shot=[2]).pooled()
    for i, j in ((0, 1), (0, 2), (1, 2)):
        total = count = 0.0
        for record in records:
            for overlap in record["overlap"][f"{i},{j}"]:
                total += overlap
                count += 1
        assert got[i, j] == pytest.approx(total / count, rel=1e-12)
    assert np.all(np.diag(got) == 1.0)
    np.testing.assert_allclose(got, pooled_rates(records, 3, [2]), rtol=1e-12)


@given(prompts())
def test_own_rates_are_those_of_each_prompt_alone(records):
    own = rate_sums(records, 3, one_shot=[2]).own()
    for rates, record in zip(own, records, strict=True):
        np.testing.assert_allclose(rates, pooled_rates([record], 3, [2]), rtol=1e-12)


def test_a_one_shot_model_reviews_nothing():
    records = [{"overlap": {"0,1": [0.5], "0,2": [0.4]}}]  # 1 is one-shot: no pair 1,2
    assert rate_sums(records, 3, one_shot=[1]).pooled()[1, 2] == 0.0


@given(prompts())
def test_prompts_weigh_by_their_contexts(records):
    twice = [{"overlap": {k: v * 2 for k, v in r["overlap"].items()}} for r in records]
    joined = {k: [x for r in records for x in r["overlap"][k]] for k in records[0]["overlap"]}
    once = rate_sums(records, 3, one_shot=[2]).pooled()
    for other in (twice, [{"overlap": joined}]):
        np.testing.assert_allclose(rate_sums(other, 3, one_shot=[2]).pooled(), once, rtol=1e-12)


def test_influence_is_what_leaving_a_little_of_a_prompt_out_does():
    records = synthetic(7, np.random.default_rng(3))
    sums = rate_sums(records, 2)
    step = 1e-7
    for p in range(7):
        weights = np.ones(7)
        weights[p] += step
        accepted = (weights[:, None, None] * sums.accepted).sum(axis=0)[0, 1]
        judged = (weights[:, None, None] * sums.judged).sum(axis=0)[0, 1]
        slope = (accepted / judged - sums.pooled()[0, 1]) / step * 7  # of a mean over 7 prompts
        assert sums.influence()[p, 0, 1] == pytest.approx(slope, abs=1e-5)


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


# ---- is the recommended cascade the best?


def test_certainty_and_doubt():
    rng = np.random.default_rng(4)
    profile = Profile([0.8], [0.1])
    sure = best_probability(SINGLE, profile, rng=rng, counts={(0, 1): (80_000, 20_000)})
    assert sure.shares == (1.0, 0.0, 0.0)
    doubt = best_probability(SINGLE, profile, rng=rng, counts={(0, 1): (4, 1)})
    assert 0.0 < doubt.probability < 1.0
    assert min(doubt.shares) > 0.0
    assert sum(doubt.shares) == pytest.approx(1.0)
    wrong = best_probability(SINGLE[::-1], profile, rng=rng, counts={(0, 1): (80_000, 20_000)})
    assert wrong.probability == 0.0


def test_probability_is_the_share_of_resampled_profiles_it_wins():
    records = synthetic(12, np.random.default_rng(9))
    profile = measured(records)
    found = best_probability(SINGLE, profile, rng=np.random.default_rng(3), n_resamples=200)
    drawn = bootstrap_profiles(profile, 200, rng=np.random.default_rng(3))
    wins = [np.argmax([ewif(cascade, one) for cascade in SINGLE]) == 0 for one in drawn]
    assert found.probability == pytest.approx(np.mean(wins), abs=1e-12)


def test_ties_count_for_both():
    same = [Cascade((Draft(1, 4),)), Cascade((Draft(1, 2), Draft(1, 2)))]
    counts = {(0, 1): (8, 2)}
    found = best_probability(
        same, Profile([0.8], [0.1]), rng=np.random.default_rng(1), counts=counts
    )
    assert found.shares == (1.0, 1.0)


def test_a_plan_brings_its_profile_and_rivals():
    profile = measured(synthetic(20, np.random.default_rng(2)))
    others = [Alternative.of(cascade, profile) for cascade in (*SINGLE[1:], Cascade(()))]
    plan = make_plan(profile, SINGLE[0], others, {})
    found = best_probability(plan, rng=np.random.default_rng(1))
    assert found.cascades[0] == SINGLE[0]
    assert set(found.cascades) == {*SINGLE, Cascade(())}
    assert {rival.cascade for rival in prompts_to_settle(plan).rivals} == {
        *SINGLE[1:],
        Cascade(()),
    }


# ---- prompts with rates of their own


def varied(n_prompts, seed):
    """A profile of two drafts whose rates vary over prompts, the second one-shot."""
    rng = np.random.default_rng(seed)
    records = [
        {
            "question_id": number,
            "contexts": 12,
            "overlap": {
                pair: rng.beta(8 * mean, 8 * (1 - mean), 12).tolist()
                for pair, mean in zip(("0,1", "0,2", "1,2"), rng.random(3), strict=True)
            },
        }
        for number in range(n_prompts)
    ]
    return measured(records, (0.2, 0.01), (2,))


def own_ewif(cascade, profile):
    """All tokens over all cost where every prompt writes equally much, prompt by prompt."""
    laws = [cycle_law(cascade, one) for one in own_profiles(profile).values()]
    return combined(np.ones(len(laws)), [x.mean for x in laws], [x.cost for x in laws])


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


def test_a_plan_chosen_on_own_rates_is_judged_on_own_rates():
    profile = varied(12, 31)
    rivals = [VERTICAL, *SINGLE]
    others = [Alternative.of(cascade, profile) for cascade in rivals[1:]]
    plan = make_plan(profile, rivals[0], others, {"own_rates": {}, "chosen_on": "prompts"})
    by_plan = best_probability(plan, rng=np.random.default_rng(5))
    told = best_probability(plan, rng=np.random.default_rng(5), own_rates=True)
    pooled = best_probability(plan, rng=np.random.default_rng(5), own_rates=False)
    assert by_plan.shares == told.shares != pooled.shares
    settled = prompts_to_settle(plan)
    for rival in settled.rivals:
        want = own_ewif(VERTICAL, profile)[2] - own_ewif(rival.cascade, profile)[2]
        assert rival.difference == pytest.approx(want, rel=1e-9)


def test_bootstrap_and_first_order_sigma_agree_on_own_rates():
    profile = varied(150, 37)
    (rival,) = prompts_to_settle([VERTICAL, SINGLE[0]], profile, own_rates=True).rivals
    drawn = resamples_of(profile, 1000, np.random.default_rng(1), own_rates=True)
    values = [tokens / cost for tokens, cost in map(drawn.tokens_and_cost, (VERTICAL, SINGLE[0]))]
    # 5 sigma of a standard deviation from 1000 draws is 11 %; second order adds a little
    assert np.std(values[0] - values[1]) == pytest.approx(rival.sigma, rel=0.15)


# ---- how many more prompts


def test_prompts_needed_are_those_of_the_normal_approximation():
    records = synthetic(60, np.random.default_rng(11))
    profile = measured(records)
    settled = prompts_to_settle(SINGLE[:2], profile, confidence=0.95, power=0.8)
    (rival,) = settled.rivals
    # by hand: slope of the difference in alpha (differences), per-prompt spread (equal contexts)
    alpha, step = float(profile.alphas[0, 1]), 1e-6
    ends = [[ewif(c, Profile([alpha + d], [0.1])) for c in SINGLE[:2]] for d in (step, -step)]
    slope = ((ends[0][0] - ends[0][1]) - (ends[1][0] - ends[1][1])) / (2 * step)
    spread = abs(slope) * np.std([np.mean(r["overlap"]["0,1"]) for r in records], ddof=1)
    assert rival.difference == pytest.approx(
        ewif(SINGLE[0], profile) - ewif(SINGLE[1], profile), rel=1e-12
    )
    assert rival.sigma == pytest.approx(spread / np.sqrt(60), rel=1e-6)
    exact = ((1.959964 + 0.841621) * spread / rival.difference) ** 2
    assert rival.needed == pytest.approx(exact, abs=1.01)
    assert rival.needed >= exact * (1 - 1e-6)
    assert settled.more == max(0.0, rival.needed - 60)


def test_bootstrap_and_first_order_sigma_agree():
    profile = measured(synthetic(200, np.random.default_rng(13)))
    (rival,) = prompts_to_settle(SINGLE[:2], profile).rivals
    drawn = bootstrap_profiles(profile, 1000, rng=np.random.default_rng(1))
    gaps = [ewif(SINGLE[0], one) - ewif(SINGLE[1], one) for one in drawn]
    # 5 sigma of a standard deviation from 1000 draws is 11 %; second order adds a little
    assert np.std(gaps) == pytest.approx(rival.sigma, rel=0.15)


def test_more_power_confidence_or_likeness_needs_more_prompts():
    profile = measured(synthetic(30, np.random.default_rng(17)))

    def needed(**options):
        return prompts_to_settle(SINGLE, profile, **options).rivals[0].needed

    assert needed(power=0.5) < needed(power=0.8) < needed(power=0.99)
    assert needed(confidence=0.8) < needed(confidence=0.95) < needed(confidence=0.999)
    assert needed(margin=0.5) < needed(margin=0.2) <= needed()


def test_the_hardest_rival_decides():
    profile = measured(synthetic(30, np.random.default_rng(17)))
    alone = [prompts_to_settle([SINGLE[0], rival], profile).more for rival in SINGLE[1:]]
    settled = prompts_to_settle(SINGLE, profile)
    assert settled.more == max(alone) > 0.0
    assert settled.rivals[0].needed >= settled.rivals[1].needed
    assert settled.rivals[0].cascade == SINGLE[1:][int(np.argmax(alone))]


def test_equal_cascades_are_never_told_apart_unless_a_margin_is_given():
    profile = measured(synthetic(10, np.random.default_rng(19)))
    same = [Cascade((Draft(1, 4),)), Cascade((Draft(1, 2), Draft(1, 2)))]
    assert prompts_to_settle(same, profile).more == inf
    assert prompts_to_settle(same, profile, margin=0.01).more == 0.0  # no spread in between


def test_no_rival_is_settled_at_once():
    profile = measured(synthetic(10, np.random.default_rng(19)))
    assert prompts_to_settle(SINGLE[:1], profile).more == 0.0


# ---- speed and refusals


def test_a_thousand_resamples_of_ten_cascades_take_under_two_seconds():
    rng = np.random.default_rng(23)
    rows = [(rng.random(50), rng.random(50), rng.random(50)) for _ in range(40)]
    names = ("0,1", "0,2", "1,2")
    records = [{"overlap": dict(zip(names, map(list, row), strict=True))} for row in rows]
    profile = measured(records, (0.2, 0.02))
    cascades = [
        Cascade((Review(1, (Draft(2, k),), until=4 + k), Draft(2, k))) for k in range(1, 11)
    ]
    best_probability(cascades, profile, rng=rng, n_resamples=100)
    start = time.perf_counter()
    best_probability(cascades, profile, rng=rng, n_resamples=1000)
    assert time.perf_counter() - start < 2.0


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
        (lambda: best_probability([], GOOD, rng=RNG), ValueError, "a Plan or a list of cascades"),
        (lambda: best_probability(SINGLE, rng=RNG), TypeError, "profile is missing"),
        (
            lambda: prompts_to_settle(SINGLE, GOOD, power=1.0),
            ValueError,
            "power must lie strictly",
        ),
        (lambda: prompts_to_settle(SINGLE, GOOD, margin=-1), ValueError, "margin must be"),
        (lambda: alpha_posterior(-1, 2), ValueError, "accepted must be whole numbers >= 0"),
        (lambda: alpha_posterior(1, 2, prior=(0.0, 1.0)), ValueError, "prior must be two numbers"),
        (lambda: rate_sums([{}], 2), ValueError, "record 0 has no overlaps"),
        (lambda: rate_sums([], 2), ValueError, "no context was measured for the pair 0,1"),
        (
            lambda: ewif_interval(
                SINGLE[0], GOOD, rng=RNG, counts={(0, 1): (1, 1)}, own_rates=True
            ),
            ValueError,
            "counts have no prompts",
        ),
        (
            lambda: rate_sums([{"overlap": {"0,1": ["a"]}}], 2),
            TypeError,
            "overlap of 0,1 in record 0",
        ),
        (
            lambda: rate_sums([{"overlap": {"0,1": [float("nan")]}}], 2),
            ValueError,
            "must be a list of rates in",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(prompts(most=3))
@settings(max_examples=20, deadline=None)
def test_vectorised_resamples_equal_profiles_one_by_one(records):
    records = [*records, *records]
    profile = measured(records, (0.2, 0.02), (2,))
    interval = ewif_interval(VERTICAL, profile, rng=np.random.default_rng(1), n_resamples=100)
    drawn = bootstrap_profiles(profile, 100, rng=np.random.default_rng(1))
    values = [ewif(VERTICAL, one) for one in drawn]
    np.testing.assert_allclose(interval, np.quantile(values, [0.025, 0.975]), rtol=1e-12)
