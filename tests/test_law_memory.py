"""Laws under mixtures, chains of difficulty and traces, against enumeration of every branch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture, Markov, Mixture, Trace
from cscalc.cascade import Cascade, Draft
from cscalc.profile import Profile
from cscalc.theory._law_markov import markov_moves, watched
from cscalc.theory._law_mixture import average
from cscalc.theory._law_slow import markov_moves as markov_moves_slow
from cscalc.theory.law import cycle_law, cycle_law_slow, ewif, expected_tokens, token_law
from cscalc.theory.reply import trace_cycles
from cscalc.theory.speculative import expected_tokens_iid
from tests.branches import cycle, law_of, marginal
from tests.laws import (
    SMALL,
    agree,
    enumerated,
    markov_model,
    profile_of,
    random_alphas,
    random_texts,
    seeds,
    small,
)

# ---- mixtures


def test_persistent_difficulty_beats_its_mean_alpha():
    profile = Profile([0.7], [0.1], acceptance=Mixture([1, 1], [[0.5], [0.9]]))
    cascade = Cascade((Draft(1, 5),))
    assert expected_tokens(cascade, profile) == pytest.approx(3.32717, abs=1e-5)
    assert expected_tokens(cascade, Profile([0.7], [0.1])) == pytest.approx(2.94117, abs=1e-5)
    spread = Profile([0.7], [0.1], acceptance=BetaMixture(5.0))
    assert 2.94117 < expected_tokens(cascade, spread) < 3.7  # Jensen, at most .7 * 6 + .3


@given(small, seeds)
@settings(enumerated, max_examples=30)
def test_mixture_law_is_the_weighted_sum(cascade, seed):
    rng = np.random.default_rng(seed)
    weights, alphas = rng.random(3) + 0.01, [random_alphas(rng) for _ in range(3)]
    profile = profile_of(rng, Mixture(weights, alphas))
    law = cycle_law(cascade, profile)
    agree(law, cycle_law_slow(cascade, profile), 1e-12)
    shares = weights / weights.sum()
    curves = {model: profile.verify[model] for model in profile.verify}
    parts = [cycle_law(cascade, Profile(a, profile.costs, one_shot=[3], verify=curves))
             for a in alphas]  # fmt: skip
    np.testing.assert_allclose(law.pmf, sum(w * p.pmf for w, p in zip(shares, parts, strict=True)),
                               atol=1e-14)  # fmt: skip


@pytest.mark.parametrize("concentration", [0.05, 0.7, 2.0, 40.0])
@pytest.mark.parametrize("alpha", [0.02, 0.6, 0.99])
def test_beta_mixture_of_one_draft_has_beta_moments(alpha, concentration):
    # E[alpha^i] = B(a + i, b) / B(a, b), by products
    a, total = concentration * alpha, concentration
    moments = np.cumprod([1.0] + [(a + i) / (total + i) for i in range(9)])
    profile = Profile([alpha], [0.1], acceptance=BetaMixture(concentration))
    pmf = token_law(Cascade((Draft(1, 9),)), profile)
    np.testing.assert_allclose(pmf[1:10], moments[:-1] - moments[1:], atol=1e-11)
    assert pmf[10] == pytest.approx(moments[-1], abs=1e-11)


@pytest.mark.parametrize("concentration", [0.3, 3.0, 100.0])
@pytest.mark.parametrize("cascade", SMALL[3:])
def test_beta_mixture_is_a_fine_discrete_mixture_of_quantiles(cascade, concentration):
    from scipy.stats import beta

    alphas = np.array([[1, 0.8, 0.5, 0.3], [0, 1, 0.7, 0.4], [0, 0, 1, 0.6], [0, 0, 0, 1.0]])
    costs = [0.3, 0.1, 0.01]
    law = cycle_law(cascade, Profile(alphas, costs, acceptance=BetaMixture(concentration)))
    prompts = 2000  # midpoints of u: one kind of prompt each
    u = ((np.arange(prompts) + 0.5) / prompts)[:, None]
    rows, columns = np.triu_indices(4, 1)
    kinds = np.repeat(np.eye(4)[None], prompts, axis=0)
    spread = alphas[rows, columns]
    kinds[:, rows, columns] = beta.ppf(u, concentration * spread, concentration * (1 - spread))
    discrete = Profile(alphas, costs, acceptance=Mixture(np.ones(prompts), kinds))
    fine = cycle_law(cascade, discrete)
    np.testing.assert_allclose(law.pmf, fine.pmf, atol=2e-3)
    assert law.mean == pytest.approx(fine.mean, abs=5e-3)
    agree(law, cycle_law_slow(cascade, Profile(
        alphas, costs, acceptance=BetaMixture(concentration))), 1e-7)  # fmt: skip


@given(small, seeds)
@settings(enumerated, max_examples=15)
def test_beta_mixture_tends_to_independence_and_to_all_or_nothing(cascade, seed):
    rng = np.random.default_rng(seed)
    plain = profile_of(rng, curves=False)
    near = Profile(plain.alphas, plain.costs, one_shot=[3], acceptance=BetaMixture(1e6))
    np.testing.assert_allclose(token_law(cascade, near), token_law(cascade, plain), atol=1e-4)


def test_the_average_over_prompts_refuses_what_is_no_mixture():
    with pytest.raises(ValueError, match="'independent' is not a mixture"):
        average(lambda alphas: alphas, Cascade(()), Profile([0.8], [0.1]))


# ---- Markov


@given(small, seeds)
@settings(enumerated, max_examples=40)
def test_markov_with_equal_states_is_independent(cascade, seed):
    rng = np.random.default_rng(seed)
    plain = profile_of(rng)
    model = Markov(plain.alphas, plain.alphas, max(0.01, rng.random()), rng.random())
    curves = dict(plain.verify)
    chained = Profile(plain.alphas, plain.costs, one_shot=[3], verify=curves, acceptance=model)
    agree(cycle_law(cascade, chained), cycle_law(cascade, plain), 1e-12)


@given(small, seeds)
@settings(enumerated, max_examples=25)
def test_fast_and_slow_markov_laws_are_equal(cascade, seed):
    rng = np.random.default_rng(seed)
    profile = profile_of(rng, markov_model(rng))
    agree(cycle_law(cascade, profile), cycle_law_slow(cascade, profile), 1e-10)
    fast = markov_moves(cascade, profile, profile.acceptance)
    tokens, passes, costs = markov_moves_slow(cascade, profile, profile.acceptance)
    np.testing.assert_allclose(fast.tokens, tokens.transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_allclose(fast.passes, passes, atol=1e-12)
    np.testing.assert_allclose(fast.costs, costs, atol=1e-12)


@given(st.sampled_from(SMALL[:6]), seeds)
@settings(enumerated, max_examples=12)
def test_markov_laws_are_those_of_every_branch(cascade, seed):
    rng = np.random.default_rng(seed)
    model = markov_model(rng)
    profile = profile_of(rng, model)
    found = markov_moves(cascade, profile, model)
    for before in range(2):

        def run(chance, before=before):
            states = []  # difficulty of each place, drawn as far as anyone looks

            def state(place):
                while len(states) <= place:
                    last = states[-1] if states else before
                    states.append(chance.draw(model.steps[last]))
                return states[place]

            def accept(reviewer, draft, kind, position, place):
                return chance.coin(model.state_alphas[state(place), reviewer, draft])

            emitted, passes, cost = cycle(cascade, profile, accept)
            return emitted, state(emitted - 1), passes, cost

        branches = law_of(run)
        for (tokens, after), chance in marginal(branches, lambda r: r[:2]).items():
            assert found.tokens[tokens, before, after] == pytest.approx(chance, abs=1e-12)
        assert found.tokens[:, before].sum() == pytest.approx(1.0, abs=1e-12)
        cost = sum(chance * result[3] for result, chance in branches.items())
        assert found.costs[before].sum() == pytest.approx(cost, abs=1e-8)


def test_markov_law_is_that_of_the_cycles_of_a_long_text():
    model = Markov([0.95], [0.2], to_easy=0.1, to_hard=0.05)
    profile = Profile(model.mean_alphas, [0.1], acceptance=model)
    cascade = Cascade((Draft(1, 4),))
    moves = markov_moves(cascade, profile, model)
    state = model.stationary
    for _ in range(2000):  # cycle by cycle
        state = state @ moves.tokens.sum(axis=0)
    np.testing.assert_allclose(token_law(cascade, profile), state @ moves.tokens.sum(axis=2).T,
                               atol=1e-12)  # fmt: skip
    assert state[1] > model.stationary[1]  # short cycles end in hard places, and are many
    assert model.mean_alphas[0, 1] == pytest.approx(0.7)  # at a random token
    assert expected_tokens(cascade, profile) < float(expected_tokens_iid(0.7, 4))


def test_cycles_that_never_leave_their_state_start_as_random_tokens_do():
    model = Markov([1.0], [1.0], to_easy=1.0, to_hard=1.0)  # easy and hard in turn, two a cycle
    profile = Profile([1.0], [0.1], acceptance=model)
    moves = markov_moves(Cascade((Draft(1, 1),)), profile, model)
    assert watched(moves.tokens, model.stationary).tolist() == [0.5, 0.5]
    agree(*[f(Cascade((Draft(1, 1),)), profile) for f in (cycle_law, cycle_law_slow)], 1e-12)


# ---- traces


@given(small, seeds, st.integers(1, 2), st.integers(1, 5))
@settings(enumerated, max_examples=40)
def test_fast_and_slow_trace_laws_are_equal(cascade, seed, n_texts, length):
    rng = np.random.default_rng(seed)
    profile = profile_of(rng, Trace(random_texts(rng, n_texts, length)))
    agree(cycle_law(cascade, profile), cycle_law_slow(cascade, profile), 1e-11)


@given(st.sampled_from(SMALL[1:6]), seeds)
@settings(enumerated, max_examples=10)
def test_trace_cycles_are_those_of_every_branch(cascade, seed):
    rng = np.random.default_rng(seed)
    length = 2 if cascade.max_length > 3 else 3
    model = Trace(random_texts(rng, 2, length))
    profile = profile_of(rng, model)
    cycles = trace_cycles(cascade, profile)
    total = np.zeros(2)  # cycles, cost
    for text in range(2):
        overlaps = model.overlaps(text, profile.alphas)

        def run(chance, overlaps=overlaps):
            done, cycles, cost = 0, 0, 0.0
            while done < length:

                def accept(reviewer, draft, kind, position, place, done=done):
                    return chance.coin(overlaps[min(done + place, length - 1), reviewer, draft])

                emitted, _, spent = cycle(cascade, profile, accept)
                done, cycles, cost = done + emitted, cycles + 1, cost + spent
            return cycles, round(cost, 8)

        branches = law_of(run)
        means = sum(chance * np.array(result) for result, chance in branches.items())
        assert cycles[text] == pytest.approx(means[0], abs=1e-11)
        total += means
    law = cycle_law(cascade, profile)
    assert law.mean == pytest.approx(2 * length / total[0], abs=1e-11)
    assert law.cost == pytest.approx(total[1] / total[0], abs=1e-7)


def test_a_constant_trace_is_independent_up_to_the_end_of_the_text():
    length = 4000
    profile = Profile([0.8], [0.1], acceptance=Trace([{(0, 1): np.full(length, 0.8)}]))
    cascade = Cascade((Draft(1, 4),))
    assert ewif(cascade, profile) == pytest.approx(ewif(cascade, Profile([0.8], [0.1])), rel=1e-3)
    assert trace_cycles(cascade, profile)[0] == pytest.approx(length / 3.3616, rel=1e-3)
