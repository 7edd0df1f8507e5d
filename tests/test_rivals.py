"""How sure the choice of a cascade is, and how many more prompts would settle it."""

import time
from math import inf

import numpy as np
import pytest

from cscalc.cascade import Cascade, Draft, Review
from cscalc.plan import Alternative, make_plan
from cscalc.profile import Profile
from cscalc.resamples import bootstrap_profiles, resamples_of
from cscalc.rivals import best_probability, prompts_to_settle
from cscalc.theory.law import ewif
from tests.measured import SINGLE, VERTICAL, measured, own_ewif, synthetic, varied

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


def test_bootstrap_and_first_order_sigma_agree_on_own_rates():
    profile = varied(150, 37)
    (rival,) = prompts_to_settle([VERTICAL, SINGLE[0]], profile, own_rates=True).rivals
    drawn = resamples_of(profile, 1000, np.random.default_rng(1), own_rates=True)
    values = [tokens / cost for tokens, cost in map(drawn.tokens_and_cost, (VERTICAL, SINGLE[0]))]
    # 5 sigma of a standard deviation from 1000 draws is 11 %; second order adds a little
    assert np.std(values[0] - values[1]) == pytest.approx(rival.sigma, rel=0.15)


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
        (lambda: best_probability([], GOOD, rng=RNG), ValueError, "a Plan or a list of cascades"),
        (lambda: best_probability(SINGLE, rng=RNG), TypeError, "profile is missing"),
        (
            lambda: prompts_to_settle(SINGLE, GOOD, power=1.0),
            ValueError,
            "power must lie strictly",
        ),
        (lambda: prompts_to_settle(SINGLE, GOOD, margin=-1), ValueError, "margin must be"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
