"""DSIA drafts: the target's own weights, another way through them, and no trace on the target."""

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from tests.dsia_targets import CONFIGS, LAYERS, VOCAB, logits, tiny_target  # noqa: E402
from validate.dsia import (  # noqa: E402
    Combined,
    EarlyExit,
    Int8,
    LayerSkip,
    SlidingWindow,
    combine,
    hierarchy,
)
from validate.dsia_int8 import Int8Linear, int8_of  # noqa: E402
from validate.dsia_models import (  # noqa: E402
    SelfDraft,
    kept_layers,
    self_draft,
    shared_parameters,
)
from validate.dsia_modules import layers_path, with_layers  # noqa: E402
from validate.dsia_names import is_setting, parse_setting, split_names  # noqa: E402
from validate.dsia_sessions import window_mask  # noqa: E402
from validate.models import TableModel, TransformersModel  # noqa: E402
from validate.packing import can_pack, pack_linears  # noqa: E402

TEXT = [1, 5, 3, 7, 2, 9, 4, 4, 6, 1, 0, 3]
SETTINGS = ["skip:1,3", "skip:0", "skip:0.4", "exit:3", "int8", "window:4", "window:4:0",
            "skip:2+int8", "skip:1+window:3", "exit:2+int8+window:4"]  # fmt: skip
NO_WINDOW = {"bloom"}  # attention biases of its own instead of a mask


def all_pairs():
    return [
        (kind, text) for kind in CONFIGS for text in SETTINGS
        if not (kind in NO_WINDOW and "window" in text)
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), all_pairs())
def test_a_draft_gives_the_same_logits_pass_by_pass_and_at_once(kind, text):
    draft = self_draft(tiny_target(kind), text)
    at_once = logits(draft, TEXT)
    session = draft.start()
    session.extend(TEXT[:3], 1)
    steps = [session.extend([token], 1) for token in TEXT[3:7]]
    session.extend([8, 8, 8], 2)
    session.rewind(7)
    steps.append(session.extend(TEXT[7:], 5))
    torch.testing.assert_close(torch.cat(steps), at_once[3:], rtol=0.0, atol=1e-11)


@pytest.mark.parametrize(("kind", "text"), all_pairs())
def test_the_target_is_bitwise_the_same_before_during_and_after(kind, text):
    target = tiny_target(kind)
    state = {name: tensor.clone() for name, tensor in target.module.state_dict().items()}
    before = logits(target, TEXT)
    draft = self_draft(target, text)
    session, plain = draft.start(), target.start()
    rows = []
    for token in TEXT:  # in turns
        session.extend([token], 1)
        rows.append(plain.extend([token], 1))
    alone = target.start()
    assert torch.equal(torch.cat(rows), torch.cat([alone.extend([t], 1) for t in TEXT]))
    del draft, session
    assert torch.equal(logits(target, TEXT), before)
    assert all(torch.equal(state[n], t) for n, t in target.module.state_dict().items())
    assert not any(module._forward_hooks for module in target.module.modules())


@pytest.mark.parametrize("kind", CONFIGS)
def test_weights_are_the_targets_memory(kind):
    target = tiny_target(kind)
    owned = {p.data_ptr() for p in target.module.parameters()}
    for text in ("skip:1,3", "exit:3", "skip:0.5"):
        draft = self_draft(target, text)
        assert {p.data_ptr() for p in draft.module.parameters()} < owned
        assert shared_parameters(draft)[1] == 0
    shared, own = shared_parameters(self_draft(target, "int8"))
    whole = shared_parameters(self_draft(target, "exit:5"))[0]
    assert shared > 0
    assert 0 < own < whole / 2  # float64 to int8, and scales


def test_skipping_is_what_a_model_without_these_layers_does():
    """Slow twin: a fresh model of the remaining layers, with copied weights."""
    target = tiny_target()
    config = CONFIGS["llama"]()
    config.num_hidden_layers = 4
    twin = transformers.LlamaForCausalLM(config).double().eval()
    state = target.module.state_dict()
    for new, old in enumerate((0, 2, 3, 5)):
        for name in [name for name in state if name.startswith(f"model.layers.{old}.")]:
            state[f"twin.{new}.{name.split('.', 3)[3]}"] = state[name]
    own = {n: t for n, t in state.items() if not n.startswith(("model.layers", "twin"))}
    own |= {n.replace("twin.", "model.layers."): t for n, t in state.items() if "twin" in n}
    twin.load_state_dict(own)
    expected = logits(TransformersModel(twin, name="twin"), TEXT)
    assert torch.equal(logits(self_draft(target, "skip:1,4"), TEXT), expected)


