"""Simulated batches and token trees: kernels against twins, laws against theory.

False alarm of one check with a new seed: |z| < 5 is 6e-7, a p-value above 1e-6 is 1e-6.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.acceptance import BetaMixture, Independent, Markov, Mixture, Trace
from cscalc.cascade import Cascade, Draft, Review
from cscalc.goodness import chi_square
from cscalc.profile import Profile
from cscalc.simulate import Tally, simulate, simulate_batch, simulate_tree
from cscalc.simulate.slow_worlds import simulate_batch_slow, simulate_tree_slow
from cscalc.theory.batch import lockstep_law, lockstep_tokens
from cscalc.theory.law import cycle_law
from cscalc.theory.reply import reply_law
from cscalc.theory.trees import Tree, node_scores, tree_tokens
from tests.strategies import cases, seeds
from tests.test_simulate_models import ALPHAS, HARD, acceptances, texts, with_acceptance

rng = np.random.default_rng
MODES = ("lockstep", "ragged")
every_mode = pytest.mark.parametrize("mode", MODES)
CASCADES = [
    Cascade((Draft(1, 5),)),
    Cascade((Review(1, (Draft(2, 3),), rounds=2), Draft(3, 4))),
    Cascade((Review(1, (Draft(3, 4),), until=6),)),
]
MODELS = {
    "independent": Independent(),
    "mixture": Mixture([0.6, 0.4], [ALPHAS, HARD]),
    "beta": BetaMixture(3.0),
}


def profile_of(acceptance):
    return Profile(ALPHAS, [0.25, 0.125, 0.0625], one_shot=[3], acceptance=acceptance)


@given(cases(), acceptances, st.integers(1, 4), st.integers(1, 10), seeds, st.sampled_from(MODES))
@settings(max_examples=150, deadline=None)
def test_the_kernel_equals_its_twin(case, acceptance, batch, n_steps, seed, mode):
    cascade, profile = case[0], with_acceptance(case[1], acceptance)
    options = {"mode": mode, "abstain": dict.fromkeys(profile.one_shot, 0.4)}
    fast = simulate_batch(cascade, profile, batch, n_steps, rng=rng(seed), **options)
    slow = simulate_batch_slow(cascade, profile, batch, n_steps, rng=rng(seed), **options)
    assert fast == slow == Tally.from_dict(fast.to_dict())


@pytest.mark.parametrize("name", ["mixture", "beta"])
def test_they_are_equal_beyond_the_prompts_drawn_at_once(name):
    for batch, n_steps in ((3, 1500), (4097, 2)):
        args = CASCADES[0], profile_of(MODELS[name]), batch, n_steps
        assert simulate_batch(*args, rng=rng(9)) == simulate_batch_slow(*args, rng=rng(9))


@pytest.mark.parametrize("batch", [1, 2, 7, 32])
@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_lockstep_keeps_the_fewest_tokens_of_the_batch(name, cascade, batch):
    profile, n_steps = profile_of(MODELS[name]), 8_000
    if name == "beta":
        n_steps = 8_000 // batch
    tally = simulate_batch(cascade, profile, batch, n_steps, rng=rng([2211, batch]))
    law = cycle_law(cascade, profile).pmf
    steps = np.array(tally.counts) // batch
    assert np.all(np.array(tally.counts) == steps * batch)
    assert chi_square(steps, lockstep_law(law, batch)).p_value > 1e-6
    least, tokens = lockstep_law(law, batch), np.arange(law.size)
    mean = float(lockstep_tokens(law, batch))
    sigma = np.sqrt(float(least @ (tokens - mean) ** 2) / n_steps)
    assert abs(tally.tokens_per_cycle - mean) < 5.0 * sigma + 5.0 / n_steps  # rare outcomes
    assert tally.observations == n_steps


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_ragged_sequences_keep_their_own_tokens(name, cascade):
    profile, batch, n_steps = profile_of(MODELS[name]), 5, 8_000
    tally = simulate_batch(cascade, profile, batch, n_steps, rng=rng(5), mode="ragged")
    law = cycle_law(cascade, profile)
    assert chi_square(tally.counts, law.pmf).p_value > 1e-6
    assert abs(tally.tokens_per_cycle - law.mean) < 5.0 * tally.tokens_sigma
    np.testing.assert_allclose(tally.passes_per_cycle, law.passes, rtol=0.02)


@every_mode
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_step_costs_what_its_dearest_sequence_costs(batch, mode):
    # a reply of one token is one cycle, so its law is that of the cost of a cycle
    cascade, profile = CASCADES[2], profile_of(Independent())
    law = reply_law(cascade, profile, 1)
    assert law.exact
    assert law.times.size > 2
    below = np.cumsum(law.time_pmf) ** batch
    want = float(np.diff(np.minimum(below, 1.0), prepend=0.0) @ law.times)
    tally = simulate_batch(cascade, profile, batch, 20_000, rng=rng(6), mode=mode)
    assert abs(tally.cost_per_cycle - want) < 5.0 * tally.cost_sigma


def test_a_step_of_drafts_alone_costs_as_much_as_one_cycle():
    tally = simulate_batch(CASCADES[0], profile_of(Independent()), 9, 100, rng=rng(6))
    assert tally.cost_per_cycle == pytest.approx(2.25)
    assert tally.cost_sigma == pytest.approx(0.0, abs=1e-7)


@every_mode
@given(cases(), acceptances, seeds)
@settings(max_examples=40, deadline=None)
def test_a_batch_of_one_is_a_plain_simulation(mode, case, acceptance, seed):
    cascade, profile = case[0], with_acceptance(case[1], acceptance)
    tally = simulate_batch(cascade, profile, 1, 40, rng=rng(seed), mode=mode)
    if acceptance.kind != "mixture":  # which plain simulation sorts by kind of prompt
        alone = simulate(cascade, profile, 40, rng=rng(seed))
        assert (tally.counts, tally.passes) == (alone.counts, alone.passes)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "acceptance",
    [Markov(ALPHAS, HARD, to_easy=0.1, to_hard=0.2), Trace(texts(1, (64, 57, 80)))],
    ids=["markov", "trace"],
)
def test_texts_go_on_from_step_to_step(acceptance, mode):
    cascade, profile = CASCADES[1], profile_of(acceptance)
    tally = simulate_batch(cascade, profile, 4, 40_000, rng=rng(7), mode=mode)
    assert tally.observations == 200
    mean = cycle_law(cascade, profile).mean
    z = (tally.tokens_per_cycle - mean) / tally.tokens_sigma
    assert abs(z) < 5.0 if mode == "ragged" else z < -50.0


def test_lockstep_goes_back_to_the_token_that_all_keep():
    # places alternate: hard, easy, hard, ...; whoever emits least leaves all after a hard token
    markov = Markov([1.0], [0.0], to_easy=1.0, to_hard=1.0)
    profile = Profile([0.5], [0.1], acceptance=markov)
    for seed in range(6):
        tally = simulate_batch(Cascade((Draft(1, 5),)), profile, 3, 40, rng=rng(seed))
        assert set(np.flatnonzero(tally.counts)) <= {1, 2}
    # two sequences, the first text rejects at each place: one token a step, however kind the other
    trace = Trace([{(0, 1): [0.0] * 6}, {(0, 1): [1.0] * 6}])
    profile = Profile([0.5], [0.1], acceptance=trace)
    for seed in range(20):
        tally = simulate_batch(Cascade((Draft(1, 2),)), profile, 2, 2, rng=rng(seed))
        assert tally.counts in ((0, 4, 0, 0), (0, 0, 0, 4))


@every_mode
def test_intervals_over_steps_cover_95_percent(mode):
    # 2000 repetitions: sigma 0.49 %, so 1.5 % is 3.1 sigma, false alarm 0.2 % per new seed
    cascade, profile, batch = CASCADES[2], profile_of(Independent()), 4
    law = cycle_law(cascade, profile)
    times = reply_law(cascade, profile, 1)
    below = np.minimum(np.cumsum(times.time_pmf), 1.0) ** batch
    cost = float(np.diff(below, prepend=0.0) @ times.times)
    tokens = float(lockstep_tokens(law.pmf, batch)) if mode == "lockstep" else law.mean
    hits = sum(
        simulate_batch(cascade, profile, batch, 300, rng=r, mode=mode)
        .interval()
        .holds(tokens / cost)
        for r in rng(13).spawn(2000)
    )
    assert abs(hits / 2000 - 0.95) < 0.015


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"batch": 0}, ValueError, "batch must be >= 1"),
        ({"n_steps": -1}, ValueError, "n_steps must be >= 1"),
        ({"batch": 2.0}, TypeError, "batch"),
        ({"rng": 1}, TypeError, "default_rng"),
        ({"mode": "both"}, ValueError, "mode must be one of 'lockstep', 'ragged'"),
        ({"abstain": {1: 0.5}}, ValueError, "one-shot"),
        ({"profile": Profile([0.5], [0.1])}, ValueError, "model 2"),
    ],
)
def test_bad_input_gets_a_sentence(change, error, words):
    given = {"profile": profile_of(Independent()), "batch": 2, "n_steps": 3, "rng": rng(1)}
    given |= change
    args = [given.pop(name) for name in ("profile", "batch", "n_steps")]
    with pytest.raises(error, match=words):
        simulate_batch(CASCADES[1], *args, **given)


def test_batches_of_two_sizes_or_modes_do_not_add():
    profile = profile_of(Independent())
    two = simulate_batch(CASCADES[0], profile, 2, 5, rng=rng(1))
    for other in (
        simulate_batch(CASCADES[0], profile, 3, 5, rng=rng(2)),
        simulate_batch(CASCADES[0], profile, 2, 5, rng=rng(2), mode="ragged"),
        simulate(CASCADES[0], profile, 5, rng=rng(2)),
    ):
        with pytest.raises(ValueError, match="different experiments"):
            two + other
    assert (two + simulate_batch(CASCADES[0], profile, 2, 5, rng=rng(2))).observations == 10


@st.composite
def trees(draw):
    """Any token tree of up to 12 nodes, ranks from 1 to 4."""
    parents, ranks = [-1], [0]
    for node in range(1, draw(st.integers(1, 12))):
        parent, rank = draw(st.integers(0, node - 1)), draw(st.integers(1, 4))
        if (parent, rank) not in set(zip(parents, ranks, strict=True)):
            parents.append(parent)
            ranks.append(rank)
        else:
            break
    return Tree(tuple(parents), tuple(ranks))


@st.composite
def acceptance_by_rank(draw):
    shape = draw(st.sampled_from([(1,), (3,), (5,), (1, 2), (4, 3)]))
    values = rng(draw(seeds)).random(shape)
    return (
        values
        / np.maximum(1.0, values.sum(axis=-1, keepdims=True))
        * draw(st.sampled_from([0.5, 1.0]))
    )


@given(trees(), acceptance_by_rank(), st.integers(1, 40), seeds)
@settings(max_examples=150, deadline=None)
def test_the_tree_kernel_equals_its_twin(tree, rank_acceptance, n_cycles, seed):
    fast = simulate_tree(tree, rank_acceptance, n_cycles, rng=rng(seed), cost=1.5)
    assert fast == simulate_tree_slow(tree, rank_acceptance, n_cycles, rng=rng(seed), cost=1.5)
    assert fast.cost == 1.5 * n_cycles


SEQUOIA = [0.7732, 0.1039, 0.0402, 0.0206, 0.0128, 0.0081, 0.0064, 0.0043]
TREES = [
    Tree((-1,), (0,)),
    Tree.chain(5),
    Tree((-1, 0, 0, 1, 1, 2, 3), (0, 1, 2, 1, 3, 1, 2)),
    Tree((-1, 0, 0, 0, 2, 2), (0, 2, 4, 7, 1, 9)),  # siblings without the first rank
    Tree.from_paths(
        [(1,), (2,), (3,), (1, 1), (1, 2), (2, 1), (1, 1, 1), (1, 1, 2), (1, 1, 1, 1)]
    ),
]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: f"{tree.size} nodes")
@pytest.mark.parametrize(
    "rank_acceptance",
    [SEQUOIA, [[0.9, 0.05], [0.5, 0.4], [0.2, 0.2]], [[0.2, 0.3, 0.1, 0.2]] * 6],
    ids=["sequoia", "three depths", "flat"],
)
def test_tree_tokens_agree_with_theory(tree, rank_acceptance):
    n = 200_000
    tally = simulate_tree(tree, rank_acceptance, n, rng=rng([2402, 12374]))
    scores, depths = node_scores(tree, rank_acceptance), np.array(tree.depths)
    reached = np.array([scores[depths == d].sum() for d in range(tree.depth + 1)])
    pmf = np.concatenate([[0.0], -np.diff([*reached, 0.0])])
    assert pmf @ np.arange(pmf.size) == pytest.approx(tree_tokens(tree, rank_acceptance))
    assert chi_square(tally.counts, pmf).p_value > 1e-6
    error = tally.tokens_per_cycle - tree_tokens(tree, rank_acceptance)
    assert abs(error) <= 5.0 * tally.tokens_sigma + 1e-12
    assert tally.cost == n


def test_tree_tallies_add_where_tree_and_rates_are_alike():
    a = simulate_tree(TREES[2], SEQUOIA, 10, rng=rng(1))
    assert (a + simulate_tree(TREES[2], SEQUOIA, 10, rng=rng(2))).cycles == 20
    for other in (
        simulate_tree(Tree.chain(3), SEQUOIA, 10, rng=rng(2)),
        simulate_tree(TREES[2], SEQUOIA[:2], 10, rng=rng(2)),
        simulate_tree(TREES[2], SEQUOIA, 10, rng=rng(2), cost=2.0),
    ):
        with pytest.raises(ValueError, match="different experiments"):
            a + other


class Shape:
    """Parents and ranks that no tree has checked."""

    def __init__(self, parents, ranks):
        self.parents, self.ranks = parents, ranks


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tree": (-1, 0)}, TypeError, "parents and ranks"),
        ({"tree": Shape((-1, 0), (0,))}, ValueError, "root"),
        ({"tree": Shape((-1, 2, 0), (0, 1, 1))}, ValueError, "node 1 has parent 2"),
        ({"tree": Shape((-1, 0, 0), (0, 1, 1))}, ValueError, "differ"),
        ({"rank_acceptance": [0.8, 0.3]}, ValueError, "sum to <= 1"),
        ({"rank_acceptance": [1.2]}, ValueError, "rank_acceptance"),
        ({"rank_acceptance": 0.5}, ValueError, "shape"),
        ({"n_cycles": 0}, ValueError, "n_cycles"),
        ({"rng": None}, TypeError, "default_rng"),
        ({"cost": -1.0}, ValueError, "cost"),
    ],
)
def test_bad_trees_get_a_sentence(change, error, words):
    given = {"tree": TREES[2], "rank_acceptance": SEQUOIA, "n_cycles": 5, "rng": rng(1), **change}
    args = [given.pop(name) for name in ("tree", "rank_acceptance", "n_cycles")]
    with pytest.raises(error, match=words):
        simulate_tree(*args, **given)
