"""Laws under tables of rates, against enumeration of every branch; what holds under all models."""

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
    rate_table,
)
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory.cs_drafting import (
    conditional_rates,
    correlated_vertical_tokens,
    vertical_tokens,
)
from cscalc.theory.law import cycle_law, cycle_law_slow, expected_tokens, token_law
from cscalc.theory.speculative import mean_tokens
from tests.branches import cycle, law_of
from tests.laws import (
    LAST,
    agree,
    compare,
    enumerated,
    markov_model,
    profile_of,
    random_alphas,
    random_texts,
    rates,
    seeds,
    small,
    table_model,
)
from tests.strategies import cases

# ---- tables of rates: by position, conditional


@given(small, seeds)
@settings(enumerated, max_examples=60)
def test_laws_of_rate_tables_are_those_of_every_branch(cascade, seed):
    rng = np.random.default_rng(seed)
    model = table_model(rng)
    profile = profile_of(rng, model)

    def accept(chance):
        def coin(reviewer, draft, kind, position, place):
            pair = reviewer, draft
            rate = profile.alphas[pair]
            if isinstance(model, ByPosition) and pair in model.rates:
                known = model.rates[pair]
                rate = known[position] if position < len(known) else known[-1]
            elif isinstance(model, Conditional) and kind != "proposed":
                rate = getattr(model, kind).get(pair, rate)
            return chance.coin(rate)

        return coin

    law = cycle_law(cascade, profile)
    compare(law, law_of(lambda chance: cycle(cascade, profile, accept(chance))))
    agree(law, cycle_law_slow(cascade, profile), 1e-12)


@given(st.lists(rates, min_size=1, max_size=8), st.integers(1, 12))
def test_by_position_on_one_draft_is_the_sum_of_products(along, length):
    profile = Profile([0.3], [0.1], acceptance=ByPosition({(0, 1): along}))
    positions = [along[min(t, len(along) - 1)] for t in range(length)]
    found = expected_tokens(Cascade((Draft(1, length),)), profile)
    assert found == pytest.approx(float(mean_tokens(positions)), rel=1e-13)


def test_by_position_positions_run_through_all_segments_in_front_of_a_reviewer():
    along = [0.9, 0.8, 0.7, 0.6, 0.5]
    profile = Profile(
        [0.3, 0.2], [0.1, 0.1], acceptance=ByPosition({(0, 1): along, (0, 2): along})
    )
    cascade = Cascade((Draft(1, 2), Draft(2, 3)))
    assert expected_tokens(cascade, profile) == pytest.approx(float(mean_tokens(along)), rel=1e-13)


EXAMPLE_B = ([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4])


def vertical(rounds, length):
    return Cascade((Review(1, (Draft(2, length),), rounds=rounds),))


def conditional_profile(found):
    alphas = np.eye(3)
    alphas[0, 1], alphas[1, 2] = found.alpha, found.alpha_inner
    kept, corrected = float(found.alpha_accepted), float(found.alpha_corrected)
    model = Conditional({(0, 1): kept}, {(0, 1): corrected})
    return Profile(alphas, [0.1, 0.01], acceptance=model)


@pytest.mark.parametrize(
    ("rounds", "length", "exact", "printed"),
    [(1, 2, 2.568, 2.639680), (2, 2, 3.521344, 3.607222), (2, 3, 3.724004, 3.843725)],
)
def test_correlated_acceptance_where_theorem_4_3_is_off(rounds, length, exact, printed):
    found = conditional_rates(*EXAMPLE_B)
    profile = conditional_profile(found)
    assert expected_tokens(vertical(rounds, length), profile) == pytest.approx(exact, abs=5e-7)
    closed = correlated_vertical_tokens(
        found.alpha_inner, found.alpha_accepted, found.alpha_corrected, rounds, length
    )
    assert expected_tokens(vertical(rounds, length), profile) == pytest.approx(
        float(closed), abs=1e-12
    )
    independent = Profile(profile.alphas, profile.costs)
    tokens = expected_tokens(vertical(rounds, length), independent)
    assert tokens == pytest.approx(printed, abs=1e-6)
    closed = vertical_tokens(found.alpha, found.alpha_inner, rounds, length)
    assert tokens == pytest.approx(float(closed), rel=1e-13)


