"""Simulation against exact laws, in sigmas; and the same check against planted errors.

False alarm of one check with a new seed: 1e-6 (`Agreement.holds`); seeds are fixed. N cycles
resolve an error of 5 sigma: at N = 200,000 and a spread of 2 tokens, 0.022 tokens a cycle.
"""

import numpy as np
import pytest

from cscalc.acceptance import ByPosition, Conditional
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.simulate import Stream, Tally, agreement, simulate
from cscalc.simulate.programs import experiment_of
from cscalc.theory.law import cycle_law

N = 200_000
PROFILE = Profile(
    [[1, 0.8, 0.6, 0.35], [0, 1, 0.75, 0.5], [0, 0, 1, 0.65], [0, 0, 0, 1]],
    [0.3, 0.1, 0.02],
    one_shot=[3],
    verify={0: 1.0 + 0.04 * np.arange(80), 1: 1.0 + 0.02 * np.arange(80)},
)
CASCADES = [
    Cascade(()),
    Cascade((Draft(1, 1),)),
    Cascade((Draft(1, 6),)),
    Cascade((Draft(3, 4, until=10),)),
    Cascade((Draft(1, 2), Draft(2, 2), Draft(3, 8))),
    Cascade((Review(1, (Draft(2, 4),), rounds=1),)),
    Cascade((Review(1, (Draft(2, 3),), rounds=3), Draft(3, 6))),
    Cascade((Review(1, (Draft(3, 10),), until=8),)),
    Cascade((Review(2, (Draft(3, 10),), until=4), Draft(3, 5, until=9))),
    Cascade((Draft(2, 1), Review(1, (Draft(2, 2), Draft(3, 3)), rounds=2), Draft(1, 1))),
    Cascade((Review(1, (Review(2, (Draft(3, 4),), until=5), Draft(3, 3)), rounds=2),)),
    Cascade.from_k_matrix([[7, 5, 4], [0, 4, 3], [0, 0, 4]]),
]
rng = np.random.default_rng


