"""Closed forms of cascades: CS Drafting, NeurIPS 2024, arXiv:2312.11462."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory import published
from cscalc.theory.cs_drafting import (
    conditional_rates,
    correlated_vertical_tokens,
    horizontal_ewif,
    horizontal_gradient,
    horizontal_tokens,
    review_pgf,
    vertical_beats_reviewer_alone,
    vertical_ewif,
    vertical_tokens,
)
from cscalc.theory.lenience import Lenience
from cscalc.theory.speculative import expected_tokens_iid, optimal_length, speculative_ewif

near_one = st.integers(1, 52).map(lambda bits: 1.0 - 2.0**-bits)
rates = st.one_of(st.floats(0.0, 1.0), near_one, st.sampled_from([0.0, 1.0]))
small = st.integers(0, 5)
weights = st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any)
exact_laws = weights.map(lambda w: [Fraction(x, sum(w)) for x in w])  # (4,), zeros allowed
tenths = st.integers(0, 10).map(lambda i: Fraction(i, 10))


def round_pmf(alpha, length):
    """Tokens of one review round, index = tokens, in exact arithmetic."""
    stop = [alpha**i * (1 - alpha) for i in range(length)]
    return [Fraction(0), *stop, alpha**length]


def vertical_oracle(alpha, inner, rounds, length):
    """Mean tokens by convolving the law of the draft's length, round by round."""
    law = [Fraction(1)]
    for _ in range(rounds):
        one = round_pmf(inner, length)
        total = [Fraction(0)] * (len(law) + len(one) - 1)
        for i, p in enumerate(law):
            for j, q in enumerate(one):
                total[i + j] += p * q
        law = total
    return sum(p * sum(alpha**i for i in range(n + 1)) for n, p in enumerate(law))


# ---- pgf, Theorem 4.1


@given(rates, rates, st.integers(0, 12))
def test_pgf_equals_the_power_series_of_the_pmf(x, alpha, length):
    pmf = round_pmf(Fraction(alpha), length)
    want = float(sum(p * Fraction(x) ** n for n, p in enumerate(pmf)))
    assert float(review_pgf(x, alpha, length)) == pytest.approx(want, rel=1e-13)


def test_pgf_at_pinned_points_and_the_slip_of_printed_eq_6():
    x, alpha, length = 0.6, 0.7, 5
    assert float(review_pgf(x, alpha, length)) == pytest.approx(0.314130367, abs=5e-10)
    assert float(review_pgf(0.5, 0.8, 3)) == pytest.approx(0.188, abs=1e-12)
    printed = x + (x - 1) * (1 - (alpha * x) ** (length + 1)) / (1 - alpha * x)
    assert printed == pytest.approx(-0.0859, abs=5e-5)  # a pgf cannot be negative
    theorem = 1 + (x - 1) * (1 - (alpha * x) ** (length + 1)) / (1 - alpha * x)
    assert float(review_pgf(x, alpha, length)) == pytest.approx(theorem, rel=1e-13)


@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_corollary_4_4_a_round_of_review_beats_one_token(length):
    grid = np.linspace(0.0125, 0.9875, 40)
    alpha, inner = grid[:, None], grid
    assert (review_pgf(alpha, inner, length) < alpha).all()
    proof_term = expected_tokens_iid(alpha * inner, length)
    assert (proof_term > 1.0).all()  # the paper's proof says < 1: a slip
    assert vertical_beats_reviewer_alone(alpha, 0.1, inner, 0.0, 3, length).all()


def test_a_dear_second_draft_does_not_beat_the_reviewer_alone():
    assert not vertical_beats_reviewer_alone(0.8, 0.1, 0.5, 0.5, 3, 2)
    assert not vertical_beats_reviewer_alone(0.8, 0.1, 0.0, 0.0, 3, 2)  # equal, so no gain


# ---- vertical, Theorem 4.3


@given(tenths, tenths, st.integers(0, 3), st.integers(0, 4))
@settings(deadline=None)
def test_vertical_tokens_equal_exact_convolution(alpha, inner, rounds, length):
    want = float(vertical_oracle(alpha, inner, rounds, length))
    got = float(vertical_tokens(float(alpha), float(inner), rounds, length))
    assert got == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("bits", [1, 10, 20, 30, 40, 52])
