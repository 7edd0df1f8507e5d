"""The fast decoder: caches, counts, ends, bad input; on tables and on tiny random Llamas."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.decoding import LastSeen, reference, samplings, small_cascades, table_models  # noqa: E402
from validate.cache import GrowingCache, cache_bytes  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.decode import Completion, Decoder, generate, stream  # noqa: E402
from validate.models import Models, TableModel, TransformersModel  # noqa: E402
from validate.reference import Reference  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

VOCAB = 7
INNER = (Review(2, (Draft(3, 2),), until=2), Draft(3, 1))
NESTED = Cascade((Review(1, INNER, until=3), Draft(3, 2)))


def tiny_llama(seed, hidden=16, layers=2):
    """A random Llama in float64."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=64, initializer_range=0.8, pad_token_id=None, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    module = transformers.LlamaForCausalLM(config).double()
    return TransformersModel(module, name=f"tiny{seed}")


@pytest.fixture(scope="module")
def llamas():
    return Models.of(tiny_llama(0), tiny_llama(1), tiny_llama(2, layers=1), LastSeen(VOCAB))


def llama_reference(cascade, models, sampling):
    """The reference decoder with laws computed afresh, without any cache."""
    known = {}

    def law_of(model, tokens):
        if (model, tokens) not in known:
            with torch.inference_mode():
                ids = torch.tensor([tokens])
                logits = models.language[model].module(input_ids=ids, use_cache=False).logits
            known[model, tokens] = sampling.law(logits[0, -1:], tokens)[0]
        return known[model, tokens]

    one_shot = {n: lambda t, m, d=d: tuple(d.propose(t, m)) for n, d in models.one_shot.items()}
    return Reference(cascade, law_of, one_shot)


@given(st.data(), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_cached_llamas_equal_the_reference_on_the_same_random_numbers(llamas, data, seed):
    cascade = data.draw(small_cascades(VOCAB, most_strings=10**9))
    sampling = data.draw(samplings)
    prompt = data.draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=5))
    fast = generate(
        cascade, llamas, prompt, generator=torch.Generator().manual_seed(seed), max_tokens=10,
        sampling=sampling,
    )  # fmt: skip
    chance = Sampled(torch.Generator().manual_seed(seed))
    slow = llama_reference(cascade, llamas, sampling).tokens(chance, tuple(prompt), 10)
    assert tuple(fast.tokens) == slow


def test_greedy_output_is_the_same_for_every_cascade(llamas):
    outputs = {
        tuple(
            generate(
                cascade, llamas, [1, 2, 3], generator=torch.Generator(), max_tokens=30,
                sampling=Sampling(0.0),
            ).tokens
        )
        for cascade in (Cascade(()), Cascade((Draft(1, 3),)), NESTED, Cascade((Draft(3, 4),)))
    }  # fmt: skip
    assert len(outputs) == 1


def test_no_pass_reads_again_what_a_cache_holds(llamas):
    """Each target position is read once, but for the proposals that were rejected."""
    run = generate(
        Cascade((Draft(1, 3),)), llamas, [1, 2], generator=torch.Generator().manual_seed(0),
        max_tokens=25,
    )  # fmt: skip
    assert run.positions[0] == sum(run.reviewed) + run.cycles  # proposals + 1 in every cycle
    assert run.passes[0] == run.cycles
    assert run.passes[1] == 3 * run.cycles
    # the draft reads what it proposed once, and what it had not proposed itself
    full = sum(n == 4 for n in run.emitted[:-1])  # the last proposal was kept: read it as well
    assert run.positions[1] == 3 * run.cycles + full


def test_completion_counts_agree_with_the_tokens(llamas):
    run = generate(NESTED, llamas, [3], generator=torch.Generator().manual_seed(5), max_tokens=20)
    assert len(run.tokens) == 20
    assert 20 <= sum(run.emitted) <= 20 + NESTED.max_length
    assert all(e <= r + 1 for e, r in zip(run.emitted, run.reviewed, strict=True))
    assert set(run.seconds) == set(run.passes) == {0, 1, 2, 3}
    assert run.decode_seconds >= sum(run.seconds.values()) > 0.0


