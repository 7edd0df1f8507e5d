"""DyTC: its rule against the theory's, its estimates against closed forms, its bookkeeping."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cscalc.cascade import Draft, Review  # noqa: E402
from cscalc.profile import Profile  # noqa: E402
from cscalc.theory.cs_drafting import vertical_tokens  # noqa: E402
from cscalc.theory.dytc import best_step, step_values  # noqa: E402
from validate.dytc import DyTC, candidates_of  # noqa: E402
from validate.dytc_estimates import (  # noqa: E402
    Acceptance,
    Adaptive,
    Confidence,
    Latency,
    PassCosts,
    match_bin,
)
from validate.dytc_learning import RouterSettings  # noqa: E402
from validate.dytc_rule import Candidate, Leaf, best_printed, best_ratio, steps  # noqa: E402
from validate.routing import Phase, Stream  # noqa: E402


@dataclass
class Expected:
    """An outlook with given numbers; costs in target passes, a pass over a tree costs 1."""

    alphas: dict[int, float]
    costs: dict[int, float]
    inner: float = 0.5
    lookups: set[int] = field(default_factory=set)
    each: float = 0.0  # what a node adds to the target's pass

    def rate(self, model):
        return self.alphas[model]

    def second(self, model):
        return 0.3

    def inner_rate(self, reviewer, model):
        return self.inner

    def found(self, model):
        return 1.0

    def one_shot(self, model):
        return model in self.lookups

    def price(self, model, positions):
        return self.costs[model] if model else 1.0 + self.each * (positions - 1)


ROOT = Leaf(1.0, (), 1, 32, 16, 1.0, 0.0)
PAIR = [Candidate.of(Draft(1, 5)), Candidate.of(Draft(2, 5))]


def bottom(model):
    """The theory's look ahead: one token of the bottom draft."""
    return [Candidate.of(Draft(model, 1))]


rates = st.floats(0.05, 0.99)
prices = st.floats(0.01, 1.0)


def test_the_papers_example():
    """CAS-Spec, section 4: Eq. 5 takes the cheap draft, the ratio takes (3, 1) of the two."""
    outlook = Expected({1: 0.9, 2: 0.8}, {1: 0.4, 2: 0.3})
    printed = best_printed(PAIR, ROOT, outlook, 2, 1, 0.0)
    assert (printed.candidate.model, printed.length, round(printed.value, 3)) == (2, 1, 2.4)
    ratio = best_ratio(PAIR, ROOT, outlook, 1, bottom(2))
    assert (ratio.candidate.model, ratio.length, round(ratio.value, 5)) == (1, 3, 1.60888)


def test_the_printed_objective_always_picks_a_cheap_bottom_draft():
    outlook = Expected({1: 0.8, 2: 0.3}, {1: 0.6, 2: 0.01}, lookups={2})
    printed = best_printed(PAIR, ROOT, outlook, 2, 1, 1.1)
    assert (printed.candidate.model, printed.length, printed.value) == (2, 1, pytest.approx(19.5))
    assert best_ratio(PAIR, ROOT, outlook, 1, PAIR).candidate.model == 2
    dear = Expected({1: 0.95, 2: 0.3}, {1: 0.2, 2: 0.01}, lookups={2})
    assert best_printed(PAIR, ROOT, dear, 2, 1, 1.1).candidate.model == 2
    assert best_ratio(PAIR, ROOT, dear, 1, PAIR).candidate.model == 1


@given(rates, rates, rates, prices, prices, prices, st.floats(0.1, 1.0))
@settings(max_examples=200)
def test_the_printed_rule_is_the_theorys(a1, a2, last, c1, c2, c3, reach):
    outlook = Expected({1: a1, 2: a2, 3: last}, {1: c1, 2: c2, 3: c3})
    leaf = Leaf(reach, (), 1, 32, 16, 1.0, 0.0)
    values = step_values([a1, a2], [c1, c2], last, c3, 5, objective="printed", reach=reach)
    choice = best_printed(PAIR, leaf, outlook, 3, 1, 0.0)
    assert choice.value == pytest.approx(values.max(), rel=1e-8)


