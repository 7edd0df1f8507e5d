"""Simulated replies: kernel against twin, mean and law against theory, jitter, percentiles.

False alarm of one check with a new seed: |z| < 5 is 6e-7, a p-value above 1e-6 is 1e-6.
"""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture, Independent, Markov, Mixture, Trace
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.simulate import ReplyTally, simulate_reply
from cscalc.simulate.slow_worlds import simulate_reply_slow
from cscalc.stats import Interval
from cscalc.theory.reply import mean_reply_times, reply_law
from tests.strategies import cases, seeds
from tests.test_simulate_models import ALPHAS, HARD, acceptances, texts, with_acceptance

rng = np.random.default_rng
SPEC = Cascade((Draft(1, 5),))
MODELS = {
    "independent": Independent(),
    "mixture": Mixture([0.6, 0.4], [ALPHAS, HARD]),
    "beta": BetaMixture(3.0),
    "markov": Markov(ALPHAS, HARD, to_easy=0.1, to_hard=0.2),
    "trace": Trace(texts(1, (64, 57, 80))),
}
CASCADES = [
    SPEC,
    Cascade((Draft(1, 2), Draft(3, 4))),
    Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(3, 4))),
    Cascade((Review(1, (Draft(3, 4),), until=6),)),
]


def profile_of(name, **options):
    return Profile(ALPHAS, [0.25, 0.125, 0.0625], one_shot=[3], acceptance=MODELS[name], **options)


@given(cases(), acceptances, st.integers(1, 25), st.integers(1, 6), seeds, st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_kernel_equals_its_twin(case, acceptance, n_tokens, n_replies, seed, varies):
    cascade, profile = case[0], with_acceptance(case[1], acceptance)
    if isinstance(acceptance, Trace):
        n_tokens = min(n_tokens, *acceptance.lengths)
    options = {"abstain": dict.fromkeys(profile.one_shot, 0.4)}
    if varies:
        options["jitter"] = {0: 0.3, 2: 1.0, 3: 0.1}
    fast = simulate_reply(cascade, profile, n_tokens, n_replies, rng=rng(seed), **options)
    slow = simulate_reply_slow(cascade, profile, n_tokens, n_replies, rng=rng(seed), **options)
    assert fast == slow


@pytest.mark.parametrize("name", ["mixture", "beta"])
def test_they_are_equal_beyond_the_prompts_drawn_at_once(name):
    fast = simulate_reply(SPEC, profile_of(name), 2, 4500, rng=rng(9))
    assert fast == simulate_reply_slow(SPEC, profile_of(name), 2, 4500, rng=rng(9))


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_the_mean_agrees_with_theory(name, cascade):
    profile, n_tokens = profile_of(name), 50
    n = 4_000 if name == "beta" else 20_000
    found = simulate_reply(cascade, profile, n_tokens, n, rng=rng([2312, 11462]))
    want = mean_reply_times(cascade, profile, n_tokens)[-1]
    assert abs(found.mean - want) < 5.0 * found.sigma


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("name", ["independent", "mixture", "markov", "trace"])
def test_the_law_of_the_cost_agrees_with_theory(name, cascade):
    profile, n = profile_of(name), 20_000
    law = reply_law(cascade, profile, 40)
    if not law.exact:
        return
    found = simulate_reply(cascade, profile, 40, n, rng=rng([2211, 17192]))
    for level in (0.05, 0.5, 0.95):
        cost = law.quantile(level)
        chance = float(law.time_pmf[law.times <= cost * (1 + 1e-9)].sum())
        z = (found.share_within(cost) - chance) / np.sqrt(chance * (1 - chance) / n)
        assert abs(z) < 5.0, f"off by {z:.1f} sigma at {cost}"


def test_most_of_these_laws_are_exact():
    exact = [reply_law(c, profile_of(m), 40).exact for c in CASCADES for m in MODELS]
    assert sum(exact) >= 16


def test_a_sure_reply():
    profile = Profile([1.0, 1.0], [0.5, 0.25], one_shot=[2], verify=1.0 + 0.5 * np.arange(9))
    found = simulate_reply(Cascade((Draft(1, 2), Draft(2, 4))), profile, 15, 4, rng=rng(1))
    # cycles of 7 tokens: two passes, one call, a pass over 7 positions
    assert found.costs.tolist() == [3 * (1.0 + 0.25 + 4.0)] * 4
    assert (found.cycles, found.passes) == (12, (12, 24, 12))
    assert found.cycles_per_reply == 3.0


def test_the_whole_of_the_last_cycle_counts():
    one, six, seven = (
        simulate_reply(SPEC, Profile([1.0], [0.1]), n, 1, rng=rng(1)).mean for n in (1, 6, 7)
    )
    assert one == six == pytest.approx(1.5)
    assert seven == pytest.approx(3.0)


def test_a_prompt_keeps_its_rates_to_the_end_of_its_reply():
    mixture = Mixture([1, 1], [[0.0], [1.0]])
    found = simulate_reply(SPEC, Profile([0.5], [0.0], acceptance=mixture), 60, 4000, rng=rng(1))
    assert set(found.costs.tolist()) == {10.0, 60.0}
    z = (found.share_within(10.0) - 0.5) / np.sqrt(0.25 / 4000)
    assert abs(z) < 5.0


def test_a_trace_reply_is_the_beginning_of_a_text():
    trace = Trace([{(0, 1): [1, 1, 1, 0, 0, 0, 0, 0]}, {(0, 1): [0] * 8}])
    profile = Profile([0.5], [0.0], acceptance=trace)
    found = simulate_reply(Cascade((Draft(1, 2),)), profile, 6, 2000, rng=rng(1))
    assert set(found.costs.tolist()) == {4.0, 6.0}  # 3 + 1 + 1 + 1 tokens, or six times one


def lognormal(sigma):
    from scipy.stats import lognorm

    return lognorm(sigma, scale=np.exp(-0.5 * sigma**2))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5])