def test_a_stream_yields_the_tokens_of_generate(llamas):
    arguments = (NESTED, llamas, [1, 4])
    generator = torch.Generator().manual_seed(9)
    streamed = list(stream(*arguments, generator=generator, max_tokens=15))
    run = generate(*arguments, generator=torch.Generator().manual_seed(9), max_tokens=15)
    assert streamed == run.tokens


def test_an_end_token_ends_the_text(llamas):
    free = generate(NESTED, llamas, [1], generator=torch.Generator().manual_seed(2), max_tokens=30)
    end = free.tokens[7]
    run = generate(
        NESTED, llamas, [1], generator=torch.Generator().manual_seed(2), max_tokens=30, eos=(end,)
    )
    assert run.tokens == free.tokens[: free.tokens.index(end) + 1]
    assert run.finish == "eos"


def test_the_context_limit_is_reached_without_overrunning_it(llamas):
    """Near the limit the cascade gives way to plain decoding; the text fills the context."""
    run = generate(
        Cascade((Draft(1, 5),)), llamas, [1] * 50, generator=torch.Generator().manual_seed(0),
        max_tokens=100,
    )  # fmt: skip
    assert run.finish == "context"
    assert 50 + len(run.tokens) == 64


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "the prompt is empty"),
        ([VOCAB], "not in the vocabulary"),
        ([0] * 64, "shorten the prompt"),
    ],
)
def test_a_bad_prompt_is_one_clear_sentence(llamas, prompt, message):
    with pytest.raises(ValueError, match=message):
        generate(Cascade(()), llamas, prompt, generator=torch.Generator())


def test_a_seed_is_not_a_generator(llamas):
    with pytest.raises(TypeError, match=r"torch\.Generator"):
        generate(Cascade(()), llamas, [1], generator=7)


def test_a_cascade_needs_its_models(llamas):
    with pytest.raises(ValueError, match="load one more draft"):
        generate(Cascade((Draft(4, 1),)), llamas, [1], generator=torch.Generator())
    with pytest.raises(ValueError, match="one-shot and cannot review"):
        Decoder(
            Cascade((Review(3, (Draft(4, 1),), rounds=1),)),
            Models(llamas.language, {3: LastSeen(VOCAB), 4: LastSeen(VOCAB)}),
            Sampled(torch.Generator()),
            Sampling(),
        )


def test_models_must_share_a_vocabulary():
    with pytest.raises(ValueError, match="share one tokenizer"):
        Models.of(TableModel(torch.zeros(3, 3)), TableModel(torch.zeros(4, 4)))


def test_max_tokens_of_zero_is_refused(llamas):
    with pytest.raises(ValueError, match="max_tokens"):
        generate(Cascade(()), llamas, [1], generator=torch.Generator(), max_tokens=0)


def test_a_rewound_cache_goes_on_as_if_it_had_not_read_further(llamas):
    session = llamas.target.start()
    session.extend([1, 2, 3, 4, 5], 1)
    session.rewind(2)
    again = session.extend([6, 5], 2)
    fresh = llamas.target.start().extend([1, 2, 6, 5], 2)
    torch.testing.assert_close(again, fresh, rtol=1e-12, atol=1e-12)


def test_a_cache_grows_in_place():
    """Appending within the room of a buffer moves nothing."""
    cache = GrowingCache()
    states = torch.randn(1, 2, 3, 4)
    cache.update(states, states, 0)
    before = cache.layers[0].keys.data_ptr()
    size = cache_bytes(cache)
    for _ in range(5):
        keys, _ = cache.update(states, states, 0)
    assert cache.layers[0].keys.data_ptr() == before
    assert cache_bytes(cache) == size
    torch.testing.assert_close(keys[:, :, 15:18], states)
    cache.rewind(4)
    assert cache.get_seq_length() == 4
    for _ in range(200):
        cache.update(states, states, 0)
    torch.testing.assert_close(cache.layers[0].keys[:, :, :3], states)
    assert cache.get_seq_length() == 604


def test_an_unfinished_completion_is_filled_while_tokens_are_taken():
    models = table_models(3, seed=0)
    completion = Completion()
    tokens = stream(
        Cascade((Draft(1, 2),)), models, [0], generator=torch.Generator().manual_seed(0),
        completion=completion,
    )  # fmt: skip
    next(tokens)
    assert completion.cycles == 1
    assert reference(Cascade(()), models, Sampling()).one_shot