@pytest.mark.parametrize(
    ("rounds", "length", "refined", "printed"),
    [(2, 3, 2.848100, 2.786793), (3, 5, 3.246377, 3.187533)],
)
def test_difficulty_shared_by_two_pairs_of_models(rounds, length, refined, printed):
    # difficulty d is uniform at each place; the target's rate is .98 - .5 d, the inner .9 - .8 d
    inner, target, both = 0.5, 0.73, 0.98 * 0.9 - (0.98 * 0.8 + 0.5 * 0.9) / 2 + 0.5 * 0.8 / 3
    kept, corrected = both / inner, (target - both) / (1 - inner)
    assert (kept, corrected) == pytest.approx((0.796667, 0.663333), abs=1e-6)
    alphas = np.array([[1, target, 0], [0, 1, inner], [0, 0, 1]])
    model = Conditional({(0, 1): kept}, {(0, 1): corrected})
    cascade = vertical(rounds, length)
    found = expected_tokens(cascade, Profile(alphas, [0.1, 0.01], acceptance=model))
    assert found == pytest.approx(refined, abs=1e-6)
    assert expected_tokens(cascade, Profile(alphas, [0.1, 0.01])) == pytest.approx(
        printed, abs=1e-6
    )


def lossless_vertical(target, reviewer, draft, rounds, length):
    """Run one cycle of lossless sampling with real tokens: how many are emitted."""

    def check(chance, proposals, law, proposer):
        """Accepted tokens and one more, as the reviewer's law wants them."""
        out = []
        for token in proposals:
            if not chance.coin(min(1.0, law[token] / proposer[token])):
                rest = np.maximum(law - proposer, 0.0)
                return [*out, chance.draw(rest / rest.sum())]
            out.append(token)
        return [*out, chance.draw(law)]

    def proposals(chance):
        while True:
            yield chance.draw(draft)

    def run(chance):
        held = []
        for _ in range(rounds):
            lazily = (next(proposals(chance)) for _ in range(length))  # no draw after a rejection
            held += check(chance, lazily, reviewer, draft)
        accepted = 0
        for token in held:
            if not chance.coin(min(1.0, target[token] / reviewer[token])):
                break
            accepted += 1
        return accepted + 1

    return run


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("rounds", "length"), [(1, 2), (2, 1)])
def test_conditional_acceptance_is_exact_for_lossless_sampling(seed, rounds, length):
    rng = np.random.default_rng(seed)
    laws = EXAMPLE_B if seed == 0 else rng.dirichlet([1.0] * 3, size=3)
    laws = [np.array(law) for law in laws]
    branches = law_of(lossless_vertical(*laws, rounds, length))
    pmf = token_law(vertical(rounds, length), conditional_profile(conditional_rates(*laws)))
    for tokens, chance in branches.items():
        assert pmf[tokens] == pytest.approx(chance, abs=1e-12)
    assert sum(branches.values()) == pytest.approx(1.0, abs=1e-12)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 4),
       st.integers(1, 4))  # fmt: skip
def test_conditional_mean_is_the_refined_formula(inner, kept, corrected, rounds, length):
    alpha = min(1.0, inner * kept + (1.0 - inner) * corrected)
    alphas = np.array([[1, alpha, 0], [0, 1, inner], [0, 0, 1]])
    model = Conditional({(0, 1): kept}, {(0, 1): corrected})
    found = expected_tokens(
        vertical(rounds, length), Profile(alphas, [0.1, 0.1], acceptance=model)
    )
    closed = correlated_vertical_tokens(inner, kept, corrected, rounds, length)
    assert found == pytest.approx(float(closed), rel=1e-12)


def test_the_printed_vertical_theorem_is_off_by_percents_on_lossless_instances():
    rng = np.random.default_rng(2312)
    errors = []
    for _ in range(200):
        target, noise, other = rng.dirichlet([1.0] * 5, size=3)
        reviewer = 0.6 * target + 0.4 * noise  # each model resembles the one above it
        draft = 0.6 * reviewer + 0.4 * other
        profile = conditional_profile(conditional_rates(target, reviewer, draft))
        exact = expected_tokens(vertical(3, 4), profile)
        printed = expected_tokens(vertical(3, 4), Profile(profile.alphas, profile.costs))
        errors.append(printed / exact - 1.0)
    assert -0.04 < min(errors) < -0.01  # below the truth: accepted tokens are likelier kept
    assert max(errors) > 0.01  # and above it, where corrections are


