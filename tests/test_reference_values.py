"""Reference values of the papers and of our own derivations, where no other test has them.

The rest: rates and lengths of one draft (test_closed_forms), vertical and horizontal cascades
and CS Drafting's Table 1 (test_closed_forms_cascades), effective bounds and CAS-Spec's examples
(test_closed_forms_bounds, test_trees), nested cascades and rounds until a threshold (test_law,
test_cascade), correlated acceptance (test_law_acceptance), one token (test_deferral,
test_multi_draft), blocks, trees, chains (test_block, test_trees, test_closed_forms_others).
Here the same numbers come from the exact law, the optimiser or a simulation instead.
"""

from fractions import Fraction

import numpy as np
import pytest

from cscalc.acceptance import Conditional
from cscalc.cascade import Cascade, Draft, Review
from cscalc.optimize import optimal_config
from cscalc.profile import Profile
from cscalc.simulate.events import simulate
from cscalc.theory.block import block_tokens, full_information_tokens, tokenwise_tokens
from cscalc.theory.cs_drafting import conditional_rates
from cscalc.theory.law import cycle_law, cycle_law_slow, ewif, expected_tokens
from cscalc.theory.multi_draft import overlap, recursive_rejection_law
from cscalc.theory.sensitivity import ewif_gradient

Z_MAX = 5.0  # two-sided false alarm 6e-7 per check, were the seed not fixed
C = np.array([0.3, 0.5, 0.2]), np.array([0.6, 0.3, 0.1])
D = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])


def matrix(size, **pairs):
    alphas = np.eye(size)
    for pair, alpha in pairs.items():
        alphas[int(pair[1]), int(pair[2])] = alpha
    return alphas


def vertical(rounds, length):
    return Cascade((Review(1, (Draft(2, length),), rounds=rounds),))


MIXED = Cascade(
    (Review(1, (Draft(3, 5),), rounds=2), Review(2, (Draft(3, 5),), rounds=1), Draft(3, 4))
)
TOKENS = [  # cascade, alphas, expected tokens to 1e-6
    (vertical(3, 2), matrix(3, a01=0.8, a12=0.5), 3.697357),
    (vertical(5, 4), matrix(3, a01=0.9, a12=0.3), 5.686543),
    (vertical(2, 3), matrix(3, a01=0.6, a12=0.6), 2.277087),
    (vertical(6, 10), matrix(3, a01=0.7, a12=0.2), 3.155459),
    (
        Cascade((Review(1, (Review(2, (Draft(3, 4),), rounds=3),), rounds=2),)),
        matrix(4, a01=0.8, a12=0.7, a23=0.5), 3.743148,
    ),
    (MIXED, matrix(4, a01=0.85, a02=0.7, a03=0.3, a13=0.35, a23=0.4), 3.915049),
]  # fmt: skip


@pytest.mark.parametrize(("cascade", "alphas", "tokens"), TOKENS)
def test_tokens_of_nested_cascades_by_law_slow_law_and_simulation(cascade, alphas, tokens):
    profile = Profile(alphas, [0.1] * (len(alphas) - 1))
    law = cycle_law(cascade, profile)
    assert law.mean == pytest.approx(tokens, abs=1e-6)
    assert cycle_law_slow(cascade, profile).mean == pytest.approx(tokens, abs=1e-6)
    n = 400_000
    tally = simulate(cascade, profile, n, rng=np.random.default_rng([2312, 11462]))
    error = tally.tokens_per_cycle - law.mean
    assert abs(error) <= Z_MAX * np.sqrt(law.variance / n)


def test_ewif_of_the_vertical_rows_by_the_exact_law():
    first = Profile(matrix(3, a01=0.8, a12=0.5), [0.1, 0.01])
    assert ewif(vertical(3, 2), first) == pytest.approx(2.718645, abs=1e-6)
    second = Profile(matrix(3, a01=0.9, a12=0.3), [0.2, 0.01])
    assert ewif(vertical(5, 4), second) == pytest.approx(2.584792, abs=1e-6)