def test_pass_times_are_log_normal_with_mean_one(sigma):
    from scipy.stats import kstest

    found = simulate_reply(
        Cascade(()), Profile([0.5], [0.1]), 1, 20_000, rng=rng(1), jitter={0: sigma}
    )
    assert kstest(found.costs, lognormal(sigma).cdf).pvalue > 1e-6
    assert lognormal(sigma).mean() == pytest.approx(1.0)
    assert abs(found.mean - 1.0) < 5.0 * lognormal(sigma).std() / np.sqrt(20_000)


def variance_z(costs, variance):
    """Error of the sample variance, in sigmas estimated from the fourth moment."""
    squares = (costs - costs.mean()) ** 2
    return (squares.mean() - variance) / (squares.std() / np.sqrt(costs.size))


@pytest.mark.parametrize(
    ("one_shot", "passes"), [((), 4), ((1,), 1)], ids=["each pass", "one a call"]
)
def test_every_pass_varies_by_itself(one_shot, passes):
    profile = Profile([0.5], [0.5], one_shot=one_shot, verify=[1, 1.5, 2, 2.5, 3])
    found = simulate_reply(
        Cascade((Draft(1, 4),)), profile, 1, 40_000, rng=rng(2), jitter={0: 0.2, 1: 0.4}
    )
    spread = [np.expm1(s**2) for s in (0.2, 0.4)]  # variance of a factor
    assert abs(variance_z(found.costs, 9.0 * spread[0] + passes * 0.25 * spread[1])) < 5.0
    assert abs(found.mean - (3.0 + 0.5 * passes)) < 5.0 * found.sigma


def test_jitter_leaves_the_mean_and_moves_percentiles():
    profile = profile_of("independent")
    cascade = CASCADES[2]
    still = simulate_reply(cascade, profile, 40, 20_000, rng=rng(3))
    varied = simulate_reply(cascade, profile, 40, 20_000, rng=rng(4), jitter={0: 0.8, 1: 0.8})
    assert abs(still.mean - varied.mean) < 5.0 * np.hypot(still.sigma, varied.sigma)
    assert varied.quantile(0.95) > still.quantile_interval(0.95, 0.999).high


def test_intervals_of_percentiles_cover_what_they_say():
    # 2000 repetitions: sigma 0.49 %; between binomial ranks the coverage is 95 % or somewhat more
    truth = float(lognormal(0.5).ppf(0.9))
    hits = mean_hits = 0
    for stream in rng(12).spawn(2000):
        found = simulate_reply(
            Cascade(()), Profile([0.5], [0.1]), 1, 300, rng=stream, jitter={0: 0.5}
        )
        hits += found.quantile_interval(0.9).holds(truth)
        mean_hits += found.interval().holds(1.0)
    assert 0.935 < hits / 2000 < 0.98
    assert abs(mean_hits / 2000 - 0.95) < 0.02  # the log-normal is skewed