def test_an_early_exit_with_all_but_the_last_layer_is_skipping_the_last():
    target = tiny_target()
    one, other = (logits(self_draft(target, text), TEXT) for text in ("exit:5", "skip:5"))
    assert torch.equal(one, other)


def test_a_window_is_the_mask_that_it_says():
    target = tiny_target()
    for size, sinks in ((3, 0), (3, 2), (1, 0), (50, 4)):
        position = torch.arange(len(TEXT))
        query, key = position[:, None], position[None]
        seen = (key <= query) & ((key > query - size) | (key < sinks))
        mask = torch.zeros(seen.shape).double()
        mask = mask.masked_fill(~seen, torch.finfo(torch.float64).min)[None, None]
        with torch.inference_mode():
            ids = torch.tensor([TEXT])
            slow = target.module(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
        draft = self_draft(target, SlidingWindow(size, sinks=sinks))
        torch.testing.assert_close(logits(draft, TEXT), slow, rtol=0.0, atol=1e-11)


def test_a_window_longer_than_the_text_changes_nothing():
    target = tiny_target()
    torch.testing.assert_close(
        logits(self_draft(target, "window:64"), TEXT), logits(target, TEXT), rtol=0.0, atol=1e-11
    )


def test_a_window_mask_of_one_position_shows_everything_that_is_held():
    assert window_mask(4, 0, 10, 1, torch.float32).shape == (1, 1, 1, 4)
    assert not window_mask(4, 2, 10, 1, torch.float32).any()


def test_int8_products_are_exact_for_weights_and_inputs_on_the_grid():
    weight = torch.randint(-127, 128, (5, 8)).double()
    weight[:, 0] = 127.0
    x = torch.randint(-127, 128, (3, 8)).double()
    x[:, 0] = -127.0
    layer = Int8Linear(weight * 0.25, torch.ones(5).double())
    torch.testing.assert_close(layer(x * 0.5), 0.125 * x @ weight.T + 1.0, rtol=1e-12, atol=1e-9)


def test_int8_rounds_by_less_than_half_a_step_of_either_factor():
    torch.manual_seed(3)
    linear = nn.Linear(64, 32).double()
    x = torch.randn(7, 64).double()
    error = (int8_of(linear)(x) - linear(x)).abs()
    steps = x.abs().amax(1, keepdim=True) / 127, linear.weight.abs().amax(1) / 127
    bound = 0.5 * steps[0] * (linear.weight.abs().sum(1) + 32 * steps[1])
    bound = bound + 0.5 * steps[1] * x.abs().sum(1, keepdim=True)
    assert (error <= bound).all()


def test_int8_rows_do_not_see_one_another():
    torch.manual_seed(4)
    layer = int8_of(nn.Linear(16, 8))
    x = torch.randn(5, 16)
    x[3] *= 1000.0
    rows = torch.cat([layer(row[None]) for row in x])
    assert torch.equal(layer(x), rows)


def test_int8_reads_the_weight_of_a_packed_layer():
    target = tiny_target()
    module = target.module.float()
    if not can_pack(module):
        pytest.skip("this torch has no oneDNN packed linear")
    expected = logits(self_draft(TransformersModel(module, name="a"), "int8"), TEXT)
    packed = TransformersModel(pack_linears(module), name="b")
    assert torch.equal(logits(self_draft(packed, "int8"), TEXT), expected)
    draft = self_draft(packed, "skip:1")
    assert shared_parameters(draft)[1] == 0
    ours = {id(m) for m in packed.module.modules() if hasattr(m, "packed")}
    theirs = {id(m) for m in draft.module.modules() if hasattr(m, "packed")}
    assert theirs < ours


def test_int8_head_is_optional():
    target = tiny_target()
    assert isinstance(self_draft(target, Int8()).module.lm_head, Int8Linear)
    assert self_draft(target, "int8:layers").module.lm_head is target.module.lm_head


def test_an_exit_head_takes_the_place_of_the_last_norm(tmp_path):
    target = tiny_target()
    norm = target.module.model.norm.weight.detach().clone()
    save_file({"norm.weight": norm}, tmp_path / "same.safetensors")
    save_file({"norm.weight": norm, "linear.weight": torch.eye(16).double()},
              tmp_path / "twice.safetensors")  # fmt: skip
    plain = logits(self_draft(target, "exit:3"), TEXT)
    for name in ("same", "twice"):  # x + x is normed to x again
        draft = self_draft(target, EarlyExit(3, str(tmp_path / f"{name}.safetensors")))
        torch.testing.assert_close(logits(draft, TEXT), plain, rtol=0.0, atol=1e-5)
    save_file({"norm.weight": torch.ones(5)}, tmp_path / "narrow.safetensors")
    with pytest.raises(ValueError, match=r"narrow.safetensors is a head for 5 features, not 16"):
        self_draft(target, EarlyExit(3, str(tmp_path / "narrow.safetensors")))
    with pytest.raises(ValueError, match=r"none.safetensors is no exit head"):
        self_draft(target, EarlyExit(3, str(tmp_path / "none.safetensors")))


def test_layers_train_through_a_part():
    """Training a part trains the whole: gradients reach the shared weights, and no others."""
    module = tiny_target().module
    part = with_layers(module, (0, 3))
    part(torch.tensor([TEXT]), use_cache=False).logits.sum().backward()
    grads = [layer.mlp.up_proj.weight.grad is not None for layer in module.model.layers]
    assert grads == [True, False, False, True, False, False]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("skip:1,4", (0, 2, 3, 5)), ("exit:2", (0, 1)), ("skip:0+exit:3", (1, 2)), ("int8", range(6)),
     ("skip:0.5", (0, 2, 5)), ("window:3+skip:5", range(5))],
)  # fmt: skip
def test_which_layers_run(text, kept):
    assert kept_layers(parse_setting(text), LAYERS) == tuple(kept)


