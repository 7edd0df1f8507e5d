"""The exact law of the decoder's output on random Llama weights in float64, vocabulary of 3."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.decoding import LastSeen, samplings, small_cascades  # noqa: E402
from tests.test_rules import lossless_rules  # noqa: E402
from validate.lossless import deviation, exact_law, target_law  # noqa: E402
from validate.models import Models, TransformersModel  # noqa: E402
from validate.reference import Reference  # noqa: E402
from validate.sampling import DenseLaw  # noqa: E402

VOCAB, N_TOKENS = 3, 3


@cache
def llamas(seed):
    """Three models of other widths and depths, and a one-shot draft."""
    torch.manual_seed(seed)
    made = []
    for hidden, layers in ((16, 2), (8, 2), (8, 1)):
        config = transformers.LlamaConfig(
            vocab_size=VOCAB, hidden_size=hidden, intermediate_size=2 * hidden,
            num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1,
            max_position_embeddings=64, initializer_range=0.8, pad_token_id=None,
            bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        module = transformers.LlamaForCausalLM(config).double()
        made.append(TransformersModel(module, name=str(layers)))
    return Models.of(*made, LastSeen(VOCAB))


def llama_reference(cascade, models, sampling, rules):
    @cache
    def logits(model, tokens):
        with torch.inference_mode():
            ids = torch.tensor([tokens])
            return models.language[model].module(input_ids=ids, use_cache=False).logits[0, -1:]

    @cache
    def law_of(model, tokens):
        return sampling.law(logits(model, tokens), tokens)[0]

    def plain_of(model, tokens):
        return DenseLaw(sampling.plain(logits(model, tokens), tokens)[0])

    one_shot = {n: lambda t, k, d=d: tuple(d.propose(t, k)) for n, d in models.one_shot.items()}
    return Reference(cascade, law_of, one_shot, rules, plain_of)


def check(data):
    cascade = data.draw(small_cascades(VOCAB, most_strings=81))
    rules = data.draw(lossless_rules(cascade))
    models = llamas(data.draw(st.integers(0, 50)))
    prompt = tuple(data.draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=4)))
    decoder = llama_reference(cascade, models, data.draw(samplings), rules)
    law = exact_law(decoder, prompt, N_TOKENS)
    assert abs(sum(law.values()) - 1.0) < 1e-12
    assert deviation(law, target_law(decoder, prompt, N_TOKENS)) < 1e-12, (cascade, rules)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_the_output_law_is_the_targets_on_random_llamas(data):
    check(data)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_output_law_is_the_targets_on_many_random_llamas(data):
    check(data)