@given(rates, rates, rates, prices, prices, st.floats(1.0, 4.0), st.floats(0.0, 2.0))
@settings(max_examples=200)
def test_the_ratio_rule_is_the_theorys_where_the_bottom_draft_is_free(
    a1, a2, last, c1, c2, tokens, spent
):
    """Then its token after a step never hurts, and both rules count it."""
    outlook = Expected({1: a1, 2: a2, 3: last}, {1: c1, 2: c2, 3: 0.0})
    leaf = Leaf(0.7, (), 1, 32, 16, tokens, spent)
    theory = best_step(
        [a1, a2], [c1, c2], last, 0.0, 5, tokens=tokens, cost=1.0 + spent, reach=0.7
    )
    choice = best_ratio(PAIR, leaf, outlook, 1, bottom(3))
    if choice is None:
        assert theory.model is None or theory.value < tokens / (1.0 + spent) * (1.0 + 1e-8)
    else:
        assert choice.value == pytest.approx(theory.value, rel=1e-8)


@given(rates, rates, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=60)
def test_rounds_of_a_review_gain_what_the_vertical_theorem_says(alpha, inner, rounds, length):
    one = Candidate.of(Review(1, (Draft(2, length),), rounds=rounds))
    outlook = Expected({1: alpha, 2: 0.5}, {1: 0.3, 2: 0.01}, inner=inner, lookups={2})
    *_, last = steps([one], ROOT, outlook, 1)
    assert last.choice.length == rounds
    expected = vertical_tokens(alpha, inner, rounds, length)
    assert 1.0 + last.gain == pytest.approx(float(expected), rel=1e-9)


def test_a_wider_step_and_siblings_gain_what_their_nodes_are_worth():
    leaf = Leaf(0.5, (0.2,), 4, 32, 16, 1.7, 0.1)
    outlook = Expected({1: 0.6}, {1: 0.1})
    found = {(s.choice.length, s.choice.width): s for s in steps(PAIR[:1], leaf, outlook, 2)}
    assert found[1, 1].gain == pytest.approx(0.5 * 0.6 + 0.2 * 0.6)
    side = 0.4 * 0.3  # the runner-up, where the first is refused
    assert found[1, 2].gain == pytest.approx(0.5 * (0.6 + side) + 0.2 * 0.6)
    second_level = 0.5 * 0.6 * (0.6 + side) + 0.5 * side * 0.6
    assert found[2, 2].gain == pytest.approx(found[1, 2].gain + second_level)
    assert found[2, 2].nodes == 3 + 3


def test_steps_stay_within_the_tree():
    leaf = Leaf(1.0, (), 6, 8, 3, 1.0, 0.0)
    outlook = Expected({1: 0.9, 2: 0.9}, {1: 0.0, 2: 0.0}, lookups={2})
    candidates = [*PAIR, Candidate.of(Review(1, (Draft(2, 1),), rounds=4))]
    for step in steps(candidates, leaf, outlook, 2):
        assert step.nodes <= 2
    assert not list(steps(candidates, Leaf(1.0, (), 8, 8, 3, 1.0, 0.0), outlook, 2))


def test_a_step_is_judged_by_what_may_follow_it():
    """Alone, neither a pass of model 1 nor a look-up pays more than the other two together."""
    outlook = Expected({1: 0.9, 2: 0.7}, {1: 0.35, 2: 0.05}, lookups={2}, each=0.01)
    short = best_ratio(PAIR, ROOT, outlook, 1, [])
    ahead = best_ratio(PAIR, ROOT, outlook, 1, PAIR)
    assert ahead.value > short.value
    best = max(
        (1.0 + a.gain + a.end * b.gain) / (1.0 + 0.01 * (a.nodes + b.nodes) + a.price + b.price)
        for a in steps(PAIR, ROOT, outlook, 1)
        for b in steps(PAIR, ROOT, outlook, 1)
    )
    assert ahead.value == pytest.approx(best)


