"""Passes of fixed shapes: logits of growing caches, tokens of the reference decoder."""

import gc
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from typer.testing import CliRunner  # noqa: E402

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from tests.decoding import samplings, small_cascades  # noqa: E402
from tests.dsia_targets import tiny_target  # noqa: E402
from tests.test_decode import NESTED, VOCAB, LastSeen, llama_reference, tiny_llama  # noqa: E402
from tests.test_tree_session import GROUPED, tiny  # noqa: E402
from validate.batch import generate_many  # noqa: E402
from validate.chance import Sampled  # noqa: E402
from validate.cli import app  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.device_decoder import DeviceDecoder, runs_on_device  # noqa: E402
from validate.device_state import DeviceState, draw  # noqa: E402
from validate.dsia_models import self_draft  # noqa: E402
from validate.engine import (  # noqa: E402
    CompiledModel,
    Engine,
    check_engine,
    engine_settings,
    with_engine,
)
from validate.fused_linears import fuse_linears  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.measure import measure  # noqa: E402
from validate.models import Models, TableModel, TransformersModel  # noqa: E402
from validate.pass_timer import PassTimer  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.recorded import warm_up  # noqa: E402
from validate.rules import Rules  # noqa: E402
from validate.sampling import Sampling, _invert  # noqa: E402
from validate.static_cache import StaticCache  # noqa: E402
from validate.ties import compare_greedy  # noqa: E402

EXACT = 1e-10
WIDTHS = (1, 2, 4, 8, 16)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
LONG = 600  # positions, beyond the 256 that a ring of a small window holds


class Replayed:
    """What a CUDA graph does to results, on a CPU: every replay overwrites one buffer."""

    def __init__(self, work):
        self.work, self.found = work, None

    def __call__(self):
        found = self.work()
        if self.found is None:
            self.found = found.clone()
        self.found.copy_(found)
        return self.found


def replayed(work, device, graphs, changed=()):
    """`record`, with the runs that warm up and the buffer that every replay overwrites."""
    warm_up(work, changed)
    return Replayed(work)


@pytest.fixture(params=[False, True], ids=["run", "replayed"])
def recorded(request, monkeypatch):
    """Passes that run, and passes that behave as replayed graphs do."""
    if request.param:
        monkeypatch.setattr("validate.static_session.record", replayed)
        monkeypatch.setattr("validate.device_state.record", replayed)


def long_window(kind, window):
    """A random model with sliding windows, in float64, that holds `LONG` positions."""
    torch.manual_seed(3)
    options = {**GROUPED, "max_position_embeddings": LONG, "sliding_window": window}
    if kind == "Qwen2":
        options |= {"use_sliding_window": True, "max_window_layers": 1}
    config = getattr(transformers, f"{kind}Config")(**options, attn_implementation="sdpa")
    return TransformersModel(
        getattr(transformers, f"{kind}ForCausalLM")(config).double(), name=kind
    )


ARCHITECTURES = ["llama", "gpt2", "gpt-neox", "qwen2", "qwen2-window", "mistral-window", "opt"]
SMALL_MODELS = {name: tiny(name) for name in ARCHITECTURES}


@st.composite
def readings(draw, room):
    """Random (tokens to go back, tokens to read, logits wanted), within `room`."""
    length, steps = 0, []
    for _ in range(draw(st.integers(1, 8))):
        back = draw(st.integers(0, min(6, length)))
        new = draw(st.integers(1, 20))
        if length - back + new > room:
            break
        length += new - back
        steps.append((back, new, draw(st.integers(1, new))))
    return steps


@pytest.mark.parametrize("options", [{"fuse": True}, {"grouped": True}], ids=str)
@pytest.mark.parametrize("name", ["llama", "gpt-neox", "qwen2-window", "phi", "opt"])
def test_shared_products_and_grouped_attention_change_rounding_only(name, options):
    model = tiny(name)
    pieces = ([1, 2, 3, 4, 5], [6], [7, 8])
    growing = model.start()
    expected = [growing.extend(piece, len(piece)) for piece in pieces]
    static = CompiledModel(model.module, name=name, engine=Engine(widths=(1, 2, 4), **options))
    for session in (static.start(), model.start()):  # the module serves other passes as before
        for piece, logits in zip(pieces, expected, strict=True):
            found = session.extend(piece, len(piece))
            torch.testing.assert_close(found, logits, rtol=EXACT, atol=EXACT)


