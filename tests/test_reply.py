"""Cycles and time of whole replies, against enumeration of every branch and closed forms."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cscalc.acceptance import (
    BetaMixture,
    ByPosition,
    Conditional,
    Markov,
    Mixture,
    Trace,
    rate_table,
)
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.theory._joint_law import fixed_cost, joint_law, lattice
from cscalc.theory._reply_kernel import reply_pmf
from cscalc.theory._reply_process import time_pmf
from cscalc.theory.law import cycle_law
from cscalc.theory.reply import (
    ReplyLaw,
    mean_reply_times,
    reply_law,
    reply_quantile,
    trace_cycles,
)
from tests.branches import cycle, law_of, marginal, reply
from tests.strategies import cases

seeds = st.integers(0, 2**32)
# a seed has nothing to shrink to, and every further example is an enumeration
enumerated = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
ALPHAS = np.array([[1, 0.8, 0.5, 0.3], [0, 1, 0.7, 0.4], [0, 0, 1, 0.6], [0, 0, 0, 1.0]])
COSTS = [0.25, 0.1, 0.05]
FIXED = [
    Cascade(()),
    Cascade((Draft(1, 2),)),
    Cascade((Draft(1, 1), Draft(2, 2, until=3))),
    Cascade((Review(1, (Draft(2, 1),), rounds=2),)),
    Cascade((Review(1, (Draft(2, 1),), until=1),)),
]
RANDOM = [  # cycles of different costs
    Cascade((Review(1, (Draft(2, 2),), until=3),)),
    Cascade((Review(1, (Draft(2, 1),), until=2), Draft(3, 1))),
    Cascade((Review(1, (Review(2, (Draft(3, 1),), rounds=1),), until=2),)),
]
every = st.sampled_from(FIXED + RANDOM)


def grid(m):
    """Verification cost in twentieths: on a lattice with all costs."""
    return 1.0 + 0.05 * (m - 1)


def conditional(rng):
    return Conditional({(0, 1): rng.random()}, {(0, 1): rng.random()}, {(0, 1): rng.random()})


def rate_of(model, alphas, kind, pair, position):
    if isinstance(model, ByPosition) and pair in model.rates:
        return model.rates[pair][min(position, len(model.rates[pair]) - 1)]
    if isinstance(model, Conditional) and kind != "proposed":
        return getattr(model, kind).get(pair, alphas[pair])
    return alphas[pair]


def cycle_branches(cascade, profile, alphas=None):
    """{(emitted, cost): probability} under a table of rates."""
    alphas = profile.alphas if alphas is None else alphas

    def run(chance):
        def accept(reviewer, draft, kind, position, place):
            pair = reviewer, draft
            return chance.coin(rate_of(profile.acceptance, alphas, kind, pair, position))

        return cycle(cascade, profile, accept)

    return marginal(law_of(run), lambda result: (result[0], result[2]))


def reply_branches(cycles, n_tokens):
    """{(cycles, cost): probability} from independent cycles."""
    outcomes, chances = list(cycles), list(cycles.values())

    def run(chance):
        return reply(lambda t: outcomes[chance.draw(chances)], n_tokens)

    return law_of(run)


def same_law(values, chances, expected, *, tolerance=1e-10):
    found = dict.fromkeys((round(v, 6) for v in expected), 0.0)
    for value, chance in zip(values, chances, strict=True):
        found[round(float(value), 6)] = found.get(round(float(value), 6), 0.0) + chance
    for value, chance in expected.items():
        found[round(value, 6)] -= chance
    assert max(map(abs, found.values())) < tolerance


def check_against(law, branches):
    cycles = marginal(branches, lambda result: result[0])
    same_law(range(law.cycles.size), law.cycles, cycles)
    mean = sum(chance * cost for (_, cost), chance in branches.items())
    assert law.mean == pytest.approx(mean, abs=1e-7)  # costs of branches are rounded
    if law.exact:
        same_law(law.times, law.time_pmf, marginal(branches, lambda result: result[1]))


@given(every, seeds, st.integers(1, 4), st.booleans())
@settings(enumerated, max_examples=60)
def test_replies_are_those_of_every_branch(cascade, seed, n_tokens, verified):
    rng = np.random.default_rng(seed)
    model = ByPosition({(0, 1): rng.random(3)}) if seed % 2 else conditional(rng)
    curves = {0: grid, 1: grid} if verified else None
    profile = Profile(ALPHAS, COSTS, verify=curves, acceptance=model)
    law = reply_law(cascade, profile, n_tokens)
    assert law.exact
    check_against(law, reply_branches(cycle_branches(cascade, profile), n_tokens))


@given(every, seeds, st.booleans())
@settings(enumerated, max_examples=40)
def test_joint_law_of_tokens_and_cost_is_that_of_every_branch(cascade, seed, verified):
    rng = np.random.default_rng(seed)
    profile = Profile(
        ALPHAS, COSTS, verify={0: grid, 1: grid} if verified else None, acceptance=conditional(rng)
    )
    law = cycle_law(cascade, profile)
    step, exact = lattice(cascade, profile, law.cost)
    assert exact
    joint = joint_law(cascade, profile, rate_table(profile.alphas, profile.acceptance), step)
    expected = cycle_branches(cascade, profile)
    for (tokens, cost), chance in expected.items():
        assert joint[tokens, round(cost / step)] == pytest.approx(chance, abs=1e-12)
    np.testing.assert_allclose(joint.sum(axis=1), law.pmf, atol=1e-12)
    spent = {cost for (_, cost), chance in expected.items() if chance > 0.0}
    fixed = fixed_cost(cascade, profile)
    if fixed is None:
        assert len(spent) > 1
    else:
        assert [*spent] == pytest.approx([fixed], abs=1e-9)


@given(st.sampled_from(RANDOM), seeds)
@settings(enumerated, max_examples=25)
def test_costs_off_the_lattice_keep_their_mean_and_nearly_their_law(cascade, seed):
    rng = np.random.default_rng(seed)
    costs = rng.random(3) * 0.5
    profile = Profile(ALPHAS, costs, verify={0: lambda m: m**0.1})
    law = reply_law(cascade, profile, 3)
    assert not law.exact
    branches = reply_branches(cycle_branches(cascade, profile), 3)
    check_against(law, branches)
    times = marginal(branches, lambda result: result[1])
    mean = sum(t * c for t, c in times.items())
    variance = sum((t - mean) ** 2 * c for t, c in times.items())
    assert law.variance > variance - 1e-9
    assert law.variance - variance < 3 * 12 * (cycle_law(cascade, profile).cost / 256) ** 2
    ordered = sorted(times)
    for level in (0.1, 0.5, 0.95):
        reached = np.cumsum([times[t] for t in ordered])
        if np.abs(reached - level).min() < 1e-6:
            continue
        exact = ordered[int(np.searchsorted(reached, level))]
        assert law.quantile(level) == pytest.approx(exact, abs=0.2)


@given(cases(), seeds)
@settings(enumerated, max_examples=25)
def test_joint_laws_have_the_laws_of_tokens_and_mean_cost_as_margins(case, seed):
    cascade, plain = case
    if cascade.max_length > 30:
        return
    model = conditional(np.random.default_rng(seed))
    profile = Profile(
        plain.alphas, plain.costs, one_shot=plain.one_shot, verify=plain.verify, acceptance=model
    )
    law = cycle_law(cascade, profile)
    step, _ = lattice(cascade, profile, law.cost)
    joint = joint_law(cascade, profile, rate_table(profile.alphas, model), step)
    np.testing.assert_allclose(joint.sum(axis=1), law.pmf, atol=1e-11)
    cost = joint.sum(axis=0) @ np.arange(joint.shape[1]) * step
    assert cost == pytest.approx(law.cost, rel=1e-9)


@pytest.mark.parametrize("n_tokens", [1, 2, 7, 60])
@pytest.mark.parametrize("cascade", RANDOM)
def test_fourier_and_direct_sums_give_one_law_of_time(cascade, n_tokens):
    profile = Profile(ALPHAS, COSTS, verify={0: grid})
    law = cycle_law(cascade, profile)
    step, _ = lattice(cascade, profile, law.cost)
    joint = joint_law(cascade, profile, rate_table(ALPHAS, profile.acceptance), step)
    size = n_tokens * (joint.shape[1] - 1) + 1
    tokens, steps = np.nonzero(joint)
    first, after = np.array([0, tokens.size]), np.zeros_like(tokens)
    direct = reply_pmf(
        first, tokens, steps, after, joint[tokens, steps], np.ones(1), 1, n_tokens, size
    )
    np.testing.assert_allclose(time_pmf(joint, n_tokens, size), direct, atol=1e-12)


@pytest.mark.parametrize("cascade", FIXED)
def test_cycles_of_one_cost_make_time_proportional_to_cycles(cascade):
    profile = Profile(ALPHAS, [0.2137, 0.0931, 0.0171])
    law = reply_law(cascade, profile, 40)
    cost = cycle_law(cascade, profile).cost
    assert law.exact
    np.testing.assert_allclose(law.times, np.flatnonzero(law.cycles) * cost, rtol=1e-12)
    for level in (0.0, 0.05, 0.5, 0.95, 1.0):
        assert law.quantile(level) == pytest.approx(law.cycles_quantile(level) * cost, rel=1e-12)
        assert reply_quantile(cascade, profile, 40, level) == law.quantile(level)
    assert law.tokens_per_second(0.05) == pytest.approx(40 / (law.mean * 0.05), rel=1e-14)


def test_first_token_takes_one_cycle_and_plain_decoding_one_pass_a_token():
    profile = Profile([0.8], [0.1])
    assert reply_law(Cascade((Draft(1, 5),)), profile, 1).cycles.tolist() == [0.0, 1.0]
    plain = reply_law(Cascade(()), profile, 7)
    assert plain.quantile(0.0) == plain.quantile(1.0) == plain.mean == 7.0
    assert plain.variance == 0.0


def test_drafts_that_are_always_kept_take_the_fewest_cycles():
    law = reply_law(Cascade((Draft(1, 4),)), Profile([1.0], [0.1]), 11)
    assert law.cycles_quantile(1.0) == law.mean_cycles == 3


def test_cycles_of_a_reply_follow_the_binomial_of_one_proposal():
    # length 1: i cycles hold all N tokens if i + Binomial(i, alpha) >= N
    from scipy.stats import binom

    alpha, n_tokens = 0.7, 60
    law = reply_law(Cascade((Draft(1, 1),)), Profile([alpha], [0.1]), n_tokens)
    done = np.array([binom.sf(n_tokens - i - 1, i, alpha) for i in range(n_tokens + 1)])
    np.testing.assert_allclose(np.cumsum(law.cycles), done, atol=1e-13)


@given(every, seeds, st.integers(1, 30))
@settings(enumerated, max_examples=40)
def test_mean_times_agree_with_the_law_and_with_wald(cascade, seed, n_tokens):
    rng = np.random.default_rng(seed)
    alphas = rng.random((4, 4))
    models = [conditional(rng), Mixture([1, 2], [ALPHAS, alphas]),
              Markov(ALPHAS, alphas, 0.3, 0.2),
              Trace([{(0, 1): rng.random(30), (1, 2): rng.random(30)}])]  # fmt: skip
    for model in models:
        profile = Profile(ALPHAS, COSTS, verify={0: grid, 1: grid}, acceptance=model)
        law = reply_law(cascade, profile, n_tokens)
        times = mean_reply_times(cascade, profile, n_tokens)
        assert times[-1] == pytest.approx(law.mean, rel=1e-9)
        assert (np.diff(times) >= -1e-12).all()
        assert law.cycles.sum() == pytest.approx(1.0, abs=1e-11)
        assert law.time_pmf.sum() == pytest.approx(1.0, abs=1e-9)
        if model is models[0]:
            wald = law.mean_cycles * cycle_law(cascade, profile).cost
            assert times[-1] == pytest.approx(wald, rel=1e-11)


@given(st.sampled_from(FIXED[1:] + RANDOM[:2]), seeds, st.integers(1, 4))
@settings(enumerated, max_examples=25)
def test_a_prompt_of_a_mixture_keeps_its_alphas(cascade, seed, n_tokens):
    rng = np.random.default_rng(seed)
    kinds, weights = [ALPHAS, ALPHAS * rng.random()], np.array([0.25, 0.75])
    profile = Profile(ALPHAS, COSTS, acceptance=Mixture(weights, kinds))
    branches = {}
    for weight, alphas in zip(weights, kinds, strict=True):
        one = reply_branches(cycle_branches(cascade, profile, alphas), n_tokens)
        for result, chance in one.items():
            branches[result] = branches.get(result, 0.0) + weight * chance
    law = reply_law(cascade, profile, n_tokens)
    check_against(law, branches)


def test_long_replies_of_equal_length_weigh_hard_prompts_by_their_cycles():
    profile = Profile([0.7], [0.0], acceptance=Mixture([1, 1], [[0.5], [0.9]]))
    cascade, n_tokens = Cascade((Draft(1, 5),)), 5000
    per_cycle = n_tokens / mean_reply_times(cascade, profile, n_tokens)[-1]
    harmonic = 2 / (1 / 1.96875 + 1 / 4.68559)  # of the two means of tokens per cycle
    assert per_cycle == pytest.approx(harmonic, rel=1e-3)
    assert cycle_law(cascade, profile).mean == pytest.approx(3.32717, abs=1e-5)


@pytest.mark.parametrize("cascade", [FIXED[1], RANDOM[0]])
def test_beta_mixture_of_replies_is_a_fine_discrete_mixture(cascade):
    from scipy.stats import beta

    prompts, n_tokens, concentration = 400, 12, 3.0
    model = BetaMixture(concentration)
    u = ((np.arange(prompts) + 0.5) / prompts)[:, None]
    rows, columns = np.triu_indices(4, 1)
    kinds = np.repeat(np.eye(4)[None], prompts, axis=0)
    spread = ALPHAS[rows, columns]
    kinds[:, rows, columns] = beta.ppf(u, concentration * spread, concentration * (1 - spread))
    law = reply_law(cascade, Profile(ALPHAS, COSTS, acceptance=model), n_tokens)
    parts = [reply_law(cascade, Profile(kind, COSTS), n_tokens) for kind in kinds]
    np.testing.assert_allclose(law.cycles, np.mean([p.cycles for p in parts], axis=0), atol=2e-3)
    assert law.mean == pytest.approx(np.mean([p.mean for p in parts]), rel=1e-3)
    second = np.mean([p.variance + p.mean**2 for p in parts])
    assert law.variance + law.mean**2 == pytest.approx(second, rel=5e-3)


def outcomes_of(cascade, profile, start, rate):
    """{(emitted, cost, difficulty after): probability} of a cycle; rate and draws as given."""

    def run(chance):
        states = []

        def state(place):
            while len(states) <= place:
                states.append(start(chance, states))
            return states[place]

        def accept(reviewer, draft, kind, position, place):
            return chance.coin(rate(state(place), reviewer, draft))

        emitted, _, cost = cycle(cascade, profile, accept)
        return emitted, cost, state(emitted - 1)

    return law_of(run)


@given(st.sampled_from(FIXED[1:4] + RANDOM[:1]), seeds, st.integers(1, 4))
@settings(enumerated, max_examples=15)
def test_markov_difficulty_goes_on_from_cycle_to_cycle(cascade, seed, n_tokens):
    rng = np.random.default_rng(seed)
    model = Markov(ALPHAS, ALPHAS * rng.random(), *rng.random(2))
    profile = Profile(ALPHAS, COSTS, acceptance=model)
    laws = [
        outcomes_of(
            cascade,
            profile,
            lambda chance, states, b=before: chance.draw(model.steps[states[-1] if states else b]),
            lambda state, i, j: model.state_alphas[state, i, j],
        )
        for before in range(2)
    ]

    def run(chance):
        state = chance.draw(model.stationary)  # of the last token that is out

        def run_cycle(t):
            nonlocal state
            outcomes = list(laws[state])
            emitted, cost, state = outcomes[chance.draw(list(laws[state].values()))]
            return emitted, cost

        return reply(run_cycle, n_tokens)

    check_against(reply_law(cascade, profile, n_tokens), law_of(run))


@given(st.sampled_from(FIXED[1:] + RANDOM[:1]), seeds, st.integers(1, 3))
@settings(enumerated, max_examples=15)
def test_a_trace_is_replayed_from_its_start(cascade, seed, n_tokens):
    rng = np.random.default_rng(seed)
    pairs = [(0, 1), (0, 2), (1, 2)]
    model = Trace([{pair: rng.random(length) for pair in pairs} for length in (3, 5)])
    profile = Profile(ALPHAS, COSTS, acceptance=model)
    branches = {}
    for text, length in enumerate(model.lengths):
        overlaps = model.overlaps(text, profile.alphas)
        laws = [
            outcomes_of(
                cascade,
                profile,
                lambda chance, states, t=t: t + len(states),
                lambda place, i, j, o=overlaps, last=length - 1: o[min(place, last), i, j],
            )
            for t in range(n_tokens)
        ]

        def run(chance, laws=laws):
            def run_cycle(done):
                outcomes = list(laws[done])
                return outcomes[chance.draw(list(laws[done].values()))][:2]

            return reply(run_cycle, n_tokens)

        for result, chance in law_of(run).items():
            branches[result] = branches.get(result, 0.0) + chance / 2
    check_against(reply_law(cascade, profile, n_tokens), branches)


def test_a_whole_trace_takes_its_expected_cycles():
    rng = np.random.default_rng(3)
    model = Trace([{(0, 1): rng.random(50)}])
    profile = Profile([0.7], [0.0], acceptance=model)
    cascade = Cascade((Draft(1, 4),))
    law = reply_law(cascade, profile, 50)
    assert law.mean_cycles == pytest.approx(trace_cycles(cascade, profile)[0], rel=1e-12)


@pytest.mark.parametrize("cascade", [FIXED[1], RANDOM[0]])
def test_long_replies_approach_the_ewif_and_the_normal_law(cascade):
    profile, n_tokens = Profile(ALPHAS, COSTS), 300
    one = cycle_law(cascade, profile)
    law = reply_law(cascade, profile, n_tokens)
    assert n_tokens / law.mean == pytest.approx(one.ewif, rel=5e-3)
    spread = law.quantile(0.975) - law.quantile(0.025)
    assert spread == pytest.approx(2 * 1.96 * law.variance**0.5, rel=0.08)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda c, p: reply_law(c, p, 0), ValueError, "n_tokens must be >= 1, got 0"),
        (lambda c, p: reply_law(c, p, 2.0), TypeError, "n_tokens must be an int"),
        (lambda c, p: mean_reply_times(c, p, 0), ValueError, "n_tokens must be >= 1"),
        (lambda c, p: reply_quantile(c, p, 3, 1.5), ValueError, "level must be a finite number"),
        (lambda c, p: reply_law(c, p, 3).tokens_per_second(0.0), ValueError, "target_seconds"),
        (lambda c, p: trace_cycles(c, p), ValueError, "acceptance must be a Trace"),
        (lambda c, p: reply_law(Cascade((Draft(2, 1),)), p, 3), ValueError, "uses model 2"),
        (lambda c, p: reply_law(c, Profile([0.8], [0.1], acceptance=Trace([{(0, 1): [0.5]}])), 2),
         ValueError, "n_tokens must be <= 1, the length of the shortest text"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(Cascade((Draft(1, 2),)), Profile([0.8], [0.1]))


def test_a_reply_law_is_frozen():
    law = reply_law(Cascade(()), Profile([0.8], [0.1]), 2)
    assert isinstance(law, ReplyLaw)
    with pytest.raises(AttributeError):
        law.exact = False