def test_nothing_is_drafted_where_nothing_pays():
    outlook = Expected({1: 0.2, 2: 0.1}, {1: 0.9, 2: 0.8})
    assert best_ratio(PAIR, ROOT, outlook, 2, PAIR) is None
    far = Leaf(0.01, (), 5, 32, 16, 2.0, 0.0)
    free = Expected({1: 0.2, 2: 0.5}, {1: 0.9, 2: 0.5})
    assert best_printed(PAIR, far, free, 2, 1, 1.1) is None  # (.5 / .5) .01 < 1.1


def test_equation_4():
    rate = Acceptance(0.5, keep=0.7, window=2)
    expected = 0.5
    for outcome, recent in ((1.0, 1.0), (0.0, 0.5), (0.0, 0.0)):
        rate.see(outcome)
        expected = 0.7 * expected + 0.3 * recent
        assert rate.rate == pytest.approx(expected)


def test_the_adaptive_rate_is_a_mean_until_it_changes():
    rng = np.random.default_rng(26)
    rate, coins = Adaptive(0.5), (rng.random(400) < 0.7).astype(float)
    for coin in coins:
        rate.see(coin)
    assert rate.rate == pytest.approx((1.0 + coins.sum()) / 402.0)
    for coin in (rng.random(60) < 0.2).astype(float):
        rate.see(coin)
    assert rate.rate < 0.35


def test_latency_is_the_posterior_mean_of_the_regression():
    """Against the closed form with all observations at once."""
    latency, rows, seconds = Latency(forget=1.0), [], []
    passes = [(1, 0), (2, 500), (3, 100), (8, 400), (1, 300), (5, 0), (8, 200), (2, 450)]
    for m, context in passes:  # fewer than 10: no clipping
        y = 0.02 + 0.02 * (m > 1) + 0.001 * (m - 1) + 0.01 * context / 1000
        latency.see(m, context, y)
        rows.append([1.0, float(m > 1), m - 1.0, context / 1000])
        seconds.append(y)
    x, y, scale = np.array(rows), np.array(seconds), seconds[0]
    mean = np.array([scale, 0, 0.005 * scale, 0])
    prior = np.diag((scale * np.array([1.0, 0.5, 0.1, 0.5])) ** -2)
    noise = (0.1 * scale) ** 2
    weights = mean + np.linalg.solve(prior + x.T @ x / noise, x.T @ (y - x @ mean) / noise)
    assert np.all(weights > 0.0)
    assert latency.predict(5, 300) == pytest.approx(weights @ [1, 1, 4, 0.3], rel=1e-9)


def test_an_interrupted_pass_does_not_spoil_the_latency():
    latency = Latency()
    for _ in range(50):
        latency.see(1, 0, 0.01)
    latency.see(1, 0, 30.0)
    assert latency.predict(1, 0) < 0.012


def test_a_model_that_was_never_run_costs_what_the_profile_says():
    costs = PassCosts({1: 0.25})
    assert costs.predict(1, 1, 0) == 0.25
    costs.see(0, 1, 0, 0.04)
    assert costs.predict(1, 1, 0) == pytest.approx(0.01)


def test_confidence_falls_back_on_the_overall_rate():
    sure = Confidence(forget=1.0)
    assert sure.rate(3, 0.6) == pytest.approx(0.6)
    for _ in range(96):
        sure.see(3, 1.0)
    assert sure.rate(3, 0.6) == pytest.approx((96 + 2.4) / 100)
    assert sure.rate(2, 0.6) == pytest.approx(0.6)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 2))
def test_the_length_of_a_match_is_the_longest_one(text, token):
    def matches(n):
        return any(
            text[i - n : i] == text[len(text) - n :] and text[i] == token
            for i in range(n, len(text))
        )

    longest = max([n for n in range(1, 7) if n <= len(text) and matches(n)], default=0)
    assert match_bin(text, token) == 100 + longest


STREAM = Stream((Phase(1500, (0.8, 0.6, 0.4)),), costs=(0.3, 0.15, 0.01))


