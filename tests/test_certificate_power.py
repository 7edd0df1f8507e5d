"""What a certificate could have seen: too few tokens do not pass; any engine is judged alike."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.test_certificate import (  # noqa: E402
    PROMPTS,
    SHARP,
    SIZES,
    TWO,
    noisy_llamas,
    noisy_tables,
)
from validate.certificate import certify  # noqa: E402
from validate.certificate_counts import (  # noqa: E402
    ENOUGH,
    GROUPS,
    FirstTwo,
    _cells,
    _comparison,
    detectable,
)
from validate.certificate_verdict import Certificate  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.engine import Engine, with_engine  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.static_session import StaticSession  # noqa: E402


@pytest.fixture(scope="module")
def tables():
    return noisy_tables()


@pytest.fixture(scope="module")
def llamas():
    return noisy_llamas()


def test_too_few_tokens_do_not_pass(tables):
    found = certify(
        TWO, tables, [[0, 1]], sampling=SHARP, samples=40, max_tokens=4, greedy_tokens=8
    )  # 160 tokens
    assert not found.passed
    assert not found.failed
    assert found.outcome == "passed in part"
    assert "place in the reply" in found.untested
    assert found.verdict.startswith("No sign of loss in what could be tested: 160 tokens agree")
    assert "too few tokens to test: place in the reply (40 tokens, needs 100)" in found.verdict
    data = found.to_dict()
    assert (data["passed"], data["outcome"]) == (False, "passed in part")
    power = {one["group"]: one for one in data["power"]}
    assert power["place in the reply"]["not_tested"] == "not tested: 40 tokens, needs 100"
    assert power["place in the reply"]["sees"] is None
    assert power["all tokens"]["not_tested"] is None
    assert 0.2 < power["all tokens"]["sees"] < 0.5


def test_a_certificate_that_tested_nothing_says_so(tables):
    few = {"sampling": SHARP, "samples": 4, "max_tokens": 3}
    found = certify(TWO, tables, [[0, 1]], greedy_tokens=0, **few)
    assert (found.passed, found.failed, found.outcome) == (False, False, "not tested")
    assert found.verdict.startswith("Nothing was tested: too few tokens to test: all tokens (12 ")
    greedy = certify(TWO, tables, [[0, 1]], greedy_tokens=8, **few)
    assert greedy.outcome == "passed in part"  # greedy text says nothing of drawn tokens
    only = certify(TWO, tables, [[0, 1]], sampling=Sampling(0.0), greedy_tokens=8)
    assert only.outcome == "passed"  # nothing else was asked for
    assert only.to_dict()["plan"] == {}


def test_what_was_fixed_in_advance_stands_in_the_certificate(tables):
    found = certify(TWO, tables, PROMPTS, sampling=SHARP, **SIZES)
    data = found.to_dict()
    assert data["outcome"] == "passed"
    assert found.tokens == data["plan"]["tokens"] == 4800  # whatever was drawn
    assert data["plan"]["comparisons"] == len(found.comparisons)
    assert data["plan"]["threshold"] == pytest.approx(1e-3 / len(found.comparisons))
    assert all(one["not_tested"] is None for one in data["power"])
    assert all(0.0 < one["sees"] < 0.5 for one in data["power"])
    assert [one["group"] for one in data["power"]] == list(dict.fromkeys(GROUPS))
    assert "would show with chance 90 %" in found.verdict


def test_the_number_of_tokens_is_fixed_in_advance(tables):
    for name in ("eos", "stop"):
        with pytest.raises(ValueError, match=f"{name} ends replies early"):
            certify(TWO, tables, PROMPTS, options={name: (1,)})

    def short(cascade, models, prompt, *, max_tokens, **options):
        return generate(cascade, models, prompt, max_tokens=max_tokens - 1, **options)

    with pytest.raises(ValueError, match="reply 0 has 7 tokens, but 8 were asked for"):
        certify(TWO, tables, PROMPTS, sampling=SHARP, decode=short, **SIZES)


def test_cells_that_expect_little_are_pooled():
    """Four cells of which two expect half a token each: they join their neighbours."""
    counts = np.array([500.0, 499.0, 1.0, 0.0])
    law = np.array([0.5, 0.499, 0.0005, 0.0005])
    found = _comparison(("first two tokens", "prompt 0", "tokens"), counts, law, 1e-4, 20)
    assert found.cells == 2
    assert found.sees == detectable(1000, 1, 1e-4)
    assert found.passed


def test_a_comparison_says_from_how_many_tokens_it_is_made(tables):
    """One token fewer than it needs is too few; of the first two tokens, so many replies do."""
    planned = ("bonus", "bonus", "likeliest")
    for n in (ENOUGH - 1, ENOUGH):
        counts = _cells(np.linspace(0.0, 0.999, n))
        law = np.full(counts.size, 1.0 / counts.size)
        made = _comparison(planned, counts, law, 1e-4, ENOUGH)
        assert (made.tested, made.needs, made.n) == (n == ENOUGH, ENOUGH, n)
    for prompt in PROMPTS:
        needs = FirstTwo.of(tables.target, prompt, SHARP, 1).needs
        law = np.array(list(FirstTwo.of(tables.target, prompt, SHARP, needs).law.values()))
        assert len(law) >= 2
        assert _comparison(planned, np.round(law * needs), law, 1e-4, needs).tested


def test_a_law_without_a_choice_is_no_gap(tables):
    """Top-k 1: a token that the law does not give is impossible, so counts have nothing to say."""
    found = certify(
        TWO, tables, PROMPTS, sampling=Sampling(0.5, top_k=1), samples=200, max_tokens=6,
        greedy_tokens=4,
    )  # fmt: skip
    power = {one.group: one for one in found.power}
    assert (power["first two tokens"].tested, power["first two tokens"].needs) == (0, None)
    assert "first two tokens" not in found.untested


@pytest.mark.parametrize("name", ["eager", "static"])
def test_any_engine_is_certified_and_named(llamas, name):
    """The decoder runs on the engine; the laws that judge it are read without one."""
    found = certify(
        TWO, with_engine(llamas, name), [[1, 2]], sampling=Sampling(2.5), samples=300,
        max_tokens=6, greedy_tokens=20,
    )  # fmt: skip
    assert found.passed, found.verdict
    assert all(check.equal for check in found.greedy)
    assert found.engine == found.to_dict()["engine"] == name
    assert ("engine" in found.experiment) == (name != "eager")


def test_an_engine_that_changes_the_module_is_certified():
    """Fused projections and grouped attention: the eager reading goes through the same layers."""
    models = with_engine(noisy_llamas(), Engine(fuse=True, grouped=True))
    found = certify(
        TWO, models, [[1, 2]], sampling=Sampling(2.5), samples=100, max_tokens=6, greedy_tokens=20
    )
    assert not found.failed, found.verdict
    assert found.experiment["engine"]["fuse"] is True


def test_engines_are_told_apart():
    for name in ("static", "graphs", "compiled"):
        settings = dataclasses.asdict(Engine.named(name))
        found = Certificate({"engine": settings}, (), 0, 0, 0, (), {})
        assert found.engine == name


def test_an_engine_that_reads_wrongly_is_caught(llamas, monkeypatch):
    """A pass that forgets the first token: the engine's own laws would agree with it."""
    models = with_engine(llamas, "static")
    inner = StaticSession.extend

    def forgetful(self, tokens, n_last):
        given = list(tokens)
        if self.length == 0:
            given[0] = (given[0] + 1) % models.vocab_size
        return inner(self, given, n_last)

    monkeypatch.setattr(StaticSession, "extend", forgetful)
    found = certify(
        TWO, models, [[1, 2]], sampling=Sampling(2.5), samples=300, max_tokens=6, greedy_tokens=0
    )
    assert found.failed, found.verdict
