"""Plain, cascade and transformers' own generation, side by side on the same models and prompts.

    python benchmarks/decoders.py --record benchmarks/records/decoders.jsonl

Interleaved prompt by prompt, the order turning by one each time; paired ratios with
prompt-level bootstrap intervals. transformers runs on the same modules as we do (packed
linear layers) and on the unchanged ones. Times are of decoding with the prompt's pass taken
off: for transformers, the time of generating one token is measured and taken off.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cscalc.cascade import Cascade, Draft
from cscalc.plan import Plan
from cscalc.records import provenance
from validate.decode import generate
from validate.load import load_models
from validate.measure import encode, end_tokens, seeded
from validate.prompts import load_prompts
from validate.sampling import Sampling


def ours(models: Any, cascade: Cascade, prompt: Any, most: int) -> tuple[list[int], float, float]:
    """Tokens, seconds after the prompt, tokens per cycle."""
    run = generate(
        cascade, models, encode(models, prompt), generator=seeded(1, prompt.question_id),
        max_tokens=most, sampling=Sampling(0.0), eos=end_tokens(models),
    )  # fmt: skip
    return run.tokens, run.decode_seconds, run.tokens_per_cycle


def theirs(
    models: Any, length: int | None, prompt: Any, most: int, *, lookup: int | None = None
) -> tuple[list[int], float, float]:
    """The same for transformers' generate, assisted with `length` draft tokens if given."""
    module = models.target.module
    ids = torch.tensor([encode(models, prompt)], device=models.device)
    options: dict[str, Any] = {
        "attention_mask": torch.ones_like(ids), "do_sample": False,
        "eos_token_id": list(end_tokens(models)), "pad_token_id": 0,
    }  # fmt: skip
    if length is not None:
        assistant = models.language[1].module
        assistant.generation_config.num_assistant_tokens = length
        assistant.generation_config.num_assistant_tokens_schedule = "constant"
        assistant.generation_config.assistant_confidence_threshold = 0.0
        options["assistant_model"] = assistant
    if lookup is not None:
        options["prompt_lookup_num_tokens"] = lookup
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    hook = module.register_forward_hook(count)
    seconds = []
    for tokens in (1, most):
        passes = 0
        began = time.perf_counter()
        with torch.inference_mode():
            out = module.generate(ids, max_new_tokens=tokens, **options)
        seconds.append(time.perf_counter() - began)
    hook.remove()
    new = out[0, ids.shape[1] :].tolist()
    return new, seconds[1] - seconds[0], len(new) / passes


def main() -> None:
    """Time all decoders and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, help="plan.json; default: 1:1 + max-gram:4")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument(
        "--length", type=int, default=4, help="draft length of assisted generation"
    )
    parser.add_argument("--record", type=Path, help="JSON Lines to append to")
    arguments = parser.parse_args()
    console = Console()
    packed = load_models()
    plain = load_models(drafts=("mid",), pack=False)
    cascade = (
        Plan.load(arguments.plan).cascade if arguments.plan
        else Cascade((Draft(1, 1), Draft(3, 4)))
    )  # fmt: skip
    same = Cascade((Draft(1, arguments.length),))
    n, length = arguments.tokens, arguments.length
    sides = {
        "ours, plain": lambda p: ours(packed, Cascade(()), p, n),
        f"ours, chosen: {cascade}": lambda p: ours(packed, cascade, p, n),
        f"ours, mid:{length}": lambda p: ours(packed, same, p, n),
    }
    for layers, models in (("our layers", packed), ("its own layers", plain)):
        sides |= {
            f"transformers plain, {layers}": lambda p, m=models: theirs(m, None, p, n),
            f"transformers assisted mid:{length}, {layers}": (
                lambda p, m=models: theirs(m, length, p, n)
            ),
            f"transformers prompt lookup 10, {layers}": (
                lambda p, m=models: theirs(m, None, p, n, lookup=10)
            ),
        }
    names = list(sides)
    prompts = load_prompts(limit=arguments.prompts)
    for side in sides.values():
        side(prompts[0])  # warm-up
    tokens = np.zeros((len(prompts), len(sides)))
    seconds = np.zeros_like(tokens)
    per_cycle = np.zeros_like(tokens)
    texts: list[dict[str, list[int]]] = []
    for i, prompt in enumerate(prompts):
        texts.append({})
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            column = names.index(name)
            text, seconds[i, column], per_cycle[i, column] = sides[name](prompt)
            tokens[i, column] = len(text)
            texts[i][name] = text
    rng = np.random.default_rng(0)
    picks = rng.integers(len(prompts), size=(2000, len(prompts)))
    speed = tokens.sum(axis=0) / seconds.sum(axis=0)
    resampled = tokens[picks].sum(axis=1) / seconds[picks].sum(axis=1)  # (2000, sides)
    table = Table(title=f"{len(prompts)} prompts, {n} tokens, greedy, {packed.device}")
    for column in ("decoder", "tokens/s", "x our plain [95 %]", "tokens/cycle", "same text"):
        table.add_column(column)
    rows = []
    for j, name in enumerate(names):
        ratio = resampled[:, j] / resampled[:, 0]
        low, high = np.quantile(ratio, [0.025, 0.975])
        same_text = sum(text[name] == text[names[0]] for text in texts)
        row = {
            "decoder": name, "tokens_per_second": speed[j], "ratio": speed[j] / speed[0],
            "low": low, "high": high,
            "tokens_per_cycle": tokens[:, j].sum() / (tokens[:, j] / per_cycle[:, j]).sum(),
            "same_text": same_text,
        }  # fmt: skip
        rows.append(row)
        table.add_row(
            name, f"{speed[j]:.1f}", f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]",
            f"{row['tokens_per_cycle']:.2f}", f"{same_text}/{len(prompts)}",
        )  # fmt: skip
    console.print(table)
    if arguments.record:
        record = {
            "benchmark": "decoders", "prompts": len(prompts), "tokens": n,
            "cascade": cascade.to_dict(), "rows": rows, "provenance": provenance(),
            "device": str(packed.device), "threads": torch.get_num_threads(),
        }  # fmt: skip
        with arguments.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