# ---- all models


@given(cases(), seeds)
@settings(enumerated, max_examples=40)
def test_fast_and_slow_laws_are_equal_on_the_whole_grammar(case, seed):
    cascade, plain = case
    rng = np.random.default_rng(seed)
    models = [table_model(rng), Mixture(rng.random(2) + 0.01, rng.random((2, LAST + 1, LAST + 1)))]
    if cascade.max_length <= 40:
        models.append(Trace(random_texts(rng, 1, 3)))
    for model in models:
        profile = Profile(
            plain.alphas, plain.costs, one_shot=plain.one_shot, verify=plain.verify,
            acceptance=model,
        )  # fmt: skip
        agree(cycle_law(cascade, profile), cycle_law_slow(cascade, profile), 1e-9)


@given(cases(), seeds)
@settings(enumerated, max_examples=25)
def test_a_chain_of_equal_states_is_independent_on_the_whole_grammar(case, seed):
    cascade, plain = case
    steps = np.random.default_rng(seed).random(2)
    profile = Profile(
        plain.alphas, plain.costs, one_shot=plain.one_shot, verify=plain.verify,
        acceptance=Markov(plain.alphas, plain.alphas, *steps),
    )  # fmt: skip
    agree(cycle_law(cascade, profile), cycle_law(cascade, plain), 1e-9)


def test_reviewers_see_the_kind_of_the_token_that_the_inner_review_made():
    # the target takes what model 1 corrected and nothing else
    model = Conditional({(0, 1): 0.0}, {(0, 1): 1.0}, {(0, 1): 0.0})
    alphas = np.array([[1, 0.5, 0.5], [0, 1, 0.25], [0, 0, 1]])
    profile = Profile(alphas, [0.1, 0.1], acceptance=model)
    pmf = token_law(Cascade((Review(1, (Draft(2, 1),), rounds=2),)), profile)
    assert pmf[:4].tolist() == [0.0, 0.25, 0.75 * 0.25, 0.75 * 0.75]


@given(small, seeds)
@settings(enumerated, max_examples=20)
def test_laws_under_every_model_sum_to_one_and_fit_their_bounds(cascade, seed):
    rng = np.random.default_rng(seed)
    models = [Independent(), table_model(rng), markov_model(rng), BetaMixture(rng.random() + 0.1),
              Trace(random_texts(rng, 1, 6)), Mixture([1], random_alphas(rng)[None])]  # fmt: skip
    for model in models:
        law = cycle_law(cascade, profile_of(rng, model))
        assert law.pmf.sum() == pytest.approx(1.0, abs=1e-11)
        assert (law.pmf >= -1e-15).all()
        assert 1.0 - 1e-11 <= law.mean <= cascade.max_length + 1 + 1e-11
        assert law.passes[0] == pytest.approx(1.0, abs=1e-11)


def test_simulated_cycles_meet_the_law_of_a_rate_table():
    from cscalc.simulate import simulate

    rng = np.random.default_rng(7)
    model = Conditional({(0, 1): 0.9, (1, 2): 0.3}, {(0, 1): 0.4}, {(0, 1): 0.6})
    alphas = np.array([[1, 0.8, 0.5], [0, 1, 0.7], [0, 0, 1]])
    profile = Profile(alphas, [0.2, 0.01], acceptance=model)
    cascade, n_cycles = Cascade((Review(1, (Draft(2, 3),), until=4),)), 200_000
    law = cycle_law(cascade, profile)
    plain = Profile(alphas, [0.2, 0.01])
    tally = simulate(cascade, plain, n_cycles, rng=rng, rates=rate_table(alphas, model))
    sigma = (law.variance / n_cycles) ** 0.5
    assert abs(tally.tokens / n_cycles - law.mean) < 5 * sigma  # false alarm 6e-7, seed fixed