def test_the_horizontal_row_and_its_gradient_by_the_exact_law():
    cascade = Cascade((Draft(1, 1), Draft(2, 1), Draft(3, 1)))
    profile = Profile([0.9, 0.8, 0.6], [0.1, 0.1, 0.05])
    assert ewif(cascade, profile) == pytest.approx(2.4416, abs=1e-6)
    gradient = ewif_gradient(cascade, profile).alphas
    np.testing.assert_allclose(gradient[0, 1:], [1.824, 1.152, 0.576], atol=1e-6)
    three = Cascade((Draft(1, 2), Draft(2, 2), Draft(3, 1)))
    found = expected_tokens(three, Profile([0.9, 0.7, 0.4], [0.1] * 3))
    assert found == pytest.approx(3.83266, abs=1e-6)


SMALL, BASE = 77 / 11300, 250 / 11300  # costs as parameter ratios, recovered
TABLE_1 = [  # CS Drafting, arXiv:2312.11462, Table 1: rates, costs, best lengths, calc
    ([0.65], [SMALL], (9,), 2.6558),
    ([0.73], [BASE], (8,), 2.9615),
    ([0.73, 0.65], [BASE, SMALL], (5, 5), 3.0432),
    ([0.75], [SMALL], (12,), 3.6098),
    ([0.80], [BASE], (11,), 3.7450),
    ([0.80, 0.75], [BASE, SMALL], (5, 8), 3.9257),
]


@pytest.mark.parametrize(("alphas", "costs", "lengths", "best"), TABLE_1)
def test_the_optimiser_finds_the_optima_of_table_1(alphas, costs, lengths, best):
    plan = optimal_config(alphas, costs, max_depth=0)
    assert tuple(draft.length for draft in plan.cascade.drafts) == lengths
    assert plan.ewif == pytest.approx(best, abs=5e-5)
    assert plan.limits["proved"]


def test_the_optimiser_finds_cas_specs_worked_example():
    # section 4.3 of CAS-Spec, arXiv:2510.26843: M_d1 (.9, .4), M_d2 (.8, .3)
    plan = optimal_config([0.9, 0.8], [0.4, 0.3], max_depth=0)
    assert plan.cascade == Cascade((Draft(1, 2), Draft(2, 2)))
    found = {one.cascade.models: one for one in plan.alternatives}
    assert found[1, 2].ewif == pytest.approx(1.615167, abs=1e-6)
    assert (found[1,].ewif, found[1,].cascade.max_length) == (pytest.approx(1.575038, abs=1e-6), 4)
    assert (found[2,].ewif, found[2,].cascade.max_length) == (pytest.approx(1.553684, abs=1e-6), 3)
    runner_up = ewif(Cascade((Draft(1, 3), Draft(2, 1))), plan.profile)
    assert runner_up == pytest.approx(1.608880, abs=1e-6)


@pytest.mark.parametrize(
    ("alpha", "inner", "until", "length", "tokens", "rounds", "drafted"),
    [
        (0.8, 0.5, 5, 10, 3.907611, 3.000000, 5.997070),
        (0.75, 0.3, 10, 10, 3.847408, 7.300000, 10.428553),
        (0.9, 0.6, 8, 4, 6.516903, 3.939968, 9.083990),
    ],
)
def test_rounds_until_a_threshold_by_renewal_in_exact_arithmetic(
    alpha, inner, until, length, tokens, rounds, drafted
):
    alpha, inner = Fraction(str(alpha)), Fraction(str(inner))
    law = [(i + 1, inner**i * (1 - inner)) for i in range(length)] + [(length + 1, inner**length)]
    reached = {0: Fraction(1)}  # P(the draft comes to hold so many tokens)
    calls = Fraction(0)
    for held in range(until):
        chance = reached.pop(held, Fraction(0))
        calls += chance
        for added, likely in law:
            reached[held + added] = reached.get(held + added, 0) + chance * likely
    mean = sum(chance * held for held, chance in reached.items())
    emitted = sum(
        chance * sum((alpha**i for i in range(held + 1)), Fraction(0))
        for held, chance in reached.items()
    )
    assert float(calls) == pytest.approx(rounds, abs=1e-6)
    assert float(mean) == pytest.approx(drafted, abs=1e-6)
    assert float(emitted) == pytest.approx(tokens, abs=1e-6)
    cascade = Cascade((Review(1, (Draft(2, length),), until=until),))
    profile = Profile(matrix(3, a01=float(alpha), a12=float(inner)), [0.1, 0.01])
    found = cycle_law_slow(cascade, profile)
    assert (found.mean, found.passes[1]) == pytest.approx((tokens, rounds), abs=1e-6)