def test_quantiles_are_costs_of_replies():
    found = ReplyTally(
        experiment={}, costs=np.array([4.0, 1.0, 2.0, 3.0]), cycles=4, passes=(4,), streams=()
    )
    assert [found.quantile(level) for level in (0, 0.25, 0.26, 0.5, 0.99, 1)] == [1, 1, 2, 2, 4, 4]
    assert [found.share_within(cost) for cost in (0.5, 1.0, 3.5, 4.0)] == [0.0, 0.25, 0.75, 1.0]
    assert found.quantile_interval(0.5, 0.9) == Interval(1.0, 4.0)
    assert found.mean == 2.5


def test_reply_tallies_add():
    a, b = (simulate_reply(SPEC, profile_of("beta"), 20, 50, rng=r) for r in rng(7).spawn(2))
    whole = a + b
    assert whole.costs.tolist() == sorted([*a.costs, *b.costs])
    assert (whole.replies, whole.cycles) == (100, a.cycles + b.cycles)
    assert (b + a).costs.tolist() == whole.costs.tolist()
    assert hash(a + b) == hash(whole)
    json.dumps(whole.to_dict(), allow_nan=False)
    with pytest.raises(ValueError, match="twice"):
        a + a
    for other in (
        simulate_reply(SPEC, profile_of("beta"), 21, 50, rng=rng(8)),
        simulate_reply(SPEC, profile_of("beta"), 20, 50, rng=rng(8), jitter={0: 0.1}),
        simulate_reply(SPEC, profile_of("markov"), 20, 50, rng=rng(8)),
    ):
        with pytest.raises(ValueError, match="different experiments"):
            a + other
    with pytest.raises(TypeError):
        a + 1


def test_abstention_makes_replies_longer():
    cascade, profile = CASCADES[1], profile_of("independent")
    plain = simulate_reply(cascade, profile, 40, 4000, rng=rng(1))
    silent = simulate_reply(cascade, profile, 40, 4000, rng=rng(1), abstain={3: 1.0})
    without = mean_reply_times(Cascade((Draft(1, 2),)), profile, 40)[-1]
    per_cycle = 0.0625 / 1.5  # the call is still paid
    assert abs(silent.mean - without * (1 + per_cycle)) < 5.0 * silent.sigma
    assert plain.cycles < silent.cycles


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rng": 7}, TypeError, "default_rng"),
        ({"n_tokens": 0}, ValueError, "n_tokens must be >= 1"),
        ({"n_replies": 1.5}, TypeError, "n_replies"),
        ({"cascade": (Draft(1, 5),)}, TypeError, "Cascade"),
        ({"jitter": {4: 0.1}}, ValueError, r"jitter names model 4.*0\.\.3"),
        ({"jitter": {0: -0.1}}, ValueError, "jitter of model 0"),
        ({"jitter": 0.1}, TypeError, "jitter must map models"),
        ({"abstain": {1: 0.1}}, ValueError, "not one-shot"),
        ({"profile": profile_of("trace"), "n_tokens": 58}, ValueError, "n_tokens must be <= 57"),
        ({"rates": np.ones(3)}, ValueError, "shape"),
    ],
)
def test_bad_input_gets_a_sentence(change, error, words):
    given = {"cascade": SPEC, "profile": profile_of("independent"), "rng": rng(1)}
    given |= {"n_tokens": 5, "n_replies": 2, **change}
    args = [given.pop(name) for name in ("cascade", "profile", "n_tokens", "n_replies")]
    with pytest.raises(error, match=words):
        simulate_reply(*args, **given)


@pytest.mark.parametrize(
    "change", [{"costs": np.array([])}, {"costs": np.array([np.nan])}, {"cycles": 0}]
)
def test_a_reply_tally_refuses_bad_counts(change):
    given = {"costs": np.array([1.0, 2.0]), "cycles": 2, "passes": (2,)}
    with pytest.raises(ValueError, match=r"costs|cycles"):
        ReplyTally(experiment={}, streams=(), **{**given, **change})


def test_one_reply_gives_no_interval():
    found = simulate_reply(SPEC, profile_of("independent"), 5, 1, rng=rng(1))
    with pytest.raises(ValueError, match="at least 2 replies"):
        found.interval()