@pytest.mark.parametrize("sparsity", [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("count", [4, 12, 30, 32])
def test_a_sparsity_spreads_its_layers_and_keeps_the_ends(sparsity, count):
    if round(sparsity * count) in (0, count):
        with pytest.raises(ValueError, match=r"skips (none|all)"):
            LayerSkip(sparsity=sparsity).layers(count)
        return
    out = LayerSkip(sparsity=sparsity).layers(count)
    assert len(out) == len(set(out)) == round(sparsity * count)
    if len(out) <= count - 2:
        assert not {0, count - 1} & set(out)
        gaps = [b - a for a, b in pairwise(out)]
        assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("text", [*SETTINGS, "exit:3:head.safetensors", "int8:layers"])
def test_a_setting_reads_what_it_writes(text):
    assert str(parse_setting(text)) == text
    assert parse_setting(str(parse_setting(text))) == parse_setting(text)
    assert is_setting(text)


def test_names_are_split_between_models_only():
    names = ["skip:3,5,9", "int8+skip:1,2", "skip:4+exit:8", "max-gram"]
    assert split_names(",".join(names)) == names
    assert split_names(" mid, ,tiny ") == ["mid", "tiny"]
    assert split_names("skip:1,2+int8,mid") == ["skip:1,2+int8", "mid"]


@pytest.mark.parametrize("name", ["mid", "max-gram", "org/model", "skipper", "./skip:1"])
def test_other_names_are_no_settings(name):
    assert not is_setting(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip:", r"there is no DSIA setting 'skip:': write skip:0.4"),
        ("exit:x", r"there is no DSIA setting 'exit:x'"),
        ("window", r"there is no DSIA setting 'window'"),
        ("int8:all", r"there is no DSIA setting 'int8:all'"),
        ("skip:1,1", r"skipped names a layer twice: \(1, 1\)"),
        ("skip:1.5", r"sparsity must be a finite number in \[0, 1\], got 1.5"),
        ("skip:1.0", r"sparsity must be above 0 and below 1, got 1"),
        ("exit:0", r"layers of an early exit must be >= 1, got 0"),
        ("window:0", r"size of a sliding window must be >= 1, got 0"),
        ("int8+int8", r"int8\+int8 holds two settings of one kind"),
    ],
)
def test_a_bad_setting_is_one_clear_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        parse_setting(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip:0,1,2,3,4,5", r"skips all 6 layers of the target: keep at least one"),
        ("skip:0.95", r"sparsity 0.95 skips all 6 layers of the target: give at most 0.83"),
        ("skip:0.05", r"sparsity 0.05 skips none of the 6 layers of the target: give at least"),
        ("skip:6", r"skip:6 names layer 6, but the target has layers 0..5"),
        ("exit:6", r"exit:6 runs 6 layers, but the target has 6: exit after at most 5"),
        ("skip:0,1+exit:2", r"skip:0,1\+exit:2 leaves none of the target's 6 layers"),
    ],
)
def test_a_setting_that_does_not_fit_the_target_is_one_clear_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        self_draft(tiny_target(), text)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match=r"skipped must be a tuple of layers, got \[1\]"):
        LayerSkip([1])
    with pytest.raises(ValueError, match="give one of skipped, sparsity"):
        LayerSkip()
    with pytest.raises(ValueError, match="give one of skipped, sparsity"):
        LayerSkip((1,), sparsity=0.5)
    with pytest.raises(ValueError, match="a combination needs a tuple of two settings"):
        Combined((Int8(),))
    with pytest.raises(TypeError, match="a combination is made of simple settings"):
        Combined((Int8(), "exit:3"))
    with pytest.raises(TypeError, match="needs a TransformersModel as target, got a TableModel"):
        self_draft(TableModel(torch.zeros(3, 3)), "exit:1")


