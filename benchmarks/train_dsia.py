"""Train the bundled target "layer-drop": one that still works when layers are left out.

    python benchmarks/train_dsia.py                     # 20 steps, to see that it runs
    python benchmarks/train_dsia.py --out validate/data/layer-drop    # the bundled checkpoint

A Llama of 10 layers and 1.1 M parameters learns six tasks in a made-up language
(`_dsia_corpus.py`) on a CPU in minutes. Steps also draw a part of it, by stochastic depth
(Fan et al., "Reducing transformer depth on demand with structured dropout", ICLR 2020,
arXiv:1909.11556) or by an early exit (Elhoushi et al., "LayerSkip", ACL 2024,
arXiv:2404.16710). First that part is drawn seldom and learns the text itself; later it is drawn in
every step and learns the law of the whole model, whose overlap with it is its acceptance rate.
All weights are shared: the
parts are the DSIA drafts of CAS-Spec (arXiv:2510.26843), Definition 4.1.
"""

import argparse
import hashlib
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from _dsia_corpus import ANSWER, END, TASKS, example, words
from torch.nn import functional

from validate.dsia_modules import with_layers

LAYERS, HIDDEN, HEADS, INNER = 10, 96, 3, 256
EXITS = (4, 5, 6)
SPARSITIES = (0.4, 0.6)
BATCH, POOL = 16, 16  # sequences a step; steps drawn at once and sorted by length
RATE, MATRIX_RATE, WARM_UP = 4e-3, 0.02, 30
ALONE = 0.55  # share of the steps in which parts are drawn seldom, and learn the text itself
SELDOM = 0.25
PROMPTS = 24  # of each task in prompts.jsonl


def make_model(seed: int) -> Any:
    """Return the untrained target."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words()), hidden_size=HIDDEN, intermediate_size=INNER,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        max_position_embeddings=1024, tie_word_embeddings=True, initializer_range=0.05,
        bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:  # what a layer adds starts small
            layer.self_attn.o_proj.weight /= math.sqrt(2 * LAYERS)
            layer.mlp.down_proj.weight /= math.sqrt(2 * LAYERS)
    return model


def batches(rng: random.Random, steps: int) -> Any:
    """Yield tokens, targets (-100 outside of answers), (batch, length), and the tasks of rows."""
    number = {word: i for i, word in enumerate(words())}
    for _ in range(-(-steps // POOL)):
        pool = []
        for i in range(POOL * BATCH):
            task = TASKS[i % len(TASKS)]
            prompt, answer = example(task, rng)
            head = [number[word] for word in [*prompt.split(), ANSWER]]
            tail = [number[word] for word in [*answer.split(), END]]
            pool.append((head + tail, [-100] * len(head) + tail, task))
        pool.sort(key=lambda one: len(one[0]))
        groups = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _, _ in group)
            ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _, _ in group])
            targets = torch.tensor([t + [-100] * (longest - len(t)) for _, t, _ in group])
            yield ids[:, :-1], targets[:, 1:], [task for _, _, task in group]


def part_of(rng: random.Random) -> tuple[int, ...]:
    """Draw the layers that run: an early exit, or layers left out anywhere but at the ends."""
    if rng.random() < 0.4:
        return tuple(range(rng.choice(EXITS)))
    out = rng.sample(range(1, LAYERS - 1), round(rng.choice(SPARSITIES) * LAYERS))
    return tuple(layer for layer in range(LAYERS) if layer not in out)


def optimisers_of(model: Any) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms."""
    matrices = [p for layer in model.model.layers for p in layer.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.01, nesterov=True),
        torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(model: Any, steps: int, seed: int) -> list[dict[str, Any]]:
    """Train `model` in place; return what was seen on the way."""
    rng = random.Random(seed)
    optimisers = optimisers_of(model)
    rates = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    model.train()
    seen: list[dict[str, Any]] = []
    right: dict[str, float] = dict.fromkeys(TASKS, 0.0)  # of each task, moving averages
    overlap = 0.0
    began = time.perf_counter()
    for step, (ids, targets, tasks) in zip(range(steps), batches(rng, steps), strict=False):
        share = step / steps
        scale = min((step + 1) / WARM_UP, 1.0, (1.0 - share) / 0.45 + 0.01)
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * scale
        at = targets >= 0
        whole = model(ids, use_cache=False).logits[at]  # (tokens, vocab)
        loss = functional.cross_entropy(whole, targets[at])
        if share >= ALONE or rng.random() < SELDOM:
            drawn = with_layers(model, part_of(rng))(ids, use_cache=False).logits[at]
            if share < ALONE:
                loss = loss + functional.cross_entropy(drawn, targets[at])
            else:
                law = whole.detach().log_softmax(-1)
                loss = loss + functional.kl_div(
                    drawn.log_softmax(-1), law, log_target=True, reduction="batchmean"
                )
            with torch.no_grad():
                same = torch.minimum(whole.softmax(-1), drawn.softmax(-1)).sum(-1).mean()
            overlap += 0.1 * (float(same) - overlap)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        _follow(right, whole.detach().argmax(-1) == targets[at], at, tasks)
        if step % 50 == 0 or step == steps - 1:
            seen.append({
                "step": step, "loss": round(float(loss.detach()), 4),
                "overlap": round(overlap, 3), "right": {t: round(r, 3) for t, r in right.items()},
                "seconds": round(time.perf_counter() - began, 1),
            })  # fmt: skip
            print(seen[-1], flush=True)  # noqa: T201
    model.eval()
    return seen


