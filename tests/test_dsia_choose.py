"""Layers to leave out are chosen by measured acceptance; the optimisers find what is there."""

from itertools import combinations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.dsia_targets import VOCAB, logits, tiny_target  # noqa: E402
from validate.dsia import LayerSkip  # noqa: E402
from validate.dsia_choose import choose_layers  # noqa: E402
from validate.dsia_models import self_draft  # noqa: E402
from validate.models import TableModel  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

TEXTS = [([1, 5, 3], [7, 2, 9, 4, 4, 6]), ([0], [3, 3, 8, 1, 12])]


@pytest.fixture(scope="module")
def target():
    return tiny_target(seed=5)


def overlap_of(target, skipped, temperature=1.0):
    """The same by hand: mean sum of min(p, q) over the reply's contexts."""
    draft = self_draft(target, LayerSkip(skipped))
    values = []
    for prompt, reply in TEXTS:
        text = [*prompt, *reply[:-1]]
        rows = [logits(m, text)[-len(reply) :] for m in (target, draft)]
        if temperature == 0.0:
            values += (rows[0].argmax(-1) == rows[1].argmax(-1)).tolist()
        else:
            p, q = ((row / temperature).softmax(-1) for row in rows)
            values += torch.minimum(p, q).sum(-1).tolist()
    return sum(values) / len(values)


@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_the_rate_of_a_choice_is_its_overlap(target, temperature):
    choice = choose_layers(target, TEXTS, 0.3, sampling=Sampling(temperature), trials=0)
    assert len(choice.skipped) == 2
    assert choice.alpha == pytest.approx(overlap_of(target, choice.skipped, temperature), abs=1e-9)
    assert choice.setting == LayerSkip(choice.skipped)


def test_greedy_removes_one_layer_after_another(target):
    choice = choose_layers(target, TEXTS, 0.5, trials=0)
    first = max(range(6), key=lambda layer: overlap_of(target, (layer,)))
    pairs = [tuple(sorted((first, layer))) for layer in range(6) if layer != first]
    second = max(pairs, key=lambda pair: overlap_of(target, pair))
    greedy = [tuple(h["skipped"]) for h in choice.history if h["stage"] == "greedy"]
    assert set(pairs) <= {tuple(h["skipped"]) for h in choice.history}
    last = [subset for subset in greedy if len(subset) == 3]
    assert all(set(second) <= set(subset) for subset in last)


def test_bayesian_optimisation_never_ends_below_greedy_and_finds_the_best_of_few(target):
    choice = choose_layers(target, TEXTS, 0.5, trials=60, seed=3)
    assert choice.found["bayes"] >= choice.found["greedy"]
    assert choice.alpha == max(choice.found.values())
    every = {subset: overlap_of(target, subset) for subset in combinations(range(6), 3)}
    rank = sorted(every.values(), reverse=True)
    assert choice.alpha >= rank[1] - 1e-9  # of 20 subsets, the best or the second


def test_a_seed_repeats_the_choice_with_its_history(target):
    one, other = (choose_layers(target, TEXTS, 0.5, trials=8, seed=1) for _ in range(2))
    assert one == other
    assert one.to_dict()["history"] == other.to_dict()["history"]
    subsets = [tuple(h["skipped"]) for h in one.history]
    assert len(subsets) == len(set(subsets))  # each is measured once


@pytest.mark.parametrize(
    ("texts", "sparsity", "message"),
    [
        ([([1], [])], 0.5, "there are no texts to choose layers on"),
        (TEXTS, 0.99, "sparsity 0.99 skips all 6 layers"),
        (TEXTS, 0.01, "sparsity 0.01 skips none of the 6 layers"),
    ],
)
def test_bad_input_is_one_clear_sentence(target, texts, sparsity, message):
    with pytest.raises(ValueError, match=message):
        choose_layers(target, texts, sparsity, trials=0)
    assert VOCAB > 12


def test_a_target_without_layers_is_refused():
    table = TableModel(torch.zeros(3, 3), name="bigrams")
    with pytest.raises(ValueError, match="the target bigrams shows no layers to leave out"):
        choose_layers(table, TEXTS, 0.5, trials=0)
