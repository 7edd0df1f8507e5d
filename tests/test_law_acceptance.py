"""Laws under every acceptance model, against enumeration of every branch, token by token."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cscalc.acceptance import (
    Acceptance,
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
from cscalc.theory._law_markov import markov_moves, watched
from cscalc.theory._law_mixture import average
from cscalc.theory._law_slow import markov_moves as markov_moves_slow
from cscalc.theory.cs_drafting import (
    conditional_rates,
    correlated_vertical_tokens,
    vertical_tokens,
)
from cscalc.theory.law import (
    cycle_law,
    cycle_law_slow,
    ewif,
    expected_tokens,
    token_law,
)
from cscalc.theory.reply import trace_cycles
from cscalc.theory.speculative import expected_tokens_iid, mean_tokens
from tests.branches import cycle, law_of, marginal
from tests.strategies import cases

rates = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
seeds = st.integers(0, 2**32)
# a seed has nothing to shrink to, and every further example is an enumeration
enumerated = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
LAST = 3
KINDS = ("proposed", "kept", "corrected", "bonus")
SMALL = [  # every rule of the grammar, few enough tokens to enumerate
    Cascade(()),
    Cascade((Draft(1, 3),)),
    Cascade((Draft(1, 1), Draft(2, 2, until=3))),
    Cascade((Review(1, (Draft(2, 2),), rounds=2),)),
    Cascade((Review(1, (Draft(2, 2),), until=3), Draft(3, 1))),
    Cascade((Review(1, (Draft(2, 1), Draft(3, 1)), until=2),)),
    Cascade((Review(1, (Review(2, (Draft(3, 1),), rounds=1),), until=2),)),
]
small = st.sampled_from(SMALL)


def random_alphas(rng):
    alphas = rng.random((LAST + 1, LAST + 1))
    alphas[rng.random(alphas.shape) < 0.1] = 1.0
    alphas[rng.random(alphas.shape) < 0.1] = 0.0
    return alphas


def random_texts(rng, n_texts, length):
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    return [
        {pair: random_alphas(rng)[0, :1].repeat(length) * rng.random(length) for pair in pairs[k:]}
        for k in range(n_texts)
    ]


def table_model(rng):
    """ByPosition or Conditional on some pairs."""
    pairs = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    pairs = [pair for pair in pairs if rng.random() < 0.7]
    if rng.random() < 0.5:
        return ByPosition({pair: rng.random(rng.integers(1, 5)) for pair in pairs})
    tables = [{pair: rng.random() for pair in pairs} for _ in range(3)]
    return Conditional(tables[0], tables[1], tables[2] if rng.random() < 0.5 else None)


def markov_model(rng):
    to_easy, to_hard = rng.choice([0.0, 1.0, rng.random()], 2)
    return Markov(random_alphas(rng), random_alphas(rng), max(to_easy, 0.01), to_hard)


def profile_of(rng, model: Acceptance | None = None, *, curves=True):
    slope = rng.random() * 0.2
    return Profile(
        random_alphas(rng),
        rng.random(LAST),
        one_shot=[3],
        verify={0: lambda m: 1 + slope * (m - 1), 1: lambda m: m**0.5} if curves else None,
        acceptance=Independent() if model is None else model,
    )


def agree(law, other, tolerance):
    for name in ("pmf", "passes", "costs"):
        np.testing.assert_allclose(
            getattr(law, name), getattr(other, name), rtol=tolerance, atol=tolerance
        )


def compare(law, branches):
    """Check a cycle's law against {(emitted, passes, cost): probability}."""
    emitted = marginal(branches, lambda result: result[0])
    for tokens, chance in enumerate(law.pmf):
        assert chance == pytest.approx(emitted.get(tokens, 0.0), abs=1e-12)
    passes = sum(chance * np.array(result[1]) for result, chance in branches.items())
    np.testing.assert_allclose(law.passes, passes, atol=1e-9)
    cost = sum(chance * result[2] for result, chance in branches.items())
    assert law.cost == pytest.approx(cost, abs=1e-8)  # costs of branches are rounded to 1e-9


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
