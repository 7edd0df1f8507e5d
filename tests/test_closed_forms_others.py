"""Closed forms of chains, parallel variants, SWI, and the published tables."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory import published, swi
from cscalc.theory.chains import (
    capped_length_mean,
    capped_length_variance,
    chain_time,
    cos_alternate_speedup,
    cos_speedup,
    insertion_threshold_before,
    insertion_threshold_behind,
)
from cscalc.theory.parallel import (
    dsi_servers,
    dsi_time,
    dsi_time_per_token,
    lookahead_compression,
    lookahead_tokens,
    memory_bound_speedup,
    osd_relative_gain,
)
from cscalc.theory.speculative import expected_tokens_iid, tokens_pmf_iid

near_one = st.integers(1, 52).map(lambda bits: 1.0 - 2.0**-bits)
rates = st.one_of(st.floats(0.0, 1.0), near_one, st.sampled_from([0.0, 1.0]))
means = st.floats(0.5, 20.0)
times = st.floats(0.0, 2.0)

# ---- Polybasic


def test_insertion_thresholds_of_polybasic_table_1():
    # inputs recovered from the printed thresholds .330 and .117 (the latter a slip, sign lost)
    got = insertion_threshold_before([4.67, 3.77], [4.34, 4.34], [6.26, 3.83])
    np.testing.assert_allclose(got, [0.330030, -0.115671], atol=1e-6)
    assert got[0] > 7.0 / 22.0  # .318 < .330: the insertion pays
    assert got[1] < 0.8  # no cost is below a negative threshold


def test_the_other_threshold_of_polybasic_table_1():
    # Polybasic, arXiv:2510.26527, Table 1, second row: .403 < .461704, printed .461 (cut off, not
    # rounded). Its three mean lengths are not known here; 322 triples of lengths with two
    # decimals between 2 and 13 give the threshold, of which this is one.
    got = float(insertion_threshold_before(3.35, 4.34, 10.8))
    assert got == pytest.approx(0.461704, abs=5e-7)
    assert (np.floor(got * 1000) / 1000, round(got, 3)) == (0.461, 0.462)
    assert got > 0.403  # the insertion pays


@given(means, means, means, times, times, times, means)
def test_theorem_3_2_is_sufficient_where_the_other_term_does_not_rise(
    now, after, new, t_now, t_new, t_next, beta
):
    # chain (i, i + 1), of which i + 1 drafts, becomes (i, new, i + 1): times of Lemma 3.1
    before = float(chain_time(1, [now], [t_now, t_next], beta))
    inserted = float(chain_time(1, [after, new], [t_now, t_new, t_next], beta))
    first = t_new < float(insertion_threshold_before(new, now, after)) * t_now and new >= now
    second = t_new < float(insertion_threshold_behind(beta, new, now)) * t_next and after >= now
    if first or second:
        assert inserted <= before + 1e-9


def test_theorem_3_2_is_not_necessary():
    # first condition fails (T_new / T_i = .5 > .2), yet the chain is faster by its second term
    assert float(insertion_threshold_before(8.0, 4.0, 40 / 9)) == pytest.approx(0.2)
    before = float(chain_time(1, [4.0], [1.0, 1.0], 10))
    inserted = float(chain_time(1, [40 / 9, 8.0], [1.0, 0.5, 1.0], 10))
    assert inserted < before
    assert float(insertion_threshold_behind(10, 8.0, 4.0)) == pytest.approx(10.0)


@given(st.floats(0.0, 1.0), st.integers(1, 30))
def test_capped_length_has_the_moments_of_the_capped_geometric_law(alpha, cap):
    pmf = tokens_pmf_iid(alpha, cap - 1)
    count = np.arange(cap + 1)
    mean = float(capped_length_mean(alpha, cap))
    assert mean == pytest.approx(pmf @ count, rel=1e-12)
    variance = float(capped_length_variance(alpha, cap))
    assert variance == pytest.approx(pmf @ (count - mean) ** 2, rel=1e-9, abs=1e-10)
    assert variance >= 0.0


def test_pinned_capped_moments_and_their_limits():
    assert float(capped_length_mean(0.7, 5)) == pytest.approx(2.7731, abs=1e-6)
    assert float(capped_length_variance(0.7, 5)) == pytest.approx(2.421816, abs=1e-6)
    alpha, cap = 0.7, 5
    printed = alpha * (1 - alpha ** (2 * cap - 1)) - (2 * cap - 1) * alpha**cap * (1 - alpha)
    assert float(capped_length_variance(alpha, cap)) == pytest.approx(printed / (1 - alpha) ** 2)
    np.testing.assert_array_equal(capped_length_variance([0.0, 1.0], 7), [0.0, 0.0])
    tiny = capped_length_variance(1 - 2.0**-50, 10)  # about gap * sum (2 i - 1 - ...) > 0
    assert 0.0 < float(tiny) < 1e-11


# ---- CoS


def test_pinned_cos():
    assert float(cos_speedup(0.8, 0.2, 4)) == pytest.approx(1.968, abs=1e-6)
    assert float(cos_alternate_speedup(0.8, 0.2, 4, 4)) == pytest.approx(2.061836, abs=1e-6)


@given(rates, st.floats(0.0, 2.0), st.integers(1, 20), st.integers(1, 20))
def test_alternate_proposal_never_loses_to_a_single_proposer(alpha, cost, first, second):
    single = float(cos_speedup(alpha, cost, first))
    assert float(cos_alternate_speedup(alpha, cost, first, second)) >= single * (1 - 1e-12)
    tokens = float(sum((Fraction(alpha) ** i for i in range(first)), Fraction(0)))
    assert single == pytest.approx(tokens * (1 + cost) / (1 + cost * first), rel=1e-12)


# ---- lookahead, DSI, OSD, MBSU


@given(rates, st.integers(0, 8), st.integers(1, 6))
def test_lookahead_tokens_equal_exact_arithmetic(alpha, length, guesses):
    miss = sum(((1 - Fraction(alpha) ** i) ** guesses for i in range(1, length + 1)), Fraction(0))
    got = float(lookahead_tokens(alpha, length, guesses))
    assert got == pytest.approx(float(length + 1 - miss), rel=1e-13)
    alone = float(expected_tokens_iid(alpha, length))
    assert float(lookahead_tokens(alpha, length, 1)) == pytest.approx(alone, rel=1e-13)
    assert got >= alone * (1 - 1e-13)
    assert float(lookahead_compression(alpha, length, guesses, 1.0)) == pytest.approx(got)
    assert float(lookahead_compression(alpha, length, guesses, 3.0)) == pytest.approx(
        (2 + got) / 3
    )


def test_pinned_lookahead():
    assert float(lookahead_tokens(0.6, 4, 3)) == pytest.approx(3.532554, abs=1e-6)
    grid = lookahead_tokens(0.6, [[0], [4]], [1, 3])
    assert grid.shape == (2, 2)
    assert grid[0, 1] == 1.0


def dsi_oracle(alpha, cost, length, tokens):
    """Expected time by walking every outcome of every block, in exact arithmetic."""
    memo = {0: Fraction(0)}

    def run(left, kept, paid, chance):
        block = min(length, left - 1 - kept)
        paid += block * cost
        total = Fraction(0)
        for accepted in range(block):
            ends = kept + accepted + 1
            here = chance * alpha**accepted * (1 - alpha)
            total += here * (min(paid + 1, ends) + memo[left - ends])
        full = chance * alpha**block
        if block == 0:
            return full * (min(paid + 1, kept + 1) + memo[left - kept - 1])
        return total + run(left, kept + block, paid, full)

    for left in range(1, tokens + 1):
        memo[left] = run(left, 0, Fraction(0), Fraction(1))
    return memo[tokens]


@given(st.integers(0, 10), st.integers(0, 12), st.integers(1, 5), st.integers(0, 12))
@settings(deadline=None)
def test_dsi_time_equals_the_walk_over_all_outcomes(alpha, cost, length, tokens):
    want = float(dsi_oracle(Fraction(alpha, 10), Fraction(cost, 10), length, tokens))
    assert dsi_time(alpha / 10, cost / 10, length, tokens) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(
    ("alpha", "cost", "length"),
    [(0.8, 0.1, 1), (0.8, 0.3, 4), (0.5, 0.9, 3), (0.6, 0.99, 7), (0.0, 0.2, 2), (0.9, 1.5, 2)],
)
def test_dsi_time_per_token_is_the_slope_of_the_time(alpha, cost, length):
    slope = (dsi_time(alpha, cost, length, 900) - dsi_time(alpha, cost, length, 600)) / 300
    assert float(dsi_time_per_token(alpha, cost, length)) == pytest.approx(slope, rel=1e-9)


def test_dsi_corners():
    got = dsi_time_per_token([[1.0], [0.0]], [0.0, 0.3, 1.0, 2.0], 3)
    np.testing.assert_allclose(got, [[0.0, 0.3, 1.0, 1.0], [1.0] * 4], atol=1e-15)
    # within Monte Carlo error of the authors' simulator: 296.3 for 1000 tokens
    assert dsi_time(0.8, 0.1, 1, 1000) == pytest.approx(296.3, abs=1.0)
    assert dsi_time(0.8, 0.1, 1, 0) == 0.0
    assert (dsi_time_per_token(0.9, np.linspace(0, 2, 50), 4) <= 1.0 + 1e-12).all()


def test_dsi_servers_are_rounded_up_but_not_by_rounding():
    assert dsi_servers(0.1, 10) == 1
    assert dsi_servers(0.1, 3) == 4
    np.testing.assert_array_equal(dsi_servers([0.02, 0.05], 5), [10, 4])
    assert all(dsi_servers(1 / n, 1) == n for n in range(1, 200))


@given(rates, st.integers(0, 30))
def test_osd_gain_is_one_without_training(alpha, length):
    assert float(osd_relative_gain(alpha, alpha, length)) == 1.0
    want = float(expected_tokens_iid(1.0, length)) / float(expected_tokens_iid(alpha, length))
    assert float(osd_relative_gain(alpha, 1.0, length)) == pytest.approx(want)


def test_memory_bound_speedup_has_the_two_printed_forms():
    tau, ratio, length = 3.2, 12.0, 7
    got = float(memory_bound_speedup(tau, ratio, length))
    assert got == pytest.approx(ratio * tau / (ratio + length))
    assert got == pytest.approx(tau / (1 + length / ratio))


# ---- SWI


def test_swi_divides_tokens_by_target_pass_times():
    costs = swi.cost_coefficients(swi.PW_COSTS, "t5-xxl", ["t5-base", "t5-small", "max-gram"])
    assert costs == (0.04, 0.02, 0.0)
    got = swi.swi([100, 90], [40, 30], [[100, 0, 40], [0, 50, 30]], costs)
    np.testing.assert_allclose(got, [100 / 44, 90 / 31])


def test_the_released_cost_table_is_kept_beside_the_corrected_one():
    assert swi.MS_COSTS["llama-7b"] == 7000.0
    assert swi.MS_COSTS_AS_RELEASED["llama-7b"] == 70000.0
    same = {name: cost for name, cost in swi.MS_COSTS.items() if name != "llama-7b"}
    assert all(swi.MS_COSTS_AS_RELEASED[name] == cost for name, cost in same.items())
    (right,) = swi.cost_coefficients(swi.MS_COSTS, "llama-7b", ["llama-160m"])
    (slip,) = swi.cost_coefficients(swi.MS_COSTS_AS_RELEASED, "llama-7b", ["llama-160m"])
    assert right == pytest.approx(10 * slip)


@given(st.floats(0.1, 10.0), st.floats(0.001, 1.0))
def test_speed_and_ewif_convert_both_ways(ewif, seconds):
    speed = swi.tokens_per_second(ewif, seconds)
    assert float(swi.ewif_from_speed(speed, seconds)) == pytest.approx(ewif)


# ---- published data


def test_claims_of_additional_speedup_are_differences():
    rows = {(row.data, row.algorithm, row.drafts): row for row in published.CS_DRAFTING_TABLE_2}
    full = "CSD", ("base", "small", "max-gram")
    gsm8k = rows["GSM8K", *full].pw - rows["GSM8K", "SD", ("base",)].pw
    mmlu = rows["MMLU", *full].pw - rows["MMLU", "SD", ("small",)].pw
    assert gsm8k == pytest.approx(0.44, abs=1e-9)
    assert mmlu == pytest.approx(0.81, abs=1e-9)
    one_draft = rows["MMLU", "CSD", ("base", "max-gram")].pw - rows["MMLU", "SD", ("small",)].pw
    assert one_draft == pytest.approx(0.70, abs=1e-9)


def test_published_tables_are_complete_and_consistent():
    assert len(published.CAS_SPEC_TABLE_1) == 16
    for row in published.CAS_SPEC_TABLE_1:
        tasks = row[2:8]
        assert min(tasks) <= row.overall <= max(tasks)
        assert np.mean(tasks) == pytest.approx(row.overall, abs=0.06)
    figure = published.CAS_SPEC_FIGURE_3
    assert figure["DyTC"] / figure["VC + HC"] == pytest.approx(1.47, abs=0.005)
    assert figure["DyTC"] / figure["tree (SWIFT)"] == pytest.approx(1.48, abs=0.005)
    for setting in published.CS_DRAFTING_K_MATRICES:
        assert len(setting.rows) == len(setting.drafts)
        assert all(entry == 0 for i, row in enumerate(setting.rows) for entry in row[:i])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chain_time(1, [2.0], [1.0], 3), "pass_times needs one entry more"),
        (lambda: chain_time(1, [0.0], [1.0, 1.0], 3), "mean_emitted must be finite and > 0"),
        (lambda: insertion_threshold_before(1, 0, 1), "emitted_now must be finite and > 0"),
        (lambda: capped_length_mean(0.5, 0), "cap must be whole numbers >= 1"),
        (lambda: capped_length_variance(1.5, 3), r"alpha must lie in \[0, 1\]"),
        (lambda: cos_speedup(0.5, 0.1, 0), "length must be whole numbers >= 1"),
        (lambda: lookahead_tokens(0.5, 3, 0), "guesses must be whole numbers >= 1"),
        (lambda: lookahead_compression(0.5, 3, 2, 0.5), "period must be >= 1"),
        (lambda: dsi_servers(0.0, 3), "cost must be > 0"),
        (lambda: dsi_time(0.5, 0.1, 0, 5), "length must be >= 1"),
        (lambda: dsi_time_per_token(0.5, -0.1, 5), "cost must be finite"),
        (lambda: memory_bound_speedup(0.5, 10, 5), "tokens_per_cycle must be finite and >= 1"),
        (lambda: memory_bound_speedup(2.5, 0, 5), "size_ratio must be > 0"),
        (lambda: swi.swi(0, 1, [1], [1]), "tokens and target_passes must be > 0"),
        (lambda: swi.swi(1, 1, [1, 2], [1]), "draft_passes needs one entry per cost"),
        (lambda: swi.cost_coefficients(swi.PW_COSTS, "gpt", []), "no cost for 'gpt'"),
        (lambda: swi.cost_coefficients(swi.PW_COSTS, "max-gram", []), "must cost > 0"),
        (lambda: swi.tokens_per_second(0.0, 1.0), "ewif must be finite and > 0"),
    ],
)
def test_bad_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
