"""The adaptive bound against brute force, against fixed cascades, and its policy played out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.optimize import optimal_config
from cscalc.profile import Profile
from cscalc.theory._adaptive_levels import best_value_slow, tables_of, target_level
from cscalc.theory.adaptive import adaptive_bound

ISSUE = (
    [[1, 0.8, 0.55, 0.25], [0, 1, 0.6, 0.3], [0, 0, 1, 0.35], [0, 0, 0, 1]],
    [0.2, 0.05, 0.0005],
)


def random_profile(rng, n_drafts):
    """Any rates, costs and one-shot drafts; a verification curve in one of three cases."""
    alphas = np.eye(n_drafts + 1)
    for i, j in itertools.combinations(range(n_drafts + 1), 2):
        alphas[i, j] = rng.choice(
            [rng.uniform(), rng.uniform(0.5, 1), 1.0, 0.0], p=[0.5, 0.4, 0.05, 0.05]
        )
    costs = 0.4 * rng.uniform(size=n_drafts) ** 2
    one_shot = tuple(j for j in range(1, n_drafts + 1) if rng.uniform() < 0.3)
    verify = {}
    if rng.uniform() < 1 / 3:
        slopes = {m: rng.uniform(0, 0.2) for m in range(n_drafts) if m not in one_shot}
        verify = {m: 1 + slope * np.arange(80) for m, slope in slopes.items()}
    return Profile(alphas, costs, one_shot=one_shot, verify=verify)


def test_the_bound_is_at_least_the_best_fixed_cascade_on_200_random_profiles():
    rng = np.random.default_rng(3)
    tight = 0
    for _ in range(200):
        profile = random_profile(rng, int(rng.integers(1, 4)))
        plan = optimal_config(profile, max_length=3, tolerance=0.0)
        longest = max(1, plan.cascade.max_length)
        bound = adaptive_bound(profile, max_length=longest)
        assert bound.ewif >= plan.ewif * (1 - 1e-9)
        tight += bound.share(plan) > 1 - 1e-9
    assert tight > 20  # so the bound is not merely large


def outcomes(profile, reviewer, depth, cap):
    """Every policy of one draft of `reviewer`: the chances of emitting 1, 2, ... and the cost.

    A policy is a choice at each state, where the state is everything seen: the tokens of each
    model in this draft, in order. Each is carried out on its own: nothing is maximised here.
    """
    known = profile.max_positions(reviewer)
    cap = cap if known is None else min(cap, known - 1)

    def go(held):
        """Laws {drafted models in order: chance} and cost of every policy from `held` on."""
        if held or reviewer == 0:
            yield {held: 1.0}, profile.pass_cost(reviewer, len(held) + 1)
        for model in range(reviewer + 1, profile.n_drafts + 1):
            many = model in profile.one_shot
            for k in range(1, (cap - len(held) if many else min(1, cap - len(held))) + 1):
                for law, cost in go((*held, *[model] * k)):
                    yield law, cost + profile.cost(model)
            inner_cap = cap - len(held) - 1
            if depth and not many and model < profile.n_drafts and inner_cap > 0:
                for chances, inner_cost in outcomes(profile, model, depth - 1, inner_cap):
                    ends = [k for k, chance in enumerate(chances) if chance > 0.0]
                    later = [list(go((*held, *[model] * k))) for k in ends]
                    for choice in itertools.product(*later):
                        law, cost = {}, inner_cost
                        for k, (part, part_cost) in zip(ends, choice, strict=True):
                            cost += chances[k] * part_cost
                            for end, chance in part.items():
                                law[end] = law.get(end, 0.0) + chances[k] * chance
                        yield law, cost

    for law, cost in go(()):
        chances = np.zeros(cap + 2)
        for held, chance in law.items():
            kept = chance
            for i, model in enumerate(held):
                chances[i + 1] += kept * (1 - profile.alphas[reviewer, model])
                kept *= profile.alphas[reviewer, model]
            chances[len(held) + 1] += kept
        yield chances, cost


def enumerated_bound(profile, max_length, max_depth):
    return max(
        chances @ np.arange(chances.size) / cost
        for chances, cost in outcomes(profile, 0, max_depth, max_length)
    )


@pytest.mark.parametrize(("n_drafts", "max_length"), [(1, 4), (2, 2), (2, 3), (3, 2)])
def test_the_bound_equals_enumeration_of_all_policies(n_drafts, max_length):
    rng = np.random.default_rng(n_drafts + 10 * max_length)
    for _ in range(8):
        profile = random_profile(rng, n_drafts)
        bound = adaptive_bound(profile, max_length=max_length)
        assert bound.ewif == pytest.approx(enumerated_bound(profile, max_length, 2), rel=1e-11)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 4), st.integers(1, 6), st.integers(0, 2))
def test_the_kernel_equals_plain_recursion(seed, rate, max_length, max_depth):
    profile = random_profile(np.random.default_rng(seed), 3)
    level = target_level(tables_of(profile, max_length), max_length, max_depth, rate)
    value, _ = level.solve(keep=False)
    slow = best_value_slow(profile, rate, max_length, max_depth)
    assert value == pytest.approx(slow, abs=1e-9)


def play(policy, profile, drafted, rounds=()):
    """Exact law {tokens emitted: chance} and cost of what `policy` does from here on."""
    reviewer, held = rounds[-1] if rounds else (0, drafted)
    action = policy(drafted, *rounds)
    total = sum(held.values())
    if action.kind == "review":
        assert action.model == reviewer
        law, kept = {}, 1.0
        # the order of the drafts is forgotten, so their rates must be equal here
        models = [m for m, count in held.items() for _ in range(count)]
        for i, model in enumerate(models):
            law[i + 1] = law.get(i + 1, 0.0) + kept * (1 - profile.alphas[reviewer, model])
            kept *= profile.alphas[reviewer, model]
        law[total + 1] = law.get(total + 1, 0.0) + kept
        return law, profile.pass_cost(reviewer, total + 1)
    if action.kind == "draft":
        more = {**held, action.model: held.get(action.model, 0) + action.length}
        drafted, rounds = (drafted, (*rounds[:-1], (reviewer, more))) if rounds else (more, ())
        law, cost = play(policy, profile, drafted, rounds)
        return law, cost + profile.cost(action.model)
    inner, cost = play(policy, profile, drafted, (*rounds, (action.model, {})))
    law = {}
    for k, chance in inner.items():
        more = {**held, action.model: held.get(action.model, 0) + k}
        after = (more, ()) if not rounds else (drafted, (*rounds[:-1], (reviewer, more)))
        part, part_cost = play(policy, profile, *after)
        cost += chance * part_cost
        for end, weight in part.items():
            law[end] = law.get(end, 0.0) + chance * weight
    return law, cost


@pytest.mark.parametrize("max_depth", [0, 1, 2])
def test_the_policy_attains_the_bound(max_depth):
    """Played out on a profile whose models have equal rates, where their order is immaterial."""
    profile = Profile(
        [[1, 0.8, 0.8, 0.8], [0, 1, 0.5, 0.5], [0, 0, 1, 0.4], [0, 0, 0, 1]],
        [0.05, 0.03, 0.02],
        verify=1 + 0.05 * np.arange(40),
    )
    bound = adaptive_bound(profile, max_length=5, max_depth=max_depth)
    law, cost = play(bound.policy, profile, {})
    tokens = sum(k * chance for k, chance in law.items())
    assert sum(law.values()) == pytest.approx(1.0, abs=1e-12)
    assert tokens / cost == pytest.approx(bound.ewif, rel=1e-12)
    assert tokens == pytest.approx(bound.tokens_per_cycle, rel=1e-12)
    assert cost == pytest.approx(bound.cycle_cost, rel=1e-12)


def test_the_issue_example_leaves_little_to_adaptivity():
    """The value is this program's own; fixed cascades reach 99.8 % of it."""
    bound = adaptive_bound(*ISSUE, one_shot=(3,))
    plan = optimal_config(*ISSUE, one_shot=(3,))
    assert bound.ewif == pytest.approx(2.356870, abs=1e-6)
    assert bound.share(plan) == pytest.approx(plan.ewif / bound.ewif)
    assert 0.998 < bound.share(plan) < 1.0


