"""Roofline, lockstep batches and goodput, against hand arithmetic and enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.profile import Profile
from cscalc.theory.batch import (
    ModelSize,
    RooflineCurve,
    draft_cost,
    lockstep_law,
    lockstep_tokens,
    pass_time,
)
from cscalc.theory.gpus import GPU, GPUS
from cscalc.theory.serving import (
    best_lengths,
    goodput,
    magicdec_speedup,
    moesd_sigma,
    moesd_speedup,
    target_efficiency,
)

UNIT = GPU("unit", bandwidth=100.0, peak=1000.0, memory=1e9)
SMALL = ModelSize(parameters=50.0, kv_bytes_per_token=1.0)
gpus = st.sampled_from(list(GPUS.values()))
models = st.builds(
    ModelSize,
    parameters=st.floats(1e8, 1e11),
    bytes_per_parameter=st.sampled_from([0.5, 1.0, 2.0]),
    kv_bytes_per_token=st.floats(0, 1e6),
    attention_flops=st.floats(0, 1e6),
)


def test_a_small_pass_waits_for_memory():
    # 50 parameters x 2 bytes + 1 sequence x (9 + 1) tokens x 1 byte = 110 bytes at 100 a second
    assert float(pass_time(SMALL, UNIT, context=9)) == pytest.approx(1.1)
    assert float(pass_time(SMALL, UNIT, context=9, launch=0.5)) == pytest.approx(1.6)


def test_a_large_pass_waits_for_arithmetic():
    # 2 x 50 FLOP x 4 sequences x 25 positions = 10000 FLOP at 1000 a second
    assert float(pass_time(SMALL, UNIT, batch=4, positions=25)) == pytest.approx(10.0)


def test_attention_counts_cached_tokens_and_the_causal_triangle():
    model = ModelSize(parameters=1e-9, attention_flops=10.0)
    pairs = sum(7 + i for i in range(1, 5))  # position i of 4 sees 7 cached and i new tokens
    assert float(pass_time(model, UNIT, positions=4, context=7)) == pytest.approx(pairs / 100)


def test_experts_are_read_whole_and_computed_in_part():
    dense = ModelSize(parameters=50.0)
    sparse = ModelSize(parameters=50.0, active_parameters=5.0)
    assert pass_time(sparse, UNIT) == pass_time(dense, UNIT)
    assert float(pass_time(sparse, UNIT, positions=100)) == pytest.approx(1.0)
    assert float(pass_time(dense, UNIT, positions=100)) == pytest.approx(10.0)


@given(models, gpus, st.integers(1, 512), st.integers(0, 10**6), st.floats(0, 0.01))
def test_curve_starts_at_one_and_never_falls(model, gpu, batch, context, launch):
    curve = RooflineCurve(model, gpu, batch, context, launch)
    values = [curve(m) for m in (1, 2, 4, 8, 64, 512)]
    assert values[0] == 1.0
    assert np.all(np.diff(values) >= -1e-12)


def test_a_profile_takes_the_curve():
    curve = RooflineCurve(ModelSize(parameters=8e9), GPUS["H200"], batch=128)
    profile = Profile([0.8], [0.1], verify=curve)
    assert profile.pass_cost(0, 9) == pytest.approx(curve(9))
    assert curve(9) > 1.0


def test_long_contexts_make_sparse_cache_drafts_cheap_and_verification_free():
    # MagicDec, arXiv:2408.11049: self-speculation with a 512-token cache, batch 64
    llama = ModelSize(parameters=8e9, kv_bytes_per_token=131072.0, attention_flops=524288.0)
    contexts = np.array([1_000, 8_000, 32_000, 100_000])
    costs = draft_cost(
        llama, llama, GPUS["H100 SXM"], batch=64, context=contexts, draft_context=512
    )
    assert np.all(np.diff(costs) < 0)
    assert costs[-1] < 0.05
    free = [RooflineCurve(llama, GPUS["H100 SXM"], 64, float(context))(5) for context in contexts]
    assert free[-1] < 1.01


laws = st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any)


@given(laws, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_lockstep_law_equals_enumeration_of_the_batch(weights, batch):
    law = np.array(weights) / sum(weights)
    wanted = np.zeros(law.size)
    for emitted in itertools.product(range(law.size), repeat=batch):
        wanted[min(emitted)] += np.prod(law[list(emitted)])
    np.testing.assert_allclose(lockstep_law(law, batch), wanted, atol=1e-12)
    assert float(lockstep_tokens(law, batch)) == pytest.approx(wanted @ np.arange(law.size))


@given(laws, st.integers(1, 50))
def test_a_ragged_batch_is_never_worse_than_lockstep(weights, batch):
    law = np.array(weights) / sum(weights)
    ragged = float(law @ np.arange(law.size))
    assert float(lockstep_tokens(law, batch)) <= ragged + 1e-12
    assert float(lockstep_tokens(law, 1)) == pytest.approx(ragged, abs=1e-12)


def test_moesd_sigma_is_reproduced():
    assert float(moesd_sigma(0.8, 4)) == pytest.approx(0.67232, abs=5e-6)


@given(st.floats(0, 1), st.integers(0, 12), st.floats(0, 1), st.floats(1, 5), st.floats(0, 1))
def test_moesd_and_magicdec_agree_with_the_plain_formula(alpha, length, draft, verify, rejection):
    tokens = sum(alpha**i for i in range(length + 1))
    plain = tokens / (length * draft + verify)
    assert float(magicdec_speedup(alpha, length, draft, verify, 1.0)) == pytest.approx(plain)
    slower = float(moesd_speedup(alpha, length, draft, 1.0, verify, rejection))
    assert slower == pytest.approx(tokens / (length * draft + verify + rejection))
    assert float(moesd_sigma(alpha, length)) == pytest.approx(tokens / (length + 1))
    assert float(target_efficiency(1.0, verify)) == pytest.approx(1 / verify)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8)), min_size=1, max_size=6),
    st.floats(0.1, 10),
)
def test_goodput_adds_the_requests(requests, time):
    alphas, lengths = zip(*requests, strict=True)
    tokens = sum(sum(a**i for i in range(k + 1)) for a, k in requests)
    assert goodput(alphas, lengths, time) == pytest.approx(tokens / time)


@given(st.floats(0.05, 0.95), gpus, st.floats(0, 0.002))
@settings(max_examples=30, deadline=None)
def test_best_length_beats_every_other_and_is_plain_decoding_in_huge_batches(alpha, gpu, overhead):
    target, draft = ModelSize(parameters=8e9), ModelSize(parameters=5e8)

    def target_time(batch, positions):
        return float(pass_time(target, gpu, batch=batch, positions=positions))

    def draft_time(batch, positions):
        return float(pass_time(draft, gpu, batch=batch, positions=positions))

    batches = [1, 16, 64, 256, 100_000]
    choices = best_lengths(
        alpha,
        batches,
        target_time=target_time,
        draft_time=draft_time,
        max_length=8,
        overhead=overhead,
    )
    for batch, choice in zip(batches, choices, strict=True):
        rates = [
            batch
            * sum(alpha**i for i in range(k + 1))
            / (target_time(batch, k + 1) + k * draft_time(batch, 1) + (overhead if k else 0.0))
            for k in range(9)
        ]
        assert choice.goodput == pytest.approx(max(rates), rel=1e-12)
        assert rates[choice.length] == pytest.approx(max(rates), rel=1e-12)
        assert choice.speedup == pytest.approx(max(rates) / rates[0], rel=1e-12)
    lengths = [choice.length for choice in choices]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 0


def test_named_gpus_balance_where_their_sheets_say():
    assert set(GPUS) == {"A100 80GB SXM", "H100 SXM", "H200", "L40S", "RTX 4090", "B200"}
    for gpu in GPUS.values():
        assert 100 < gpu.peak / gpu.bandwidth < 500  # FLOP per byte
        assert gpu.derated(0.5, 0.25).peak == gpu.peak / 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ModelSize(parameters=0.0), "parameters must be > 0"),
        (lambda: ModelSize(parameters=1.0, active_parameters=2.0), "active_parameters"),
        (lambda: GPU("x", 0.0, 1.0, 1.0), "bandwidth must be > 0"),
        (lambda: GPUS["L40S"].derated(bandwidth=1.5), "bandwidth"),
        (lambda: pass_time(SMALL, UNIT, batch=0), "batch must be finite and >= 1"),
        (lambda: pass_time(SMALL, UNIT, context=-1), "context must be finite and >= 0"),
        (lambda: RooflineCurve(SMALL, UNIT, batch=0), "batch must be"),
        (lambda: lockstep_law([0.5, 0.6], 2), "law must sum to 1"),
        (lambda: lockstep_law([1.0], 0), "batch must be >= 1"),
        (lambda: moesd_sigma(1.2, 4), "alpha must lie in"),
        (lambda: moesd_speedup(0.8, 4, 0.1, 0.0, 1.0), "target_time must be finite and > 0"),
        (lambda: goodput([0.5], [1], 0.0), "batch_time must be > 0"),
        (
            lambda: best_lengths(
                0.5, [1], target_time=lambda b, m: 0.0, draft_time=lambda b, m: 0.0
            ),
            "must take time > 0",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
