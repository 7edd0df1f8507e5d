"""Every acceptance model in the simulator: kernels against twins, laws in sigmas, abstention.

False alarm of one check with a new seed: 1e-6 (`Agreement.holds`, |z| < 5); seeds are fixed.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import (
    BetaMixture,
    ByPosition,
    Conditional,
    Independent,
    Markov,
    Mixture,
    Trace,
)
from cscalc.cascade import Cascade, Draft, Review
from cscalc.goodness import chi_square
from cscalc.profile import Profile
from cscalc.simulate import Tally, agreement, simulate, simulate_until
from cscalc.simulate.events import run_world
from cscalc.simulate.slow import simulate_slow
from cscalc.simulate.worlds import beta_rates, world_of
from cscalc.theory.law import cycle_law
from tests.strategies import LAST, cases, rates, seeds

rng = np.random.default_rng
SIZE = LAST + 1
ALPHAS = np.array([[1, 0.8, 0.6, 0.35], [0, 1, 0.75, 0.5], [0, 0, 1, 0.65], [0, 0, 0, 1]])
HARD = np.triu(ALPHAS**3)
COSTS = [0.3, 0.1, 0.02]


def texts(seed, lengths):
    draw = rng(seed)
    pairs = [(i, j) for i in range(LAST) for j in range(i + 1, SIZE) if (i, j) != (0, 2)]
    return [{pair: draw.random(length) ** 0.4 for pair in pairs} for length in lengths]


MODELS = {
    "mixture": Mixture([0.5, 0.3, 0.2], [ALPHAS, HARD, np.triu(ALPHAS**0.3)]),
    "beta": BetaMixture(3.0),
    "markov": Markov(ALPHAS, HARD, to_easy=0.1, to_hard=0.2),
    "trace": Trace(texts(1, (31, 57, 40))),
}
WITH_BLOCKS = ("markov", "trace")
CASCADES = [
    Cascade(()),
    Cascade((Draft(1, 6),)),
    Cascade((Draft(1, 2), Draft(2, 2), Draft(3, 8))),
    Cascade((Review(1, (Draft(2, 3),), rounds=3), Draft(3, 6))),
    Cascade((Review(1, (Review(2, (Draft(3, 4),), until=5), Draft(3, 3)), rounds=2),)),
    Cascade.from_k_matrix([[5, 4, 4], [0, 3, 3], [0, 0, 4]], bottom_length=4),
]


def profile_of(acceptance, **options):
    verify = {0: 1.0 + 0.04 * np.arange(80), 1: 1.0 + 0.02 * np.arange(80)}
    return Profile(
        ALPHAS, COSTS, one_shot=[3], acceptance=acceptance, **{"verify": verify, **options}
    )


matrices = st.lists(rates, min_size=SIZE**2, max_size=SIZE**2).map(
    lambda values: np.array(values).reshape(SIZE, SIZE)
)
chances = st.floats(0.01, 1.0)


@st.composite
def traces(draw):
    pairs = draw(st.sets(st.sampled_from([(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]), min_size=1))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    return Trace(
        [{p: draw(st.lists(rates, min_size=n, max_size=n)) for p in pairs} for n in lengths]
    )


acceptances = st.one_of(
    st.just(Independent()),
    st.builds(ByPosition, st.just({(0, 1): [0.9, 0.2], (1, 2): [0.5]})),
    st.builds(Conditional, st.just({(0, 1): 0.9}), st.just({(0, 1): 0.3, (1, 2): 0.5})),
    st.builds(lambda a, b: Mixture([1.0, 2.0], [a, b]), matrices, matrices),
    st.builds(BetaMixture, st.sampled_from([0.01, 0.5, 4.0, 1e6])),
    st.builds(Markov, matrices, matrices, chances, chances),
    traces(),
)


def with_acceptance(profile, acceptance):
    return Profile(
        profile.alphas, profile.costs, one_shot=profile.one_shot, verify=profile.verify,
        acceptance=acceptance,
    )  # fmt: skip


@given(cases(), acceptances, st.integers(1, 30), st.sampled_from([0.0, 0.3, 1.0]), seeds)
@settings(max_examples=150, deadline=None)
def test_the_kernels_equal_their_twin_under_every_model(case, acceptance, n_cycles, chance, seed):
    cascade, profile = case[0], with_acceptance(case[1], acceptance)
    abstain = dict.fromkeys(profile.one_shot, chance)
    fast = simulate(cascade, profile, n_cycles, rng=rng(seed), abstain=abstain)
    slow = simulate_slow(cascade, profile, n_cycles, rng=rng(seed), abstain=abstain)
    assert fast == slow == Tally.from_dict(fast.to_dict())


@pytest.mark.parametrize("name", ["beta", "mixture", *WITH_BLOCKS])
def test_they_are_equal_beyond_the_prompts_drawn_at_once(name):
    profile = profile_of(MODELS[name])
    for abstain in (None, {3: 0.2}):
        fast = simulate(CASCADES[3], profile, 5000, rng=rng(9), abstain=abstain)
        assert fast == simulate_slow(CASCADES[3], profile, 5000, rng=rng(9), abstain=abstain)


@given(cases(), st.integers(1, 40), seeds)
@settings(max_examples=60, deadline=None)
def test_both_kernels_play_the_same_cycles_where_rates_are_a_table(case, n_cycles, seed):
    cascade, profile = case
    tally = simulate(cascade, profile, n_cycles, rng=rng(seed))
    (counts, passes, sums), _ = run_world(world_of(cascade, profile), n_cycles, rng(seed))
    assert (tuple(counts), tuple(passes)) == (tally.counts, tally.passes)
    assert sums[0] == pytest.approx(tally.cost, rel=1e-13)


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_tokens_and_cost_agree_with_the_law(name, cascade):
    # N = 200,000 cycles, 40,000 for beta: its quantiles take most of the time
    profile = profile_of(MODELS[name])
    law = cycle_law(cascade, profile)
    n = 40_000 if name == "beta" else 200_000
    tally = simulate(cascade, profile, n, rng=rng([2312, 11462]))
    found = agreement(tally, law.pmf, law.cost)
    assert found.holds(), found
    assert (tally.observations < n) == (name in WITH_BLOCKS)


@pytest.mark.parametrize("name", ["mixture", "beta"])
def test_lengths_follow_the_average_law_not_that_of_the_average_rate(name):
    profile, cascade = profile_of(MODELS[name]), CASCADES[1]
    tally = simulate(cascade, profile, 40_000, rng=rng(8))
    assert chi_square(tally.counts, cycle_law(cascade, profile).pmf).p_value > 1e-6
    flat = cycle_law(cascade, profile_of(Independent())).pmf
    assert chi_square(tally.counts, flat).p_value < 1e-6


@pytest.mark.parametrize("name", WITH_BLOCKS)
@pytest.mark.parametrize("cascade", CASCADES[1:4], ids=str)
def test_each_length_has_its_chance_where_cycles_depend(name, cascade):
    # 100 runs of 3000 cycles, Student's t with 99 degrees: |t| < 6 is a false alarm of 3e-8
    profile = profile_of(MODELS[name])
    law = cycle_law(cascade, profile).pmf
    shares = np.array([simulate(cascade, profile, 3000, rng=r).pmf for r in rng(77).spawn(100)])
    error, sigma = shares.mean(axis=0) - law, shares.std(axis=0, ddof=1) / 10.0
    seen = law > 1e-5  # 3 or more expected
    assert np.all(np.abs(error[seen]) < 6.0 * sigma[seen]), error / np.maximum(sigma, 1e-12)


STICKY = Profile([0.5], [0.1], acceptance=Markov([0.95], [0.3], to_easy=0.03, to_hard=0.03))
UNLIKE = [{(0, 1): np.full(n, rate)} for n, rate in ((30, 0.9), (40, 0.2), (20, 0.6))]
REPLAY = Profile([0.5], [0.1], acceptance=Trace(UNLIKE))


@pytest.mark.parametrize("profile", [STICKY, REPLAY], ids=["markov", "trace"])
def test_intervals_over_blocks_cover_95_percent_and_those_over_cycles_do_not(profile):
    # 2000 repetitions: sigma 0.49 %, so 1.5 % is 3.1 sigma, false alarm 0.2 % per new seed
    cascade = Cascade((Draft(1, 4),))
    truth = cycle_law(cascade, profile).ewif
    hits = wrong = 0
    for stream in rng(12).spawn(2000):
        tally = simulate(cascade, profile, 4000, rng=stream)
        hits += tally.interval().holds(truth)
        wrong += replace(tally, blocks=()).interval().holds(truth)
    assert abs(hits / 2000 - 0.95) < 0.015
    assert wrong / 2000 < 0.9


def test_a_text_is_replayed_place_by_place():
    # places: kept, rejected; then kept, kept and a bonus token: 2 + 3 tokens, text after text
    trace = Trace([{(0, 1): [1.0, 0.0, 1.0, 1.0, 1.0]}])
    tally = simulate(
        Cascade((Draft(1, 2),)), Profile([0.5], [0.1], acceptance=trace), 100, rng=rng(1)
    )
    assert tally.counts == (0, 0, 50, 50)
    assert tally.observations == 50
    assert tally.blocks[1:5] == (50 * 4, 50 * 10, pytest.approx(50 * 4.8), 50 * 25)
    assert tally.sigma == pytest.approx(0.0, abs=1e-7)


def test_a_text_ends_what_its_last_cycle_emits():
    trace = Trace([{(0, 1): [1.0, 1.0]}])
    profile = Profile([0.5], [0.1], acceptance=trace)
    tally = simulate(Cascade((Draft(1, 5),)), profile, 10, rng=rng(1))
    assert tally.counts[2] == tally.observations == 10


def test_overlaps_of_a_text_are_found_from_an_inner_review_too():
    # the inner reviewer rejects at place 1 and 3 only, the target at place 4
    trace = Trace([{(0, 1): [1, 1, 1, 1, 0, 1], (1, 2): [1, 0, 1, 0, 1, 1]}])
    profile = Profile([0.5, 0.5], [0.1, 0.01], acceptance=trace)
    cascade = Cascade((Review(1, (Draft(2, 3),), rounds=3),))
    tally = simulate(cascade, profile, 20, rng=rng(1))
    # rounds emit 2, 2 and (places 4 to 7) 4 tokens; 4 are accepted, 5 emitted, 1 is left
    assert tally.counts[5] == tally.counts[1] == 10


def test_difficulty_goes_on_from_one_cycle_to_the_next():
    # easy and hard take turns: after a hard token one is accepted and the next is not
    markov = Markov([1.0], [0.0], to_easy=1.0, to_hard=1.0)
    profile = Profile([0.5], [0.1], acceptance=markov)
    for seed in range(8):
        tally = simulate(Cascade((Draft(1, 5),)), profile, 50, rng=rng(seed))
        assert tally.counts[2] in (49, 50)
        assert tally.counts[1] == 50 - tally.counts[2]


def test_rates_of_prompts_are_beta_quantiles():
    from scipy.stats import beta

    u = rng(3).random(500)
    for concentration in (0.3, 2.0, 50.0):
        found = beta_rates(0.7, BetaMixture(concentration), u)
        want = beta.ppf(u, 0.7 * concentration, 0.3 * concentration)
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-12)
    assert beta_rates(1.0, BetaMixture(2.0), u[:2]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("concentration", [0.01, 1e6])
def test_rates_of_prompts_are_rates_at_the_ends_of_the_range(concentration):
    u = np.concatenate([rng(4).random(2000), [0.0, 1e-300, 1.0 - 2**-53]])
    for alpha in (1e-6, 0.3, 1.0 - 1e-6):
        found = beta_rates(alpha, BetaMixture(concentration), u)
        assert np.all((found >= 0.0) & (found <= 1.0))


def test_tallies_of_one_model_add_and_of_two_do_not():
    profile, cascade = profile_of(MODELS["trace"]), CASCADES[1]
    parts = [simulate(cascade, profile, 900, rng=r) for r in rng(5).spawn(2)]
    whole = parts[0] + parts[1]
    assert whole.blocks == tuple(a + b for a, b in zip(*(p.blocks for p in parts), strict=True))
    assert whole.observations == parts[0].observations + parts[1].observations
    other = simulate(cascade, profile_of(Trace(texts(2, (31, 57, 40)))), 900, rng=rng(6))
    with pytest.raises(ValueError, match="different experiments"):
        whole + other
    assert "texts" not in str(whole.experiment)  # a tally does not carry its trace


def test_simulate_until_reaches_its_precision_where_cycles_depend():
    tally = simulate_until(Cascade((Draft(1, 4),)), STICKY, rel_err=0.01, rng=rng(2))
    assert 0.005 < tally.relative_error() <= 0.01


def test_simulate_until_goes_on_while_there_is_one_block():
    trace = Trace([{(0, 1): rng(1).random(60_000)}])  # one text of more than 10,000 cycles
    profile = Profile([0.5], [0.1], acceptance=trace)
    tally = simulate_until(
        Cascade((Draft(1, 4),)), profile, rel_err=0.05, rng=rng(2), max_cycles=10**6
    )
    assert tally.cycles > 10_000


ONE_SHOT = Profile([0.8, 0.7], [0.2, 0.05], one_shot=[2])


def test_a_draft_that_abstains_is_paid_and_proposes_nothing():
    # 5 tokens proposed with chance 0.6: then 1 to 6 are emitted, else one
    pmf = np.zeros(7)
    pmf[1:7] = 0.6 * np.array([0.7**i * 0.3 for i in range(5)] + [0.7**5])
    pmf[1] += 0.4
    tally = simulate(Cascade((Draft(2, 5),)), ONE_SHOT, 200_000, rng=rng(1), abstain={2: 0.4})
    assert agreement(tally, pmf, 1.05).holds()
    assert tally.passes == (200_000, 0, 200_000)


def test_verification_costs_fewer_positions_after_an_abstention():
    profile = Profile([0.7], [0.1], one_shot=[1], verify=[1.0, 1.2, 1.4, 1.6])
    tally = simulate(Cascade((Draft(1, 3),)), profile, 200_000, rng=rng(2), abstain={1: 0.25})
    want, sigma = 0.1 + 0.25 * 1.0 + 0.75 * 1.6, 0.6 * np.sqrt(0.25 * 0.75 / 200_000)
    assert abs(tally.cost_per_cycle - want) < 5.0 * sigma  # false alarm 6e-7


def test_an_abstaining_call_ends_its_segment():
    cascade = Cascade((Draft(2, 2, until=6), Draft(1, 1)))
    profile = Profile([1.0, 1.0], [0.2, 0.05], one_shot=[2])
    n, p = 100_000, 0.5
    tally = simulate(cascade, profile, n, rng=rng(3), abstain={2: p})
    # calls until the first abstention, three at most; then one token of model 1 and the bonus
    shares = np.array([p, p * p, p**3, p**3])
    assert chi_square(np.array(tally.counts)[[2, 4, 6, 8]], shares).p_value > 1e-6
    assert sum(np.array(tally.counts)[[2, 4, 6, 8]]) == n
    assert tally.passes[2] / n == pytest.approx(1 + p + p * p, abs=5 * 1.0 / np.sqrt(n))


@pytest.mark.parametrize("name", [None, *MODELS])
def test_a_draft_that_always_abstains_is_as_good_as_none(name):
    model = Independent() if name is None else MODELS[name]
    profile = profile_of(model, verify=None)
    with_it = Cascade((Draft(1, 3), Draft(3, 4, until=9), Draft(2, 1)))
    without = Cascade((Draft(1, 3), Draft(2, 1)))
    law = cycle_law(without, profile)
    tally = simulate(with_it, profile, 40_000, rng=rng(4), abstain={3: 1.0})
    assert tally.counts[6:] == (0,) * (len(tally.counts) - 6)
    short = replace(tally, counts=tally.counts[:6])
    assert agreement(short, law.pmf, law.cost + 0.02).holds()


def test_an_inner_review_of_nothing_adds_one_token():
    # chance 0.5: no proposal, so the review emits its bonus token; else 1 or 2 tokens
    cascade = Cascade((Review(1, (Draft(2, 1),), rounds=1),))
    inner, alpha = 0.7, 0.8
    one, two = 0.5 + 0.5 * (1 - inner), 0.5 * inner
    emits = [0.0, one * (1 - alpha) + two * (1 - alpha)]
    emits += [one * alpha + two * alpha * (1 - alpha), two * alpha**2]
    profile = Profile([[1, alpha, 0.5], [0, 1, inner], [0, 0, 1]], [0.2, 0.05], one_shot=[2])
    tally = simulate(cascade, profile, 200_000, rng=rng(5), abstain={2: 0.5})
    assert agreement(tally, emits, 1.25).holds()


def test_abstention_belongs_to_the_experiment():
    cascade = Cascade((Draft(2, 5),))
    plain = simulate(cascade, ONE_SHOT, 10, rng=rng(1))
    same = simulate(cascade, ONE_SHOT, 10, rng=rng(2), abstain={2: 0.0})
    other = simulate(cascade, ONE_SHOT, 10, rng=rng(3), abstain={2: 0.5})
    assert (plain + same).cycles == 20
    with pytest.raises(ValueError, match="abstain"):
        plain + other


@pytest.mark.parametrize(
    ("abstain", "error", "words"),
    [
        ({1: 0.5}, ValueError, "model 1, which is not one-shot"),
        ({2: 1.5}, ValueError, "abstain of model 2"),
        ({2: float("nan")}, ValueError, "abstain of model 2"),
        ({3: 0.5}, ValueError, r"models 0\.\.2"),
        ({"2": 0.5}, TypeError, "abstain model must be an int"),
        (0.5, TypeError, "abstain must map models"),
    ],
)
def test_bad_abstention_gets_a_sentence(abstain, error, words):
    with pytest.raises(error, match=words):
        simulate(Cascade((Draft(2, 5),)), ONE_SHOT, 10, rng=rng(1), abstain=abstain)


@pytest.mark.parametrize("blocks", [(1.0, 2.0), (-1.0,) * 7, (float("nan"),) * 7])
def test_a_tally_refuses_bad_blocks(blocks):
    tally = simulate(Cascade((Draft(1, 2),)), ONE_SHOT, 10, rng=rng(1))
    with pytest.raises(ValueError, match="blocks"):
        replace(tally, blocks=blocks)


def test_one_block_gives_no_interval():
    profile = Profile([0.5], [0.1], acceptance=Trace([{(0, 1): np.full(5000, 0.5)}]))
    tally = simulate(Cascade((Draft(1, 4),)), profile, 100, rng=rng(1))
    assert tally.observations == 1
    assert tally._repr_html_().count("<tr>") == 4  # no intervals
    with pytest.raises(ValueError, match="at least 2"):
        tally.interval()
