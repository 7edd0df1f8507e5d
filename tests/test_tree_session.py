"""Trees read in one pass: every path's logits, on many architectures; caches are compacted."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.decoding import table_models  # noqa: E402
from validate.models import TransformersModel  # noqa: E402
from validate.sampling import PointLaw  # noqa: E402
from validate.tree import TokenTree  # noqa: E402
from validate.tree_session import (  # noqa: E402
    MaskedSession,
    PathSession,
    check_tree_attention,
    start_tree,
)

VOCAB = 11
COMMON = {"vocab_size": VOCAB, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
SMALL = {
    **COMMON, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3,
    "num_attention_heads": 2, "max_position_embeddings": 96, "initializer_range": 0.5,
}  # fmt: skip
GROUPED = {**SMALL, "num_key_value_heads": 1}
ARCHITECTURES = {
    "llama": ("Llama", GROUPED),
    "gpt2": (
        "GPT2",
        {**COMMON, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96,
         "initializer_range": 0.5},
    ),
    "gpt-neox": ("GPTNeoX", SMALL),
    "qwen2": ("Qwen2", GROUPED),
    "qwen2-window": (
        "Qwen2",
        {**GROUPED, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 8}),
    "mistral": ("Mistral", {**GROUPED, "sliding_window": None}),
    "mistral-window": ("Mistral", {**GROUPED, "sliding_window": 4}),
    "gemma2": ("Gemma2", {**GROUPED, "head_dim": 8, "sliding_window": 4}),
    "phi3": ("Phi3", GROUPED),
    "phi": ("Phi", SMALL),
    "olmo2": ("Olmo2", GROUPED),
    "stablelm": ("StableLm", GROUPED),
    "opt": (
        "OPT",
        {**COMMON, "hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "init_std": 0.5,
         "num_attention_heads": 2, "max_position_embeddings": 96, "word_embed_proj_dim": 16,
         "pad_token_id": 1},
    ),
}  # fmt: skip


EAGER_ONLY = {"gemma2"}
EXACT = {"sdpa": 1e-10, "eager": 1e-5}  # eager attention has a float32 softmax inside


def tiny(name, attention=None):
    """A random model of the architecture in float64."""
    kind, options = ARCHITECTURES[name]
    attention = attention or ("eager" if name in EAGER_ONLY else "sdpa")
    torch.manual_seed(len(name))
    config = getattr(transformers, f"{kind}Config")(**options, attn_implementation=attention)
    name_of_class = "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    module = getattr(transformers, name_of_class)(config).double()
    return TransformersModel(module, name=name)


def grown(root, paths):
    """A tree with these token paths."""
    tree = TokenTree(root)
    for path in paths:
        node = 0
        for token in path:
            node = tree.offer(node, token, PointLaw(token, VOCAB), 1)
    return tree


PATHS = [(1, 2, 3), (1, 2, 4), (1, 5), (6, 2), (6, 7, 8, 9), (10,)]
TEXT = [3, 1, 4, 1, 5, 9, 2, 6]


def plain(model, tokens):
    """Logits after `tokens`, read afresh without a cache."""
    with torch.inference_mode():
        return model.module(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]


def close(model, found, expected):
    within = EXACT[model.module.config._attn_implementation]
    torch.testing.assert_close(found, expected, rtol=within, atol=within)


def check(model, text, tree, nodes, logits):
    for node, row in zip(nodes, logits, strict=True):
        close(model, row, plain(model, [*text, *tree.path(node)]))


BOTH = [(n, a) for n in ARCHITECTURES for a in EXACT if a == "eager" or n not in EAGER_ONLY]


@pytest.mark.parametrize(("name", "attention"), BOTH)
def test_one_pass_over_a_tree_gives_the_logits_of_every_path(name, attention):
    model = tiny(name, attention)
    session = start_tree(model)
    session.prefill(TEXT[:4])  # the rest of the text comes with the tree
    tree = grown(TEXT[-1], PATHS)
    nodes, logits = session.read(TEXT, tree, tree.nodes)
    assert nodes == tree.nodes
    check(model, TEXT, tree, nodes, logits)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_after_a_commit_the_cache_is_that_of_the_plain_text(name):
    model = tiny(name)
    session = start_tree(model)
    session.prefill(TEXT[:-1])
    tree = grown(TEXT[-1], PATHS)
    session.read(TEXT, tree, tree.nodes)
    passed = session.positions
    path = [0, *tree.after(0, (6, 7, 8))]
    session.commit(path)
    text = [*TEXT, 6, 7, 8, 0]  # 0: the target's own token, read by nobody yet
    again = grown(0, [(2, 3), (4, 5, 6), (4, 1)])
    nodes, logits = session.read(text, again, again.nodes)
    check(model, text, again, nodes, logits)
    assert session.positions == passed + again.size  # nothing of the accepted path is read twice
    fresh = MaskedSession(model)
    fresh.prefill(text[:-1])
    for kept, read in zip(session._cache.layers, fresh._cache.layers, strict=True):
        length = len(text) - 1
        for held, states in zip(kept._buffers, (read.keys, read.values), strict=True):
            close(model, held[:, :, :length], states)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mistral-window"])
def test_a_tree_may_be_read_in_several_passes(name):
    """A draft reads a tree as it grows: a chain, then branches, then what hangs below them."""
    model = tiny(name)
    session = start_tree(model)
    session.prefill(TEXT[:2])
    tree = grown(TEXT[-1], PATHS)
    for tokens in [(), (1, 2), (6,), (6, 7, 8), (1, 5), (1, 2, 4)]:
        node = [0, *tree.after(0, tokens)][-1]
        nodes, logits = session.read(TEXT, tree, [node])
        assert nodes[-1] == node
        check(model, TEXT, tree, nodes, logits)
    rest = tree.unread(tree.nodes, session._slots)
    nodes, logits = session.read(TEXT, tree, rest)
    check(model, TEXT, tree, nodes, logits)


def test_a_commit_keeps_what_was_read_of_the_path_and_no_more():
    model = tiny("llama")
    session = start_tree(model)
    session.prefill(TEXT[:-1])
    tree = grown(TEXT[-1], PATHS)
    session.read(TEXT, tree, tree.after(0, (1, 5)))
    session.commit([0, *tree.after(0, (1, 2, 3))])  # of this path only 1 was read
    assert session._length == len(TEXT) + 1
    text = [*TEXT, 1, 2, 3, 7]
    after = grown(7, [(1,)])
    nodes, logits = session.read(text, after, after.nodes)
    check(model, text, after, nodes, logits)


def test_tables_are_read_path_by_path_with_the_same_counts():
    table, masked = PathSession(table_models(VOCAB, 0).target), MaskedSession(tiny("llama"))
    tree = grown(TEXT[-1], PATHS)
    for session in (table, masked):
        session.prefill(TEXT[:3])
        session.read(TEXT, tree, tree.after(0, (6, 7)))
        session.read(TEXT, tree, tree.unread(tree.nodes, [0, *tree.after(0, (6, 7))]))
        session.commit([0, *tree.after(0, (1, 2))])
        after = grown(8, [(1,), (2, 3)])
        session.read([*TEXT, 1, 2, 8], after, after.nodes)
    assert table.positions == masked.positions == len(TEXT) - 1 + tree.size + after.size
    table.commit([0])
    nodes, logits = table.read([*TEXT, 1, 2, 8, 8], grown(8, [(5, 6)]), [2])
    expected = table_models(VOCAB, 0).target.after([*TEXT, 1, 2, 8, 8, 5, 6])
    assert torch.equal(logits[nodes.index(2)], expected)


def test_a_model_that_does_not_heed_the_mask_is_refused():
    model = tiny("llama")
    forward = model.module.forward
    model.module.forward = lambda *a, attention_mask=None, **k: forward(*a, **k)
    with pytest.raises(ValueError, match="decode it with a cascade, not a tree"):
        check_tree_attention(model)


def test_layers_of_another_kind_are_refused():
    model = tiny("llama")
    model.module.config.layer_types = ["linear_attention", "full_attention", "full_attention"]
    with pytest.raises(ValueError, match="layers of linear_attention"):
        start_tree(model)


def test_nothing_hangs_below_a_node_that_is_not_offered():
    tree = TokenTree(0)
    node = tree.child(0, 1)
    with pytest.raises(ValueError, match="offer it before"):
        tree.offer(node, 2, PointLaw(2, VOCAB), 1)