def test_a_product_serves_its_parts_in_any_order_and_number():
    layer = torch.nn.Module()
    for name, width in (("q_proj", 4), ("k_proj", 2), ("v_proj", 3)):
        setattr(layer, name, torch.nn.Linear(5, width, bias=name != "k_proj"))
    assert fuse_linears(layer) == 0  # one has no bias
    layer.k_proj = torch.nn.Linear(5, 2)
    inputs = torch.randn(3, 7, 5)
    layers = layer.q_proj, layer.k_proj, layer.v_proj
    with torch.inference_mode():
        expected = {(i, j): layers[i](inputs[j]) for i in range(3) for j in range(3)}
        assert fuse_linears(layer) == 1
        parts = layer.q_proj, layer.k_proj, layer.v_proj
        for order in ([(2, 0), (0, 0), (1, 1), (1, 0)], [(0, 0), (0, 0), (1, 2), (2, 2), (0, 2)]):
            for i, j in order:
                torch.testing.assert_close(parts[i](inputs[j]), expected[i, j])
    assert [part.weight.shape for part in parts] == [(4, 5), (2, 5), (3, 5)]
    assert parts[0].weight.untyped_storage().data_ptr() == parts[2].weight.data_ptr() - 4 * 5 * 6


def test_scores_with_a_cap_are_refused_by_grouped_attention():
    with pytest.raises(ValueError, match="caps its scores, which grouped attention does not"):
        CompiledModel(tiny("gemma2").module, name="g", engine=Engine(grouped=True))


@pytest.mark.parametrize("name", ARCHITECTURES)
@given(st.data(), st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_static_and_growing_sequences_agree(name, data, seed):
    model = SMALL_MODELS[name]
    growing = model.start()
    static = CompiledModel(model.module, name=name, engine=Engine(widths=(1, 2, 4, 8))).start()
    rng = torch.Generator().manual_seed(seed)
    for back, new, n_last in data.draw(readings(96)):
        tokens = torch.randint(model.vocab_size, (new,), generator=rng).tolist()
        for session in (growing, static):
            session.rewind(session.length - back)
        expected, found = growing.extend(tokens, n_last), static.extend(tokens, n_last)
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=EXACT, atol=EXACT)
        assert (static.length, static.positions) == (growing.length, growing.positions)


@pytest.mark.parametrize(("kind", "window"), [("Mistral", 8), ("Qwen2", 8), ("Mistral", 100)])
def test_a_ring_of_window_and_slack_gives_the_logits_of_the_full_cache(kind, window):
    """Far past the window, with going back by up to the slack, over every wrap of the ring."""
    model = long_window(kind, window)
    engine = Engine(widths=WIDTHS, slack=24)
    ringed = CompiledModel(model.module, name=kind, engine=engine)
    static, growing = ringed.start(), model.start()
    held = static.lane.cache.rings["sliding_attention"]
    assert window + 24 <= held < LONG
    rng = torch.Generator().manual_seed(1)
    while growing.length < LONG - 20:
        back = int(torch.randint(25, (), generator=rng)) if growing.length > 24 else 0
        new = int(torch.randint(1, 40, (), generator=rng))
        new = min(new + back, LONG - growing.length + back)
        tokens = torch.randint(model.vocab_size, (new,), generator=rng).tolist()
        for session in (growing, static):
            session.rewind(growing.length - back)
            back = 0 if session is growing else back
        expected, found = growing.extend(tokens, new), static.extend(tokens, new)
        torch.testing.assert_close(found, expected, rtol=EXACT, atol=EXACT)
    sizes = [layer.buffers[0].shape[2] for layer in static.lane.cache.layers]
    assert held in sizes
    assert static.length > held


