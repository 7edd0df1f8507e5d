"""Models of transformers that cannot be read with a growing cache are refused, not misread."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.models import Models, TableModel, TransformersModel, near, refused  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

VOCAB = 11
COMMON = {"vocab_size": VOCAB, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
ATTENTION = {
    **COMMON, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
    "initializer_range": 0.6,
}  # fmt: skip
SMALL = {**COMMON, "hidden_size": 16, "num_hidden_layers": 2}
REFUSED = {
    "Mamba": (SMALL, None),
    "FalconMamba": (SMALL, None),
    "Rwkv": ({**SMALL, "attention_hidden_size": 16, "context_length": 64}, None),
    "OpenAIGPT": (
        {**COMMON, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
        "OpenAIGPTLMHeadModel",
    ),
    "Lfm2": ({**ATTENTION, "layer_types": ["conv", "full_attention"]}, None),
}


def model(kind, options, cls=None):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**options)
    module = getattr(transformers, cls or f"{kind}ForCausalLM")(config).double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return TransformersModel(module, name=kind)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_without_a_cache_of_keys_in_every_layer_is_refused(kind):
    """Most of them ignore past_key_values: each pass would see its own few tokens only."""
    with pytest.raises(ValueError, match=rf"^{kind} .* does not read a text through a growing"):
        model(kind, *REFUSED[kind])


def test_a_rope_that_changes_with_the_length_ends_where_it_changes():
    """Phi-3, longrope: past its first context, cached keys would keep the short factors."""
    scaling = {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4, "original_max_position_embeddings": 16,
    }  # fmt: skip
    phi = model(
        "Phi3",
        {**ATTENTION, "original_max_position_embeddings": 16, "rope_parameters": scaling},
    )
    assert phi.max_positions == 16
    text = [(3 * i + 1) % VOCAB for i in range(10)]
    run = generate(
        Cascade(()), Models.of(phi), text, generator=torch.Generator(), max_tokens=25,
        sampling=Sampling(0.0),
    )  # fmt: skip
    assert (len(run.tokens), run.finish) == (6, "context")
    with torch.inference_mode():
        for token in run.tokens:
            logits = phi.module(input_ids=torch.tensor([text]), use_cache=False).logits
            assert token == int(logits[0, -1].argmax())
            text.append(token)


class Rejecting:
    """A chance that draws token 1 and rejects whenever it may."""

    def draw(self, law):
        return 1 if law.prob(1) > 0.0 else law.draw(0.5)

    def coin(self, probability):
        return probability >= 1.0


def test_a_peaked_float32_target_does_not_end_a_run_with_an_error():
    """Laws that differ by rounding: a rejection leaves no excess to draw from."""
    target = TableModel(torch.tensor([[34.0, 0.0], [34.0, 0.0]]))
    draft = TableModel(torch.tensor([[17.0, 0.0], [17.0, 0.0]]))
    run = generate(
        Cascade((Draft(1, 1),)), Models.of(target, draft), [0], generator=Rejecting(),
        max_tokens=3,
    )  # fmt: skip
    assert len(run.tokens) == 3


def test_a_full_device_is_not_taken_for_a_model_that_misreads():
    with pytest.raises(torch.OutOfMemoryError, match="full"), refused("misreads"):
        raise torch.OutOfMemoryError("full")
    with pytest.raises(ValueError, match="misreads"), refused("misreads"):
        raise RuntimeError("another shape")


def test_logits_are_compared_within_the_rounding_of_the_models_own_dtype():
    """A bfloat16 model may cast its logits to float32: they are no more exact for that."""
    expected = torch.tensor([[0.0, 2.0]])
    off = expected + torch.tensor([[0.0, 0.01]])
    assert near(off, expected, torch.bfloat16)
    assert not near(off, expected, torch.float32)
    tiny = expected.double() + 1e-6
    assert near(tiny, expected.double(), torch.float64)
    assert not near(tiny, expected.double(), torch.float64, least=0.0)
