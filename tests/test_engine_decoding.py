"""The decoder on the device emits the tokens of the reference decoder, and waits once a review."""

import gc
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from cscalc.cascade import Cascade, Draft  # noqa: E402
from tests.decoding import samplings, small_cascades  # noqa: E402
from tests.engines import CASCADES, LLAMAS, STATIC, WIDTHS, long_window, recorded, static_models  # noqa: E402, F401
from tests.test_decode import NESTED, VOCAB, llama_reference  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.device_decoder import DeviceDecoder, runs_on_device  # noqa: E402
from validate.device_state import draw  # noqa: E402
from validate.models import Models  # noqa: E402
from validate.pass_timer import PassTimer  # noqa: E402
from validate.rules import Rules  # noqa: E402
from validate.sampling import Sampling, _invert  # noqa: E402


@given(st.data(), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_static_caches_change_no_token_pass_or_position(data, seed):
    """Same random numbers: the reference's tokens, and the counts of the growing caches."""
    cascade = data.draw(small_cascades(VOCAB, most_strings=10**9))
    sampling = data.draw(samplings)
    prompt = data.draw(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=5))
    runs = [
        generate(
            cascade, models, prompt, generator=torch.Generator().manual_seed(seed),
            max_tokens=10, sampling=sampling,
        )
        for models in (LLAMAS, STATIC)
    ]  # fmt: skip
    chance = Sampled(torch.Generator().manual_seed(seed))
    assert tuple(runs[1].tokens) == llama_reference(cascade, LLAMAS, sampling).tokens(
        chance, tuple(prompt), 10
    )
    for field in ("tokens", "emitted", "reviewed", "passes", "positions", "finish"):
        assert getattr(runs[0], field) == getattr(runs[1], field), field


@pytest.mark.parametrize("cascade", CASCADES, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.usefixtures("recorded")
def test_replayed_moves_change_no_token(cascade, temperature):
    """A graph is warmed up, which must leave no trace, and one text follows another in it."""
    static = static_models(LLAMAS, widths=WIDTHS)
    for seed, prompt in enumerate(([1, 2, 3], [4], [5, 6, 1, 2, 3, 3])):
        tokens = [
            generate(
                cascade, models, prompt, generator=torch.Generator().manual_seed(seed),
                max_tokens=25, sampling=Sampling(temperature),
            ).tokens
            for models in (LLAMAS, static)
        ]  # fmt: skip
        assert tokens[0] == tokens[1]


def test_a_cycle_reads_the_device_once_a_review(monkeypatch):
    """Neither drafts nor plain decoding wait for the device in between."""
    reads = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda t: reads.append(t.numel()) or tolist(t))
    for name in ("item", "__float__", "__int__", "__bool__", "__index__"):
        monkeypatch.setattr(torch.Tensor, name, _refuse)
    for cascade, reviews in ((CASCADES[0], 1), (CASCADES[1], 1), (CASCADES[5], 3)):
        for temperature in (0.0, 0.7):
            reads.clear()
            run = generate(
                cascade, STATIC, [1, 2], generator=torch.Generator(), max_tokens=12,
                sampling=Sampling(temperature),
            )  # fmt: skip
            blocks = [n for n in reads if n == 256]  # of the generator, on the host
            assert len(reads) - len(blocks) == reviews * run.cycles
            assert max(n for n in reads if n != 256) <= 3 + 32


def _refuse(tensor, *args):
    raise AssertionError(f"the host waits for a tensor of shape {tuple(tensor.shape)}")


def test_a_model_that_was_long_not_asked_catches_up():
    """A second segment that is hardly ever called falls behind by more than the widest pass."""
    same = Models.of(LLAMAS.language[0], LLAMAS.language[0], LLAMAS.language[2])
    static = static_models(same, widths=(1, 2, 4, 8))
    cascade = Cascade((Draft(1, 2), Draft(2, 1, until=3)))
    skipping = Cascade((Draft(1, 3), Draft(2, 1)))
    for one in (cascade, skipping):
        runs = [
            generate(
                one, models, [1, 2, 3], generator=torch.Generator(), max_tokens=40,
                sampling=Sampling(0.0),
            )
            for models in (same, static)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].positions == runs[1].positions


def test_a_model_far_behind_reads_in_pieces_before_it_drafts():
    static = static_models(LLAMAS, widths=(1, 2, 4, 8))
    decoder = DeviceDecoder(CASCADES[1], static, Sampled(torch.Generator()), Sampling(0.0))
    sessions = {m: static.language[m].start() for m in (0, 1)}
    text = [i % VOCAB for i in range(40)]
    sessions[0].extend(text[:-1], 1)
    decoder.text, decoder.read = list(text), {0: 39, 1: 0}
    run = generate(Cascade(()), static, [0], generator=torch.Generator(), max_tokens=1)
    run.passes, run.positions = {0: 0, 1: 0}, {0: 0, 1: 0}
    decoder.attach(sessions, run, PassTimer(static.device))
    emitted, n = finished(decoder.cycle())
    expected = generate(
        CASCADES[1], LLAMAS, text, generator=torch.Generator(), max_tokens=12,
        sampling=Sampling(0.0),
    )  # fmt: skip
    assert emitted == expected.tokens[: len(emitted)]
    assert (len(emitted), n) == (expected.emitted[0], 4)
    assert run.positions[1] == 40 + 3


def finished(steps):
    """Result of a coroutine that asks for nothing."""
    with pytest.raises(StopIteration) as ended:
        next(steps)
    return ended.value.value