def test_a_ring_says_how_far_back_it_can_go():
    ringed = CompiledModel(
        long_window("Mistral", 8).module, name="m", engine=Engine(widths=WIDTHS, slack=10)
    )
    session = ringed.start()
    session.extend([1] * 100, 1)
    session.rewind(20)  # nothing is overwritten yet
    session.extend([1] * 400, 1)
    session.rewind(410)
    with pytest.raises(ValueError, match=r"cannot go back to 409: go back at most 10 .*slack"):
        session.rewind(409)  # from 420, though only one from where it stands
    session.rewind(0)
    fresh = ringed.start().extend([3, 4], 2)
    torch.testing.assert_close(session.extend([3, 4], 2), fresh, rtol=EXACT, atol=EXACT)


def test_going_back_copies_nothing_and_padding_is_not_counted():
    model = CompiledModel(tiny_llama(0).module, name="m")
    session = model.start()
    session.extend([1, 2, 3, 4, 5], 1)
    buffers = [b.data_ptr() for layer in session.lane.cache.layers for b in layer.buffers]
    before = session.lane.cache.layers[0].buffers[0].clone()
    session.rewind(2)
    assert torch.equal(session.lane.cache.layers[0].buffers[0], before)
    assert (session.length, session.positions) == (2, 5)
    session.extend([1, 2, 3], 3)
    assert buffers == [b.data_ptr() for layer in session.lane.cache.layers for b in layer.buffers]
    assert session.positions == 8


def test_a_later_sequence_borrows_the_lane_of_an_earlier_one():
    model = CompiledModel(tiny_llama(0).module, name="m")
    first, second = model.start(), model.start()
    lanes = {id(first.lane), id(second.lane)}
    one = first.extend([1, 2, 3], 3)
    assert not torch.equal(second.extend([4, 5, 6], 3), one)
    assert len(lanes) == 2
    del first
    third = model.start()
    assert id(third.lane) in lanes
    assert (third.length, third.positions) == (0, 0)
    torch.testing.assert_close(third.extend([1, 2, 3], 3), one, rtol=EXACT, atol=EXACT)
    del second, third
    gc.collect()
    kept = [model.start() for _ in range(3)]
    assert sum(id(session.lane) in lanes for session in kept) == 2


def test_logits_stay_when_the_next_pass_overwrites_its_buffer(recorded):
    session = CompiledModel(tiny_llama(0).module, name="m").start()
    first = session.extend([1, 2, 3], 3)
    before = first.clone()
    session.extend([4, 5, 6], 3)
    assert torch.equal(first, before)


def test_a_text_longer_than_the_widest_pass_is_read_in_pieces():
    model = tiny_llama(0)
    static = CompiledModel(model.module, name="m", engine=Engine(widths=(1, 2, 4)))
    tokens = [i % VOCAB for i in range(23)]
    for n_last in (1, 2, 5, 23):
        found, expected = (
            static.start().extend(tokens, n_last),
            model.start().extend(tokens, n_last),
        )
        torch.testing.assert_close(found, expected, rtol=EXACT, atol=EXACT)


def static_models(models, **options):
    return with_engine(models, Engine(**options))


LLAMAS = Models.of(tiny_llama(0), tiny_llama(1), tiny_llama(2, layers=1), LastSeen(VOCAB))
STATIC = static_models(LLAMAS)


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


CASCADES = [
    Cascade(()),
    Cascade((Draft(1, 4),)),
    Cascade((Draft(3, 3), Draft(1, 2), Draft(2, 2))),
    Cascade((Draft(1, 1), Draft(3, 4))),
    NESTED,
    Cascade((Review(1, (Draft(2, 2),), rounds=2),)),
]


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


def test_max_length_is_the_context_that_users_see():
    short = static_models(LLAMAS, max_length=20, widths=WIDTHS)
    run = generate(CASCADES[1], short, [1, 2], generator=torch.Generator(), max_tokens=40)
    assert run.finish == "context"
    assert len(run.tokens) == 18
    with pytest.raises(ValueError, match="21 tokens, but tiny0 holds 20: shorten it, or raise"):
        short.target.start().extend([1] * 21, 1)
    with pytest.raises(ValueError, match="holds 20: shorten the prompt"):
        generate(CASCADES[1], short, [1] * 20, generator=torch.Generator())


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