def test_an_architecture_without_layer_access_is_a_clear_error():
    module = tiny_target().module
    module.model.layers = nn.ModuleList([nn.Sequential(*module.model.layers)])
    with pytest.raises(ValueError, match="LlamaForCausalLM shows no single list of its 6 layers"):
        layers_path(module)
    with pytest.raises(ValueError, match="a Linear is no transformers model"):
        layers_path(nn.Linear(2, 2))


def test_attention_that_takes_no_mask_is_a_clear_error():
    with pytest.raises(ValueError, match="takes no mask of its own, so window:4 cannot run on it"):
        self_draft(tiny_target("bloom"), "window:4")
    target = tiny_target()
    target.module.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match=r"flash_attention_2: load it with"):
        self_draft(target, "window:4")


def test_hierarchies_are_built_in_three_ways():
    skip, quant, window = LayerSkip((1,)), Int8(), SlidingWindow(8)
    mixed = hierarchy("mixing", [quant, skip, window])
    assert [str(s) for s in mixed] == ["int8", "int8+skip:1", "int8+skip:1+window:8"]
    assert hierarchy("replacing", [quant, skip]) == (quant, skip)
    scaled = hierarchy("scaling", [LayerSkip(sparsity=0.4), LayerSkip(sparsity=0.6)])
    assert [str(s) for s in scaled] == ["skip:0.4", "skip:0.6"]
    with pytest.raises(ValueError, match="replacing needs another kind of setting"):
        hierarchy("replacing", [skip, LayerSkip((2,))])
    with pytest.raises(ValueError, match="scaling needs one kind of setting"):
        hierarchy("scaling", [skip, quant])
    with pytest.raises(ValueError, match="a hierarchy needs two settings or more, got 1"):
        hierarchy("mixing", [skip])
    with pytest.raises(ValueError, match="holds two settings of one kind"):
        combine(skip, LayerSkip((2,)))


def test_a_draft_knows_which_layers_have_the_targets_keys():
    target = tiny_target()
    shared = {text: self_draft(target, text).shared_layers
              for text in ("exit:3", "skip:2,4", "skip:0", "int8", "skip:1+exit:4")}  # fmt: skip
    assert shared == {"exit:3": 3, "skip:2,4": 2, "skip:0": 0, "int8": 0, "skip:1+exit:4": 1}
    assert isinstance(self_draft(target, "exit:3"), SelfDraft)
    assert self_draft(target, "exit:3").vocab_size == VOCAB