def test_what_the_device_cannot_follow_is_decoded_on_the_host():
    chance = Sampled(torch.Generator())

    def fits(cascade=CASCADES[1], models=STATIC, chance=chance, sampling=None, rules=None):
        return runs_on_device(cascade, models, chance, sampling or Sampling(), rules or Rules())

    assert fits()
    assert not fits(models=LLAMAS)
    assert not fits(chance=object())
    assert not fits(sampling=Sampling(repetition_penalty=1.1))
    assert not fits(rules=Rules(confidence={1: 0.5}))
    assert not fits(cascade=Cascade((Draft(1, 31),)))  # 32 positions and one to catch up
    assert fits(cascade=Cascade((Draft(1, 30),)))
    mixed = Models.of(STATIC.language[0], LLAMAS.language[1])
    assert not fits(models=mixed)
    run = generate(
        CASCADES[1], mixed, [1, 2], generator=torch.Generator(), max_tokens=10,
        sampling=Sampling(0.0),
    )  # fmt: skip
    assert run.tokens == generate(
        Cascade(()), LLAMAS, [1, 2], generator=torch.Generator(), max_tokens=10,
        sampling=Sampling(0.0),
    ).tokens  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"confidence": 0.4},
        {"sampling": Sampling(0.9, repetition_penalty=1.3)},
        {"sampling": Sampling(0.0), "eos": (3,)},
    ],
    ids=str,
)
def test_rules_and_ends_work_with_static_caches(options):
    runs = [
        generate(
            CASCADES[2], models, [1, 2], generator=torch.Generator().manual_seed(4),
            max_tokens=20, **options,
        )
        for models in (LLAMAS, STATIC)
    ]  # fmt: skip
    assert runs[0].tokens == runs[1].tokens
    assert runs[0].finish == runs[1].finish


def test_the_end_of_the_context_is_reached_as_with_growing_caches():
    for cascade in CASCADES:
        runs = [
            generate(
                cascade, models, [1] * 50, generator=torch.Generator().manual_seed(4),
                max_tokens=40,
            )
            for models in (LLAMAS, STATIC)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].finish == runs[1].finish == "context"


def test_uniforms_are_refilled_in_long_texts(monkeypatch):
    monkeypatch.setattr("validate.device_decoder.N_UNIFORMS", 16)
    monkeypatch.setattr("validate.device_state.N_UNIFORMS", 16)
    static = static_models(LLAMAS)
    runs = [
        generate(
            NESTED, models, [1], generator=torch.Generator().manual_seed(8), max_tokens=40
        ).tokens
        for models in (LLAMAS, static)
    ]
    assert runs[0] == runs[1]


@given(st.integers(1, 700), st.integers(0, 2**31), st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_draws_on_the_device_are_those_of_the_host(vocab_size, seed, uniform):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(vocab_size, generator=generator, dtype=torch.float64)
    weights[torch.rand(vocab_size, generator=generator) < 0.5] = 0.0
    weights[int(seed % vocab_size)] = 0.3
    found = draw(weights, torch.tensor([uniform], dtype=torch.float64), torch.arange(vocab_size))
    assert int(found) == _invert(weights, uniform)
    assert weights[found] > 0.0


def test_the_last_token_with_mass_is_drawn_at_the_very_end():
    weights = torch.tensor([0.2, 0.8, 0.0], dtype=torch.float64)
    assert int(draw(weights, torch.tensor([1.0]), torch.arange(3))) == 1


def test_a_text_is_decoded_far_past_the_rings_of_its_models():
    models = Models.of(long_window("Mistral", 8), long_window("Qwen2", 12))
    static = static_models(models, widths=WIDTHS)
    prompt = torch.randint(11, (480,), generator=torch.Generator().manual_seed(0)).tolist()
    for sampling in (Sampling(0.0), Sampling(0.8)):
        runs = [
            generate(
                Cascade((Draft(1, 5),)), each, prompt, max_tokens=60, sampling=sampling,
                generator=torch.Generator().manual_seed(1),
            )
            for each in (models, static)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].emitted == runs[1].emitted


def test_one_text_after_another_takes_the_same_lanes_and_moves(monkeypatch):
    """Each is released as its text ends, not when the collector comes: graphs are made once."""
    models, made = static_models(LLAMAS, widths=WIDTHS), []

    def counted(work, *rest):
        made.append(work)
        return work

    monkeypatch.setattr("validate.device_state.record", counted)
    monkeypatch.setattr("validate.static_session.record", counted)
    gc.collect()
    gc.disable()
    try:
        counts = []
        for cascade in (NESTED, NESTED, Cascade(()), NESTED):
            generate(
                cascade, models, [1, 2, 3], generator=torch.Generator().manual_seed(1),
                max_tokens=20, sampling=Sampling(0.0),
            )  # fmt: skip
            counts.append(len(made))
    finally:
        gc.enable()
    assert counts[0] > 4
    assert counts[1] == counts[0]
    assert counts[3] == counts[2]  # and plain decoding in between needed no other lane
    assert all(len(model._idle) == 1 for number, model in models.language.items() if number < 2)


def test_the_time_in_which_a_move_is_recorded_is_not_its_models(monkeypatch):
    def slow(work, *rest):
        time.sleep(0.1)
        return work

    monkeypatch.setattr("validate.device_state.record", slow)
    run = generate(
        CASCADES[1], static_models(LLAMAS, widths=WIDTHS), [1, 2, 3], max_tokens=3,
        generator=torch.Generator(), sampling=Sampling(0.0),
    )  # fmt: skip
    assert run.decode_seconds > 0.2
    assert sum(run.seconds.values()) < run.decode_seconds - 0.2
