"""Small models and cascades for tests of decoders; the laws of these models are known exactly."""

from functools import cache

import hypothesis.strategies as st
import torch

from cscalc.cascade import Cascade, Draft, Review
from validate.models import Models, TableModel
from validate.reference import Reference
from validate.rules import Rules
from validate.sampling import DenseLaw, Sampling

ONE_SHOT = 3  # models 0, 1, 2 are tables, model 3 proposes a fixed function of the text


class LastSeen:
    """One-shot draft: what followed the last token when it was last seen; else nothing."""

    name = "last-seen"

    def __init__(self, vocab_size):
        self.vocab_size = vocab_size

    def propose(self, tokens, length):
        tokens = list(tokens)
        for i in range(len(tokens) - 2, -1, -1):
            if tokens[i] == tokens[-1]:
                return tokens[i + 1 : i + 1 + length]
        return []


def table_models(vocab_size, seed, order=1):
    """Target and two drafts with random logits, and a one-shot draft."""
    generator = torch.Generator().manual_seed(seed)
    shape = (vocab_size,) * (order + 1)
    tables = [
        TableModel(2.0 * torch.randn(shape, generator=generator, dtype=torch.float64), name=str(i))
        for i in range(3)
    ]
    return Models.of(*tables, LastSeen(vocab_size))


def reference(cascade, models, sampling, kind=Reference, rules=None):
    """The reference decoder of table models, or a broken subclass of it."""

    @cache
    def law_of(model, tokens):
        return sampling.law(models.language[model].after(tokens)[None], tokens)[0]

    @cache
    def plain_of(model, tokens):
        return DenseLaw(sampling.plain(models.language[model].after(tokens)[None], tokens)[0])

    one_shot = {
        number: lambda tokens, length, draft=draft: tuple(draft.propose(tokens, length))
        for number, draft in models.one_shot.items()
    }
    return kind(cascade, law_of, one_shot, rules or Rules(), plain_of)


def drafts(reviewer, depth):
    """Drafts in front of `reviewer`, with at most `depth` reviews inside one another."""
    small = st.integers(1, 2)
    plain = st.builds(Draft, st.integers(reviewer + 1, ONE_SHOT), small)
    repeated = st.builds(Draft, st.integers(reviewer + 1, ONE_SHOT), small, until=small)
    if depth == 0 or reviewer + 1 >= ONE_SHOT:
        return plain | repeated
    return st.one_of(plain, repeated, reviews(reviewer, depth))


@st.composite
def reviews(draw, reviewer, depth):
    model = draw(st.integers(reviewer + 1, ONE_SHOT - 1))
    inner = tuple(draw(st.lists(drafts(model, depth - 1), min_size=1, max_size=2)))
    stop = draw(st.sampled_from(["rounds", "until"]))
    try:
        return Review(model, inner, **{stop: draw(st.integers(1, 2))})
    except ValueError:  # an inner until that is already reached
        return Review(model, inner[:1], rounds=1)


@st.composite
def small_cascades(draw, vocab_size, most_strings=150):
    """Cascades whose drafts can be enumerated: at most `most_strings` of the longest length."""
    segments = tuple(draw(st.lists(drafts(0, 2), min_size=0, max_size=2)))
    for count in (len(segments), 1, 0):
        try:
            cascade = Cascade(segments[:count])
        except ValueError:  # a second until that is already reached
            continue
        if vocab_size**cascade.max_length <= most_strings:
            return cascade
    return Cascade((Draft(draw(st.integers(1, ONE_SHOT)), 1),))


samplings = st.one_of(
    st.just(Sampling()),
    st.just(Sampling(temperature=0.0)),
    st.builds(
        Sampling,
        st.sampled_from([0.5, 0.8, 1.0, 1.7]),
        top_k=st.none() | st.integers(1, 3),
        top_p=st.none() | st.sampled_from([0.5, 0.8, 0.95]),
        min_p=st.none() | st.sampled_from([0.05, 0.3]),
        repetition_penalty=st.sampled_from([1.0, 1.0, 1.3]),
    ),
)