def test_batches_and_ties_work_on_static_models():
    runs = [
        generate_many(
            CASCADES[1], models, [[1, 2], [3]], generator=torch.Generator().manual_seed(2),
            batch=2, max_tokens=8,
        )
        for models in (LLAMAS, STATIC)
    ]  # fmt: skip
    assert [run.tokens for run in runs[0]] == [run.tokens for run in runs[1]]
    assert compare_greedy(CASCADES[3], STATIC, [1, 2, 3], max_tokens=20).equal


@given(st.integers(1, 700), st.integers(0, 2**31), st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_draws_on_the_device_are_those_of_the_host(vocab_size, seed, uniform):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(vocab_size, generator=generator, dtype=torch.float64)
    weights[torch.rand(vocab_size, generator=generator) < 0.5] = 0.0
    weights[int(seed % vocab_size)] = 0.3
    found = draw(weights, torch.tensor([uniform], dtype=torch.float64))
    assert int(found) == _invert(weights, uniform)
    assert weights[found] > 0.0


def test_the_last_token_with_mass_is_drawn_at_the_very_end():
    weights = torch.tensor([0.2, 0.8, 0.0], dtype=torch.float64)
    assert int(draw(weights, torch.tensor([1.0]))) == 1


def test_a_profile_is_measured_with_the_engine_that_decodes(tmp_path, monkeypatch):
    target, draft = (save_checkpoint(tmp_path / str(i), seed=i) for i in range(2))
    models = load_models(
        target, [draft, "max-gram"], device="cpu", dtype="float64", engine="static"
    )
    assert isinstance(models.target, CompiledModel)
    passes = set()
    for kind in ("step", "look"):
        run = getattr(DeviceState, kind)

        def watched(state, model, sampling, width, *rest, run=run, kind=kind, **more):
            passes.add((kind, model, width))
            return run(state, model, sampling, width, *rest, **more)

        monkeypatch.setattr(DeviceState, kind, watched)
    prompts = [Prompt(i, "a", (text,), "measure") for i, text in enumerate(["the sea", "why"])]
    log = tmp_path / "records.jsonl"
    settings = {"max_tokens": 6, "positions": 4, "repeats": 1, "log": log}
    profile = measure(models, prompts, **settings)
    assert passes == {  # every width of every model was timed as the decoder runs it
        ("step", 1, 1), *(("look", m, w) for m in (0, 1) for w in (1, 2, 3, 4))
    } - {("look", 1, 1)}  # fmt: skip
    assert profile.measurement["experiment"]["engine"]["graphs"] is False
    passes.clear()
    assert measure(models, prompts, **settings).to_dict()["alphas"] == profile.to_dict()["alphas"]
    assert not passes  # resumed: nothing is measured again
    eager = load_models(target, [draft, "max-gram"], device="cpu", dtype="float64")
    assert engine_settings(eager) == {}
    with pytest.raises(ValueError, match=r"records\.jsonl"):
        measure(eager, prompts, **settings)  # another engine is another experiment
    assert json.dumps(engine_settings(models))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Engine.named("fast"), "engine must be one of eager, static, graphs, compiled"),
        (lambda: Engine(widths=(2, 4)), r"widths must ascend from 1, got \(2, 4\)"),
        (lambda: Engine(widths=(1, 4, 2)), "widths must ascend"),
        (lambda: Engine(widths=()), "widths must ascend"),
        (lambda: Engine(compile="most"), "compile must be one of default"),
        (lambda: Engine(max_length=0), "max_length must be >= 1, got 0"),
        (lambda: Engine(slack=0), "slack must be >= 1, got 0"),
        (lambda: Engine(first_reach=300), "first_reach must be a multiple of 256, got 300"),
        (lambda: check_engine("graphs", torch.device("cpu")), "graphs needs CUDA.*use static"),
        (
            lambda: CompiledModel(tiny_llama(0).module, name="m", engine=Engine(graphs=True)),
            'm is on cpu, and CUDA graphs need CUDA: use engine="static"',
        ),
        (
            lambda: with_engine(Models.of(TableModel(torch.zeros(2, 2), name="t")), "static"),
            "t shows no transformers module",
        ),
        (lambda: load_models("nothing", [], device="cpu", engine="graphs"), "graphs needs CUDA"),
    ],
)
def test_bad_engines_are_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_model_that_reads_static_caches_otherwise_is_refused():
    """Its scores depend on where keys lie in the mask, not on position ids (alibi)."""
    with pytest.raises(ValueError, match=r"\(BloomForCausalLM\) does not read a static cache"):
        CompiledModel(tiny_target("bloom").module, name="b")