def _follow(
    right: dict[str, float], hits: torch.Tensor, at: torch.Tensor, tasks: list[str]
) -> None:
    """Move each task's share of right tokens towards that of this batch."""
    rows = at.nonzero()[:, 0]
    for row, task in enumerate(tasks):
        mine = hits[rows == row].float()
        right[task] += 0.03 * (float(mine.mean()) - right[task])


def save(model: Any, folder: Path) -> None:
    """Write checkpoint (fp16), tokenizer and prompts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    number = {word: i for i, word in enumerate(words())}
    tokenizer = Tokenizer(models.WordLevel(number, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {ANSWER}", special_tokens=[(ANSWER, number[ANSWER])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token="<pad>", unk_token="<pad>"
    )
    fast.save_pretrained(folder)
    model.half().save_pretrained(folder)
    rng = random.Random(20251)
    lines = []
    for i in range(PROMPTS * len(TASKS)):
        task = TASKS[i % len(TASKS)]
        prompt, _ = example(task, rng)
        lines.append(json.dumps({"question_id": i + 1, "category": task, "turns": [prompt]}))
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_card(folder: Path, steps: int, seconds: float) -> None:
    """Write CARD.md: what the checkpoint is, and what was measured of its parts."""
    from safetensors.torch import load_file

    weights = folder / "model.safetensors"
    weights.chmod(0o644)
    (folder / "generation_config.json").unlink(missing_ok=True)
    fields = {
        "parameters": f"{sum(t.numel() for t in load_file(weights).values()) / 1e6:.2f} M",
        "minutes": f"{seconds / 60:.0f}", "steps": f"{steps:,}", "layers": LAYERS,
        "hidden": HIDDEN, "heads": HEADS, "inner": INNER, "words": len(words()),
        "digest": hashlib.sha256(weights.read_bytes()).hexdigest(), "batch": BATCH,
        "prompts": PROMPTS, "alone": f"{ALONE:.0%}", "table": measured(folder),
    }  # fmt: skip
    text = Path(__file__).with_name("_dsia_card.md").read_text(encoding="utf-8")
    (folder / "CARD.md").write_text(text.format(**fields), encoding="utf-8")


def measured(folder: Path) -> str:
    """Markdown table of acceptance rates and costs of some parts, on prompts to measure on."""
    from validate.load import load_models
    from validate.measure import measure
    from validate.prompts import load_prompts
    from validate.sampling import Sampling

    names = ["skip:0.2", "skip:0.4", "exit:6", "skip:0.6", "exit:4", "prompt-lookup"]
    models = load_models(str(folder), names, device="cpu")
    prompts = load_prompts(folder / "prompts.jsonl", split="measure", limit=24)
    found = [
        measure(models, prompts, sampling=Sampling(t), positions=2, repeats=24) for t in (0.0, 1.0)
    ]
    rows = ["| draft | accepted, greedy | accepted, T = 1 | c |", "|---|---|---|---|"]
    for draft, name in enumerate(names, start=1):
        rates = [f"{profile.alphas[0, draft]:.3f}" for profile in found]
        cost = sum(profile.cost(draft) for profile in found) / 2
        rows.append(f"| {name} | {rates[0]} | {rates[1]} | {cost:.3f} |")
    return "\n".join(rows)


def main() -> None:
    """Train, and write the checkpoint where a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write; none: 20 steps only")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on every machine, and no waiting for busy cores
    model = make_model(arguments.seed)
    steps = arguments.steps if arguments.out else 20
    seen = train(model, steps, arguments.seed)
    if arguments.out:
        save(model, arguments.out)
        (arguments.out / "training.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")
        write_card(arguments.out, steps, seen[-1]["seconds"])


if __name__ == "__main__":
    main()
