"""Plain cascades write what their rule says, and ask the target only where it defers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cscalc.theory.deferral import Chow, ChowLog, ContextRule, Opt  # noqa: E402
from tests.decoding import samplings, table_models  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.lossless import Enumerated, deviation  # noqa: E402
from validate.sequential import generate_sequential  # noqa: E402


def written(chance, models, rule, sampling, n_tokens):
    run = generate_sequential(
        models, [0, 1], rule, generator=chance, max_tokens=n_tokens, sampling=sampling
    )
    return tuple(run.tokens)


class Hashed:
    """A value that stands for itself in the keys of an enumeration."""

    def __init__(self, value):
        self.value = value


@given(
    st.builds(Chow, st.floats(-1.0, 1.0)) | st.builds(ChowLog, st.floats(0.0, 2.0)),
    samplings,
    st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_its_law_is_the_rules_token_by_token(rule, sampling, seed):
    models = table_models(3, seed)

    def part(chance, boxed):
        return written(chance, *boxed.value, 3)

    law = Enumerated().law(part, Hashed((models, rule, sampling)))
    expected = {(): 1.0}
    for _ in range(3):
        longer = {}
        for tokens, weight in expected.items():
            text = [0, 1, *tokens]
            logits = [models.language[m].after(text)[None] for m in (0, 1)]
            plain = [sampling.plain(x, text)[0].numpy() for x in logits]
            scaled = [sampling.law(x, text)[0].dense().double().numpy() for x in logits]
            pi = rule.law(*plain, *scaled).law
            longer |= {(*tokens, v): weight * p for v, p in enumerate(pi) if p > 0.0}
        expected = longer
    assert deviation(law, expected) < 1e-12


@given(st.floats(-1.0, 1.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_target_passes_once_for_every_token_that_is_deferred(threshold, seed):
    models = table_models(4, seed)
    run = generate_sequential(
        models, [0], Chow(threshold), generator=torch.Generator().manual_seed(seed), max_tokens=30
    )
    assert run.passes == {0: 30 - sum(run.reviewed), 1: 30}
    text = [0]
    for token, kept in zip(run.tokens, run.reviewed, strict=True):
        q = models.language[1].after(text).softmax(-1)
        assert kept == int(float(q.max()) >= 1.0 - threshold)
        text.append(token)


def test_the_decision_makes_no_law_of_the_rule(monkeypatch):
    """It would be computed and checked at every token, only to be thrown away."""
    monkeypatch.delattr(ContextRule, "law")
    options = {"generator": torch.Generator(), "max_tokens": 5}
    run = generate_sequential(table_models(4, 0), [0], Chow(0.6), **options)
    assert len(run.tokens) == 5


def test_what_cannot_run_is_one_clear_sentence():
    models, chance = table_models(3, 0), Sampled(torch.Generator())
    with pytest.raises(ValueError, match="reads the target's law"):
        generate_sequential(models, [0], Opt(0.1), generator=chance)
    for draft in (0, 3, 9):
        with pytest.raises(ValueError, match="must be an autoregressive draft"):
            generate_sequential(models, [0], Chow(0.1), generator=chance, draft=draft)