@pytest.mark.parametrize(
    ("rounds", "length", "refined", "printed", "error"),
    [(2, 3, 2.848100, 2.8481, 0.0008), (3, 5, 3.246377, 3.2462, 0.0011)],
)
def test_shared_difficulty_agrees_with_two_simulations(rounds, length, refined, printed, error):
    assert abs(refined - printed) <= error  # 4e6 rounds, done apart from this code
    n, rng = 200_000, np.random.default_rng([2312, 4])
    kept = np.zeros(n, dtype=np.int64)  # tokens that the target accepts
    alive = np.ones(n, dtype=np.bool_)  # all so far accepted
    for _ in range(rounds):
        inside = np.ones(n, dtype=np.bool_)  # the round still reviews accepted proposals
        for position in range(length + 1):
            d = rng.random(n)  # difficulty of this place, for both reviewers
            accepted = alive & inside & (rng.random(n) < 0.98 - 0.5 * d)
            kept += accepted
            alive &= accepted | ~inside
            if position < length:
                inside &= rng.random(n) < 0.9 - 0.8 * d  # else it is the correction
    deviation = (kept.mean() + 1.0 - refined) / (kept.std() / np.sqrt(n))
    assert abs(deviation) <= Z_MAX


def test_rates_of_the_correlated_examples():
    found = conditional_rates([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4])
    rates = (found.alpha, found.alpha_inner, found.alpha_accepted, found.alpha_corrected)
    assert rates == pytest.approx((0.8, 0.8, 0.75, 1.0), abs=1e-12)
    # difficulty d uniform: target .98 - .5 d, inner .9 - .8 d
    target, inner = Fraction(98, 100) - Fraction(1, 4), Fraction(9, 10) - Fraction(4, 10)
    assert (float(target), float(inner)) == (0.73, 0.5)
    alphas = matrix(3, a01=0.73, a12=0.5)
    model = Conditional({(0, 1): 0.796667}, {(0, 1): 0.663333})
    for rounds, length, tokens, refined in ((2, 3, 2.786793, 2.8481), (3, 5, 3.187533, 3.246377)):
        cascade = vertical(rounds, length)
        plain = expected_tokens(cascade, Profile(alphas, [0.1, 0.01]))
        assert plain == pytest.approx(tokens, abs=1e-6)
        exact = expected_tokens(cascade, Profile(alphas, [0.1, 0.01], acceptance=model))
        assert exact == pytest.approx(refined, abs=5e-6)  # from rates of six digits


def test_one_token_distributions():
    p, q = C
    assert float(overlap(p, q)) == pytest.approx(0.7, abs=1e-12)
    assert 0.5 * np.abs(p - q).sum() == pytest.approx(0.3, abs=1e-12)
    kept = np.minimum(p, q)
    residual = (recursive_rejection_law(p, q, 1) - kept) / (1.0 - float(overlap(p, q)))
    np.testing.assert_allclose(residual, [0, 2 / 3, 1 / 3], atol=1e-12)
    assert float(overlap(*D)) == pytest.approx(0.6, abs=1e-12)


@pytest.mark.parametrize("pair", [C, D])
def test_a_block_of_one_token_is_verified_as_a_token(pair):
    found = [f(*pair, 1) for f in (tokenwise_tokens, block_tokens, full_information_tokens)]
    assert found == pytest.approx([1.0 + float(overlap(*pair))] * 3, abs=1e-12)
