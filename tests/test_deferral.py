"""Deferral rules and lossy decoding: laws, acceptance and optimality, by independent sums."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from cscalc.theory.bild import BiLD, BiLDStar, law_distance
from cscalc.theory.deferral import Chow, ChowLog, Diff, Opt
from cscalc.theory.deferral_objective import (
    deferral_objective,
    log_loss,
    optimal_deferral,
    plug_in_regret_bound,
    zero_one_loss,
)
from cscalc.theory.lossy import (
    Lossy,
    lossy_acceptance,
    lossy_beta,
    lossy_law,
    simple_lossy_law,
)
from cscalc.theory.multi_draft import overlap
from cscalc.theory.token_deferral import TokenV1, TokenV2, TokenV3

C = ([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])
VOCAB = 4

weights = st.lists(st.integers(0, 9), min_size=VOCAB, max_size=VOCAB).filter(any)
laws = weights.map(lambda w: np.array(w) / sum(w))
thresholds = st.floats(-1, 1)
losses = st.floats(0, 1)
context_rules = st.one_of(
    st.builds(Chow, thresholds),
    st.builds(ChowLog, st.floats(0, 2)),
    st.builds(Diff, thresholds),
    st.builds(Opt, thresholds),
    st.builds(BiLD, st.floats(0, 1), st.floats(0, 3), st.sampled_from(["tv", "kl"])),
    st.builds(BiLDStar, st.floats(0, 1), st.sampled_from(["tv", "cross_entropy"])),
)
token_rules = st.one_of(*(st.builds(rule, thresholds) for rule in (TokenV1, TokenV2, TokenV3)))
lossy_rules = st.builds(Lossy, st.floats(0, 0.99), st.booleans())


def tempered(law, temperature):
    """The law at another temperature; 0 is greedy."""
    if temperature == 0:
        return np.eye(law.size)[law.argmax()]
    powers = (law / law.max()) ** (1 / temperature)
    return powers / powers.sum()


@given(
    st.one_of(context_rules, token_rules, lossy_rules), laws, laws, st.sampled_from([0, 0.5, 2])
)
def test_every_rule_gives_a_law_accepted_with_its_overlap(rule, target, draft, temperature):
    p, q = tempered(target, temperature), tempered(draft, temperature)
    for found, q_used in (
        (rule.law(target, draft, p, q), q),
        (rule.law(target, draft), draft),
    ):
        assert np.all(found.law >= 0)
        assert found.law.sum() == pytest.approx(1.0, abs=1e-12)
        assert 0 <= found.deferral <= 1
        if not (isinstance(rule, Lossy) and rule.simple):
            accepted = np.minimum(q_used, found.law).sum()
            assert float(found.acceptance) == pytest.approx(accepted, abs=1e-12)


@given(
    st.one_of(context_rules, token_rules, lossy_rules), laws, laws, st.sampled_from([0, 0.5, 2])
)
def test_what_a_decoder_asks_for_is_the_law_that_is_checked(rule, target, draft, temperature):
    p, q = tempered(target, temperature), tempered(draft, temperature)
    checked = rule.law(target, draft, p, q).law
    np.testing.assert_allclose(rule.mix(target, draft, p, q), checked, rtol=0, atol=1e-12)


@given(st.integers(1, 400), st.floats(0, 0.99), st.integers(0, 2**31))
def test_beta_without_sorting_is_beta(size, threshold, seed):
    """Laws of any size, a third of their tokens without mass."""
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(2, size)) ** 2 * (rng.random((2, size)) < 0.67)
    weights[:, 0] += 0.01
    p, q = weights / weights.sum(axis=1, keepdims=True)
    mixed = Lossy(threshold).mix(p, q, p, q)
    np.testing.assert_allclose(mixed, lossy_law(p, q, threshold), rtol=0, atol=1e-12)


@given(context_rules, laws, laws, st.sampled_from([0, 0.5, 1, 2]))
def test_a_context_rule_keeps_one_law_and_rejects_with_r_times_tv(
    rule, target, draft, temperature
):
    p, q = tempered(target, temperature), tempered(draft, temperature)
    found = rule.law(target, draft, p, q)
    deferred = bool(rule.defer(target, draft))  # decided at temperature 1
    np.testing.assert_array_equal(found.law, p if deferred else q)
    rejected = sum(max(0.0, a - b) for a, b in zip(q, found.law, strict=True))
    assert 1 - float(found.acceptance) == pytest.approx(rejected, abs=1e-12)
    assert rejected == pytest.approx(deferred * np.maximum(0, p - q).sum(), abs=1e-12)


@given(token_rules, laws, laws, st.sampled_from([0, 0.5, 1, 2]))
def test_a_token_rule_resamples_deferred_tokens_from_the_target(rule, target, draft, temperature):
    p, q = tempered(target, temperature), tempered(draft, temperature)
    deferred = rule.defer(target, draft)
    found = rule.law(target, draft, p, q)
    # draw from q; where the token drawn is deferred, draw again from p
    wanted = np.zeros(VOCAB)
    for token in range(VOCAB):
        if deferred[token]:
            wanted += q[token] * p
        else:
            wanted[token] += q[token]
    np.testing.assert_allclose(found.law, wanted, atol=1e-12)
    assert float(found.deferral) == pytest.approx(q[deferred].sum(), abs=1e-12)


@given(laws, laws, thresholds)
def test_rules_follow_their_inequalities(target, draft, threshold):
    p, q = target, draft
    tv = np.abs(p - q).sum() / 2
    entropy = -sum(x * np.log(x) for x in q if x > 0)
    margins = {
        Chow: q.max() - (1 - threshold),
        ChowLog: abs(threshold) - entropy,
        Diff: q.max() - p.max() + threshold,
        Opt: q.max() - p.max() + threshold * tv,
        TokenV1: q - p.max() + threshold,
        TokenV2: p - p.max() + threshold,
        TokenV3: p - (1 - threshold) * p.max(),
    }
    for rule, margin in margins.items():
        keep = ~rule(abs(threshold) if rule is ChowLog else threshold).defer(p, q)
        clear = np.abs(margin) > 1e-12  # elsewhere rounding decides
        np.testing.assert_array_equal(np.asarray(keep)[clear], np.asarray(margin > 0)[clear])


@given(laws, laws, st.floats(0, 1), st.floats(0, 2), st.sampled_from(["tv", "kl"]))
def test_bild_keeps_what_is_sure_and_near(target, draft, fallback, rollback, distance):
    far = float(law_distance(target, draft, distance)) > rollback
    deferred = bool(BiLD(fallback, rollback, distance).defer(target, draft))
    assert deferred == (far or draft.max() < fallback)
    assert bool(BiLDStar(rollback, distance).defer(target, draft)) == far


@given(laws, laws)
def test_the_ends_of_every_rule_are_the_draft_and_the_target(target, draft):
    for rule in (
        Chow,
        Diff,
        TokenV1,
        TokenV2,
        TokenV3,
    ):  # Opt may tie at 1, where rounding decides
        np.testing.assert_allclose(rule(1.0).law(target, draft).law, draft, atol=1e-15)
    for rule in (Chow, TokenV1, TokenV2, TokenV3):
        found = rule(-1.0).law(target, draft)
        np.testing.assert_allclose(found.law, target, atol=1e-15)
        assert float(found.acceptance) == pytest.approx(float(overlap(target, draft)), abs=1e-12)


@given(laws, laws, st.floats(0, 1))
def test_token_v3_at_temperature_0_is_the_greedy_lenient_rule(target, draft, threshold):
    best, guess = target.argmax(), draft.argmax()
    found = TokenV3(threshold).law(target, draft, tempered(target, 0), tempered(draft, 0))
    # Leviathan, arXiv:2211.17192, A.5: keep a greedy guess within the lenience of the best
    kept = target[guess] >= (1 - threshold) * target[best]
    np.testing.assert_array_equal(found.law, np.eye(VOCAB)[guess if kept else best])


contexts = st.lists(st.tuples(losses, losses, losses), min_size=1, max_size=7)


@given(contexts, st.floats(0, 2))
def test_optimal_deferral_beats_every_rule(cases, threshold):
    draft_loss, target_loss, tv = np.array(cases).T
    best = min(
        deferral_objective(draft_loss, target_loss, tv, threshold, rule)
        for rule in itertools.product([0, 1], repeat=len(cases))
    )
    found = optimal_deferral(draft_loss, target_loss, tv, threshold)
    assert deferral_objective(draft_loss, target_loss, tv, threshold, found) == pytest.approx(
        best, abs=1e-12
    )


@given(st.lists(st.tuples(laws, laws), min_size=1, max_size=6), st.floats(0, 1))
def test_opt_minimises_the_objective_with_plug_in_losses(cases, threshold):
    target, draft = (np.array(side) for side in zip(*cases, strict=True))  # (contexts, VOCAB)
    tv = 1 - overlap(target, draft)
    sides = 1 - draft.max(axis=1), 1 - target.max(axis=1), tv, threshold
    best = min(
        deferral_objective(*sides, rule) for rule in itertools.product([0, 1], repeat=len(cases))
    )
    chosen = Opt(threshold).defer(target, draft)
    assert deferral_objective(*sides, chosen) == pytest.approx(best, abs=1e-12)
    # a sequential cascade pays a whole rejection for every deferral: Diff is its plug-in rule
    sides = *sides[:2], np.ones(len(cases)), threshold
    best = min(
        deferral_objective(*sides, rule) for rule in itertools.product([0, 1], repeat=len(cases))
    )
    chosen = Diff(threshold).defer(target, draft)
    assert deferral_objective(*sides, chosen) == pytest.approx(best, abs=1e-12)


@given(st.lists(st.tuples(laws, laws, laws), min_size=1, max_size=6), st.floats(0, 1))
def test_regret_of_the_plug_in_rule_is_bounded_as_lemma_5_says(cases, threshold):
    truth, target, draft = (np.array(side) for side in zip(*cases, strict=True))
    sides = (
        zero_one_loss(truth, draft),
        zero_one_loss(truth, target),
        1 - overlap(target, draft),
        threshold,
    )
    plug_in = deferral_objective(*sides, Opt(threshold).defer(target, draft))
    best = deferral_objective(*sides, optimal_deferral(*sides))
    assert plug_in >= best - 1e-12
    assert plug_in - best <= plug_in_regret_bound(truth, target, draft).mean() + 1e-12


@pytest.mark.parametrize(
    ("sign", "truth", "target", "draft"),
    [
        (+1, [0.7, 0.15, 0.15], [0.4, 0.3, 0.3], [0.3, 0.4, 0.3]),
        (-1, [0.3, 0.0, *[0.1] * 7], [0.3, 0.0, *[0.1] * 7], [0.26, 0.32, *[0.06] * 7]),
    ],
)
def test_lemma_5_fails_without_the_absolute_values(sign, truth, target, draft):
    p, q, true = np.array(target), np.array(draft), np.array(truth)
    sides = zero_one_loss(true, q), zero_one_loss(true, p), 1 - overlap(p, q), 0.0
    chosen = Opt(0.0).defer(p, q)
    regret = deferral_objective(*sides, chosen) - deferral_objective(
        *sides, optimal_deferral(*sides)
    )
    one_sided = (sign * (p - true)).max() + (sign * (q - true)).max()
    assert one_sided < regret - 0.1
    assert regret <= float(plug_in_regret_bound(true, p, q))


@given(laws, laws)
def test_log_loss_is_cross_entropy(truth, law):
    found = float(log_loss(truth, law))
    if np.any((truth > 0) & (law == 0)):
        assert found == np.inf
    else:
        some = truth > 0
        assert found == pytest.approx(-(truth[some] @ np.log(law[some])), abs=1e-12)


@given(laws, laws)
def test_distances_are_theirs(target, draft):
    assert float(law_distance(target, draft)) == pytest.approx(1 - float(overlap(target, draft)))
    kl = float(law_distance(target, draft, "kl"))
    own = float(log_loss(target, target))
    assert kl == pytest.approx(float(log_loss(target, draft)) - own, abs=1e-12) or kl == np.inf
    one = draft[target.argmax()]
    wanted = -np.log(one) if one > 0 else np.inf
    assert float(law_distance(target, draft, "cross_entropy")) == pytest.approx(wanted)


def test_example_c_is_reproduced():
    for rule in (TokenV1(0.25), TokenV2(0.25)):
        found = rule.law(*C)
        assert rule.defer(*C).tolist() == [False, False, True]
        assert float(found.deferral) == pytest.approx(0.1)
        np.testing.assert_allclose(found.law, [0.63, 0.35, 0.02], atol=1e-12)
        assert float(found.acceptance) == pytest.approx(0.92)
    found = TokenV3(0.25).law(*C)
    assert TokenV3(0.25).defer(*C).tolist() == [True, False, True]
    assert float(found.deferral) == pytest.approx(0.7)
    np.testing.assert_allclose(found.law, [0.21, 0.65, 0.14], atol=1e-12)
    assert float(found.acceptance) == pytest.approx(0.61)
    assert float(lossy_acceptance(*C, 0.2)) == pytest.approx(0.775)
    assert float(lossy_beta(*C, 0.2)) == pytest.approx(1.12)
    np.testing.assert_allclose(lossy_law(*C, 0.2), [0.375, 0.446429, 0.178571], atol=5e-7)
    np.testing.assert_allclose(simple_lossy_law(*C, 0.2), [0.375, 0.45, 0.175], atol=1e-12)


@pytest.mark.parametrize(("lenience", "acceptance"), [(1.0, 0.7), (0.8, 0.775), (0.5, 1.0)])
def test_lossy_acceptance_is_leviathans_lenience(lenience, acceptance):
    assert float(lossy_acceptance(*C, 1 - lenience)) == pytest.approx(acceptance, abs=1e-12)


@given(weights, weights, st.integers(0, 19))
def test_beta_solves_its_equation_exactly(target, draft, twentieths):
    p, q = ([Fraction(w, sum(ws)) for w in ws] for ws in (target, draft))
    alpha = Fraction(twentieths, 20)
    kept = [min(b, a / (1 - alpha)) for a, b in zip(p, q, strict=True)]
    # exact: the largest t = 1/beta at which the sum is still <= 1, over all sets of tokens
    inverse = min(
        (1 - sum(m for i, m in enumerate(kept) if i not in subset)) / sum(p[i] for i in subset)
        for size in range(1, VOCAB + 1)
        for subset in itertools.combinations(range(VOCAB), size)
        if any(p[i] for i in subset)
    )
    assert sum(max(m, a * inverse) for m, a in zip(kept, p, strict=True)) == 1
    arrays = [np.array([float(x) for x in law]) for law in (p, q)]
    beta = float(lossy_beta(*arrays, float(alpha)))
    if inverse == 0:
        assert beta > 1e12  # infinite but for rounding
    else:
        assert beta == pytest.approx(float(1 / inverse), rel=1e-9)
        assert beta >= 1 - 1e-12


@given(laws, laws, st.floats(0.01, 0.9))
def test_beta_agrees_with_a_root_finder(target, draft, threshold):
    kept = np.minimum(draft, target / (1 - threshold))

    def excess(inverse):
        return np.maximum(kept, target * inverse).sum() - 1

    if kept.sum() > 1 - 1e-6:
        return  # every t below a bound solves it
    root = brentq(excess, 0.0, 1.0 + 1e-12, xtol=1e-15)
    assert 1 / float(lossy_beta(target, draft, threshold)) == pytest.approx(root, abs=1e-9)


@given(laws, laws, st.floats(0, 0.95))
def test_lossy_laws_are_what_their_steps_emit(target, draft, threshold):
    p, q = target, draft
    kept = np.array(
        [b * min(1.0, a / ((1 - threshold) * b)) if b else 0.0 for a, b in zip(p, q, strict=True)]
    )
    rejected = max(0.0, 1 - kept.sum())
    beta = float(lossy_beta(p, q, threshold))
    for law, scale in ((lossy_law, beta), (simple_lossy_law, 1.0)):
        left = np.maximum(0.0, p / scale - q)
        if rejected < 1e-9:
            np.testing.assert_allclose(law(p, q, threshold), kept, atol=1e-8)
        else:
            emitted = kept + rejected * left / left.sum()
            np.testing.assert_allclose(law(p, q, threshold), emitted, atol=1e-9)


@given(laws, laws)
def test_lossy_decoding_without_loss_is_lossless(target, draft):
    for simple in (False, True):
        found = Lossy(0.0, simple).law(target, draft)
        np.testing.assert_allclose(found.law, target, atol=1e-12)
        assert float(found.acceptance) == pytest.approx(float(overlap(target, draft)), abs=1e-12)


@given(st.lists(st.tuples(laws, laws), min_size=1, max_size=4), thresholds)
def test_leading_axes_are_independent_contexts(cases, threshold):
    target, draft = (np.array(side) for side in zip(*cases, strict=True))
    for rule in (Chow, Opt, TokenV1, TokenV3, lambda x: Lossy(abs(x) / 2), lambda x: BiLD(0.5, 1)):
        both = rule(threshold).law(target, draft)
        for row in range(len(cases)):
            one = rule(threshold).law(target[row], draft[row])
            np.testing.assert_allclose(both.law[row], one.law, atol=1e-15)
            assert both.acceptance[row] == pytest.approx(float(one.acceptance), abs=1e-15)


def test_costs_are_draft_passes_plus_what_is_deferred():
    target, draft = np.array([C[0], C[0]]), np.array([C[1], [0.9, 0.05, 0.05]])
    found = Chow(0.3).law(target, draft)  # keeps the second context only
    assert found.deferral.tolist() == [1.0, 0.0]
    assert found.sequential_cost(0.1) == pytest.approx(0.6)
    rate = (0.7 + 1.0) / 2
    assert found.tokens_per_cycle(2) == pytest.approx(1 + rate + rate**2)
    assert found.speculative_cost(0.1, 2) == pytest.approx(1.2 / (1 + rate + rate**2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Chow(1.5), "threshold must be a finite number in"),
        (lambda: ChowLog(-0.1), "threshold must be"),
        (lambda: TokenV3(float("nan")), "threshold must be"),
        (lambda: BiLD(2.0, 0.1), "fallback must be"),
        (lambda: BiLD(0.5, 0.1, "l2"), "distance must be one of"),
        (lambda: Lossy(1.0), "threshold must be < 1"),
        (lambda: lossy_law(*C, -0.1), "threshold must be"),
        (lambda: Diff(0.1).law([0.5, 0.6], [0.5, 0.5]), "target must sum to 1"),
        (lambda: Diff(0.1).law(*C, [0.5, 0.5]), "share one vocabulary"),
        (lambda: Diff(0.1).law(*C).sequential_cost(0.1), "use speculative_cost"),
        (lambda: Chow(0.1).law(*C).speculative_cost(-1.0, 3), "cost must be"),
        (lambda: deferral_objective([0.1], [0.1], [0.1], 0.1, [2]), "defer must lie in"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
