"""Requests in a queue: the kernel against its twin, Lindley's recursion and Pollaczek-Khinchine.

The statistical tests compare means of independent replications with exact values; N and the
false alarm stand with each, seeds are fixed.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft
from cscalc.profile import Profile
from cscalc.simulate import simulate
from cscalc.simulate.requests import load_curve, serve, serve_slow
from cscalc.theory.law import token_law

PMF = token_law(Cascade((Draft(1, 4),)), Profile([0.8], [0.1]))  # 1 to 5 tokens a cycle
rng = np.random.default_rng


@st.composite
def servers(draw):
    """Arguments of `serve`: a law, a batch, replies and a load from idle to hopeless."""
    weights = np.array(draw(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5)))
    weights[draw(st.integers(0, weights.size - 1))] += 0.1
    costs = draw(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=5))
    replies = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    return {
        "pmf": [0.0, *(weights / weights.sum())], "cycle_costs": costs, "reply_lengths": replies,
        "rate": draw(st.floats(1e-3, 10.0)), "n_requests": draw(st.integers(1, 60)),
        "prefill_cost": draw(st.sampled_from([0.0, 0.7])),
    }  # fmt: skip


seeds = st.integers(0, 2**32)
TIMES = ("arrivals", "starts", "finishes", "lengths")


@settings(deadline=None)  # the kernel may have to be compiled
@given(servers(), seeds)
def test_the_kernel_equals_its_twin_number_for_number(server, seed):
    fast, slow = serve(**server, rng=rng(seed)), serve_slow(**server, rng=rng(seed))
    for name in TIMES:
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))
    assert (fast.busy, fast.request_time) == (slow.busy, slow.request_time)


@settings(deadline=None)
@given(servers(), seeds)
def test_no_request_is_lost_overtaken_or_served_before_it_came(server, seed):
    served = serve(**server, rng=rng(seed))
    costs, most = np.array(server["cycle_costs"]), len(server["pmf"]) - 1
    assert np.all(served.waits >= 0.0)
    assert np.all(np.diff(served.starts) >= 0.0)  # first come, first to join
    in_batch = served.finishes - served.starts
    assert np.all(in_batch >= np.ceil(served.lengths / most) * costs.min() * (1 - 1e-9))
    assert in_batch.sum() == pytest.approx(served.request_time)
    assert 1.0 - 1e-9 <= served.mean_batch <= costs.size + 1e-9
    assert 0.0 < served.utilisation <= 1.0 + 1e-9
    assert set(served.lengths) <= set(server["reply_lengths"])


@settings(deadline=None)
@given(servers(), seeds)
def test_the_batch_never_holds_more_than_it_may(server, seed):
    served = serve(**server, rng=rng(seed))
    times = np.concatenate([served.starts, served.finishes])
    steps = np.repeat([1, -1], served.starts.size)
    order = np.lexsort((steps, times))  # at one time, those that leave go first
    assert np.cumsum(steps[order]).max() <= len(server["cycle_costs"])


@settings(deadline=None)
@given(servers(), seeds)
def test_one_at_a_time_the_waits_follow_lindleys_recursion(server, seed):
    # W' = max(0, W + S - A): Lindley, Math. Proc. Camb. Phil. Soc. 48 (1952), Eq. 1
    served = serve(**{**server, "cycle_costs": server["cycle_costs"][:1]}, rng=rng(seed))
    took, gaps = served.finishes - served.starts, np.diff(served.arrivals)
    wait = 0.0
    for i in range(gaps.size):
        wait = max(0.0, wait + took[i] - gaps[i])
        assert served.waits[i + 1] == pytest.approx(wait, rel=1e-9, abs=1e-8)


def service_moments(pmf, lengths, cost, prefill=0.0):
    """E[S] and E[S^2] of one reply, from the exact law of the cycles that it takes."""
    first = second = 0.0
    for length in lengths:
        left = np.zeros(length + 1)  # chance of so many tokens still to emit
        left[length] = 1.0
        cycles, chance_at = 0, []
        while left[1:].sum() > 1e-15:
            after = np.zeros_like(left)
            for tokens, chance in enumerate(pmf):
                for i in range(1, length + 1):
                    after[max(0, i - tokens)] += chance * left[i]
            cycles += 1
            chance_at.append(after[0])
            left = after
            left[0] = 0.0
        times = prefill + cost * np.arange(1, cycles + 1)
        first += float(np.dot(chance_at, times)) / len(lengths)
        second += float(np.dot(chance_at, times**2)) / len(lengths)
    return first, second


def replications(load, lengths, cost=1.4, prefill=0.0, *, wrong=1.0):
    """Mean wait of 30 replications in sigmas from `wrong` times Pollaczek and Khinchine's."""
    mean, square = service_moments(PMF, lengths, cost, prefill)
    rate = load / mean
    expected = wrong * rate * square / (2.0 * (1.0 - load))  # Kleinrock vol. 1, Eq. 5.70
    waits = []
    for stream in rng([13, int(100 * load)]).spawn(30):
        served = serve(
            PMF, cost, lengths, rate=rate, n_requests=22_000, rng=stream, prefill_cost=prefill
        )
        waits.append(served.waits[2000:].mean())  # the server was empty at first
    return (np.mean(waits) - expected) / (np.std(waits, ddof=1) / np.sqrt(30))


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("lengths", [[30], [4, 12, 80]], ids=["equal", "unequal"])
def test_one_at_a_time_the_mean_wait_is_pollaczek_khinchines(load, lengths):
    # N = 30 x 20,000 waits; 5.5 sigma of Student's t(29): false alarm 6e-6
    assert abs(replications(load, lengths)) < 5.5


