"""Trees grown while drafting, against the likeliest continuations."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory.tree_growth import grow_tree, yggdrasil_speedup
from cscalc.theory.tree_search import best_first_tree
from cscalc.theory.trees import tree_tokens
from tests.tree_cases import SEQUOIA


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
        (lambda: grow_tree(lambda path: [0.9, 0.9], 3), ValueError, "summing to <= 1"),
        (lambda: yggdrasil_speedup(2.0, [0.1], 0.0, 1.0), ValueError, "verify_time"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
