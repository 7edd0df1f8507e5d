"""Several proposals for one token, against exact enumeration, all subsets and the transport LP."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cscalc.theory.multi_draft import (
    k_seq_acceptance,
    k_seq_law,
    k_seq_rho,
    overlap,
    recursive_rejection_acceptance,
    recursive_rejection_law,
)
from cscalc.theory.multi_draft_limits import list_coupling_bound, optimal_acceptance
from cscalc.theory.without_replacement import (
    without_replacement_acceptance,
    without_replacement_law,
)

C = ([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])
D = ([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1])


def pairs(least=1, most=5):
    """Two integer weight vectors of one length; zeros allowed, not all zero."""

    def weights(size):
        one = st.lists(st.integers(0, 9), min_size=size, max_size=size).filter(any)
        return st.tuples(one, one)

    return st.integers(least, most).flatmap(weights)


def law(weights):
    return np.array(weights) / sum(weights)


def exact(weights):
    return [Fraction(w, sum(weights)) for w in weights]


def norm(values):
    total = sum(values)
    return [v / total for v in values] if total else None


counts = st.integers(1, 4)


@pytest.mark.parametrize(
    ("function", "example", "values"),
    [
        (optimal_acceptance, C, [0.7, 0.94, 1, 1]),
        (recursive_rejection_acceptance, C, [0.7, 0.82, 0.892, 0.9352]),
        (k_seq_acceptance, C, [0.7, 0.853238, 0.931145, 0.967860]),
        (k_seq_rho, C, [1, 1.383095, 1.577862, 1.678597]),
        (without_replacement_acceptance, C, [0.7, 0.975, 1]),
        (list_coupling_bound, C, [0.694118, 0.803704, None, 0.885532]),
        (optimal_acceptance, D, [0.6, 0.79, 0.871, 0.9439]),
        (recursive_rejection_acceptance, D, [0.6, 0.72, 0.768, 0.7912]),
        (k_seq_acceptance, D, [0.6, 0.75, 0.793950, 0.831438]),
        (without_replacement_acceptance, D, [0.6, 0.764286, 0.840298]),
    ],
)
def test_reference_table_is_reproduced(function, example, values):
    for proposals, value in enumerate(values, start=1):
        if value is not None:
            assert float(function(*example, proposals)) == pytest.approx(value, abs=6e-7)


@given(pairs(), counts)
def test_optimum_equals_the_minimum_over_all_subsets(weights, proposals):
    p, q = map(exact, weights)
    tokens = range(len(p))
    best = min(
        sum(p[i] for i in subset) + 1 - sum(q[i] for i in subset) ** proposals
        for size in range(len(p) + 1)
        for subset in itertools.combinations(tokens, size)
    )
    found = optimal_acceptance(*map(law, weights), proposals)
    assert float(found) == pytest.approx(float(best), abs=1e-12)


@pytest.mark.parametrize("proposals", [2, 3])
@given(weights=pairs(least=2, most=3))
@settings(max_examples=15, deadline=None)
def test_optimum_equals_the_transport_linear_programme(proposals, weights):
    p, q = map(law, weights)
    vocab = p.size
    lists = list(itertools.product(range(vocab), repeat=proposals))
    gain = [-float(y in xs) for xs in lists for y in range(vocab)]
    rows = np.kron(np.eye(len(lists)), np.ones(vocab))  # law of the proposals
    columns = np.kron(np.ones(len(lists)), np.eye(vocab))  # law of the emitted token
    supply = [float(np.prod(q[list(xs)])) for xs in lists]
    result = linprog(gain, A_eq=np.vstack([rows, columns]), b_eq=[*supply, *p], method="highs")
    assert result.status == 0
    assert float(optimal_acceptance(p, q, proposals)) == pytest.approx(-result.fun, abs=1e-8)


@given(pairs(), counts)
def test_every_scheme_is_lossless(weights, proposals):
    p, q = map(law, weights)
    np.testing.assert_allclose(recursive_rejection_law(p, q, proposals), p, atol=1e-12)
    np.testing.assert_allclose(k_seq_law(p, q, proposals), p, atol=1e-12)
    if proposals <= p.size:
        np.testing.assert_allclose(without_replacement_law(p, q, proposals), p, atol=1e-12)


@given(pairs(), counts)
def test_recursive_rejection_equals_exact_enumeration(weights, proposals):
    p, q = map(exact, weights)
    residual, reach = p, Fraction(1)
    for _ in range(proposals):
        reach *= 1 - sum(map(min, residual, q))
        residual = norm([max(Fraction(0), a - b) for a, b in zip(residual, q, strict=True)])
        if residual is None:
            break
    found = recursive_rejection_acceptance(*map(law, weights), proposals)
    assert float(found) == pytest.approx(float(1 - reach), abs=1e-12)


def accept_without_replacement(residual, weights, tried, left):
    """P(one of `left` more proposals is accepted), one drawn token at a time, exact."""
    if left == 0 or residual is None:
        return Fraction(residual is None)
    rest = [0 if i in tried else w for i, w in enumerate(weights)]
    proposal = norm([Fraction(w) for w in rest]) or norm(
        [Fraction(i not in tried) for i in range(len(weights))]
    )
    after = norm([max(Fraction(0), a - b) for a, b in zip(residual, proposal, strict=True)])
    total = Fraction(0)
    for token, chance in enumerate(proposal):
        if chance:
            accept = min(Fraction(1), residual[token] / chance)
            total += chance * accept
            if accept < 1:
                rest = accept_without_replacement(after, weights, tried | {token}, left - 1)
                total += chance * (1 - accept) * rest
    return total


@given(pairs(most=4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_drafting_without_replacement_equals_exact_enumeration(weights, proposals):
    target, draft = weights
    assume(proposals <= len(target))
    best = accept_without_replacement(exact(target), draft, frozenset(), proposals)
    found = without_replacement_acceptance(*map(law, weights), proposals)
    assert float(found) == pytest.approx(float(best), abs=1e-12)


def test_drafting_without_replacement_may_exceed_the_optimum_over_independent_proposals():
    assert float(without_replacement_acceptance(*C, 2)) > float(optimal_acceptance(*C, 2))


@given(pairs(), st.integers(1, 6))
def test_no_independent_scheme_exceeds_the_optimum(weights, proposals):
    p, q = map(law, weights)
    best = float(optimal_acceptance(p, q, proposals))
    k_seq = float(k_seq_acceptance(p, q, proposals))
    assert float(recursive_rejection_acceptance(p, q, proposals)) <= best + 1e-12
    assert (1 - np.exp(-1.0)) * best - 1e-12 <= k_seq <= best + 1e-12
    assert float(list_coupling_bound(p, q, proposals)) <= best + 1e-12


@given(pairs())
def test_with_one_proposal_all_schemes_accept_the_overlap(weights):
    p, q = map(law, weights)
    single = float(sum(map(min, *map(exact, weights))))
    for function in (
        recursive_rejection_acceptance,
        k_seq_acceptance,
        optimal_acceptance,
        without_replacement_acceptance,
    ):
        assert float(function(p, q, 1)) == pytest.approx(single, abs=1e-12)
    assert float(overlap(p, q)) == pytest.approx(single, abs=1e-15)


@given(pairs(), st.integers(1, 5))
def test_one_more_proposal_never_lowers_acceptance(weights, proposals):
    p, q = map(law, weights)
    for function in (recursive_rejection_acceptance, k_seq_acceptance, optimal_acceptance):
        assert function(p, q, proposals + 1) >= function(p, q, proposals) - 1e-12


@given(pairs(), st.integers(1, 8))
def test_rho_solves_its_equation_within_its_range(weights, proposals):
    p, q = map(law, weights)
    rho = float(k_seq_rho(p, q, proposals))
    beta = np.minimum(q, p / rho).sum()
    assert 1.0 <= rho <= proposals
    assert 1 - (1 - beta) ** proposals == pytest.approx(rho * beta, abs=1e-12)


@given(pairs(), counts)
def test_list_coupling_bound_equals_its_double_sum(weights, proposals):
    p, q = map(exact, weights)
    total = Fraction(0)
    for p_j, q_j in zip(p, q, strict=True):
        if p_j and q_j:
            total += proposals / sum(
                max(p_i / p_j, q_i / q_j) + (proposals - 1) * p_i / p_j
                for p_i, q_i in zip(p, q, strict=True)
            )
    found = float(list_coupling_bound(*map(law, weights), proposals))
    assert found == pytest.approx(float(total), abs=1e-12)


def test_leading_axes_are_independent_contexts():
    target = np.array([C[0], [0.2, 0.2, 0.6]])  # (2, 3)
    draft = np.array([C[1], [0.5, 0.0, 0.5]])
    for function in (
        recursive_rejection_acceptance,
        recursive_rejection_law,
        k_seq_acceptance,
        k_seq_law,
        k_seq_rho,
        optimal_acceptance,
        list_coupling_bound,
        without_replacement_acceptance,
        without_replacement_law,
    ):
        both = function(target, draft, 2)
        assert both.shape[0] == 2
        for row in range(2):
            np.testing.assert_allclose(both[row], function(target[row], draft[row], 2), atol=0)


def test_a_large_vocabulary_is_sorted_not_enumerated():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(50_000)), rng.dirichlet(np.ones(50_000))
    single, several = (float(optimal_acceptance(p, q, k)) for k in (1, 4))
    assert single == pytest.approx(float(overlap(p, q)), abs=1e-9)
    assert single < several <= 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0.5, 0.6], [0.5, 0.5], 2), ValueError, "target must sum to 1"),
        (([0.5, 0.5], [-0.5, 1.5], 2), ValueError, "draft must hold probabilities >= 0"),
        (([0.5, np.nan], [0.5, 0.5], 2), ValueError, "target must hold probabilities"),
        (([0.5, 0.5], [1 / 3] * 3, 2), ValueError, "share one vocabulary"),
        ((1.0, [1.0], 2), ValueError, "last axis over the vocabulary"),
        (([0.5, 0.5], [0.5, 0.5], 0), ValueError, "proposals must be >= 1"),
        (([0.5, 0.5], [0.5, 0.5], 1.5), TypeError, "proposals must be an int"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    for function in (
        recursive_rejection_acceptance,
        k_seq_acceptance,
        optimal_acceptance,
        without_replacement_acceptance,
        list_coupling_bound,
    ):
        with pytest.raises(error, match=message):
            function(*arguments)


def test_too_many_distinct_proposals_are_refused():
    with pytest.raises(ValueError, match="proposals must be <= the 2 tokens"):
        without_replacement_acceptance([0.5, 0.5], [0.5, 0.5], 3)
    q = np.full(1000, 1e-3)
    p = np.zeros(1000)
    p[0] = 1.0
    with pytest.raises(ValueError, match="rejected sequences"):
        without_replacement_acceptance(p, q, 4)
