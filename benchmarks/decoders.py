r"""Plain, cascade and transformers' own generation, side by side on the same models and prompts.

    python benchmarks/decoders.py --record benchmarks/records/decoders.jsonl \
        --picture docs/decoders.png
    python benchmarks/decoders.py --redraw --record benchmarks/records/decoders.jsonl \
        --picture docs/decoders.png

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

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import transformers
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

OUTSIDE_GOAL = 0.03  # share of the time that our decoder may spend outside of passes
Timed = tuple[list[int], float, float, float]  # tokens, seconds, tokens per cycle, outside


def ours(models: Any, cascade: Cascade, prompt: Any, most: int, **options: Any) -> Timed:
    """Tokens, seconds after the prompt, tokens per cycle, share of seconds outside passes."""
    run = generate(
        cascade, models, encode(models, prompt), generator=seeded(1, prompt.question_id),
        max_tokens=most, sampling=Sampling(0.0), eos=end_tokens(models), **options,
    )  # fmt: skip
    outside = run.decode_seconds - sum(run.seconds.values())
    return run.tokens, run.decode_seconds, run.tokens_per_cycle, outside


def theirs(
    models: Any, length: int | str | None, prompt: Any, most: int, *, lookup: int | None = None
) -> Timed:
    """The same for transformers' generate, assisted with `length` draft tokens if given.

    "default" leaves length, schedule and confidence stop at the library's own defaults.
    """
    module = models.target.module
    ids = torch.tensor([encode(models, prompt)], device=models.device)
    options: dict[str, Any] = {
        "attention_mask": torch.ones_like(ids), "do_sample": False,
        "eos_token_id": list(end_tokens(models)), "pad_token_id": 0,
    }  # fmt: skip
    if length is not None:
        assistant = models.language[1].module
        settings, own = assistant.generation_config, transformers.GenerationConfig()
        fixed = length != "default"
        settings.num_assistant_tokens = length if fixed else own.num_assistant_tokens or 20
        settings.num_assistant_tokens_schedule = (
            "constant" if fixed else own.num_assistant_tokens_schedule or "constant"
        )
        settings.assistant_confidence_threshold = (
            0.0 if fixed else own.assistant_confidence_threshold or 0.4
        )
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
    return new, seconds[1] - seconds[0], len(new) / passes, float("nan")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One bar a decoder, in tokens per second, with the interval of its ratio to our plain."""
    figure, axes = plt.subplots(figsize=(8.0, 0.42 * len(rows) + 1.2), layout="constrained")
    plain = rows[0]["tokens_per_second"]
    for i, row in enumerate(rows):
        mine = row["decoder"].startswith("ours")
        axes.barh(i, row["tokens_per_second"], color="#0072B2" if mine else "#BBBBBB")
        axes.plot([plain * row["low"], plain * row["high"]], [i, i], color="black", lw=1.2)
        said = axes.annotate(
            f"{row['tokens_per_second']:.0f}  ({row['ratio']:.2f}x, {row['tokens_per_cycle']:.2f} "
            "tokens a cycle)", (plain * row["high"], i), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=8, zorder=3,
        )  # fmt: skip
        said.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # over the line
    axes.axvline(plain, color="black", lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), [row["decoder"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.75 * max(row["high"] for row in rows) * plain)
    axes.set_xlabel("tokens/s after the prompt; line: 95 % interval of the ratio to our plain")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Time all decoders and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, help="plan.json; default: 1:1 + max-gram:4")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument(
        "--length", type=int, default=4, help="draft length of assisted generation"
    )
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--record", type=Path, help="JSON Lines to append to")
    parser.add_argument(
        "--redraw", action="store_true", help="time nothing: --picture of the last of --record"
    )
    arguments = parser.parse_args()
    if arguments.redraw:
        if arguments.record is None or arguments.picture is None:
            parser.error("--redraw needs --record, to read, and --picture, to write")
        last = arguments.record.read_text(encoding="utf-8").splitlines()[-1]
        draw(json.loads(last)["rows"], arguments.picture)
        return
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
        "ours, mid:8, confidence .4": lambda p: ours(
            packed, Cascade((Draft(1, 8),)), p, n, confidence=0.4
        ),
    }
    for layers, models in (("our layers", packed), ("its own layers", plain)):
        sides |= {
            f"transformers plain, {layers}": lambda p, m=models: theirs(m, None, p, n),
            f"transformers assisted mid:{length}, {layers}": (
                lambda p, m=models: theirs(m, length, p, n)
            ),
            f"transformers assisted mid, defaults, {layers}": (
                lambda p, m=models: theirs(m, "default", p, n)
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
    outside = np.zeros_like(tokens)
    texts: list[dict[str, list[int]]] = []
    for i, prompt in enumerate(prompts):
        texts.append({})
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            column = names.index(name)
            text, seconds[i, column], per_cycle[i, column], outside[i, column] = sides[name](
                prompt
            )
            tokens[i, column] = len(text)
            texts[i][name] = text
    rng = np.random.default_rng(0)
    picks = rng.integers(len(prompts), size=(2000, len(prompts)))
    speed = tokens.sum(axis=0) / seconds.sum(axis=0)
    resampled = tokens[picks].sum(axis=1) / seconds[picks].sum(axis=1)  # (2000, sides)
    table = Table(title=f"{len(prompts)} prompts, {n} tokens, greedy, {packed.device}")
    for column in ("decoder", "tokens/s", "x our plain [95 %]", "tokens/cycle", "outside", "same"):
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
            "outside_passes": None if np.isnan(outside[0, j]) else
            float(outside[:, j].sum() / seconds[:, j].sum()),
        }  # fmt: skip
        rows.append(row)
        table.add_row(
            name, f"{speed[j]:.1f}", f"{row['ratio']:.2f} [{low:.2f}, {high:.2f}]",
            f"{row['tokens_per_cycle']:.2f}",
            "" if row["outside_passes"] is None else f"{row['outside_passes']:.1%}",
            f"{same_text}/{len(prompts)}",
        )  # fmt: skip
    console.print(table)
    paired = []
    for mine, other in ((2, f"assisted mid:{length}"), (1, "assisted"), (1, "lookup")):
        for j, name in enumerate(names):
            if other in name:
                ratio = resampled[:, mine] / resampled[:, j]
                low, high = np.quantile(ratio, [0.025, 0.975])
                paired.append({
                    "of": names[mine], "to": name, "ratio": speed[mine] / speed[j],
                    "low": low, "high": high,
                })  # fmt: skip
                console.print(
                    f"{names[mine]} / {name}: {speed[mine] / speed[j]:.2f} [{low:.2f}, {high:.2f}]"
                )
    shares = [row["outside_passes"] for row in rows if row["outside_passes"] is not None]
    console.print(f"ours outside of passes: {max(shares):.1%} at most, goal {OUTSIDE_GOAL:.0%}")
    if arguments.picture:
        draw(rows, arguments.picture)
    if arguments.record:
        record = {
            "benchmark": "decoders", "prompts": len(prompts), "tokens": n,
            "cascade": cascade.to_dict(), "rows": rows, "paired": paired,
            "outside_passes": {"most": max(shares), "goal": OUTSIDE_GOAL,
                               "met": max(shares) <= OUTSIDE_GOAL},
            "provenance": provenance(), "device": str(packed.device),
            "threads": torch.get_num_threads(),
        }  # fmt: skip
        with arguments.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
