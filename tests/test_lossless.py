"""The exact law of the decoder's output is the target's, for every cascade; broken ones fail."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.decoding import reference, samplings, small_cascades, table_models  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.lossless import Enumerated, deviation, exact_law, target_law  # noqa: E402
from validate.reference import Proposal, Reference  # noqa: E402
from validate.sampling import DenseLaw, PointLaw, Sampling  # noqa: E402
from validate.verify import accept_probability  # noqa: E402

LOSSLESS = 1e-12
N_TOKENS = 3


def check_lossless(data, vocab_size):
    cascade = data.draw(small_cascades(vocab_size))
    models = table_models(vocab_size, data.draw(st.integers(0, 10_000)))
    sampling = data.draw(samplings)
    prompt = tuple(data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=3)))
    decoder = reference(cascade, models, sampling)
    law = exact_law(decoder, prompt, N_TOKENS)
    assert abs(sum(law.values()) - 1.0) < LOSSLESS
    assert deviation(law, target_law(decoder, prompt, N_TOKENS)) < LOSSLESS, cascade


@given(st.data(), st.integers(2, 4))
@settings(max_examples=120, deadline=None)
def test_the_output_law_is_the_targets(data, vocab_size):
    check_lossless(data, vocab_size)


@pytest.mark.slow
@given(st.data(), st.integers(2, 4))
@settings(max_examples=1000, deadline=None)
def test_the_output_law_is_the_targets_for_a_thousand_cascades(data, vocab_size):
    check_lossless(data, vocab_size)


INNER = (Review(2, (Draft(3, 2),), until=1), Draft(3, 1))
NESTED = Cascade((Review(1, INNER, until=2), Draft(2, 1)))
FIXED = [
    Cascade((Draft(1, 3),)),
    Cascade((Draft(1, 1), Draft(2, 2))),
    Cascade((Review(1, (Draft(2, 2),), rounds=1),)),
    Cascade((Review(1, (Draft(3, 2),), until=2), Draft(3, 2))),
    Cascade.from_k_matrix([[1, 1, 1], [1, 1], [1]], bottom_length=2),
    NESTED,
]


@pytest.mark.parametrize("cascade", FIXED, ids=str)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.5, top_k=2), Sampling(0.0)], ids=str)
def test_every_kind_of_cascade_is_lossless_over_five_tokens(cascade, sampling):
    models = table_models(2, seed=7)
    decoder = reference(cascade, models, sampling)
    law = exact_law(decoder, (0, 1), 5)
    assert deviation(law, target_law(decoder, (0, 1), 5)) < LOSSLESS


@given(st.data(), st.integers(2, 4), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_the_fast_decoder_equals_the_reference_on_the_same_random_numbers(data, vocab_size, seed):
    cascade = data.draw(small_cascades(vocab_size, most_strings=10**6))
    models = table_models(vocab_size, data.draw(st.integers(0, 10_000)), order=2)
    sampling = data.draw(samplings)
    prompt = data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=4))
    fast = generate(
        cascade, models, prompt, generator=torch.Generator().manual_seed(seed), max_tokens=12,
        sampling=sampling,
    )  # fmt: skip
    chance = Sampled(torch.Generator().manual_seed(seed))
    slow = reference(cascade, models, sampling).tokens(chance, tuple(prompt), 12)
    assert tuple(fast.tokens) == slow


def test_enumeration_agrees_with_sampling():
    """N = 8,000 samples; z below 5 in each of 4 outcomes (two-sided false alarm 2.3e-6)."""
    models = table_models(2, seed=3)
    decoder = reference(NESTED, models, Sampling())
    law = Enumerated().law(decoder.tokens, (0,), 2)
    chance, n = Sampled(torch.Generator().manual_seed(11)), 8_000
    counts = Counter(decoder.tokens(chance, (0,), 2) for _ in range(n))
    for outcome, p in law.items():
        assert abs(counts[outcome] - n * p) <= 5.0 * (n * p * (1 - p)) ** 0.5


def broken(cascade, models, sampling, **overrides):
    """The reference decoder with methods replaced; each takes the decoder first."""
    kind = type("Broken", (Reference,), overrides)
    return reference(cascade, models, sampling, kind)


def bonus_from_unwarped_logits(models):
    plain = reference(Cascade(()), models, Sampling())

    def review(self, chance, reviewer, text, proposals):
        kept = Reference.review(self, chance, reviewer, text, proposals)
        if len(kept) <= len(proposals):
            return kept
        after = text + tuple(p.token for p in proposals)
        return (*kept[:-1], Proposal(chance.draw(plain.law_of(reviewer, after)), reviewer))

    return {"review": review}


def argmax_drafts_with_a_soft_ratio_test(models):
    def call(self, chance, segment, text):
        if isinstance(segment, Review) or segment.model in self.one_shot:
            return Reference.call(self, chance, segment, text)
        proposals = ()
        for _ in range(segment.length):
            token = int(self.law_of(segment.model, text).dense().argmax())
            proposals += (Proposal(token, segment.model),)
            text += (token,)
        return proposals

    return {"call": call}


def accepting_with_q_instead_of_the_ratio(models):
    def review(self, chance, reviewer, text, proposals):
        kept = ()
        for proposal in proposals:
            target = self.law_of(reviewer, text)
            draft = self.proposal_law(proposal, text, target.vocab_size)
            if not chance.coin(draft.prob(proposal.token)):
                own = target if isinstance(target, PointLaw) else DenseLaw(target.dense())
                return (*kept, Proposal(chance.draw(own), reviewer))
            kept += (Proposal(proposal.token, reviewer),)
            text += (proposal.token,)
        return (*kept, Proposal(chance.draw(self.law_of(reviewer, text)), reviewer))

    return {"review": review}


def correcting_from_the_target_itself(models):
    def review(self, chance, reviewer, text, proposals):
        kept = ()
        for proposal in proposals:
            target = self.law_of(reviewer, text)
            draft = self.proposal_law(proposal, text, target.vocab_size)
            if not chance.coin(accept_probability(target, draft, proposal.token)):
                return (*kept, Proposal(chance.draw(target), reviewer))
            kept += (Proposal(proposal.token, reviewer),)
            text += (proposal.token,)
        return (*kept, Proposal(chance.draw(self.law_of(reviewer, text)), reviewer))

    return {"review": review}


def draft_laws_off_by_one_row(models):
    def proposal_law(self, proposal, text, vocab_size):
        return Reference.proposal_law(self, proposal, text[:-1] or text, vocab_size)

    return {"proposal_law": proposal_law}


CONTROLS = [
    bonus_from_unwarped_logits,
    argmax_drafts_with_a_soft_ratio_test,
    accepting_with_q_instead_of_the_ratio,
    correcting_from_the_target_itself,
    draft_laws_off_by_one_row,
]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.__name__)
@pytest.mark.parametrize(
    "cascade", [Cascade((Draft(1, 2),)), Cascade((Review(1, (Draft(2, 1),), rounds=1),))], ids=str
)
def test_a_broken_decoder_is_caught(control, cascade):
    models = table_models(3, seed=1)
    sampling = Sampling(1.5)
    decoder = broken(cascade, models, sampling, **control(models))
    law = exact_law(decoder, (0, 1), N_TOKENS)
    assert deviation(law, target_law(decoder, (0, 1), N_TOKENS)) > 1e6 * LOSSLESS


class OneNumber:
    """A chance that uses one uniform for every draw and coin of a run."""

    def __init__(self, uniform):
        self._uniform = uniform

    def draw(self, law):
        return law.draw(self._uniform)

    def coin(self, probability):
        return self._uniform < probability

    def run(self, part, *args):
        return part(self, *args)


def test_one_random_number_for_every_token_is_caught():
    """Its law, by the midpoints of a fine grid of uniforms, is far from the target's."""
    models = table_models(3, seed=1)
    decoder = reference(FIXED[0], models, Sampling())
    n = 3000
    points = [(i + 0.5) / n for i in range(n)]
    outcomes = Counter(decoder.tokens(OneNumber(u), (0, 1), N_TOKENS) for u in points)
    law = {outcome: count / n for outcome, count in outcomes.items()}
    assert deviation(law, target_law(decoder, (0, 1), N_TOKENS)) > 0.05


def test_enumeration_counts_every_branch_once():
    chance = Enumerated()

    def part(source):
        first = source.coin(0.25)
        return first, source.draw(DenseLaw(torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64)))

    expected = {(True, 0): 0.125, (True, 2): 0.125, (False, 0): 0.375, (False, 2): 0.375}
    assert chance.law(part) == expected