def test_vertical_tokens_keep_their_digits_near_alpha_one(bits):
    near = 1 - Fraction(1, 2**bits)
    for alpha, inner in [(near, Fraction(1, 2)), (near, near), (Fraction(1), near)]:
        want = float(vertical_oracle(alpha, inner, 4, 3))
        got = float(vertical_tokens(float(alpha), float(inner), 4, 3))
        assert got == pytest.approx(want, rel=1e-13)


@given(rates, rates, st.integers(0, 50), st.integers(0, 50))
def test_vertical_special_cases(alpha, inner, rounds, length):
    tokens = float(vertical_tokens(alpha, inner, rounds, length))
    alone = float(expected_tokens_iid(alpha, rounds))
    assert float(vertical_tokens(alpha, inner, rounds, 0)) == pytest.approx(alone, rel=1e-12)
    assert float(vertical_tokens(alpha, 0.0, rounds, length)) == pytest.approx(alone, rel=1e-12)
    assert float(vertical_tokens(0.0, inner, rounds, length)) == 1.0
    full = float(expected_tokens_iid(alpha, rounds * (length + 1)))
    assert float(vertical_tokens(alpha, 1.0, rounds, length)) == pytest.approx(full, rel=1e-12)
    assert alone * (1 - 1e-12) <= tokens <= full * (1 + 1e-12)
    one = 1 + alpha * float(expected_tokens_iid(alpha * inner, length))
    assert float(vertical_tokens(alpha, inner, 1, length)) == pytest.approx(one, rel=1e-12)


@given(rates, rates, rates, st.integers(1, 20), st.integers(1, 20))
def test_vertical_tokens_rise_with_both_rates(alpha, first, second, rounds, length):
    low, high = sorted((first, second))
    slack = 1 + 1e-12
    few, many = (float(vertical_tokens(alpha, rate, rounds, length)) for rate in (low, high))
    assert few <= many * slack
    few, many = (float(vertical_tokens(rate, alpha, rounds, length)) for rate in (low, high))
    assert few <= many * slack


@pytest.mark.parametrize(
    ("alpha", "inner", "rounds", "length", "tokens"),
    [
        (0.8, 0.5, 3, 2, 3.697357),
        (0.9, 0.3, 5, 4, 5.686543),
        (0.6, 0.6, 2, 3, 2.277087),
        (0.7, 0.2, 6, 10, 3.155459),
        (0.8, 0.5, 3, 10, 3.814740),  # the fixed-round rows beside the until rule
        (0.75, 0.3, 7, 10, 3.803608),
        (0.9, 0.6, 4, 4, 6.448285),
    ],
)
def test_pinned_vertical_tokens(alpha, inner, rounds, length, tokens):
    got = float(vertical_tokens(alpha, inner, rounds, length))
    assert got == pytest.approx(tokens, abs=1e-6)
    phi = float(review_pgf(alpha, inner, length))
    printed = (1 - alpha * phi**rounds) / (1 - alpha)
    assert got == pytest.approx(printed, rel=1e-12)


def test_pinned_vertical_ewif():
    got = [vertical_ewif(0.8, 0.1, 0.5, 0.01, 3, 2), vertical_ewif(0.9, 0.2, 0.3, 0.01, 5, 4)]
    np.testing.assert_allclose(got, [2.718645, 2.584792], atol=1e-6)


