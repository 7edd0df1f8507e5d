"""Passes of fixed shapes give the logits of growing caches; lanes, rings, shared products."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.dsia_targets import tiny_target  # noqa: E402
from tests.engines import EXACT, LONG, STATIC, WIDTHS, long_window, recorded  # noqa: E402, F401
from tests.test_decode import VOCAB, tiny_llama  # noqa: E402
from tests.test_tree_session import tiny  # noqa: E402
from validate.engine import CompiledModel, Engine  # noqa: E402
from validate.fused_linears import fuse_linears  # noqa: E402
from validate.static_cache import StaticCache  # noqa: E402

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


@pytest.mark.usefixtures("recorded")
def test_logits_stay_when_the_next_pass_overwrites_its_buffer():
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


def test_layers_without_a_static_cache_are_refused():
    model = tiny("llama")
    model.module.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    with pytest.raises(ValueError, match="layers of linear_attention, for which there is no"):
        CompiledModel(model.module, name="m")


def test_a_cache_says_what_it_holds():
    cache = StaticCache([("full_attention", None)] * 2, room=300, spare=8, dtype=torch.float32)
    assert (cache.room, cache.rings, cache.bytes()) == (512, {}, 0)
    session = STATIC.target.start()
    session.extend([1], 1)
    held = session.lane.cache
    assert held.bytes() == 2 * 2 * held.room * 8 * 8  # layers, keys and values, float64, 8 dims


def test_a_model_that_reads_static_caches_otherwise_is_refused():
    """Its scores depend on where keys lie in the mask, not on position ids (alibi)."""
    with pytest.raises(ValueError, match=r"\(BloomForCausalLM\) does not read a static cache"):
        CompiledModel(tiny_target("bloom").module, name="b")
