"""Block verification against its own coins, one at a time, and against the target's law."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc.theory.block import (
    block_survival,
    block_tokens,
    full_information_survival,
    full_information_tokens,
    tokenwise_survival,
    tokenwise_tokens,
)

THIRDS = ([1 / 3, 2 / 3], [2 / 3, 1 / 3])
C = ([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])
D = ([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("pair", "length", "single", "block", "limit"),
    [
        (THIRDS, 2, 19 / 9, 20 / 9, 21 / 9),
        (THIRDS, 3, 2.407407, 2.666667, 2.851852),
        (C, 2, 2.19, 2.28, 2.37),
        (C, 3, 2.533, 2.761, 2.938),
        (C, 4, 2.7731, 3.1736, 3.4655),
        (D, 3, 2.176, 2.346, 2.49),
    ],
)
def test_reference_table_is_reproduced(pair, length, single, block, limit):
    assert tokenwise_tokens(*pair, length) == pytest.approx(single, abs=6e-7)
    assert block_tokens(*pair, length) == pytest.approx(block, abs=6e-7)
    assert full_information_tokens(*pair, length) == pytest.approx(limit, abs=6e-7)


weights = st.integers(0, 4)


@st.composite
def prefix_laws(draw, most_length=3):
    """Exact laws that follow the prefix: dicts prefix -> weights, for target and draft."""
    vocab = draw(st.integers(1, 3))
    length = draw(st.integers(1, most_length if vocab < 3 else 2))
    laws = []
    for depth in (length + 1, length):
        one = {}
        for i in range(depth):
            for prefix in itertools.product(range(vocab), repeat=i):
                row = draw(st.lists(weights, min_size=vocab, max_size=vocab).filter(any))
                one[prefix] = [Fraction(w, sum(row)) for w in row]
        laws.append(one)
    return vocab, length, *laws


def arrays(laws, vocab, length):
    """The same laws in the form that the functions take."""
    return [
        np.array(
            [
                [float(x) for x in laws[prefix]]
                for prefix in itertools.product(range(vocab), repeat=i)
            ]
        ).reshape((vocab,) * (i + 1))
        for i in range(length)
    ]


def positive(values):
    return [max(Fraction(0), v) for v in values]


def run_block_verification(vocab, length, target, draft):
    """P(accepted = i) and the law of the first length + 1 tokens, by the algorithm's coins.

    Sun et al., arXiv:2403.10444: h_i is the chance that coin i lands, the longest prefix whose
    coin lands is kept, and what follows the correction is drawn from the target.
    """
    accepted = [Fraction(0)] * (length + 1)
    emitted = {}

    def follow(prefix, chance):
        if chance == 0:
            return
        if len(prefix) == length + 1:
            emitted[prefix] = emitted.get(prefix, 0) + chance
            return
        for token, p in enumerate(target[prefix]):
            follow((*prefix, token), chance * p)

    for block in itertools.product(range(vocab), repeat=length):
        chance = Fraction(1)
        for i, token in enumerate(block):
            chance *= draft[block[:i]][token]
        if chance == 0:
            continue
        b, lands, corrections = Fraction(1), [], []
        for i in range(length + 1):
            if i:
                x = block[i - 1]
                b = min(Fraction(1), b * target[block[: i - 1]][x] / draft[block[: i - 1]][x])
            p = target[block[:i]]
            if i == length:
                lands.append(b)
                corrections.append(p)
                continue
            left = positive([b * v - w for v, w in zip(p, draft[block[:i]], strict=True)])
            mass = sum(left)
            lands.append(mass / (mass + 1 - b) if mass + 1 - b else Fraction(1))
            corrections.append([v / mass for v in left] if mass else p)
        lands[0] = Fraction(1)
        reach = chance
        for i in range(length, -1, -1):
            kept = reach * lands[i]
            accepted[i] += kept
            for token, share in enumerate(corrections[i]):
                follow((*block[:i], token), kept * share)
            reach -= kept
    return accepted, emitted


@given(prefix_laws())
@settings(max_examples=60, deadline=None)
def test_survival_equals_the_algorithm_coin_by_coin_and_its_output_is_the_targets(case):
    vocab, length, target, draft = case
    accepted, emitted = run_block_verification(vocab, length, target, draft)
    assert sum(accepted) == 1
    tail = [float(sum(accepted[i:])) for i in range(1, length + 1)]
    found = block_survival(arrays(target, vocab, length + 1), arrays(draft, vocab, length))
    np.testing.assert_allclose(found, tail, atol=1e-13)
    for tokens in itertools.product(range(vocab), repeat=length + 1):
        wanted = Fraction(1)
        for i, token in enumerate(tokens):
            wanted *= target[tokens[:i]][token]
        assert emitted.get(tokens, 0) == wanted  # exact: the algorithm is lossless


@given(prefix_laws())
@settings(max_examples=60, deadline=None)
def test_tokenwise_and_limit_equal_sums_over_blocks(case):
    vocab, length, target, draft = case
    single, limit = [], []
    for i in range(1, length + 1):
        one = both = Fraction(0)
        for block in itertools.product(range(vocab), repeat=i):
            kept = p = q = Fraction(1)
            for j, token in enumerate(block):
                a, b = target[block[:j]][token], draft[block[:j]][token]
                kept, p, q = kept * min(a, b), p * a, q * b
            one, both = one + kept, both + min(p, q)
        single.append(float(one))
        limit.append(float(both))
    laws = arrays(target, vocab, length), arrays(draft, vocab, length)
    np.testing.assert_allclose(tokenwise_survival(*laws), single, atol=1e-13)
    np.testing.assert_allclose(full_information_survival(*laws), limit, atol=1e-13)


small_laws = st.integers(1, 4).flatmap(
    lambda size: st.tuples(
        *[st.lists(st.integers(0, 9), min_size=size, max_size=size).filter(any)] * 2
    )
)


@given(small_laws, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_one_law_for_all_positions_equals_the_same_law_after_every_prefix(pair, length):
    p, q = (np.array(w) / sum(w) for w in pair)
    repeated = [
        [np.broadcast_to(law, (law.size,) * (i + 1)) for i in range(length)] for law in (p, q)
    ]
    for survival in (tokenwise_survival, block_survival, full_information_survival):
        np.testing.assert_allclose(survival(p, q, length), survival(*repeated), atol=1e-12)


@given(small_laws, st.integers(1, 6))
def test_block_verification_lies_between_tokenwise_and_the_limit(pair, length):
    p, q = (np.array(w) / sum(w) for w in pair)
    single, block = tokenwise_survival(p, q, length), block_survival(p, q, length)
    limit = full_information_survival(p, q, length)
    assert np.all(single <= block + 1e-12)
    assert np.all(block <= limit + 1e-12)
    assert single[0] == pytest.approx(block[0], abs=1e-12)  # one token: no difference
    assert np.all(np.diff(block) <= 1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0.5, 0.5], [0.5, 0.6], 2), ValueError, "draft must sum to 1"),
        (([[0.5, 0.5]], [[0.5, 0.5]], 2), ValueError, "must be 1-D"),
        (([0.5, 0.5], [0.5, 0.5], 0), ValueError, "length must be >= 1"),
        ((np.array([0.5, 0.5]), np.array([0.5, 0.5])), TypeError, "give length="),
        (([], [[0.5, 0.5]]), TypeError, "target must be a list or tuple"),
        (([[0.5, 0.5]] * 3, [[0.5, 0.5]]), ValueError, "or one more, got 3"),
        (
            ([[0.5, 0.5]] * 2, [[0.5, 0.5]] * 2),
            ValueError,
            r"target\[1\] must have shape \(2, 2\)",
        ),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    for function in (tokenwise_tokens, block_tokens, full_information_tokens):
        with pytest.raises(error, match=message):
            function(*arguments)


def test_a_block_too_large_to_enumerate_is_refused():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(5000)), rng.dirichlet(np.ones(5000))
    with pytest.raises(ValueError, match="too many to enumerate"):
        full_information_tokens(p, q, 2)
