"""Token trees against brute force over all trees, slow twins and the papers' numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory._tree_kernel import best_tokens_slow
from cscalc.theory.tree_search import best_first_tree, fastest_tree, optimal_tree, tree_token_table
from cscalc.theory.trees import Tree, node_scores, rank_acceptance_from_rates, tree_tokens
from tests.tree_cases import SEQUOIA, acceptance, curves


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
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