class Watched(DyTC):
    """Keeps what each cycle's tree was and what it cost."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.trees, self.aside, self.total = [], 0.0, 0.0

    def grow(self, decoder):
        super().grow(decoder)
        self.trees.append(decoder.tree)

    def learn(self, decoder, verdict):
        self.total += sum(one.seconds for one in verdict.passes)
        super().learn(decoder, verdict)


def test_an_expanded_leaf_is_not_expanded_again():
    """As printed, Algorithm 1 would offer the same leaf's children for ever."""
    watched = Watched(candidates_of(STREAM.models(0)), RouterSettings(width=2))
    STREAM.run(watched, 1)
    for tree in watched.trees:
        for offers in tree.offers:
            assert len(offers) <= 2
            assert len({offer.model for offer in offers}) <= 1
        assert tree.size <= 32
        assert tree.depth <= 16


def test_siblings_are_drafted_in_the_pass_of_their_leaf():
    settings = RouterSettings(width=2, audit=0.0)
    watched = Watched([Draft(1, 3)], settings, profile=Profile([0.7], [0.05]))
    stream = Stream((Phase(300, (0.7, 0.1)),), costs=(0.05, 0.01), second=0.9)
    run = stream.run(watched, 2)
    passes = sum(int(step.split("x")[1][0]) for steps_ in run.steps for step in steps_)
    assert run.passes[1] == passes
    assert any(
        len(tree.offers[node]) == 1 and tree.offers[tree.parents[node]][-1].node == node
        for tree in watched.trees for node in tree.nodes[1:]
    )  # fmt: skip


def test_estimates_come_to_the_streams_own_numbers():
    router = DyTC(candidates_of(STREAM.models(0)))
    STREAM.run(router, 3)
    for model, alpha in zip((1, 2, 3), (0.8, 0.6, 0.4), strict=True):
        assert abs(router.rates[model] - alpha) < 5.0 * (alpha * (1 - alpha) / 150) ** 0.5
    for model in (0, 1, 3):
        expected = STREAM.seconds(model, 4)
        assert router.learner.costs.predict(model, 4, 500) == pytest.approx(expected, rel=0.05)


def test_looks_at_idle_drafts_keep_to_their_share_of_the_time():
    """A draft that never pays is looked at, in whole texts, for at most the share allowed."""
    stream = Stream((Phase(2000, (0.3, 0.6)),), costs=(0.5, 0.01))
    run = stream.run(DyTC(candidates_of(stream.models(0)), RouterSettings(audit=0.01)), 4)
    assert 0 < run.seconds[1] < 0.03 * sum(run.seconds.values())
    never = stream.run(DyTC([Draft(2, 10)]), 4)
    assert 1 not in never.seconds


def test_a_draft_that_gets_better_while_idle_is_noticed():
    phases = (Phase(400, (0.1, 0.9)), Phase(600, (0.95, 0.1)))
    stream = Stream(phases, costs=(0.2, 0.01))
    run = stream.run(DyTC([Draft(1, 5), Draft(2, 10)]), 5)
    late = [step for steps_ in run.steps[-60:] for step in steps_]
    assert sum(step.startswith("1x") for step in late) > 50


def test_what_was_learned_goes_on_from_text_to_text():
    router = DyTC([Draft(1, 5), Draft(2, 10), Draft(3, 10)])
    STREAM.run(router, 6)
    before = router.rates
    assert before[1] > 0.7
    run = STREAM.run(router, 7)
    assert run.steps[0]
    assert router.rates != before
    assert not hasattr(router.learner, "decoder")  # no caches are held between texts


def test_the_printed_objective_spends_its_time_on_the_bottom_draft():
    printed = STREAM.run(
        DyTC(candidates_of(STREAM.models(0)), RouterSettings(objective="printed", audit=0.0)), 8
    )
    assert printed.passes[1] + printed.passes[2] < 0.01 * printed.passes[3]
    ratio = STREAM.run(DyTC(candidates_of(STREAM.models(0))), 8)
    assert STREAM.ewif(ratio) > 1.1 * STREAM.ewif(printed)


def test_a_profile_must_know_all_candidates():
    with pytest.raises(ValueError, match="measure all of them"):
        DyTC([Draft(3, 2)], profile=Profile([0.5], [0.1]))
