"""Every DSIA draft decodes losslessly: exact laws with a target that drafts for itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.decoding import LastSeen, samplings  # noqa: E402
from tests.dsia_targets import tiny_target  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.dsia_models import self_draft  # noqa: E402
from validate.lossless import deviation, exact_law, target_law  # noqa: E402
from validate.models import Models  # noqa: E402
from validate.reference import Reference  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

LOSSLESS = 1e-12
VOCAB = 3
SETTINGS = ["skip:1", "skip:0,3", "exit:2", "int8", "window:2", "int8+skip:1", "exit:3+window:2:0"]
CASCADES = [
    Cascade((Draft(1, 3),)),
    Cascade((Draft(1, 1), Draft(2, 2))),
    Cascade((Review(1, (Draft(2, 2),), rounds=1), Draft(2, 1))),
]


def reference(cascade, models, sampling):
    """The slow decoder; laws from a fresh sequence for every context."""
    known = {}

    def law_of(model, tokens):
        if (model, tokens) not in known:
            row = models.language[model].start().extend(list(tokens), 1)
            known[model, tokens] = sampling.law(row, tokens)[0]
        return known[model, tokens]

    one_shot = {n: lambda t, m, d=d: tuple(d.propose(t, m)) for n, d in models.one_shot.items()}
    return Reference(cascade, law_of, one_shot)


def models_with(setting, seed=0):
    target = tiny_target(seed=seed, vocab_size=VOCAB, layers=4)
    return Models.of(target, self_draft(target, setting), LastSeen(VOCAB))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("cascade", CASCADES, ids=str)
def test_a_self_draft_leaves_the_targets_law_as_it_is(setting, cascade):
    models = models_with(setting)
    for sampling in (Sampling(), Sampling(0.7, top_k=2), Sampling(0.0)):
        decoder = reference(cascade, models, sampling)
        law = exact_law(decoder, (0, 1), 3)
        assert abs(sum(law.values()) - 1.0) < LOSSLESS
        assert deviation(law, target_law(decoder, (0, 1), 3)) < LOSSLESS


def test_a_chain_of_three_self_drafts_is_lossless():
    target = tiny_target(vocab_size=VOCAB, layers=4)
    drafts = [self_draft(target, text) for text in ("int8", "skip:1", "exit:1")]
    models = Models.of(target, *drafts)
    cascade = Cascade((Review(1, (Review(2, (Draft(3, 2),), rounds=1),), rounds=1), Draft(3, 1)))
    decoder = reference(cascade, models, Sampling())
    assert deviation(exact_law(decoder, (0, 1), 3), target_law(decoder, (0, 1), 3)) < LOSSLESS


def test_a_target_that_its_draft_would_change_is_caught():
    """Negative control: the draft's law in the target's place is far from the target's law."""
    models = models_with("skip:1")
    swapped = Models.of(models.language[1], models.language[0])
    decoder = reference(Cascade((Draft(1, 2),)), swapped, Sampling())
    honest = reference(Cascade(()), models, Sampling())
    assert deviation(exact_law(decoder, (0, 1), 3), target_law(honest, (0, 1), 3)) > 1e-3


@pytest.mark.parametrize("setting", SETTINGS)
@given(samplings, st.sampled_from(CASCADES), st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_cached_drafts_equal_the_reference_on_the_same_random_numbers(
    setting, sampling, cascade, seed
):
    models = models_with(setting, seed=1)
    run = generate(
        cascade, models, [1, 0], generator=torch.Generator().manual_seed(seed), max_tokens=10,
        sampling=sampling,
    )  # fmt: skip
    chance = Sampled(torch.Generator().manual_seed(seed))
    assert tuple(run.tokens) == reference(cascade, models, sampling).tokens(chance, (1, 0), 10)