def check(tally, cascade, profile=PROFILE):
    law = cycle_law(cascade, profile)
    return agreement(tally, law.pmf, law.cost)


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
def test_tokens_lengths_and_cost_agree(cascade):
    found = check(simulate(cascade, PROFILE, N, rng=rng([2312, 11462])), cascade)
    assert found.holds(), found


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("model", [1, 2, 3])
def test_passes_of_each_model_agree(cascade, model):
    # where one model alone has a price, cost minus verification counts its passes
    costs = [float(model == j) for j in (1, 2, 3)]
    profile = Profile(PROFILE.alphas, costs, one_shot=[3])
    tally = simulate(cascade, profile, N // 4, rng=rng([2510, 26843]))
    assert tally.cost == pytest.approx(tally.passes[0] + tally.passes[model])
    assert abs(check(tally, cascade, profile).z_cost) < 5.0  # false alarm 6e-7


@pytest.mark.parametrize("seed", range(12))
def test_random_profiles_agree(seed):
    draw = rng([4, seed])
    profile = Profile(draw.uniform(0.05, 0.95, (4, 4)), draw.uniform(0.0, 0.5, 3))
    cascade = CASCADES[seed]
    found = check(simulate(cascade, profile, N, rng=draw), cascade, profile)
    assert found.holds(), found


def test_zs_spread_as_they_should():
    # 300 independent z: their mean square is 1 +- 0.08; 4 sigma, false alarm 6e-5
    cascade = CASCADES[10]
    zs = []
    for stream in rng(31).spawn(300):
        found = check(simulate(cascade, PROFILE, 5000, rng=stream), cascade)
        zs.append([found.z_tokens, found.z_cost, found.z_ewif])
    np.testing.assert_allclose(np.mean(np.square(zs), axis=0), 1.0, atol=0.33)


def test_rates_by_position_give_the_product_law():
    by_position = np.array([0.9, 0.7, 0.5, 0.2])
    rates = np.zeros((4, 2, 2, 4))
    rates[0, 0, 1] = by_position
    profile, cascade = Profile([0.5], [0.1]), Cascade((Draft(1, 6),))
    survive = np.cumprod([*by_position, 0.2, 0.2])  # the last entry serves all later positions
    pmf = np.concatenate([[0.0], -np.diff([1.0, *survive, 0.0])])
    found = agreement(simulate(cascade, profile, N, rng=rng(41), rates=rates), pmf, 1.6)
    assert found.holds(), found


def test_rates_by_inner_outcome_give_the_mixture_law():
    # one review over 3 proposals: it emits a kept tokens and a correction (a < 3) or a bonus
    inner, kept, corrected, bonus = 0.7, 0.9, 0.4, 0.6
    rates = np.zeros((4, 3, 3, 1))
    rates[0, 1, 2], rates[1, 0, 1], rates[2, 0, 1], rates[3, 0, 1] = inner, kept, corrected, bonus
    pmf = np.zeros(6)
    for a in range(4):
        weight = inner**a * (1 - inner if a < 3 else 1)
        last = bonus if a == 3 else corrected
        for i in range(a):
            pmf[i + 1] += weight * kept**i * (1 - kept)
        pmf[a + 1] += weight * kept**a * (1 - last)
        pmf[a + 2] += weight * kept**a * last
    cascade = Cascade((Review(1, (Draft(2, 3),), rounds=1),))
    tally = simulate(cascade, Profile([0.5, 0.5], [0.2, 0.1]), N, rng=rng(42), rates=rates)
    found = agreement(tally, pmf, 1.5)
    assert found.holds(), found


ACCEPTANCE = [
    ByPosition({(0, 1): [0.9, 0.8, 0.7, 0.5], (1, 2): [0.8, 0.6], (0, 3): [0.5, 0.2]}),
    Conditional(
        kept={(0, 1): 0.85, (0, 2): 0.7, (1, 2): 0.9}, corrected={(0, 1): 0.6}, bonus={(0, 1): 0.7}
    ),
]


@pytest.mark.parametrize("acceptance", ACCEPTANCE, ids=lambda model: model.kind)
@pytest.mark.parametrize("cascade", CASCADES[6:], ids=str)
def test_acceptance_by_position_and_by_inner_outcome_agree(cascade, acceptance):
    profile = Profile(PROFILE.alphas, PROFILE.costs, one_shot=[3], acceptance=acceptance)
    found = check(simulate(cascade, profile, N, rng=rng(43)), cascade, profile)
    assert found.holds(), found


def coin_by_coin(cascade, profile, n_cycles, generator, bug=None):
    """A third simulator, a coin a token and no tables, with room for a planted error."""
    counts, passes = np.zeros(cascade.max_length + 2, dtype=int), np.zeros(4, dtype=int)
    cost = 0.0

    def review(reviewer, drafts):
        nonlocal cost
        held = []
        for segment in drafts:
            calls = getattr(segment, "rounds", None) or 1
            while len(held) < segment.until if segment.until else calls > 0:
                calls -= 1
                if isinstance(segment, Review):
                    n = review(segment.model, segment.drafts)
                else:
                    n = segment.length
                    times = 1 if segment.model in profile.one_shot else n
                    passes[segment.model] += times
                    cost += times * profile.cost(segment.model)
                held += [profile.alphas[reviewer, segment.model]] * n
        passes[reviewer] += 1
        if not (bug == "verification is free" and reviewer == 0):
            positions = 1 if bug == "verification is flat" else len(held) + 1
            cost += profile.pass_cost(reviewer, positions)
        coins = generator.random(len(held)) < held
        accepted = len(held) if coins.all() else int(np.argmin(coins))
        if bug == "accepts after a rejection":
            accepted = int(coins.sum())
        if bug == "accepts after an inner rejection" and reviewer:
            accepted = int(coins.sum())
        no_bonus = accepted == len(held) and accepted > 0
        dropped = (bug == "no bonus" and not reviewer) or (bug == "no inner bonus" and reviewer)
        return accepted + (0 if dropped and no_bonus else 1)

    sums = np.zeros(3)
    for _ in range(n_cycles):
        cost = 0.0
        tokens = review(0, cascade.drafts)
        counts[tokens] += 1
        sums += cost, cost * cost, cost * tokens
    stream = Stream.of(generator, n_cycles)
    return Tally.of(experiment_of(cascade, profile), counts, passes, sums, stream)


REFERENCE = [CASCADES[2], CASCADES[6], CASCADES[8]]


@pytest.mark.parametrize("cascade", REFERENCE, ids=str)
def test_one_coin_a_token_follows_the_same_law(cascade):
    found = check(coin_by_coin(cascade, PROFILE, 10_000, rng(51)), cascade)
    assert found.holds(), found


@pytest.mark.parametrize(
    ("bug", "cascade"),
    [
        ("no bonus", REFERENCE[0]),
        ("no bonus", CASCADES[5]),
        ("no inner bonus", REFERENCE[1]),
        ("verification is free", REFERENCE[0]),
        ("verification is free", REFERENCE[2]),
        ("verification is flat", REFERENCE[2]),
        ("accepts after a rejection", REFERENCE[0]),
        ("accepts after a rejection", REFERENCE[2]),
        ("accepts after an inner rejection", REFERENCE[1]),
    ],
    ids=str,
)
def test_a_planted_error_is_caught(bug, cascade):
    found = check(coin_by_coin(cascade, PROFILE, 5000, rng(52), bug), cascade)
    assert not found.holds(), found


def test_an_acceptance_rate_off_by_a_hundredth_is_caught():
    other = Profile([0.81], [0.3])
    cascade = Cascade((Draft(1, 6),))
    tally = simulate(cascade, other, N, rng=rng(53))
    assert not check(tally, cascade, Profile([0.8], [0.3])).holds()
