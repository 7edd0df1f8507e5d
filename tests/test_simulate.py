"""The simulator: kernels against their twins number for number, sure outcomes, bad input."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cscalc
from cscalc.acceptance import BetaMixture, Markov, Trace
from cscalc.cascade import Cascade, Draft, Review, max_length
from cscalc.profile import Profile
from cscalc.simulate import Tally, compare, simulate, simulate_until
from cscalc.simulate.coupled import compare_slow
from cscalc.simulate.slow import simulate_slow
from tests.strategies import cascades, cases, profiles, rate_tables, seeds

SPEC = Cascade((Draft(1, 5),))
NEST = Cascade((Review(1, (Draft(2, 4),), rounds=2), Draft(2, 3)))
DEEP = Cascade((Review(1, (Review(2, (Draft(3, 3),), until=5), Draft(3, 2)), rounds=2),))
DEEPER = Cascade(
    (Draft(3, 1), Review(1, (Draft(3, 1), Review(2, (Draft(3, 2),), rounds=2)), until=9))
)
PROFILE = Profile(
    [[1, 0.8, 0.5, 0.3], [0, 1, 0.7, 0.4], [0, 0, 1, 0.6], [0, 0, 0, 1]], [0.3, 0.1, 0.02]
)
rng = np.random.default_rng


@given(cases(), st.integers(1, 40), seeds)
@settings(max_examples=150, deadline=None)
def test_the_kernels_equal_their_twin_number_for_number(case, n_cycles, seed):
    fast = simulate(*case, n_cycles, rng=rng(seed))
    assert fast == simulate_slow(*case, n_cycles, rng=rng(seed))


@given(cascades(), rate_tables(), seeds)
@settings(max_examples=60, deadline=None)
def test_they_are_equal_under_rates_by_kind_and_position(cascade, rates, seed):
    fast = simulate(cascade, PROFILE, 20, rng=rng(seed), rates=rates)
    assert fast == simulate_slow(cascade, PROFILE, 20, rng=rng(seed), rates=rates)


@pytest.mark.parametrize("cascade", [NEST, DEEP, DEEPER], ids=str)
def test_they_are_equal_where_long_drafts_are_accepted(cascade):
    rates = rng(1).uniform(0.6, 1.0, (4, 4, 4, 9))
    fast = simulate(cascade, PROFILE, 300, rng=rng(2), rates=rates)
    assert fast == simulate_slow(cascade, PROFILE, 300, rng=rng(2), rates=rates)
    assert max(fast.counts[8:]) > 0


@given(cascades(), cascades(), profiles(), st.integers(2, 20), seeds)
@settings(max_examples=80, deadline=None)
def test_the_coupled_kernel_equals_its_twin_number_for_number(a, b, profile, n_cycles, seed):
    fast = compare(a, b, profile, n_cycles, rng=rng(seed))
    slow = compare_slow(a, b, profile, n_cycles, rng=rng(seed))
    assert (fast.a, fast.b) == (slow.a, slow.b)
    np.testing.assert_array_equal(fast.products, slow.products)


@given(cases(), st.integers(1, 300), st.integers(1, 70), seeds)
@settings(max_examples=60, deadline=None)
def test_the_tally_does_not_depend_on_the_batch(case, n_cycles, batch, seed):
    assert simulate(*case, n_cycles, rng=rng(seed), batch=batch) == simulate(
        *case, n_cycles, rng=rng(seed)
    )


@pytest.mark.parametrize("batch", [1, 3, 10, 999, 1000])
@pytest.mark.parametrize("cascade", [SPEC, NEST], ids=str)
def test_batches_add_up_to_the_cycles_asked_for(cascade, batch):
    tally = simulate(cascade, PROFILE, 1000, rng=rng(6), batch=batch)
    assert tally == simulate(cascade, PROFILE, 1000, rng=rng(6))
    assert tally.cycles == 1000


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64])
@pytest.mark.parametrize("cascade", [SPEC, NEST])
def test_any_bit_generator_will_do(bits, cascade):
    fast = simulate(cascade, PROFILE, 100, rng=np.random.Generator(bits(3)))
    slow = simulate_slow(cascade, PROFILE, 100, rng=np.random.Generator(bits(3)))
    assert fast == slow == Tally.from_dict(fast.to_dict())


@given(cascades(), seeds)
@settings(max_examples=60, deadline=None)
def test_if_all_is_accepted_every_review_adds_a_bonus_token(cascade, seed):
    tally = simulate(cascade, Profile([1.0] * 3, [0.1] * 3), 5, rng=rng(seed))

    def longest(drafts):
        held = 0
        for segment in drafts:
            call = longest(segment.drafts) + 1 if isinstance(segment, Review) else segment.length
            if segment.until is None:
                held += call * (segment.rounds if isinstance(segment, Review) else 1)
            while segment.until is not None and held < segment.until:
                held += call
        return held

    assert tally.tokens == 5 * (longest(cascade.drafts) + 1)
    assert tally.tokens_per_cycle <= max_length(cascade.drafts) + 1


@given(cascades(), seeds)
@settings(max_examples=60, deadline=None)
def test_if_nothing_is_accepted_every_cycle_emits_one_token(cascade, seed):
    tally = simulate(cascade, Profile([0.0] * 3, [0.1] * 3), 5, rng=rng(seed))
    assert tally.counts[1] == tally.passes[0] == 5


def test_passes_and_cost_of_a_sure_cycle():
    profile = Profile([1.0, 1.0], [0.5, 0.25], one_shot=[2], verify=[1.0, 1.5] + [2.0] * 20)
    cascade = Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(2, 1, until=11), Draft(1, 4)))
    tally = simulate(cascade, profile, 10, rng=rng(1))
    # two reviews over 4 tokens each, 3 calls of one token, 4 passes, one pass of the target
    assert tally.passes == (10, 10 * (2 + 4), 10 * (2 + 3))
    assert tally.counts[16] == 10
    assert tally.cost_per_cycle == pytest.approx(2 * 0.25 + 2 * 0.5 + 3 * 0.25 + 4 * 0.5 + 2.0)
    assert tally.sigma == pytest.approx(0.0, abs=1e-9)


def test_a_drafts_until_repeats_whole_calls():
    tally = simulate(Cascade((Draft(1, 4, until=6),)), Profile([1.0], [0.1]), 3, rng=rng(1))
    assert tally.counts[9] == 3
    assert tally.passes == (3, 24)


def test_plain_decoding_emits_one_token_for_one_pass():
    tally = simulate(Cascade(()), PROFILE, 7, rng=rng(1))
    assert (tally.counts, tally.passes, tally.ewif) == ((0, 7), (7, 0, 0, 0), 1.0)


@pytest.mark.parametrize("cascade", [SPEC, NEST])
def test_the_generator_moves_on(cascade):
    generator = rng(5)
    first, second = (simulate(cascade, PROFILE, 500, rng=generator) for _ in range(2))
    whole = simulate(cascade, PROFILE, 1000, rng=rng(5))
    assert first.counts != second.counts
    assert (first + second).counts == whole.counts
    assert (first + second).cost == pytest.approx(whole.cost, rel=1e-14)


@pytest.mark.parametrize("cascade", [SPEC, NEST])
def test_memory_does_not_grow_with_the_cycles(cascade):
    simulate(cascade, PROFILE, 1, rng=rng(1))  # compiles
    tracemalloc.start()
    simulate(cascade, PROFILE, 1_000_000, rng=rng(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000, f"{peak} bytes"


def test_the_package_can_be_called():
    assert cscalc.simulate(SPEC, PROFILE, 10, rng=rng(1)).cycles == 10


def test_importing_the_simulator_is_light():
    code = (
        "import cscalc.simulate, sys; print({'numba', 'scipy.stats', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rng": 7}, TypeError, "default_rng"),
        ({"rng": np.random.RandomState(7)}, TypeError, "default_rng"),
        ({"n_cycles": -1}, ValueError, "n_cycles must be >= 1, got -1"),
        ({"n_cycles": 1e3}, TypeError, "n_cycles"),
        ({"n_cycles": True}, TypeError, "n_cycles"),
        ({"batch": 0}, ValueError, "batch"),
        ({"cascade": Draft(1, 5)}, TypeError, r"Cascade\(\("),
        ({"profile": [0.8]}, TypeError, "Profile"),
        ({"cascade": Cascade((Draft(4, 2),))}, ValueError, "model 4"),
        ({"profile": Profile([0.8], [0.1], verify=[1, 1])}, ValueError, "positions"),
        ({"rates": np.ones((4, 2, 2, 1))}, ValueError, "shape"),
        ({"rates": np.full((4, 4, 4, 1), 1.1)}, ValueError, "rates"),
    ],
)
def test_bad_input_gets_a_sentence(change, error, words):
    given = {"cascade": SPEC, "profile": PROFILE, "n_cycles": 10, "rng": rng(1), **change}
    with pytest.raises(error, match=words):
        simulate(given.pop("cascade"), given.pop("profile"), given.pop("n_cycles"), **given)


def test_a_one_shot_reviewer_is_refused():
    with pytest.raises(ValueError, match="one-shot"):
        simulate(NEST, Profile([0.8, 0.5], [0.1, 0.0], one_shot=[1]), 10, rng=rng(1))


@pytest.mark.parametrize(
    "acceptance", [BetaMixture(4.0), Markov([0.9], [0.5], 0.1, 0.1), Trace([{(0, 1): [0.9, 0.2]}])]
)
def test_a_comparison_under_acceptance_with_memory_is_refused(acceptance):
    with pytest.raises(ValueError, match="has memory"):
        compare(SPEC, SPEC, Profile([0.8], [0.1], acceptance=acceptance), 10, rng=rng(1))


def test_simulate_until_stops_at_the_precision():
    seen = []
    tally = simulate_until(
        NEST, PROFILE, rel_err=0.003, rng=rng(2), progress=lambda *args: seen.append(args)
    )
    assert tally.relative_error() <= 0.003
    assert tally.relative_error() > 0.002  # did not run on for long
    done, expected = zip(*seen, strict=True)
    assert list(done) == sorted(set(done))
    assert done[-1] == expected[-1] == tally.cycles


def test_simulate_until_shows_a_bar(capsys):
    simulate_until(SPEC, PROFILE, rel_err=0.05, rng=rng(2), progress=True)
    out, err = capsys.readouterr()
    assert not out
    assert "simulate" in err


def test_simulate_until_warns_at_max_cycles():
    with pytest.warns(RuntimeWarning, match="max_cycles=1000"):
        tally = simulate_until(SPEC, PROFILE, rel_err=1e-4, rng=rng(2), max_cycles=1000)
    assert tally.cycles == 1000


@pytest.mark.parametrize("rel_err", [0.0, -0.1, float("nan")])
def test_simulate_until_needs_a_precision(rel_err):
    with pytest.raises(ValueError, match="rel_err"):
        simulate_until(SPEC, PROFILE, rel_err=rel_err, rng=rng(2))


LONGER = Cascade((Review(1, (Draft(2, 5),), rounds=2), Draft(2, 3)))


@pytest.mark.parametrize(
    ("a", "b"), [(Cascade((Draft(1, 6),)), Cascade((Draft(1, 7),))), (NEST, LONGER)]
)
def test_common_coins_save_nine_tenths_of_the_cycles(a, b):
    n, runs = 400, 400
    paired, apart = [], []
    for stream in rng(11).spawn(runs):
        found = compare(a, b, PROFILE, n, rng=stream)
        paired.append(found.difference)
        one, two = (simulate(c, PROFILE, n, rng=stream) for c in (a, b))
        apart.append(one.ewif - two.ewif)
    # variances over 400 runs: their ratio is known within a factor of 1.4 (4 sigma)
    assert np.var(apart) / np.var(paired) > 10
    assert 0.7 < found.variance_reduction / (np.var(apart) / np.var(paired)) < 1.4


@pytest.mark.slow
def test_the_paired_interval_covers_95_percent():
    # 2000 repetitions: sigma 0.49 %, so 1.5 % is 3.1 sigma, false alarm 0.2 % per new seed
    big = compare(NEST, LONGER, PROFILE, 20_000_000, rng=rng(1)).difference
    hits = sum(
        compare(NEST, LONGER, PROFILE, 2000, rng=stream).interval().holds(big)
        for stream in rng(12).spawn(2000)
    )
    assert abs(hits / 2000 - 0.95) < 0.015


def test_a_cascade_compared_with_itself_differs_by_nothing():
    found = compare(DEEP, DEEP, PROFILE, 1000, rng=rng(3))
    assert found.a.counts == found.b.counts
    assert found.difference == 0.0
    assert found.interval().half_width < 1e-7
    assert found.variance_reduction > 1e6


def test_verification_costs_of_a_comparison_are_those_of_each_side():
    curve = 1.0 + 0.1 * np.arange(40)
    profile = Profile(PROFILE.alphas, PROFILE.costs, verify=dict.fromkeys((0, 1, 2), curve))
    other = Cascade((Review(2, (Draft(3, 12),), rounds=1),))
    inner = Cascade((Review(1, (Review(2, (Draft(3, 2),), rounds=1),), rounds=1),))
    for pair in ((other, inner), (inner, other), (NEST, inner)):
        found = compare(*pair, profile, 300, rng=rng(7))
        slow = compare_slow(*pair, profile, 300, rng=rng(7))
        assert (found.a, found.b) == (slow.a, slow.b)


def test_each_side_of_a_comparison_is_a_plain_simulation():
    alone = simulate(DEEP, PROFILE, 200, rng=rng(4))
    assert compare(DEEP, Cascade(()), PROFILE, 200, rng=rng(4)).a.counts == alone.counts
