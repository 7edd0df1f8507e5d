"""The front of speed and quality: sums against their definitions, ends, dominance, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscalc import Profile, deferral_front, speculative_ewif
from cscalc.fronts import front_jobs
from cscalc.theory.deferral import Chow
from cscalc.theory.deferral_rates import RULES, deferral_sums, make_rule


def laws(rng, contexts, vocab=5, sharp=1.5):
    p = rng.dirichlet(np.full(vocab, 1.0 / sharp), size=contexts)
    q = 0.5 * p + 0.5 * rng.dirichlet(np.full(vocab, 1.0 / sharp), size=contexts)
    return p, q


names = st.sampled_from(sorted(RULES))


@given(names, st.floats(0.0, 0.9), st.integers(0, 2**31), st.sampled_from([None, 0.5]))
@settings(max_examples=80, deadline=None)
def test_sums_are_those_of_the_definitions_context_by_context(name, threshold, seed, temperature):
    rng = np.random.default_rng(seed)
    p, q = laws(rng, 6)
    text = (p, q)
    if temperature:
        sharp = [np.power(x, 1.0 / temperature) for x in text]
        text = (p, q, *(x / x.sum(-1, keepdims=True) for x in sharp))
    rule = make_rule(name, threshold)
    sums = deferral_sums(rule, text)
    expected = dict.fromkeys(sums, 0.0)
    for row in range(6):
        one = [x[row] for x in text]
        scaled_p, scaled_q = one[-2:]
        pi = rule.law(*one).law
        expected["contexts"] += 1.0
        expected["acceptance"] += sum(min(a, b) for a, b in zip(pi, scaled_q, strict=True))
        expected["deferral"] += float(rule.law(*one).deferral)
        expected["loss"] += sum(
            -(a - b) * np.log(c) for a, b, c in zip(pi, scaled_p, p[row], strict=True)
        )
        expected["disagreement"] += 1.0 - pi[p[row].argmax()]
    for key, value in expected.items():
        assert sums[key] == pytest.approx(value, abs=1e-9), key


def front(profile, seed=0, n_texts=6, contexts=30, rules=tuple(RULES), thresholds=(0.1, 0.4)):
    rng = np.random.default_rng(seed)
    texts = [laws(rng, contexts) for _ in range(n_texts)]
    found = deferral_front(
        profile, rules, thresholds, laws=texts, rng=np.random.default_rng(1), n_resamples=200
    )
    return found, texts


@given(st.integers(0, 2**31), st.floats(0.01, 0.5))
@settings(max_examples=15, deadline=None)
def test_no_point_on_the_front_is_beaten_and_every_other_is(seed, cost):
    found, _ = front(Profile([0.5], [cost]), seed)
    for a in found.points:
        beaten = any(
            b.ewif >= a.ewif and b.loss <= a.loss and (b.ewif, b.loss) != (a.ewif, a.loss)
            for b in found.points
        )
        ties = [b for b in found.points if (b.ewif, b.loss) == (a.ewif, a.loss)]
        assert a.on_front == (not beaten and a is ties[0])
    assert [p.loss for p in found.points] == sorted(p.loss for p in found.points)


def test_lossless_decoding_loses_nothing_and_has_its_own_ewif():
    verify = [1.0] + [1.2] * 20
    profile = Profile([0.5], [0.1], verify=verify)
    found, texts = front(profile)
    ends = {p.rule: p for p in found.points if p.threshold is None}
    overlap = np.mean([np.minimum(p, q).sum(-1).mean() for p, q in texts])
    lossless = ends["lossless"]
    assert lossless.loss == pytest.approx(0.0, abs=1e-12)
    assert lossless.acceptance == pytest.approx(overlap, abs=1e-12)
    k = lossless.length
    by_hand = speculative_ewif(overlap, 0.1, k) * (1 + 0.1 * k) / (1.2 + 0.1 * k)
    assert lossless.ewif == pytest.approx(float(by_hand), rel=1e-12)
    assert (ends["plain"].ewif, ends["plain"].loss) == (1.0, pytest.approx(0.0, abs=1e-12))


def test_a_rule_that_always_keeps_has_the_loss_of_the_draft():
    found, texts = front(Profile([0.5], [0.1]), rules=("chow",), thresholds=(1.0,))
    keeps = next(p for p in found.points if p.rule == "chow" and p.execution == "speculative")
    loss = np.mean([((p - q) * np.log(p)).sum(-1).mean() for p, q in texts])
    assert (keeps.acceptance, keeps.deferral) == (1.0, 0.0)
    assert keeps.loss == pytest.approx(loss, rel=1e-9)
    assert keeps.length == 16  # nothing is ever rejected: the longest that is allowed
    alone = next(p for p in found.points if p.execution == "sequential")
    assert alone.ewif == pytest.approx(10.0)  # the draft alone


def test_intervals_hold_the_true_mean_nine_times_in_ten():
    """40 draws of 12 texts; P(at most 29 of 40 cover | 90 %) = 0.0013, one-sided."""
    covered, rng = 0, np.random.default_rng(5)
    rule = [("opt", 0.3)]
    world = [laws(rng, 20, sharp=s) for s in rng.uniform(0.5, 4.0, size=300)]
    truth = np.mean([deferral_sums(make_rule(*rule[0]), t)["loss"] / 20 for t in world])
    for _ in range(40):
        texts = [world[i] for i in rng.integers(len(world), size=12)]
        found = deferral_front(
            Profile([0.5], [0.1]), ["opt"], [0.3], laws=iter(texts), rng=rng, confidence=0.9
        )
        point = next(p for p in found.points if p.rule == "opt")
        covered += point.loss_low <= truth <= point.loss_high
    assert covered >= 30


def test_a_front_shows_itself_as_a_table_and_as_data():
    found, _ = front(Profile([0.5], [0.1]), rules=("opt", "chow"))
    assert "opt" in found._repr_html_()
    assert len(found.rows()) == 1 + len(found.points) == 1 + 2 + 4 + 2
    data = found.to_dict()
    assert data["n_texts"] == 6
    assert data["points"][0].keys() >= {"rule", "ewif_low", "on_front"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": ["magic"]}, "rule must be one of"),
        ({"rules": "opt"}, "sequence of names"),
        ({"rules": []}, "sequence of names"),
        ({"thresholds": []}, "no thresholds"),
        ({"thresholds": {"chow": [0.1]}}, "rule opt has no thresholds"),
        ({"thresholds": [2.0]}, "rule opt: threshold"),
        ({"laws": []}, "holds no text"),
        ({"laws": [([[0.5, 0.6]], [[0.5, 0.5]])]}, "must sum to 1"),
        ({"draft": 2}, "not in the profile"),
        ({"draft": 0}, "draft must be >= 1"),
        ({"n_resamples": 0}, "n_resamples"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_bad_input_is_one_clear_sentence(change, message):
    good = {
        "rules": ["opt"], "thresholds": [0.1], "laws": [([[0.5, 0.5]], [[0.5, 0.5]])],
        "rng": np.random.default_rng(0),
    }  # fmt: skip
    arguments = {**good, **change}
    rules, thresholds = arguments.pop("rules"), arguments.pop("thresholds")
    with pytest.raises(ValueError, match=message):
        deferral_front(Profile([0.5], [0.1]), rules, thresholds, **arguments)


def test_a_one_shot_draft_has_no_law_to_defer_to():
    profile = Profile([0.5, 0.3], [0.1, 0.01], one_shot=(2,))
    with pytest.raises(ValueError, match="one-shot and has no law"):
        deferral_front(
            profile, ["opt"], [0.1], laws=[([[1.0]], [[1.0]])], rng=np.random.default_rng(0),
            draft=2,
        )  # fmt: skip


def test_jobs_take_thresholds_by_rule():
    assert front_jobs(["opt", "chow"], {"opt": [0.1], "chow": [0.2, 0.3]}) == [
        ("opt", 0.1), ("chow", 0.2), ("chow", 0.3),
    ]  # fmt: skip
    assert Chow(-1.0).law([0.5, 0.5], [0.9, 0.1]).law.tolist() == [0.5, 0.5]
