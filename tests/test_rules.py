"""Lenient, deferring and unsure models: exact laws, and the same on the same random numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cscalc.cascade import Cascade, Draft, Review, walk  # noqa: E402
from cscalc.theory.bild import BiLDStar  # noqa: E402
from cscalc.theory.deferral import Chow, ChowLog, Diff, Opt  # noqa: E402
from cscalc.theory.lenience import Lenience  # noqa: E402
from cscalc.theory.lossy import Lossy  # noqa: E402
from cscalc.theory.token_deferral import TokenV1, TokenV2, TokenV3  # noqa: E402
from tests.decoding import reference, samplings, small_cascades, table_models  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.lossless import deviation, exact_law, target_law  # noqa: E402
from validate.options import CascadeOptions  # noqa: E402
from validate.rules import Rules  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

EXACT = 1e-12
N_TOKENS = 3
lenience = st.sampled_from([1.0, 1.2, 2.0, 5.0]).map(Lenience.cs_drafting)
confidences = st.sampled_from([0.0, 0.3, 0.6, 1.0])
thresholds = st.sampled_from([0.0, 0.1, 0.3, 0.6])
deferral_rules = st.one_of(
    *(st.builds(kind, thresholds) for kind in (Chow, ChowLog, Diff, Opt)),
    *(st.builds(kind, thresholds) for kind in (TokenV1, TokenV2, TokenV3, Lossy, BiLDStar)),
)


def reviewers(cascade):
    return sorted({s.model for s in walk(cascade.drafts) if isinstance(s, Review)})


@st.composite
def lossless_rules(draw, cascade):
    """Lenience of inner reviewers, confidence of drafts: neither may change the output law."""
    drafting = {s.model for s in walk(cascade.drafts) if isinstance(s, Draft)} - {3}
    lenient = {m: draw(lenience) for m in reviewers(cascade) if draw(st.booleans())}
    unsure = {m: draw(confidences) for m in sorted(drafting) if draw(st.booleans())}
    return Rules(lenient, {}, unsure)


@st.composite
def deferring(draw):
    """Cascades with one segment in front of each deferring reviewer; 0 always defers."""
    bottom = draw(st.sampled_from([Draft(2, 1), Draft(2, 2), Draft(3, 2)]))
    inner = Review(1, (bottom,), rounds=draw(st.integers(1, 2)))
    cascade = Cascade((draw(st.sampled_from([Draft(1, 1), Draft(1, 2), Draft(2, 2), inner])),))
    rules = {0: draw(deferral_rules)}
    if cascade.drafts[0] == inner and bottom.model == 2 and draw(st.booleans()):
        rules[1] = draw(deferral_rules)
    drafting = cascade.drafts[0].model if isinstance(cascade.drafts[0], Draft) else bottom.model
    unsure = {drafting: 0.4} if drafting != 3 and draw(st.booleans()) else {}
    return cascade, Rules({}, rules, unsure)


def output_law(models, rules, cascade, sampling, text):
    """The law that deferral makes of the next token, from the rules themselves, by hand."""

    def laws(segment_or_target):
        model = 0 if isinstance(segment_or_target, Cascade) else segment_or_target.model
        logits = models.language[model].after(text)[None]
        scaled = sampling.law(logits, text)[0].dense().double().numpy()
        plain = sampling.plain(logits, text)[0].numpy()
        if model not in rules.deferral or isinstance(segment_or_target, Draft):
            return scaled, plain
        q, q_plain = laws(segment_or_target.drafts[0])
        rule = rules.deferral[model]
        return rule.law(plain, q_plain, scaled, q).law, rule.law(plain, q_plain).law

    return laws(cascade)[0]


def law_by_hand(models, rules, cascade, sampling, prompt, n_tokens):
    law = {(): 1.0}
    for _ in range(n_tokens):
        longer = {}
        for tokens, weight in law.items():
            pi = output_law(models, rules, cascade, sampling, prompt + tokens)
            longer |= {(*tokens, v): weight * p for v, p in enumerate(pi) if p > 0.0}
        law = longer
    return law


@given(st.data(), st.integers(2, 3))
@settings(max_examples=100, deadline=None)
def test_lenience_and_confidence_leave_the_targets_law(data, vocab_size):
    cascade = data.draw(small_cascades(vocab_size))
    rules = data.draw(lossless_rules(cascade))
    models = table_models(vocab_size, data.draw(st.integers(0, 10_000)))
    sampling = data.draw(samplings)
    decoder = reference(cascade, models, sampling, rules=rules)
    law = exact_law(decoder, (0, 1), N_TOKENS)
    assert deviation(law, target_law(decoder, (0, 1), N_TOKENS)) < EXACT, (cascade, rules)


@given(st.data(), deferring(), st.integers(2, 3))
@settings(max_examples=150, deadline=None)
def test_a_speculative_cascade_follows_its_rule_run_token_by_token(data, case, vocab_size):
    cascade, rules = case
    models = table_models(vocab_size, data.draw(st.integers(0, 10_000)))
    sampling = data.draw(samplings)
    decoder = reference(cascade, models, sampling, rules=rules)
    law = exact_law(decoder, (0, 1), N_TOKENS)
    expected = law_by_hand(models, rules, cascade, sampling, (0, 1), N_TOKENS)
    assert abs(sum(law.values()) - 1.0) < EXACT
    assert deviation(law, expected) < EXACT, (cascade, rules)


@given(st.data(), st.integers(2, 4), st.integers(0, 2**31))
@settings(max_examples=120, deadline=None)
def test_the_fast_decoder_equals_the_reference_under_rules(data, vocab_size, seed):
    cascade = data.draw(small_cascades(vocab_size, most_strings=10**6))
    rules = data.draw(lossless_rules(cascade))
    if data.draw(st.booleans()):
        cascade, rules = data.draw(deferring())
    models = table_models(vocab_size, data.draw(st.integers(0, 10_000)), order=2)
    sampling = data.draw(samplings)
    fast = generate(
        cascade, models, [0, 1], generator=torch.Generator().manual_seed(seed), max_tokens=12,
        sampling=sampling, lenience=rules.lenience, confidence=rules.confidence,
        deferral=rules.deferral,
    )  # fmt: skip
    chance = Sampled(torch.Generator().manual_seed(seed))
    slow = reference(cascade, models, sampling, rules=rules).tokens(chance, (0, 1), 12)
    assert tuple(fast.tokens) == slow


VERTICAL = Cascade((Review(1, (Draft(2, 2),), rounds=2),))


def test_lenience_at_the_target_is_caught():
    """The negative control: what `Rules.check` refuses really loses the law."""
    models = table_models(3, seed=1)
    for factor, least in ((1.05, 1e-3), (2.0, 0.02)):
        rules = Rules({0: Lenience(factor)})
        decoder = reference(Cascade((Draft(1, 2),)), models, Sampling(), rules=rules)
        law = exact_law(decoder, (0, 1), N_TOKENS)
        assert deviation(law, target_law(decoder, (0, 1), N_TOKENS)) > least
    with pytest.raises(ValueError, match="the target cannot be lenient"):
        generate(
            Cascade((Draft(1, 2),)), models, [0], generator=torch.Generator(),
            lenience={0: Lenience(2.0)},
        )  # fmt: skip


def mean_proposals(rules, sampling=None, models=None, n=400):
    models = models or table_models(4, seed=5)
    run = generate(
        VERTICAL, models, [0, 1], generator=torch.Generator().manual_seed(0), max_tokens=n,
        sampling=sampling or Sampling(), **rules,
    )  # fmt: skip
    return sum(run.reviewed) / run.cycles


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.0)], ids=str)
def test_a_lenient_reviewer_keeps_more(sampling):
    """Same seed; proposals in front of the target rise with the factor of the inner review."""
    means = [
        mean_proposals({"lenience": Lenience(factor)}, sampling) for factor in (1.0, 3.0, 100.0)
    ]
    assert means[0] < means[-1]
    assert means[0] <= means[1] + 0.25
    assert means[-1] == pytest.approx(6.0)  # everything is kept: 2 rounds of 2 + 1 tokens


def test_an_unsure_draft_stops_at_once_and_a_sure_one_never():
    models = table_models(4, seed=5)
    cascade = Cascade((Draft(1, 4),))
    for confidence, proposals in ((0.0, 4), (1.0, 1)):
        run = generate(
            cascade, models, [0], generator=torch.Generator().manual_seed(0), max_tokens=40,
            confidence=confidence,
        )  # fmt: skip
        assert set(run.reviewed) == {proposals}


@given(deferral_rules, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_acceptance_of_a_speculative_cascade_is_the_mass_that_draft_and_rule_share(rule, seed):
    """P(first proposal is kept) = sum min(q, pi), exactly, after one context."""
    models = table_models(3, seed)
    decoder = reference(Cascade((Draft(1, 1),)), models, Sampling(), rules=Rules({}, {0: rule}))
    p, q = (decoder.law_of(m, (0, 1)).dense().numpy() for m in (0, 1))
    law = exact_law_of_cycle(decoder, (0, 1))
    kept = sum(weight for tokens, weight in law.items() if len(tokens) == 2)
    assert kept == pytest.approx(float(np.minimum(q, rule.law(p, q).law).sum()), abs=EXACT)
    assert kept == pytest.approx(float(rule.law(p, q).acceptance), abs=1e-9)


def exact_law_of_cycle(decoder, text):
    from validate.lossless import Enumerated

    return Enumerated().law(decoder.cycle, text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deferral": {0: Opt(0.1)}}, "exactly one draft or review"),
        ({"deferral": {1: Opt(0.1), 0: Opt(0.1)}}, "exactly one draft or review"),
        ({"lenience": {2: Lenience(2.0)}}, "reviews nothing"),
        ({"confidence": {0: 0.5}}, "does not draft token by token"),
        ({"confidence": {3: 0.5}}, "does not draft token by token"),
        ({"confidence": {2: 1.5}}, "confidence of model 2"),
        ({"lenience": {1: Lenience(2.0)}, "deferral": {1: Opt(0.1)}}, "both defer and be lenient"),
        ({"stop": ("x",)}, "need a tokenizer"),
    ],
)
def test_a_rule_that_does_not_fit_is_one_clear_sentence(options, message):
    cascade = Cascade((Review(1, (Draft(2, 2), Draft(3, 1)), rounds=1), Draft(3, 2)))
    with pytest.raises(ValueError, match=message):
        generate(cascade, table_models(3, 0), [0], generator=torch.Generator(), **options)


def test_other_misfits_are_clear_too():
    models, free = table_models(3, 0), {"generator": torch.Generator()}
    with pytest.raises(ValueError, match="one-shot and has no law"):
        generate(Cascade((Draft(3, 2),)), models, [0], deferral=Opt(0.1), **free)
    with pytest.raises(ValueError, match="drop its lenience"):
        generate(VERTICAL, models, [0], deferral=Opt(0.1), lenience=Lenience(2.0), **free)
    with pytest.raises(ValueError, match="has none"):
        generate(Cascade((Draft(1, 2),)), models, [0], lenience=Lenience(2.0), **free)
    with pytest.raises(TypeError, match="must be a Lenience"):
        generate(VERTICAL, models, [0], lenience={1: 2.0}, **free)
    with pytest.raises(TypeError, match="must be one of"):
        generate(VERTICAL, models, [0], deferral=0.1, **free)
    two = Cascade((Review(1, (Draft(2, 1),), rounds=1), Review(1, (Draft(3, 1),), rounds=1)))
    with pytest.raises(ValueError, match="several laws"):
        generate(two, models, [0], deferral={1: Opt(0.1)}, **free)
    asked = CascadeOptions(lenience=Lenience(2.0), confidence=0.5)
    assert asked.rules(VERTICAL, models) == Rules({1: Lenience(2.0)}, {}, {2: 0.5})


@given(st.data(), st.integers(0, 10_000), st.sampled_from([0.7, 1.0, 1.3]))
@settings(max_examples=60, deadline=None)
def test_the_repetition_penalty_is_that_of_transformers(data, seed, penalty):
    """Row by row against RepetitionPenaltyLogitsProcessor."""
    transformers = pytest.importorskip("transformers")
    text = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=8))
    rows = data.draw(st.integers(1, len(text)))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 7, generator=generator, dtype=torch.float64)
    laws = Sampling(0.8, repetition_penalty=penalty).law(logits, text).dense()
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)
    for row in range(rows):
        ids = torch.tensor([text[: len(text) - rows + 1 + row]])
        expected = (theirs(ids, logits[row : row + 1].clone()) / 0.8).softmax(-1)[0]
        torch.testing.assert_close(laws[row], expected, rtol=1e-12, atol=1e-14)


def test_a_penalty_needs_the_text_and_must_be_positive():
    with pytest.raises(ValueError, match="needs the text"):
        Sampling(repetition_penalty=1.2).law(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="repetition_penalty must be > 0"):
        Sampling(repetition_penalty=0.0)


class Letters:
    """A tokenizer of one letter a token."""

    def decode(self, tokens):
        return "".join("abcd"[t] for t in tokens)


def lettered(seed=5):
    models = table_models(4, seed)
    return type(models)(models.language, models.one_shot, Letters())


@given(st.integers(0, 1000), st.text("abcd", min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_stop_string_ends_the_text_where_it_is_first_complete(seed, stop):
    def run(**options):
        generator = torch.Generator().manual_seed(seed)
        return generate(VERTICAL, lettered(), [0], generator=generator, max_tokens=40, **options)

    free, cut = Letters().decode(run().tokens), run(stop=(stop, "never"))
    at = free.find(stop)
    if at < 0:  # never reached: nothing changes
        assert Letters().decode(cut.tokens) == free
        assert (cut.finish, cut.stop) == ("length", None)
    else:
        assert Letters().decode(cut.tokens) == free[: at + len(stop)]
        assert (cut.finish, cut.stop) == ("stop", stop)


@pytest.mark.parametrize("stop", ["ab", ("",), (3,)])
def test_a_bad_stop_string_is_refused(stop):
    with pytest.raises((TypeError, ValueError), match="stop"):
        generate(VERTICAL, lettered(), [0], generator=torch.Generator(), stop=stop)


def test_a_callback_gets_every_token_in_order():
    heard = []
    run = generate(
        VERTICAL, lettered(), [0], generator=torch.Generator().manual_seed(1), max_tokens=20,
        on_token=heard.append,
    )  # fmt: skip
    assert heard == run.tokens


def test_a_deferral_rule_ends_at_the_context_limit_and_needs_room_to_draft():
    from validate.models import Models, TableModel

    tables = [TableModel(torch.zeros(3, 3, dtype=torch.float64), max_positions=20)] * 2
    models, cascade = Models.of(*tables), Cascade((Draft(1, 3),))
    options = {"generator": torch.Generator().manual_seed(0), "deferral": Opt(0.1)}
    run = generate(cascade, models, [0], max_tokens=100, **options)
    assert run.finish == "context"
    assert 20 - 4 <= 1 + len(run.tokens) <= 20
    with pytest.raises(ValueError, match="too little to draft"):
        generate(cascade, models, [0] * 18, **options)
