"""Tiny checkpoints on disk: a random Llama and a word-level tokenizer."""

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

TEXT = "the a of to in is and sea land moon sun ? . write tell about why"
WORDS = ["<s>", "</s>", *TEXT.split()]


def save_checkpoint(folder, *, seed, hidden=16, layers=2, words=WORDS):
    """Write a Hugging Face checkpoint to `folder`; return its path as text."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="the"
    )
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=256, initializer_range=0.5, bos_token_id=0, eos_token_id=1,
        pad_token_id=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return str(folder)
