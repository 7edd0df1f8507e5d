"""Batches of prompts with ragged acceptance: the same tokens as one by one, in fewer passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.decoding import LastSeen, samplings, small_cascades, table_models  # noqa: E402
from tests.test_decode import NESTED, VOCAB, tiny_llama  # noqa: E402
from tests.test_rules import deferring, lossless_rules  # noqa: E402
from validate.batch import generate_many  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.decoder import Pass  # noqa: E402
from validate.models import Models, TransformersModel  # noqa: E402
from validate.ragged import RaggedRows, check_ragged  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.tree_session import start_tree  # noqa: E402


@pytest.fixture(scope="module")
def llamas():
    return Models.of(tiny_llama(0), tiny_llama(1), tiny_llama(2, layers=1), LastSeen(VOCAB))


def one_by_one(cascade, models, prompts, seed, **options):
    """What `generate_many` promises, with `generate`."""
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.randint(0, 2**62, (len(prompts),), generator=generator).tolist()
    return [
        generate(cascade, models, p, generator=torch.Generator().manual_seed(s), **options)
        for p, s in zip(prompts, seeds, strict=True)
    ]


def counts(run):
    return run.tokens, run.emitted, run.reviewed, run.passes, run.positions, run.finish


@given(st.data(), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_llamas_in_a_batch_write_what_they_write_one_by_one(llamas, data, batch, seed):
    """In float64; every row with its own prompt length, acceptance and number of calls."""
    cascade = data.draw(small_cascades(VOCAB, most_strings=10**9))
    prompts = data.draw(
        st.lists(
            st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9), min_size=1, max_size=6
        )
    )
    options = {"sampling": data.draw(samplings), "max_tokens": data.draw(st.integers(1, 12))}
    options["eos"] = data.draw(st.sampled_from([(), (3,)]))
    many = generate_many(
        cascade, llamas, prompts, generator=torch.Generator().manual_seed(seed), batch=batch,
        **options,
    )  # fmt: skip
    single = one_by_one(cascade, llamas, prompts, seed, **options)
    assert [counts(a) for a in many] == [counts(b) for b in single]


@given(st.data(), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_rules_hold_in_a_batch_of_tables(data, batch, seed):
    cascade = data.draw(small_cascades(3, most_strings=10**6))
    rules = data.draw(lossless_rules(cascade))
    if data.draw(st.booleans()):
        cascade, rules = data.draw(deferring())
    options = {
        "lenience": rules.lenience, "confidence": rules.confidence, "deferral": rules.deferral,
        "max_tokens": 10, "sampling": data.draw(samplings),
    }  # fmt: skip
    models, prompts = table_models(3, seed % 999), [[0, 1], [2], [1, 1, 2]]
    many = generate_many(
        cascade, models, prompts, generator=torch.Generator().manual_seed(seed), batch=batch,
        **options,
    )  # fmt: skip
    single = one_by_one(cascade, models, prompts, seed, **options)
    assert [counts(a) for a in many] == [counts(b) for b in single]


class Counting:
    """A module that counts its forward passes."""

    def __init__(self, model):
        self.calls = 0
        inner = model.module.forward

        def forward(*args, **kwargs):
            self.calls += 1
            return inner(*args, **kwargs)

        model.module.forward = forward


def test_rows_share_passes():
    """Five rows of equal models: as many passes as one row makes, not five times as many."""
    target = tiny_llama(0)
    models = Models.of(target, tiny_llama(0))  # every proposal is kept
    check_ragged(target)  # once a model, not counted here
    counter = Counting(target)
    prompts = [[i % VOCAB] * (i + 2) for i in range(5)]
    runs = generate_many(
        Cascade((Draft(1, 3),)), models, prompts, generator=torch.Generator(), batch=5,
        max_tokens=16,
    )  # fmt: skip
    assert [run.emitted for run in runs] == [[4] * 4] * 5
    assert counter.calls == 1 + 4  # the prompts, and one review a cycle for all rows
    assert sum(run.decode_seconds for run in runs) > 0.0
    for run in runs:
        assert run.decode_seconds >= sum(run.seconds.values()) > 0.0


FAMILIES = {
    "llama": lambda: transformers.LlamaConfig(num_key_value_heads=1),
    "mistral-window": lambda: transformers.MistralConfig(num_key_value_heads=1, sliding_window=5),
    "qwen2": lambda: transformers.Qwen2Config(num_key_value_heads=2),
    "gpt-neox": lambda: transformers.GPTNeoXConfig(),
    "gemma3-mixed": lambda: transformers.Gemma3TextConfig(
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=5,
        query_pre_attn_scalar=8,
        num_hidden_layers=2,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "gpt2": lambda: transformers.GPT2Config(),
}


def tiny(family, attention):
    torch.manual_seed(3)
    config = FAMILIES[family]()
    small = {
        "vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.5,
        "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "n_embd": 16,
        "n_layer": 2, "n_head": 2, "n_positions": 64,
    }  # fmt: skip
    for name, value in small.items():
        if hasattr(config, name):
            setattr(config, name, value)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:2]
    config._attn_implementation = attention
    module = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return TransformersModel(module.double(), name=family)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ragged_rows_read_as_single_texts_do(family, attention):
    """Rows of other lengths, some going back, some left out, past a window: logits to 1e-10.

    (Eager attention takes its softmax in float32, in every model of transformers: 1e-5.)
    """
    model = tiny(family, attention)
    atol = 1e-10 if attention == "sdpa" else 1e-5
    rows, generator = RaggedRows(model, 3), torch.Generator().manual_seed(0)
    texts, sessions = [[], [], []], [model.start() for _ in range(3)]
    for step in range(12):
        asked = {}
        for row in range(3):
            if (step + row) % 3 == 2:
                continue  # left out
            keep = max(0, len(texts[row]) - int(torch.randint(0, 3, (), generator=generator)))
            size = int(torch.randint(1, 5, (), generator=generator))
            new = torch.randint(0, VOCAB, (size,), generator=generator).tolist()
            texts[row] = texts[row][:keep] + new
            asked[row] = Pass(0, keep, new, min(size, 2))
        found = rows.read(asked)
        for row, wanted in asked.items():
            sessions[row].rewind(wanted.keep)
            expected = sessions[row].extend(wanted.tokens, wanted.n_last)
            torch.testing.assert_close(found[row], expected, rtol=0.0, atol=atol)


def test_a_bad_prompt_is_named_and_nothing_is_decoded(llamas):
    with pytest.raises(ValueError, match="prompt 1: the prompt is empty"):
        generate_many(Cascade(()), llamas, [[1], []], generator=torch.Generator())
    with pytest.raises(ValueError, match="batch must be >= 1"):
        generate_many(Cascade(()), llamas, [[1]], generator=torch.Generator(), batch=0)
    with pytest.raises(TypeError, match=r"torch\.Generator"):
        generate_many(Cascade(()), llamas, [[1]], generator=3)
    assert generate_many(Cascade(()), llamas, [], generator=torch.Generator(), batch=4) == []


def test_greedy_batches_reach_the_context_limit(llamas):
    prompts = [[1] * 50, [2] * 3]
    many = generate_many(
        NESTED, llamas, prompts, generator=torch.Generator(), batch=2, max_tokens=40,
        sampling=Sampling(0.0),
    )  # fmt: skip
    single = one_by_one(NESTED, llamas, prompts, 0, max_tokens=40, sampling=Sampling(0.0))
    assert [run.tokens for run in many] == [run.tokens for run in single]
    assert many[0].finish == "context"
    assert Review in {type(s) for s in NESTED.drafts}


TINY = {"vocab_size": VOCAB, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
MPT = {**TINY, "d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64}
NO_BATCH = {  # class -> configuration, and what is said of it
    "GPTNeo": (
        {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "window_size": 4,
         "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 64},
        "has layers of local_attention",
    ),
    "Bloom": ({"hidden_size": 16, "n_layer": 2, "n_head": 2}, "does not read"),
    "Falcon": (
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "alibi": True},
        "has layers of alibi",
    ),
    "Mpt": (MPT, "has layers of alibi"),
}  # fmt: skip


def other(kind, options, dtype=torch.float32):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**TINY | options, initializer_range=0.6)
    module = getattr(transformers, f"{kind}ForCausalLM")(config)
    return TransformersModel(module.to(dtype), name=f"my {kind}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", NO_BATCH)
def test_a_model_that_reads_no_batch_is_refused_before_anything_is_decoded(kind, dtype):
    """GPT-Neo wrote other tokens; alibi ended in "too many values to unpack"."""
    options, words = NO_BATCH[kind]
    model, prompts = other(kind, options, dtype), [[1, 4, 6, 2, 3], [5] * 12, [3]]

    class Never:
        name, vocab_size = "never", VOCAB

        def propose(self, text, length):
            raise AssertionError("something is decoded")

    models = Models.of(model, Never())
    options = {"generator": torch.Generator(), "max_tokens": 4, "sampling": Sampling(0.0)}
    with pytest.raises(ValueError, match=f"^my {kind} .*{words}.* one text at a time"):
        generate_many(Cascade((Draft(1, 2),)), models, prompts, batch=2, **options)
    with pytest.raises(ValueError, match=f"^my {kind} .*{words}"):
        start_tree(model)
    alone = generate_many(Cascade(()), Models.of(model), prompts, batch=1, **options)
    assert [run.tokens for run in alone] == [
        generate(Cascade(()), Models.of(model), prompt, **options).tokens for prompt in prompts
    ]


@pytest.mark.parametrize("window", [4, 256])
def test_the_trial_sees_a_window_that_no_configuration_tells(window, monkeypatch):
    """GPT-Neo takes its window from the last columns of a batch, whatever a row's own end."""
    options = NO_BATCH["GPTNeo"][0] | {"window_size": window, "max_position_embeddings": 512}
    model = other("GPTNeo", options)
    monkeypatch.setattr("validate.ragged.layer_windows", lambda *_: {"full_attention": None})
    with pytest.raises(ValueError, match=r"^my GPTNeo \(GPTNeo.* does not read texts of"):
        check_ragged(model)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_tried_once(family, attention):
    model = tiny(family, attention)
    check_ragged(model)
    again = TransformersModel(model.module, name="again")
    counter = Counting(model)
    check_ragged(again)
    assert counter.calls == 0


@pytest.mark.parametrize("positions", range(1, 13))
def test_a_model_of_few_positions_is_tried_too(positions):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **TINY, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=positions, initializer_range=0.6,
    )  # fmt: skip
    check_ragged(TransformersModel(transformers.LlamaForCausalLM(config), name="short"))


def test_memory_that_is_spent_is_not_the_models_fault():
    model = tiny_llama(0)

    def spent(*args, **kwargs):
        raise torch.OutOfMemoryError("full")

    model.module.forward = spent
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        check_ragged(model)