@given(st.integers(0, 6), st.integers(0, 6), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_one_shot_draft_costs_one_pass_per_round(rounds, length, dear, cheap):
    tokens = float(vertical_tokens(0.8, 0.5, rounds, length))
    per_token = vertical_ewif(0.8, dear, 0.5, cheap, rounds, length)
    assert float(per_token) == pytest.approx(tokens / (1 + rounds * (dear + length * cheap)))
    one_shot = vertical_ewif(0.8, dear, 0.5, cheap, rounds, length, one_shot=True)
    calls = rounds * (dear + (cheap if length else 0.0))
    assert float(one_shot) == pytest.approx(tokens / (1 + calls))


# ---- correlated acceptance


def enumerated_tokens(target, reviewer, draft, rounds, length):
    """Mean tokens of a lossless vertical cycle by enumerating every token, exactly."""
    vocab = range(len(target))

    def ratio(top, bottom):
        return min(Fraction(1), top / bottom) if bottom else Fraction(0)

    reject = [d * (1 - ratio(r, d)) for r, d in zip(reviewer, draft, strict=True)]
    excess = [max(Fraction(0), r - d) for r, d in zip(reviewer, draft, strict=True)]
    total = sum(excess)
    after = Fraction(0)  # mean accepted tokens from here on, all before accepted
    for _ in range(rounds):
        value = sum(reviewer[x] * ratio(target[x], reviewer[x]) * (1 + after) for x in vocab)
        for _ in range(length):
            keep = sum(
                draft[x]
                * ratio(reviewer[x], draft[x])
                * ratio(target[x], reviewer[x])
                * (1 + value)
                for x in vocab
            )
            fix = sum(
                sum(reject) * excess[y] / total * ratio(target[y], reviewer[y]) * (1 + after)
                for y in vocab
                if total
            )
            value = keep + fix
        after = value
    return 1 + after


@given(exact_laws, exact_laws, exact_laws, st.integers(0, 3), st.integers(0, 4))
@settings(deadline=None)
def test_refined_vertical_form_equals_complete_enumeration(p, q1, q2, rounds, length):
    as_arrays = (np.array([float(x) for x in law]) for law in (p, q1, q2))
    found = conditional_rates(*as_arrays)
    got = correlated_vertical_tokens(
        found.alpha_inner, found.alpha_accepted, found.alpha_corrected, rounds, length
    )
    want = float(enumerated_tokens(p, q1, q2, rounds, length))
    assert float(got) == pytest.approx(want, rel=1e-11)


@given(exact_laws, exact_laws, exact_laws)
def test_the_conditional_rates_mix_to_the_marginal_one(p, q1, q2):
    laws = (np.array([float(x) for x in law]) for law in (p, q1, q2))
    found = conditional_rates(*laws)
    mixed = (
        found.alpha_inner * found.alpha_accepted + (1 - found.alpha_inner) * found.alpha_corrected
    )
    assert float(mixed) == pytest.approx(float(found.alpha), abs=1e-12)


@given(rates, rates, st.integers(0, 30), st.integers(0, 30))
def test_equal_conditional_rates_give_theorem_4_3(alpha, inner, rounds, length):
    got = float(correlated_vertical_tokens(inner, alpha, alpha, rounds, length))
    want = float(vertical_tokens(alpha, inner, rounds, length))
    assert got == pytest.approx(want, rel=1e-11)


def test_rates_of_equal_laws_do_not_round_above_one():
    law = np.array([3, 4, 3, 3]) / 13
    assert law.sum() > 1.0  # by rounding: the rates must stay valid arguments
    found = conditional_rates(law, law, law)
    assert (found.alpha, found.alpha_inner, found.alpha_accepted) == (1.0, 1.0, 1.0)
    assert found.alpha_corrected == 0.0
    assert Lenience.cs_drafting(1.0).alpha(law, law) == 1.0


def test_pinned_correlated_example():
    found = conditional_rates([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4])
    np.testing.assert_allclose(
        [found.alpha, found.alpha_inner, found.alpha_accepted, found.alpha_corrected],
        [0.8, 0.8, 0.75, 1.0],
        atol=1e-12,
    )
    rounds, lengths = np.array([1, 2, 2]), np.array([2, 2, 3])
    exact = correlated_vertical_tokens(0.8, 0.75, 1.0, rounds, lengths)
    np.testing.assert_allclose(exact, [2.568, 3.521344, 3.724004], atol=1e-6)
    theorem = vertical_tokens(0.8, 0.8, rounds, lengths)
    np.testing.assert_allclose(theorem, [2.639680, 3.607222, 3.843725], atol=1e-6)


def test_pinned_shared_difficulty():
    # difficulty d ~ U(0, 1): target rate .98 - .5 d, inner rate .9 - .8 d
    inner = Fraction(9, 10) - Fraction(8, 10) / 2
    both = Fraction(882, 1000) - Fraction(1234, 1000) / 2 + Fraction(4, 10) / 3
    alpha = Fraction(98, 100) - Fraction(1, 4)
    accepted, corrected = both / inner, (alpha - both) / (1 - inner)
    assert float(accepted) == pytest.approx(0.796667, abs=1e-6)
    assert float(corrected) == pytest.approx(0.663333, abs=1e-6)
    got = correlated_vertical_tokens(0.5, float(accepted), float(corrected), [2, 3], [3, 5])
    np.testing.assert_allclose(got, [2.848100, 3.246377], atol=1e-6)
    theorem = vertical_tokens(0.73, 0.5, [2, 3], [3, 5])
    np.testing.assert_allclose(theorem, [2.786793, 3.187533], atol=1e-6)


# ---- horizontal, Theorem 4.5 and Corollary 4.6

segments = st.lists(st.tuples(rates, st.floats(0.0, 1.0), small), min_size=1, max_size=4)


@given(segments)
def test_horizontal_tokens_equal_the_tail_sum_in_exact_arithmetic(parts):
    survive, want = Fraction(1), Fraction(1)
    for alpha, _, length in parts:
        for _ in range(length):
            survive *= Fraction(alpha)
            want += survive
    alphas, _, lengths = zip(*parts, strict=True)
    assert float(horizontal_tokens(alphas, lengths)) == pytest.approx(float(want), rel=1e-13)


@given(segments)
def test_splitting_segments_into_single_tokens_changes_nothing(parts):
    alphas, costs, lengths = (list(column) for column in zip(*parts, strict=True))
    per_token = [np.repeat(column, lengths) for column in (alphas, costs)]
    if sum(lengths):
        want = float(horizontal_ewif(*per_token, np.ones(sum(lengths))))
        assert float(horizontal_ewif(alphas, costs, lengths)) == pytest.approx(want, rel=1e-12)


@given(segments)
def test_gradient_equals_the_exact_product_rule(parts):
    alphas, costs, lengths = zip(*parts, strict=True)
    tokens = [s for s, length in enumerate(lengths) for _ in range(length)]  # segment of each
    slopes = [Fraction(0)] * len(parts)
    for last in range(len(tokens)):
        for leave in range(last + 1):
            term = Fraction(1)
            for other in range(last + 1):
                if other != leave:
                    term *= Fraction(alphas[tokens[other]])
            slopes[tokens[leave]] += term
    time = 1 + sum(Fraction(c) * n for c, n in zip(costs, lengths, strict=True))
    got = horizontal_gradient(alphas, costs, lengths)
    np.testing.assert_allclose(got, [float(s / time) for s in slopes], rtol=1e-12, atol=1e-300)


def test_gradient_equals_finite_differences():
    alphas, costs, lengths = np.array([0.9, 0.6, 0.3]), [0.3, 0.1, 0.01], [3, 2, 7]
    step = 1e-6 * np.eye(3)
    upper = horizontal_ewif(alphas + step, costs, lengths)
    lower = horizontal_ewif(alphas - step, costs, lengths)
    gradient = horizontal_gradient(alphas, costs, lengths)
    np.testing.assert_allclose(gradient, (upper - lower) / 2e-6, rtol=1e-8)


@given(rates, st.floats(0.0, 1.0), st.integers(0, 30))
def test_one_segment_is_speculative_decoding(alpha, cost, length):
    want = float(speculative_ewif(alpha, cost, length))
    assert float(horizontal_ewif([alpha], [cost], [length])) == pytest.approx(want, rel=1e-13)


def test_pinned_horizontal_values():
    tokens = horizontal_tokens([0.9, 0.9, 0.7, 0.7, 0.4], np.ones(5))
    assert float(tokens) == pytest.approx(3.83266, abs=1e-6)
    args = [0.9, 0.8, 0.6], [0.1, 0.1, 0.05], [1, 1, 1]
    assert float(horizontal_ewif(*args)) == pytest.approx(2.4416, abs=1e-6)
    np.testing.assert_allclose(horizontal_gradient(*args), [1.824, 1.152, 0.576], atol=1e-6)


def test_horizontal_arrays_broadcast_and_keep_the_segments_last():
    lengths = np.stack(np.meshgrid(range(4), range(5), indexing="ij"), axis=-1)  # (4, 5, 2)
    ewif = horizontal_ewif([0.9, 0.8], [0.4, 0.3], lengths)
    assert ewif.shape == (4, 5)
    assert horizontal_gradient([0.9, 0.8], [0.4, 0.3], lengths).shape == (4, 5, 2)
    one = float(horizontal_ewif([0.9, 0.8], [0.4, 0.3], [3, 4]))
    assert ewif[3, 4] == pytest.approx(one, rel=1e-15)


def test_a_one_shot_segment_costs_one_pass_if_called():
    tokens = float(horizontal_tokens([0.9, 0.3], [2, 10]))
    got = horizontal_ewif([0.9, 0.3], [0.2, 0.05], [2, 10], one_shot=[False, True])
    assert float(got) == pytest.approx(tokens / (1 + 0.4 + 0.05))
    idle = horizontal_ewif([0.9, 0.3], [0.2, 0.05], [2, 0], one_shot=[False, True])
    assert float(idle) == pytest.approx(float(speculative_ewif(0.9, 0.2, 2)))


# ---- CS Drafting Table 1

CALC = (2.6558, 2.9615, 3.0259, 3.6098, 3.7450, 3.9257)
BEST = ((9,), (8,), (5, 5), (12,), (11,), (5, 8))


@pytest.mark.parametrize(
    ("row", "calc", "best"), list(zip(published.CS_DRAFTING_TABLE_1, CALC, BEST, strict=True))
)
def test_cs_drafting_table_1(row, calc, best):
    alphas = [published.CS_DRAFTING_TABLE_1_ALPHAS[row.data][draft] for draft in row.drafts]
    costs = [published.CS_DRAFTING_TABLE_1_COSTS[draft] for draft in row.drafts]
    ewif = float(horizontal_ewif(alphas, costs, row.lengths))
    assert ewif == pytest.approx(calc, abs=5e-5)
    assert ewif == pytest.approx(row.ewif, abs=0.006)
    if len(best) == 1:
        assert optimal_length(alphas[0], costs[0]) == best[0]
        return
    grid = np.stack(np.meshgrid(range(40), range(40), indexing="ij"), axis=-1)
    table = horizontal_ewif(alphas, costs, grid)
    assert np.unravel_index(table.argmax(), table.shape) == best
    assert table.max() == pytest.approx(3.0432 if row.data == "CNNDM" else 3.9257, abs=5e-5)


# ---- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: review_pgf(1.5, 0.5, 3), r"x must lie in \[0, 1\]"),
        (lambda: vertical_tokens(0.8, np.nan, 3, 2), r"alpha_inner must lie in \[0, 1\]"),
        (lambda: vertical_tokens(0.8, 0.5, -1, 2), "rounds must be whole numbers >= 0"),
        (lambda: vertical_ewif(0.8, -0.1, 0.5, 0.01, 3, 2), "cost_d1 must be finite"),
        (lambda: vertical_ewif(0.8, 0.1, 0.5, np.inf, 3, 2), "cost_d2 must be finite"),
        (lambda: vertical_ewif(0.8, 0.1, 0.5, 0.01, 3, 1.5), "length must be whole numbers"),
        (lambda: horizontal_ewif(0.8, [0.1], [1]), "alphas needs an axis of segments"),
        (lambda: horizontal_ewif([0.8], 0.1, [1]), "costs needs an axis of segments"),
        (lambda: horizontal_ewif([0.8, 0.7], [0.1], [1, 1]), "1 in costs, 2 in lengths"),
        (lambda: horizontal_tokens([0.8, 0.7], [1]), "2 in alphas, 1 in lengths"),
        (lambda: horizontal_tokens([0.8, 1.2], [1, 1]), r"alphas must lie in \[0, 1\]"),
        (lambda: conditional_rates([0.5, 0.5], [0.5, 0.6], [1, 0]), "reviewer must sum to 1"),
    ],
)
def test_bad_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
