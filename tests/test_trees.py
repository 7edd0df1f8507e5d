"""Token trees against brute force over all trees, slow twins and the papers' numbers."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory._tree_kernel import best_tokens_slow
from cscalc.theory.dytc import best_step, step_values
from cscalc.theory.tree_cascade import leaf_cascade, level_cascade
from cscalc.theory.tree_growth import grow_tree, yggdrasil_speedup
from cscalc.theory.tree_search import (
    best_first_tree,
    fastest_tree,
    optimal_tree,
    tree_token_table,
)
from cscalc.theory.trees import Tree, node_scores, rank_acceptance_from_rates, tree_tokens

# Sequoia (arXiv:2402.12374): Llama3-70B target, 8B draft, first 16 ranks
SEQUOIA = [
    *(0.7732, 0.1039, 0.0402, 0.0206, 0.0128, 0.0081, 0.0064, 0.0043),
    *(0.0035, 0.0026, 0.0025, 0.0021, 0.0016, 0.0014, 0.0010, 0.0010),
]


def acceptance(ranks=3, decreasing=False):
    """Positional acceptance of at most `ranks` ranks; sums to <= 1, zeros allowed."""

    def scale(weights):
        values = np.array(weights[:-1]) / max(1, sum(weights))
        return np.sort(values)[::-1].copy() if decreasing else values

    return st.lists(st.integers(0, 9), min_size=2, max_size=ranks + 1).map(scale)


def all_trees(size, ranks):
    """Every tree of at most `size` nodes whose children have ranks 1..b, as sets of paths."""
    seen = {frozenset([()])}
    front = list(seen)
    while front:
        grown = set()
        for tree in front:
            if len(tree) == size:
                continue
            for path in tree:
                child = (*path, 1 + sum(1 for p in tree if p[:-1] == path and p))
                if child[-1] <= ranks:
                    grown.add(tree | {child})
        front = [tree for tree in grown if tree not in seen]
        seen |= grown
    return seen


ALL_TREES = {ranks: all_trees(6, ranks) for ranks in (1, 2, 3)}


def value(paths, rates):
    """Sum of path products, straight from the definition."""
    rows = [rates] * 9 if np.ndim(rates) == 1 else rates
    return sum(
        np.prod([rows[i][rank - 1] if i < len(rows) else 0.0 for i, rank in enumerate(path)])
        for path in paths
    )


@st.composite
def trees(draw, most=12):
    parents, ranks = [-1], [0]
    for node in range(1, draw(st.integers(1, most))):
        parent = draw(st.integers(0, node - 1))
        parents.append(parent)
        ranks.append(1 + sum(p == parent for p in parents[:-1]))
    return Tree(tuple(parents), tuple(ranks))


@pytest.mark.parametrize(
    ("size", "tokens"),
    [(1, 1), (2, 1.7732), (4, 2.8333), (8, 3.8459), (16, 4.5376), (32, 5.2199), (64, 5.9166)],
)
def test_sequoia_values_are_reproduced(size, tokens):
    assert tree_tokens(optimal_tree(SEQUOIA, size), SEQUOIA) == pytest.approx(tokens, abs=5e-5)
    assert tree_tokens(best_first_tree(SEQUOIA, size), SEQUOIA) == pytest.approx(tokens, abs=5e-5)
    eight = SEQUOIA[:8]
    assert tree_tokens(optimal_tree(eight, size), eight) == pytest.approx(tokens, abs=5e-5)


@given(acceptance(), st.integers(1, 6), st.none() | st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_optimal_tree_beats_every_tree_of_its_size_and_depth(rates, size, depth):
    best = max(
        value(tree, rates)
        for tree in ALL_TREES[rates.size]
        if len(tree) <= size and (depth is None or max(map(len, tree)) <= depth)
    )
    tree = optimal_tree(rates, size, depth)
    assert tree.size <= size
    assert depth is None or tree.depth <= depth
    assert tree_tokens(tree, rates) == pytest.approx(best, abs=1e-12)


@given(st.lists(acceptance(2), min_size=1, max_size=3), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_optimal_tree_with_acceptance_by_depth_beats_every_tree(rows, size):
    ranks = max(row.size for row in rows)
    rates = np.array([np.pad(row, (0, ranks - row.size)) for row in rows])  # (depths, ranks)
    trees = [t for t in ALL_TREES[ranks] if len(t) <= size and max(map(len, t)) <= len(rows)]
    best = max(value(tree, rates) for tree in trees)
    tree = optimal_tree(rates, size)
    assert tree.depth <= len(rows)
    assert tree_tokens(tree, rates) == pytest.approx(best, abs=1e-12)


@given(acceptance(6), st.integers(1, 14), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_kernel_equals_its_slow_twin(rates, size, depth):
    slow = best_tokens_slow(np.broadcast_to(rates, (depth, rates.size)), size)
    assert tree_token_table(rates, size, depth)[-1, -1] == pytest.approx(slow, rel=1e-13)
    assert tree_tokens(optimal_tree(rates, size, depth), rates) == pytest.approx(slow, rel=1e-13)


@given(acceptance(8, decreasing=True), st.integers(1, 40), st.none() | st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_best_first_equals_the_dynamic_program_when_acceptance_falls(rates, size, depth):
    first = tree_tokens(best_first_tree(rates, size, depth), rates)
    assert first == pytest.approx(tree_tokens(optimal_tree(rates, size, depth), rates), rel=1e-12)


@given(acceptance(4), st.integers(1, 20), st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_one_vector_equals_the_same_row_at_every_depth(rates, size, depth):
    rows = np.broadcast_to(rates, (max(1, depth), rates.size))
    one, two = tree_token_table(rates, size, depth), tree_token_table(rows, size, depth)
    np.testing.assert_allclose(one, two, rtol=1e-13)
    assert np.all(np.diff(one, axis=0) >= -1e-12)  # more nodes never hurt
    assert np.all(np.diff(one, axis=1) >= -1e-12)  # nor does more depth


@given(trees(), acceptance())
def test_tokens_are_the_exact_sum_of_path_products(tree, rates):
    total = Fraction(0)
    for path in tree.paths():
        product = Fraction(1)
        for rank in path:
            product *= Fraction(float(rates[rank - 1])) if rank <= rates.size else 0
        total += product
    assert tree_tokens(tree, rates) == pytest.approx(float(total), abs=1e-12)


@given(trees())
def test_a_tree_survives_its_paths_and_json(tree):
    assert Tree.from_dict(tree.to_dict()) == tree
    again = Tree.from_paths(tree.paths())
    assert sorted(again.paths()) == sorted(tree.paths())
    assert sum(again.widths) == again.size == tree.size
    assert len(again.widths) == again.depth + 1
    for node in range(tree.size):
        assert [tree.parents[child] for child in tree.children(node)] == [node] * len(
            tree.children(node)
        )


@given(trees())
def test_attention_reaches_ancestors_only(tree):
    mask = tree.attention_mask()
    for node in range(tree.size):
        ancestors, at = {node}, node
        while at:
            at = tree.parents[at]
            ancestors.add(at)
        assert set(np.flatnonzero(mask[node])) == ancestors


def test_a_chain_gives_the_geometric_sum():
    assert tree_tokens(Tree.chain(5), [0.8]) == pytest.approx((1 - 0.8**6) / 0.2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_positional_acceptance_is_a_sub_law(rates):
    positional = rank_acceptance_from_rates(rates)
    assert positional.sum() == pytest.approx(1 - np.prod(1 - np.array(rates)), abs=1e-12)


def curves(size):
    return st.lists(st.floats(0.0, 0.5), min_size=size, max_size=size).map(
        lambda steps: 1.0 + np.cumsum([0.0, *steps[1:]])
    )


@given(acceptance(), curves(6), st.floats(0, 0.5), st.integers(1, 6), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_fastest_tree_beats_every_tree(rates, curve, cost, size, depth):
    plan = fastest_tree(rates, cost=cost, size=size, depth=depth, verify=curve)
    best = max(
        value(tree, rates) / (curve[len(tree) - 1] + cost * max(map(len, tree)))
        for tree in ALL_TREES[rates.size]
        if len(tree) <= size and max(map(len, tree)) <= depth
    )
    assert plan.ewif == pytest.approx(best, rel=1e-11)
    spent = curve[plan.tree.size - 1] + cost * plan.tree.depth
    assert plan.cycle_cost == pytest.approx(spent)
    assert plan.ewif == plan.tokens / plan.cycle_cost
    by_function = fastest_tree(
        rates, cost=[cost] * depth, size=size, depth=depth, verify=lambda m: curve[m - 1]
    )
    assert by_function == plan


def test_free_verification_and_drafting_take_all_nodes():
    plan = fastest_tree(SEQUOIA, cost=0.0, size=16, depth=15)
    assert plan.ewif == pytest.approx(4.5376, abs=5e-5)


@st.composite
def cascade_cases(draw):
    count = draw(st.integers(1, 3))
    rates = [draw(acceptance(2)) for _ in range(count)]
    costs = draw(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.3]), min_size=count, max_size=count))
    one_shot = draw(st.sets(st.integers(1, count)))
    return rates, costs, one_shot, draw(st.integers(1, 6)), draw(st.integers(0, 3))


@given(cascade_cases(), curves(6))
@settings(max_examples=40, deadline=None)
def test_level_cascade_beats_every_assignment_of_models_to_levels(case, curve):
    rates, costs, one_shot, size, depth = case
    best = 1.0 / curve[0]
    for used in range(depth + 1):
        for models in itertools.product(range(1, len(rates) + 1), repeat=used):
            rows = [np.pad(rates[m - 1], (0, 2 - rates[m - 1].size)) for m in models]
            spent = sum(
                0.0 if m in one_shot and i and models[i - 1] == m else costs[m - 1]
                for i, m in enumerate(models)
            )
            table = tree_token_table(np.array(rows), size, used)[:, -1] if used else np.ones(size)
            best = max(best, float(np.max(table / (curve[:size] + spent))))
    plan = level_cascade(rates, costs, size=size, depth=depth, verify=curve, one_shot=one_shot)
    assert plan.ewif == pytest.approx(best, rel=1e-11)
    assert len(plan.models) == plan.tree.depth


def test_level_cascade_of_chains_finds_the_best_horizontal_cascade():
    plan = level_cascade([[0.9], [0.8]], [0.4, 0.3], size=12, depth=10)  # CAS-Spec's example
    assert plan.models == (1, 1, 2, 2)
    assert plan.ewif == pytest.approx(1.615167, abs=5e-7)


def test_a_one_shot_draft_pays_once_for_consecutive_levels():
    # one lookup is dearer and worse than one pass, but twelve levels of it cost no more than one
    plan = level_cascade([[0.9], [0.8]], [0.1, 0.15], size=13, depth=12, one_shot=[2])
    best = {}
    for passes in range(12):
        rates = [0.9] * passes + [0.8] * (12 - passes)
        best[passes] = (1 + np.cumprod(rates).sum()) / (1 + 0.1 * passes + 0.15)
    passes = max(best, key=best.get)
    assert plan.models == (1,) * passes + (2,) * (12 - passes)
    assert plan.ewif == pytest.approx(best[passes])


def test_a_one_shot_draft_is_not_free():
    plan = level_cascade([[0.3]], [0.5], size=4, depth=3, one_shot=[1])
    assert plan.models == ()
    assert plan.ewif == 1.0


@given(cascade_cases(), curves(8))
@settings(max_examples=60, deadline=None)
def test_leaf_cascade_reports_what_its_tree_gives_and_never_loses(case, curve):
    rates, costs, _, _, _ = case
    grown = leaf_cascade(rates, costs, size=8, verify=curve)
    scores = [1.0]
    for node in range(1, grown.tree.size):
        row = rates[grown.models[node] - 1]
        scores.append(scores[grown.tree.parents[node]] * row[grown.tree.ranks[node] - 1])
    assert grown.tokens == pytest.approx(sum(scores), rel=1e-12)
    assert grown.ewif == pytest.approx(grown.tokens / grown.cycle_cost, rel=1e-12)
    assert grown.ewif >= (1.0 - 1e-12) / curve[0]


def test_leaf_cascade_sees_past_the_cheapest_model():
    grown = leaf_cascade([[0.9], [0.8]], [0.4, 0.3], size=8)
    assert grown.models == (0, 1, 1, 1, 2)
    assert grown.ewif == pytest.approx(1.60888, abs=5e-7)  # M_d2 alone: 1.553684


@pytest.mark.parametrize(
    ("alphas", "costs", "bottom", "rows"),
    [
        (
            (0.9, 0.8),
            (0.4, 0.3),
            (0.8, 0.3),
            ([2.314, 2.144, 2.015, 1.905, 1.808], [2.400, 2.169, 1.968, 1.793, 1.640]),
        ),
        (
            (0.8, 0.3),
            (0.6, 0.01),
            (0.3, 0.01),
            ([1.705, 1.349, 1.163, 1.031, 0.926], [19.5, 13.9, 10.628, 8.551, 7.138]),
        ),
    ],
)
def test_printed_step_rule_is_reproduced(alphas, costs, bottom, rows):
    values = step_values(alphas, costs, *bottom, 5, objective="printed")
    np.testing.assert_allclose(values, rows, atol=5.1e-4)
    step = best_step(alphas, costs, *bottom, 5, objective="printed")
    assert (step.model, step.length) == (2, 1)  # the cheapest draft, whatever it gives


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(1, 5),
    st.floats(1, 3),
    st.floats(0, 1),
)
def test_ratio_step_is_the_best_and_taken_only_if_it_pays(
    models, alpha, price, tokens, cost, reach
):
    alphas, costs = zip(*models, strict=True)
    step = best_step(alphas, costs, alpha, price, 4, tokens=tokens, cost=cost, reach=reach)
    best, now = tokens / cost, tokens / cost
    for a, c in models:
        for k in range(1, 5):
            gain = reach * (sum(a**i for i in range(1, k + 1)) + a**k * alpha)
            best = max(best, (tokens + gain) / (cost + k * c + price))
    assert step.value == pytest.approx(best, rel=1e-12)
    if step.model is None:
        assert best == pytest.approx(now, rel=1e-12)
        assert step.length == 0
    else:
        a, c = models[step.model - 1]
        gain = reach * (sum(a**i for i in range(1, step.length + 1)) + a**step.length * alpha)
        assert (tokens + gain) / (cost + step.length * c + price) == pytest.approx(best, rel=1e-12)


def test_printed_rule_skips_steps_that_cost_nothing():
    values = step_values([0.5, 0.5], [0.0, 0.1], 0.3, 0.0, 2, objective="printed")
    assert np.all(np.isneginf(values[0]))
    assert np.all(np.isfinite(values[1]))


@st.composite
def draft_tables(draw):
    """A draft's law after every prefix of up to 3 tokens, vocabulary 2 or 3."""
    vocab = draw(st.integers(2, 3))
    table = {}
    for i in range(4):
        for path in itertools.product(range(vocab), repeat=i):
            row = draw(st.lists(st.integers(0, 9), min_size=vocab, max_size=vocab).filter(any))
            table[path] = np.array(row) / sum(row)
    return vocab, table