def test_without_reviews_one_draft_gives_speculative_decoding():
    """Leviathan et al., arXiv:2211.17192, Theorem 3.8: alpha .8, c .1, best length 6."""
    bound = adaptive_bound([0.8], [0.1])
    assert bound.ewif == pytest.approx((1 - 0.8**7) / (0.2 * 1.6), rel=1e-12)
    assert bound.tokens_per_cycle == pytest.approx((1 - 0.8**7) / 0.2, rel=1e-12)


def test_the_bound_rises_with_both_limits():
    values = [adaptive_bound(*ISSUE, one_shot=(3,), max_length=m).ewif for m in (1, 2, 4, 8, 16)]
    assert values == sorted(values)
    values = [adaptive_bound(*ISSUE, one_shot=(3,), max_depth=d).ewif for d in (0, 1, 2)]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]


def test_a_perfect_free_draft_fills_the_whole_length():
    bound = adaptive_bound([1.0], [0.0], max_length=9)
    assert bound.ewif == 10.0
    assert bound.policy({1: 8}).kind == "draft"
    assert bound.policy({1: 9}).kind == "review"


def test_nothing_that_pays_means_plain_decoding():
    bound = adaptive_bound([0.1, 0.05], [0.5, 0.4])
    assert (bound.ewif, bound.tokens_per_cycle, bound.cycle_cost) == (1.0, 1.0, 1.0)
    assert bound.policy({}).kind == "review"


def test_a_profile_gives_what_its_numbers_give():
    profile = Profile(*ISSUE, one_shot=(3,))
    assert adaptive_bound(profile).ewif == adaptive_bound(*ISSUE, one_shot=(3,)).ewif


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: adaptive_bound([0.8]), TypeError, "costs are missing"),
        (lambda: adaptive_bound(Profile([0.8], [0.1]), [0.1]), TypeError, "already holds"),
        (
            lambda: adaptive_bound([0.8], [0.1], max_length=0),
            ValueError,
            "max_length must be >= 1",
        ),
        (lambda: adaptive_bound([0.8], [0.1], max_depth=-1), ValueError, "max_depth must be >= 0"),
        (lambda: adaptive_bound([0.9] * 6, [0.0] * 6), ValueError, "lower max_length"),
        (lambda: adaptive_bound([0.8], [0.1]).policy({2: 1}), ValueError, "cannot draft"),
        (lambda: adaptive_bound([0.8], [0.1]).policy({1: 99}), ValueError, "raise max_length"),
        (lambda: adaptive_bound([0.8], [0.1]).policy({}, (1, {})), ValueError, "cannot begin"),
    ],
)
def test_bad_input_is_one_sentence(call, error, text):
    with pytest.raises(error, match=text):
        call()