def test_reading_prompts_is_part_of_the_service():
    assert abs(replications(0.6, [4, 12, 80], prefill=3.0)) < 5.5  # false alarm 6e-6


def test_a_mean_wait_off_by_a_tenth_is_caught():
    assert abs(replications(0.5, [30], wrong=1.1)) > 5.5
    assert abs(replications(0.5, [30], wrong=0.9)) > 5.5


def test_the_moments_of_a_sure_cycle_are_exact():
    assert service_moments([0, 0, 0, 1.0], [7], 2.0, 0.5) == (6.5, 42.25)  # 3 cycles


def test_a_lone_request_takes_its_cycles_and_no_more():
    served = serve([0, 0, 1.0], 1.5, [9], rate=1e-9, n_requests=5, rng=rng(1))
    np.testing.assert_allclose(served.latencies, 5 * 1.5, rtol=1e-6)
    np.testing.assert_array_equal(served.waits, 0.0)


def test_tokens_per_cycle_in_the_queue_are_those_of_the_law():
    # replies of 1000 tokens, alone in the system: cycles = tokens / E up to half a cycle's
    # overshoot; N = 400 replies, each +- 6 of 297 cycles: 5 sigma = 0.5 %, false alarm 6e-7
    served = serve(PMF, 1.0, [1000], rate=1e-9, n_requests=400, rng=rng(3))
    cycles = served.busy / 400
    mean = float(PMF @ np.arange(PMF.size))
    overshoot = float(PMF @ np.arange(PMF.size) ** 2) / (2 * mean) - 0.5  # renewal theory
    assert cycles == pytest.approx((1000 + overshoot) / mean, rel=0.005)


def test_a_batch_of_free_riders_multiplies_the_throughput():
    # far beyond its load, a batch of 8 at the cost of 1 emits 8 times the tokens
    alone, batch = (
        serve(PMF, np.ones(most), [200], rate=10.0, n_requests=800, rng=rng(5)) for most in (1, 8)
    )
    assert batch.throughput / alone.throughput == pytest.approx(8.0, rel=0.02)
    assert batch.mean_batch == pytest.approx(8.0, rel=0.02)


def test_with_room_for_all_nobody_waits_longer_than_a_cycle():
    served = serve(PMF, np.full(300, 2.0), [50], rate=0.5, n_requests=300, rng=rng(6))
    assert served.waits.max() <= 2.0
    assert served.mean_batch > 5.0


def test_the_law_may_come_from_a_tally():
    tally = simulate(Cascade((Draft(1, 4),)), Profile([0.8], [0.1]), 1000, rng=rng(1))
    assert serve(tally.pmf, 1.4, [20], rate=0.05, n_requests=10, rng=rng(2)).busy > 0.0


def test_latency_grows_with_load_and_throughput_until_the_server_is_full():
    rates = np.array([0.2, 0.5, 0.8, 2.0]) / service_moments(PMF, [40], 1.4)[0]
    curve = load_curve(PMF, 1.4, [40], rates, n_requests=5000, rng=rng(7))
    assert np.all(np.diff(curve["latency"], axis=0) > 0.0)
    assert np.all(np.diff(curve["latency"], axis=1) > 0.0)  # the 99th percentile is the largest
    assert np.all(np.diff(curve["throughput"]) > 0.0)
    np.testing.assert_allclose(curve["utilisation"], [0.2, 0.5, 0.8, 1.0], atol=0.04)
    np.testing.assert_allclose(curve["throughput"][:3], 40 * rates[:3], rtol=0.06)
    for name in (*curve, *curve.coords):
        assert curve[name].units


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"rng": 1}, TypeError, "rng must be a numpy"),
        ({"rate": 0.0}, ValueError, "rate must be > 0"),
        ({"n_requests": 0}, ValueError, "n_requests must be >= 1"),
        ({"pmf": [0.5, 0.5]}, ValueError, r"pmf\[0\] must be 0"),
        ({"pmf": [0, 0.5]}, ValueError, "pmf must be >= 0 and sum to 1"),
        ({"cycle_costs": []}, ValueError, "cycle_costs must be > 0"),
        ({"cycle_costs": [1.0, 0.0]}, ValueError, "cycle_costs must be > 0"),
        ({"cycle_costs": -1.0}, ValueError, "cycle_costs must be finite and >= 0"),
        ({"reply_lengths": []}, ValueError, "reply_lengths must hold at least one"),
        ({"reply_lengths": [0]}, ValueError, "reply_lengths must be whole numbers >= 1"),
        ({"prefill_cost": -1.0}, ValueError, "prefill_cost must be a finite number"),
    ],
)
@pytest.mark.parametrize("run", [serve, serve_slow])
def test_bad_arguments_are_refused(run, change, error, sentence):
    good = {"pmf": [0, 1.0], "cycle_costs": 1.0, "reply_lengths": [5], "rate": 0.1,
            "n_requests": 3, "rng": rng(1)}  # fmt: skip
    with pytest.raises(error, match=sentence):
        run(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"rates": []}, "rates must be a vector"), ({"warm_up": 1.0}, "warm_up must be a share"),
     ({"levels": [101]}, "levels must be a finite number")],
)  # fmt: skip
def test_bad_arguments_of_a_load_curve_are_refused(change, sentence):
    good = {"rates": [0.1], "n_requests": 5, "rng": rng(1)}
    with pytest.raises(ValueError, match=sentence):
        load_curve([0, 1.0], 1.0, [5], **{**good, **change})