def test_drafts_of_the_targets_own_weights_have_static_caches_too():
    target = tiny_target("llama")
    growing = Models.of(target, self_draft(target, "skip:0.3"), self_draft(target, "exit:2"))
    static = with_engine(growing, "static")
    for cascade in (Cascade((Draft(1, 3),)), Cascade((Review(1, (Draft(2, 2),), rounds=1),))):
        runs = [
            generate(
                cascade, models, [1, 2, 3], generator=torch.Generator().manual_seed(2),
                max_tokens=20,
            )
            for models in (growing, static)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].positions == runs[1].positions
    windowed = Models.of(target, self_draft(target, "window:8"))
    with pytest.raises(ValueError, match="window:8 shows no transformers module"):
        with_engine(windowed, "static")


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


def test_a_timer_adds_up_by_model_and_forgets():
    timer = PassTimer(torch.device("cpu"))
    for model in (0, 1, 1):
        with timer.around(model):
            time.sleep(0.002)
    seconds = timer.settle({1: 1.0})
    assert 0.002 <= seconds[0] < 1.0 < 1.004 <= seconds[1]
    assert timer.settle({}) == {}
    with pytest.raises(KeyError), timer.around(0):
        raise KeyError
    assert timer.settle({}) == {}  # a pass that failed took no time


def test_a_command_runs_with_the_engine_that_it_is_told(tmp_path):
    target, draft = (save_checkpoint(tmp_path / str(i), seed=i) for i in range(2))
    prompts, plan = tmp_path / "prompts.txt", tmp_path / "plan.json"
    prompts.write_text("tell about the sea\n\nwhy is the sun ?\n")
    plan.write_text(json.dumps(Cascade((Draft(1, 2),)).to_dict()))
    common = ["--target", target, "--drafts", draft, "--prompts", str(prompts), "--device", "cpu"]

    def command(*arguments):
        return CliRunner().invoke(app, [*arguments, *common])

    for name in ("eager", "static"):
        output = tmp_path / f"{name}.jsonl"
        done = command("run", "-o", output, "--plan", plan, "--max-tokens", "8", "--engine", name)
        assert done.exit_code == 0, done.output
    lines = {
        name: (tmp_path / f"{name}.jsonl").read_text().splitlines() for name in ("eager", "static")
    }
    header = json.loads(lines["static"][0])["experiment"]
    assert header["engine"]["widths"][0] == 1
    records = {
        name: [json.loads(line)["record"]["cascade"]["emitted"] for line in found[1:]]
        for name, found in lines.items()
    }
    assert records["eager"] == records["static"]
    done = command("measure", "-o", str(tmp_path / "p.json"), "--engine", "graphs")
    assert isinstance(done.exception, ValueError)
    assert "engine graphs needs CUDA, and the device is cpu: use static" in str(done.exception)


def test_layers_without_a_static_cache_are_refused():
    model = tiny("llama")
    model.module.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    with pytest.raises(ValueError, match="layers of linear_attention, for which there is no"):
        CompiledModel(model.module, name="m")


def test_a_named_engine_and_what_it_shows():
    assert Engine.named("eager") is None
    assert not Engine.named("static").graphs
    assert Engine.named("compiled").compile == "default"
    assert (
        repr(CompiledModel(tiny_llama(0).module, name="m")) == "CompiledModel('m', static caches)"
    )
    assert with_engine(LLAMAS, "eager") is LLAMAS


