"""The exact law of a cycle: kernel, slow twin, enumeration in fractions, published numbers."""

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory.cs_drafting import vertical_ewif, vertical_tokens
from cscalc.theory.horizontal import horizontal_ewif
from cscalc.theory.law import (
    cycle_cost,
    cycle_law,
    cycle_law_slow,
    ewif,
    expected_tokens,
    token_law,
)
from cscalc.theory.speculative import mean_tokens, speculative_ewif
from tests.strategies import LAST, cascades, cases, rates

SIZE = LAST + 1
quarters = st.integers(0, 4).map(lambda i: i / 4)  # exact in binary, so exact as fractions
eighths = st.integers(0, 16).map(lambda i: i / 8)


def enumerated(cascade, profile):
    """Law of a cycle, coin by coin in exact arithmetic: {(accepted, passes, cost): chance}.

    A state holds the model of every token in front of the reviewer, the passes of each model
    and the cost so far; nothing is merged that the process tells apart.
    """

    def add(passes, cost, model, count, price):
        spent = tuple(p + count * (m == model) for m, p in enumerate(passes))
        return spent, cost + price

    def review(reviewer, drafts):
        states = {((), (0,) * SIZE, Fraction(0)): Fraction(1)}
        for segment in drafts:
            calls = call(segment)
            if segment.until is None:
                for _ in range(getattr(segment, "rounds", 1)):
                    states = extend(states, calls, segment.model, limit=None)
            while segment.until and any(len(tokens) < segment.until for tokens, _, _ in states):
                states = extend(states, calls, segment.model, limit=segment.until)
        outcomes = defaultdict(Fraction)
        for (tokens, passes, cost), chance in states.items():
            price = Fraction(profile.pass_cost(reviewer, len(tokens) + 1))
            end = add(passes, cost, reviewer, 1, price)
            kept = chance
            for accepted, model in enumerate(tokens):
                alpha = Fraction(float(profile.alphas[reviewer, model]))
                outcomes[(accepted, *end)] += kept * (1 - alpha)
                kept *= alpha
            outcomes[(len(tokens), *end)] += kept
        return {key: chance for key, chance in outcomes.items() if chance}

    def call(segment):
        """Outcomes of one call: {(tokens added, passes, cost): chance}."""
        if isinstance(segment, Review):
            found = review(segment.model, segment.drafts)
            return {(kept + 1, *spent): chance for (kept, *spent), chance in found.items()}
        count = 1 if segment.model in profile.one_shot else segment.length
        price = count * Fraction(profile.cost(segment.model))
        spent = add((0,) * SIZE, Fraction(0), segment.model, count, price)
        return {(segment.length, *spent): Fraction(1)}

    def extend(states, calls, model, limit):
        ends = defaultdict(Fraction)
        for (tokens, passes, cost), chance in states.items():
            if limit is not None and len(tokens) >= limit:
                ends[tokens, passes, cost] += chance
                continue
            for (added, more, price), likely in calls.items():
                total = tuple(a + b for a, b in zip(passes, more, strict=True))
                ends[tokens + (model,) * added, total, cost + price] += chance * likely
        return ends

    return review(0, cascade.drafts)


@st.composite
def small_cases(draw):
    """A cascade of few tokens, and a profile with numbers that are exact in binary."""
    cascade = draw(cascades())
    assume(cascade.max_length <= 12)
    alphas = np.array(draw(st.lists(quarters, min_size=SIZE**2, max_size=SIZE**2)))
    costs = draw(st.lists(eighths, min_size=LAST, max_size=LAST))
    reviewers = {0, *cascade.reviewers}
    idle = sorted({*range(SIZE)} - reviewers)
    one_shot = draw(st.sets(st.sampled_from(idle))) if idle else set()
    verify = {}
    for model in draw(st.sets(st.sampled_from(sorted(reviewers)))):
        steps = draw(st.lists(eighths, min_size=12, max_size=12))
        verify[model] = np.cumsum([1.0, *steps])
    matrix = np.triu(alphas.reshape(SIZE, SIZE))  # what is below would not be read
    return cascade, Profile(matrix, costs, one_shot=one_shot, verify=verify)