@given(draft_tables(), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_grown_tree_holds_the_likeliest_continuations(case, size):
    vocab, table = case
    paths = [p for i in range(4) for p in itertools.product(range(vocab), repeat=i)]
    scores = {p: np.prod([table[p[:i]][t] for i, t in enumerate(p)]) for p in paths}
    best = sum(sorted(scores.values(), reverse=True)[:size])
    grown = grow_tree(table.__getitem__, size, depth=3)
    assert grown.expected == pytest.approx(best, rel=1e-12)
    tokens = {0: ()}
    for node in range(1, grown.tree.size):
        tokens[node] = (*tokens[grown.tree.parents[node]], grown.tokens[node])
        assert grown.scores[node] == pytest.approx(scores[tokens[node]], rel=1e-12)


def test_growth_stops_when_a_level_gains_too_little():
    law = [0.6, 0.3, 0.1]
    gains = [grow_tree(lambda path: law, 6, depth=d).expected for d in range(6)]
    steps = np.diff(gains)
    stop = grow_tree(lambda path: law, 6, least_gain=float(steps[2]) + 1e-9)
    assert stop.levels == 3
    assert stop.expected == pytest.approx(gains[3])
    assert grow_tree(lambda path: law, 6, least_gain=10.0).levels == 1


def test_growth_with_one_law_equals_best_first():
    law = np.array(SEQUOIA)
    grown = grow_tree(lambda path: law, 32)
    assert grown.expected == pytest.approx(tree_tokens(best_first_tree(law, 32), law), rel=1e-12)


def test_yggdrasil_with_one_chain_equals_the_plain_speed_up():
    tokens = (1 - 0.8**6) / 0.2
    assert yggdrasil_speedup(tokens, [0.1] * 5, 1.0, 1.0) == pytest.approx(tokens / 1.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Tree([-1, 0], (0, 1)), TypeError, "parents must be a tuple"),
        (lambda: Tree((-1, 0), (0,)), ValueError, "one entry per node"),
        (lambda: Tree((0,), (0,)), ValueError, "node 0 is the root"),
        (lambda: Tree((-1, 2, 1), (0, 1, 1)), ValueError, r"parents\[1\] must be listed before"),
        (lambda: Tree((-1, 0, 0), (0, 1, 1)), ValueError, "repeats rank 1 under parent 0"),
        (lambda: Tree.from_paths([(1, 1)]), ValueError, "has no parent"),
        (lambda: Tree.from_paths([(1,), (1,)]), ValueError, "comes twice"),
        (lambda: node_scores(Tree.chain(1), [0.9, 0.8]), ValueError, "must sum to <= 1"),
        (lambda: node_scores(Tree.chain(1), [80.0]), ValueError, "rates, not percentages"),
        (lambda: optimal_tree([0.5], 0), ValueError, "size must be >= 1"),
        (lambda: optimal_tree([[[0.5]]], 2), ValueError, "rank_acceptance must have shape"),
        (lambda: optimal_tree([0.5], 2, depth=-1), ValueError, "depth must be >= 0"),
        (lambda: best_first_tree([0.1, 0.2], 3), ValueError, "use optimal_tree"),
        (
            lambda: fastest_tree([0.5], cost=[0.1], size=4, depth=3),
            ValueError,
            "cost must be a number or 3 numbers",
        ),
        (
            lambda: fastest_tree([0.5], cost=0.1, size=4, depth=3, verify=[1.0]),
            ValueError,
            r"verify must hold V\(1\), ..., V\(4\)",
        ),
        (
            lambda: fastest_tree([0.5], cost=0.1, size=2, depth=1, verify=[1.0, 0.0]),
            ValueError,
            "verify must be finite and > 0",
        ),
        (lambda: level_cascade([[0.5]], [0.1, 0.2], size=2, depth=1), ValueError, "one vector"),
        (
            lambda: level_cascade([[0.5]], [0.1], size=2, depth=1, one_shot=[2]),
            ValueError,
            "one_shot names drafts 1..1, got 2",
        ),
        (lambda: best_step([0.5], [0.1, 0.2], 0.3, 0.1, 5), ValueError, "one entry per draft"),
        (
            lambda: best_step([0.5], [0.1], 0.3, 0.1, 5, objective="best"),
            ValueError,
            "objective must be one of",
        ),
        (lambda: grow_tree(lambda path: [0.9, 0.9], 3), ValueError, "summing to <= 1"),
        (lambda: yggdrasil_speedup(2.0, [0.1], 0.0, 1.0), ValueError, "verify_time"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