def test_a_cache_says_what_it_holds():
    cache = StaticCache([("full_attention", None)] * 2, room=300, spare=8, dtype=torch.float32)
    assert (cache.room, cache.rings, cache.bytes()) == (512, {}, 0)
    session = STATIC.target.start()
    session.extend([1], 1)
    held = session.lane.cache
    assert held.bytes() == 2 * 2 * held.room * 8 * 8  # layers, keys and values, float64, 8 dims


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_compiled_passes_give_the_same_logits():
    model = tiny_llama(0)
    compiled = CompiledModel(
        model.module, name="m", engine=Engine(compile="default", widths=(1, 4))
    )
    static, growing = compiled.start(), model.start()
    for tokens in ([1, 2, 3], [4], [5, 6]):
        torch.testing.assert_close(
            static.extend(tokens, 1), growing.extend(tokens, 1), rtol=1e-5, atol=1e-5
        )  # norms and rotations are in float32, and fused ones round otherwise


@needs_cuda
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("cascade", CASCADES, ids=str)
def test_graphs_change_no_token(cascade, temperature):
    models = Models.of(
        *(TransformersModel(tiny_llama(i).module.cuda(), name=str(i)) for i in range(3)),
        LastSeen(VOCAB),
    )
    graphs = with_engine(models, Engine(graphs=True, widths=WIDTHS))
    for seed in range(3):
        runs = [
            generate(
                cascade, each, [1, 2, 3], generator=torch.Generator().manual_seed(seed),
                max_tokens=25, sampling=Sampling(temperature),
            )
            for each in (models, graphs)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].positions == runs[1].positions
        assert all(value > 0.0 for value in runs[1].seconds.values())


@needs_cuda
def test_a_graph_of_a_pass_gives_the_logits_of_the_eager_pass():
    model = TransformersModel(tiny_llama(0).module.cuda(), name="m")
    graphs = CompiledModel(model.module, name="m", engine=Engine(graphs=True)).start()
    growing = model.start()
    for back, tokens in ((0, [1, 2, 3, 4, 5]), (2, [1]), (0, [2, 3]), (3, [4, 5, 6])):
        for session in (growing, graphs):
            session.rewind(session.length - back)
        torch.testing.assert_close(
            graphs.extend(tokens, len(tokens)), growing.extend(tokens, len(tokens)),
            rtol=EXACT, atol=EXACT,
        )  # fmt: skip


@needs_cuda
@pytest.mark.parametrize("options", [{"fuse": True}, {"grouped": True}], ids=str)
def test_graphs_of_shared_kernels_give_the_same_logits(options):
    model = TransformersModel(tiny_llama(0).module.cuda(), name="m")
    expected = model.start().extend([1, 2, 3, 4, 5], 5)
    graphs = CompiledModel(model.module, name="m", engine=Engine(graphs=True, **options)).start()
    for _ in range(2):
        graphs.rewind(0)
        torch.testing.assert_close(
            graphs.extend([1, 2, 3, 4, 5], 5), expected, rtol=1e-9, atol=1e-9
        )


@needs_cuda
def test_no_wait_for_the_device_inside_a_chain_of_drafts():
    """Torch itself raises at any wait between the moves; the look at the end is the one read."""
    models = Models.of(
        *(TransformersModel(tiny_llama(i).module.cuda(), name=str(i)) for i in range(2))
    )
    graphs = with_engine(models, Engine(graphs=True))
    for temperature in (0.0, 0.8):
        arguments = (CASCADES[1], graphs, [1, 2, 3])
        options = {"max_tokens": 30, "sampling": Sampling(temperature)}
        first = generate(*arguments, generator=torch.Generator().manual_seed(1), **options)
        step = DeviceState.step

        def watched(*args, step=step):
            torch.cuda.set_sync_debug_mode("error")
            try:
                step(*args)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeviceState, "step", watched)
            again = generate(*arguments, generator=torch.Generator().manual_seed(1), **options)
        assert first.tokens == again.tokens