class TestOracles:
    @given(cases())
    @settings(max_examples=300, deadline=None)
    def test_the_kernel_equals_its_slow_twin_over_the_whole_grammar(self, case):
        fast, slow = cycle_law(*case), cycle_law_slow(*case)
        np.testing.assert_allclose(fast.pmf, slow.pmf, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(fast.passes, slow.passes, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(fast.costs, slow.costs, rtol=1e-11, atol=1e-15)

    @given(small_cases())
    @settings(max_examples=100, deadline=None)
    def test_it_equals_the_enumeration_of_all_coins_in_exact_arithmetic(self, case):
        exact = enumerated(*case)
        law = cycle_law(*case)
        pmf, passes = np.zeros(law.pmf.size), np.zeros(SIZE)
        for (accepted, spent, _), chance in exact.items():
            pmf[accepted + 1] += float(chance)
            passes += float(chance) * np.array(spent)
        np.testing.assert_allclose(law.pmf, pmf, atol=1e-13)
        np.testing.assert_allclose(law.passes, passes, atol=1e-12)
        accepted = sum(chance * key[0] for key, chance in exact.items())
        assert law.mean == pytest.approx(1 + float(accepted), abs=1e-12)
        squares = sum(chance * key[0] ** 2 for key, chance in exact.items())
        assert law.variance == pytest.approx(float(squares - accepted**2), abs=1e-11)

    @given(small_cases())
    @settings(max_examples=100, deadline=None)
    def test_a_pass_costs_the_mean_over_the_lengths_that_it_verifies(self, case):
        cascade, profile = case
        exact = sum(chance * key[2] for key, chance in enumerated(*case).items())
        assert cycle_cost(cascade, profile) == pytest.approx(float(exact), rel=1e-12)

    @pytest.mark.parametrize("positions", [(1, 5, 9), (1, 4, 20)])
    def test_the_curve_is_not_read_at_the_mean_length(self, positions):
        # d1 emits 1 to 3 tokens in one round: V at 2, 3, 4 positions, weighted
        verify = [1.0, *(float(v) for v in positions), 30.0]
        profile = Profile([[1, 0.5, 0.5], [0, 1, 0.5], [0, 0, 1]], [0.0, 0.0], verify=verify)
        cost = cycle_cost(Cascade((Review(1, (Draft(2, 2),), rounds=1),)), profile)
        assert cost == pytest.approx(positions[0] / 2 + positions[1] / 4 + positions[2] / 4)


class TestProperties:
    @given(cases())
    @settings(max_examples=200, deadline=None)
    def test_the_pmf_is_a_law_on_1_to_max_length_plus_1(self, case):
        cascade, profile = case
        pmf = token_law(cascade, profile)
        assert pmf.shape == (cascade.max_length + 2,)
        assert pmf[0] == 0.0
        assert (pmf >= 0.0).all()
        assert pmf.sum() == pytest.approx(1.0, abs=1e-12)

    @given(cases())
    @settings(max_examples=100, deadline=None)
    def test_the_short_functions_are_parts_of_the_law(self, case):
        law = cycle_law(*case)
        np.testing.assert_array_equal(token_law(*case), law.pmf)
        assert expected_tokens(*case) == law.mean == law.pmf @ np.arange(law.pmf.size)
        assert cycle_cost(*case) == law.cost == law.costs.sum()
        assert ewif(*case) == law.mean / law.cost

    @given(cases())
    @settings(max_examples=100, deadline=None)
    def test_costs_are_passes_times_prices_where_verification_is_free(self, case):
        cascade, profile = case
        free = Profile(profile.alphas, profile.costs, one_shot=profile.one_shot)
        law = cycle_law(cascade, free)
        np.testing.assert_allclose(law.costs, law.passes * [1.0, *free.costs], atol=1e-12)
        assert law.passes[0] == 1.0

    @given(cases(), st.integers(1, LAST), rates)
    @settings(max_examples=200, deadline=None)
    def test_more_tokens_are_emitted_if_the_target_accepts_more_of_any_draft(
        self, case, draft, raised
    ):
        cascade, profile = case
        alphas = profile.alphas.copy()
        alphas[0, draft] = max(alphas[0, draft], raised)
        better = Profile(alphas, profile.costs, one_shot=profile.one_shot)
        before = np.cumsum(token_law(cascade, profile))
        after = np.cumsum(token_law(cascade, better))
        assert (after <= before + 1e-12).all()  # stochastic order, so every mean too

    @given(
        st.lists(rates, min_size=SIZE**2, max_size=SIZE**2),
        st.sampled_from([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        rates,
        st.lists(st.integers(1, 4), min_size=3, max_size=3),
    )
    @settings(max_examples=200, deadline=None)
    def test_of_a_chain_of_fixed_rounds_the_same_holds_for_every_rate(
        self, drawn, pair, raised, sizes
    ):
        rounds, inner_rounds, length = sizes
        inner = Review(2, (Draft(3, length),), rounds=inner_rounds)
        chain = Cascade((Review(1, (inner,), rounds=rounds),))
        alphas = np.array(drawn).reshape(SIZE, SIZE)
        before = np.cumsum(token_law(chain, Profile(alphas, [0.0] * LAST)))
        alphas[pair] = max(alphas[pair], raised)
        after = np.cumsum(token_law(chain, Profile(alphas, [0.0] * LAST)))
        assert (after <= before + 1e-12).all()

    def test_a_better_inner_draft_can_cost_tokens_where_rounds_stop_at_a_threshold(self):
        cascade = Cascade((Review(1, (Draft(2, 2),), until=3),))

        def tokens(inner):
            return expected_tokens(
                cascade, Profile([[1, 0.9, 0], [0, 1, inner], [0, 0, 1]], [0, 0])
            )

        assert tokens(1.0) == pytest.approx(1 + 0.9 + 0.81 + 0.729)  # one round of 3, always
        assert tokens(0.8) > tokens(1.0)  # some rounds of 2 lead to 4 or 5 tokens

    @given(cases(), st.floats(0.0, 1.0))
    @settings(deadline=None)
    def test_a_quantile_is_the_smallest_number_that_reaches_the_level(self, case, level):
        law = cycle_law(*case)
        tokens = law.quantile(level)
        assert law.pmf[: tokens + 1].sum() >= level - 1e-12
        assert tokens == 0 or law.pmf[:tokens].sum() < level

    @pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
    def test_a_level_outside_0_and_1_is_refused(self, level):
        with pytest.raises(ValueError, match="level must be a finite number in"):
            cycle_law(Cascade(()), Profile([0.5], [0.1])).quantile(level)

    def test_plain_decoding_emits_one_token_for_one_pass(self):
        law = cycle_law(Cascade(()), Profile([0.5], [0.1]))
        assert (law.pmf.tolist(), law.passes.tolist(), law.ewif) == ([0.0, 1.0], [1.0, 0.0], 1.0)

    @pytest.mark.parametrize("alpha", [0.0, 1.0])
    def test_sure_rates_give_sure_outcomes(self, alpha):
        cascade = Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(3, 4)))
        law = cycle_law(cascade, Profile(np.full((4, 4), alpha), [0.1, 0.1, 0.1]))
        assert law.pmf[13 if alpha else 1] == 1.0
        assert law.variance == 0.0


class TestClosedForms:
    """The papers' theorems are computed another way, and agree with the law."""

    @given(rates, st.floats(0.0, 2.0), st.integers(1, 30))
    def test_one_draft_is_theorem_3_8_of_speculative_decoding(self, alpha, cost, length):
        found = ewif(Cascade((Draft(1, length),)), Profile([alpha], [cost]))
        assert found == pytest.approx(float(speculative_ewif(alpha, cost, length)), rel=1e-11)

    @given(
        rates, rates, st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.integers(1, 8),
        st.integers(1, 12), st.booleans(),
    )  # fmt: skip
    @settings(deadline=None)
    def test_fixed_rounds_of_one_review_are_theorem_4_3_of_cs_drafting(
        self, alpha, inner, cost_d1, cost_d2, rounds, length, one_shot
    ):
        profile = Profile(
            [[1, alpha, 0.3], [0, 1, inner], [0, 0, 1]],
            [cost_d1, cost_d2],
            one_shot=(2,) if one_shot else (),
        )
        cascade = Cascade((Review(1, (Draft(2, length),), rounds=rounds),))
        closed = vertical_ewif(alpha, cost_d1, inner, cost_d2, rounds, length, one_shot=one_shot)
        assert ewif(cascade, profile) == pytest.approx(float(closed), rel=1e-11)

    @given(
        st.lists(st.tuples(rates, st.floats(0.0, 2.0), st.integers(1, 8)), min_size=1, max_size=4)
    )
    @settings(deadline=None)
    def test_drafts_one_after_another_are_theorem_4_5_of_cs_drafting(self, segments):
        alphas, costs, lengths = zip(*segments, strict=True)
        cascade = Cascade(tuple(Draft(j, n) for j, n in enumerate(lengths, start=1)))
        found = ewif(cascade, Profile(alphas, costs))
        assert found == pytest.approx(float(horizontal_ewif(alphas, costs, lengths)), rel=1e-11)

    @given(st.lists(rates, min_size=1, max_size=6))
    @settings(deadline=None)
    def test_a_draft_a_token_has_the_mean_of_products_of_rates(self, alphas):
        cascade = Cascade(tuple(Draft(j, 1) for j in range(1, len(alphas) + 1)))
        profile = Profile(alphas, np.zeros(len(alphas)))
        assert expected_tokens(cascade, profile) == pytest.approx(float(mean_tokens(alphas)))


def matrix(size, **pairs):
    """Rates from a01=0.8, ...; those not given stand out if they are read."""
    alphas = np.full((size, size), 0.123)
    for pair, alpha in pairs.items():
        alphas[int(pair[1]), int(pair[2])] = alpha
    return alphas


class TestReferenceValues:
    """Numbers recomputed in double precision apart from this code; agreement to 1e-6."""

    @pytest.mark.parametrize(
        ("alpha", "inner", "rounds", "length", "tokens"),
        [
            (0.8, 0.5, 3, 2, 3.697357),
            (0.9, 0.3, 5, 4, 5.686543),
            (0.6, 0.6, 2, 3, 2.277087),
            (0.7, 0.2, 6, 10, 3.155459),
        ],
    )
    def test_vertical_cascades(self, alpha, inner, rounds, length, tokens):
        cascade = Cascade((Review(1, (Draft(2, length),), rounds=rounds),))
        profile = Profile(matrix(3, a01=alpha, a12=inner), [0.1, 0.01])
        assert expected_tokens(cascade, profile) == pytest.approx(tokens, abs=1e-6)

    def test_a_cascade_of_three_levels(self):
        inner = Review(2, (Draft(3, 4),), rounds=3)
        cascade = Cascade((Review(1, (inner,), rounds=2),))
        profile = Profile(matrix(4, a01=0.8, a12=0.7, a23=0.5), [0.1] * 3)
        assert expected_tokens(cascade, profile) == pytest.approx(3.743148, abs=1e-6)

    def test_a_mixed_cascade(self):
        segments = (
            Review(1, (Draft(3, 5),), rounds=2), Review(2, (Draft(3, 5),), rounds=1), Draft(3, 4)
        )  # fmt: skip
        alphas = matrix(4, a01=0.85, a02=0.7, a03=0.3, a13=0.35, a23=0.4)
        found = expected_tokens(Cascade(segments), Profile(alphas, [0.1] * 3))
        assert found == pytest.approx(3.915049, abs=1e-6)

    def test_a_horizontal_cascade(self):
        cascade = Cascade((Draft(1, 2), Draft(2, 2), Draft(3, 1)))
        found = expected_tokens(cascade, Profile([0.9, 0.7, 0.4], [0.1] * 3))
        assert found == pytest.approx(3.83266, abs=1e-6)

    @pytest.mark.parametrize(
        ("alpha", "inner", "until", "length", "tokens", "rounds", "drafted", "fixed"),
        [
            (0.8, 0.5, 5, 10, 3.907611, 3.000000, 5.997070, (3, 3.814740)),
            (0.75, 0.3, 10, 10, 3.847408, 7.300000, 10.428553, (7, 3.803608)),
            (0.9, 0.6, 8, 4, 6.516903, 3.939968, 9.083990, (4, 6.448285)),
        ],
    )
    def test_rounds_until_a_threshold_are_not_a_fixed_number_of_rounds(
        self, alpha, inner, until, length, tokens, rounds, drafted, fixed
    ):
        alphas = matrix(3, a01=alpha, a12=inner)
        profile = Profile(alphas, [0.1, 0.01], verify=lambda m: float(m))  # cost = length + 1
        draft = (Draft(2, length),)
        law = cycle_law(Cascade((Review(1, draft, until=until),)), profile)
        assert law.mean == pytest.approx(tokens, abs=1e-6)
        assert law.passes[1] == pytest.approx(rounds, abs=1e-6)
        assert law.costs[0] - 1.0 == pytest.approx(drafted, abs=1e-6)
        assert law.passes[2] == pytest.approx(length * rounds, abs=1e-5)
        n, of_fixed = fixed
        found = expected_tokens(Cascade((Review(1, draft, rounds=n),)), profile)
        assert found == pytest.approx(of_fixed, abs=1e-6)
        assert found == pytest.approx(float(vertical_tokens(alpha, inner, n, length)), rel=1e-12)
