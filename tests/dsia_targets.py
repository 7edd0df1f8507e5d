"""Tiny random targets of several architectures, in float64, for tests of DSIA drafts."""

import torch
import transformers

from validate.models import TransformersModel

VOCAB, LAYERS = 13, 6
SMALL = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": LAYERS,
    "num_attention_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.5,
    "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
GROUPED = {**SMALL, "num_key_value_heads": 1}
GPT = {"n_embd": 16, "n_layer": LAYERS, "n_head": 2, "n_positions": 64, "initializer_range": 0.5,
       "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}  # fmt: skip
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(vocab_size=VOCAB, **GROUPED),
    "qwen2": lambda: transformers.Qwen2Config(vocab_size=VOCAB, **GROUPED),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=VOCAB, **GPT),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(vocab_size=VOCAB, **SMALL),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        vocab_size=VOCAB, head_dim=8, sliding_window=8, **GROUPED
    ),
    "opt": lambda: transformers.OPTConfig(
        vocab_size=VOCAB, hidden_size=16, word_embed_proj_dim=16, ffn_dim=32,
        num_hidden_layers=LAYERS, num_attention_heads=2, max_position_embeddings=64, init_std=0.5,
        pad_token_id=0, bos_token_id=None, eos_token_id=None,
    ),
    "bloom": lambda: transformers.BloomConfig(
        vocab_size=VOCAB, hidden_size=16, n_layer=LAYERS, n_head=2, initializer_range=0.5,
        pad_token_id=0, bos_token_id=None, eos_token_id=None,
    ),
}  # fmt: skip


def tiny_target(kind="llama", seed=0, vocab_size=None, layers=None, sharpness=1.0):
    """A random model of an architecture; `sharpness` scales its head."""
    config = CONFIGS[kind]()
    config.vocab_size = vocab_size or VOCAB
    config.num_hidden_layers = layers or LAYERS
    torch.manual_seed(seed)
    module = transformers.AutoModelForCausalLM.from_config(config).double().eval()
    if sharpness != 1.0:
        with torch.no_grad():
            module.get_output_embeddings().weight *= sharpness
    return TransformersModel(module, name=kind)


def logits(model, text):
    """Logits after every prefix of `text`, in one pass."""
    return model.start().extend(list(text), len(text))
