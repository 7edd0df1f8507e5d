"""CAS-Spec's ablation (Figure 3) on a target whose own layers make good drafts.

    python benchmarks/cas_spec_figure3.py --record benchmarks/records/cas-spec-figure3.jsonl

Ning et al., NeurIPS 2025, arXiv:2510.26843, Figure 3: plain decoding (AR), a layer-sparse draft
alone (LS), vertical (VC) and horizontal (HC) cascades of it with prompt lookup, both (VC+HC),
trees (Tree, VC+Tree), the router (DyTC), and prompt lookup alone (PLD). Every method runs on every
prompt, in turns, greedily; speed-ups are paired over prompts with bootstrap intervals. Lengths of
every fixed cascade are the best of its kind for the profile measured first, on other prompts.

The record is JSON Lines: one line a prompt, then "summary", with the paper's numbers and the
adaptive bound (the best that any router could do at these rates) beside DyTC's. The picture lies
beside it, as .png. An interrupted run goes on where it stopped.
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cscalc.cascade import Cascade, Draft, Review, describe
from cscalc.optimize import optimal_config
from cscalc.own_rates import own_profiles
from cscalc.profile import Profile
from cscalc.records import RecordLog, provenance
from cscalc.stats import bootstrap_ratio
from cscalc.theory.adaptive import adaptive_bound
from cscalc.theory.law import ewif
from validate.decode import generate
from validate.dsia_choose import choose_in
from validate.dsia_models import SelfDraft
from validate.dytc import DyTC, candidates_of
from validate.load import load_models, prompts_of
from validate.measure import encode, end_tokens, measure, seeded
from validate.prompts import load_prompts
from validate.sampling import Sampling
from validate.tree_decode import generate_tree
from validate.tree_shape import Comb

PAPER = {"AR": 1.0, "LS": 0.75, "HC": 0.91, "VC": 0.97, "Tree": 1.06, "VC+HC": 1.07,
         "VC+Tree": 1.17, "PLD": 1.54, "DyTC": 1.57}  # fmt: skip
BOTTOM = 3  # models: target, skip .4, skip .6, prompt lookup
INK, BAR, OURS = "#1A1A1A", "#56B4E9", "#0072B2"


def families(profile: Profile) -> dict[str, Cascade]:
    """The best cascade of every kind, by predicted EWIF with the measured cost of verifying."""
    drafts, short, long = (1, 2), range(1, 9), (2, 4, 7, 10)
    kinds: dict[str, list[Cascade]] = {
        "LS": [Cascade((Draft(d, k),)) for d in drafts for k in short],
        "PLD": [Cascade((Draft(BOTTOM, k),)) for k in range(1, 17)],
        "VC": [Cascade((Review(d, (Draft(BOTTOM, k),), rounds=n),))
               for d in drafts for n in range(1, 6) for k in long],
        "HC": [Cascade((Draft(d, k), Draft(BOTTOM, j)))
               for d in drafts for k in short for j in long],
        "VC+HC": [Cascade((Review(d, (Draft(BOTTOM, k),), rounds=n), Draft(BOTTOM, j)))
                  for d in drafts for n in range(1, 6) for k, j in itertools.product(long, long)],
    }  # fmt: skip
    most = profile.max_positions(0)

    def fits(cascade: Cascade) -> bool:
        return most is None or cascade.max_length < most

    return {
        name: max(filter(fits, found), key=lambda cascade: ewif(cascade, profile))
        for name, found in kinds.items()
    }


def methods_of(models: Any, profile: Profile) -> dict[str, Any]:
    """What is run, in the order of the table: cascades, combs and the router."""
    best = families(profile)
    return {
        "AR": Cascade(()),
        "LS": best["LS"], "VC": best["VC"], "HC": best["HC"], "VC+HC": best["VC+HC"],
        "Tree": Comb(best["LS"], width=2), "VC+Tree": Comb(best["VC"], width=2),
        "DyTC": DyTC(candidates_of(models), profile=profile),
        "PLD": best["PLD"],
        "best fixed": optimal_config(profile, max_length=16, proof_steps=0).cascade,
    }  # fmt: skip


def run_one(method: Any, models: Any, prompt: Any, settings: Any) -> dict[str, Any]:
    """Decode one prompt with one method."""
    common = {
        "generator": seeded(settings.seed, prompt.question_id), "max_tokens": settings.tokens,
        "sampling": Sampling(settings.temperature), "eos": end_tokens(models),
    }  # fmt: skip
    decode = generate if isinstance(method, Cascade) else generate_tree
    run = decode(method, models, encode(models, prompt), **common)
    return {
        "tokens": len(run.tokens), "cycles": len(run.emitted), "emitted": sum(run.emitted),
        "seconds": run.decode_seconds, "inside": sum(run.seconds.values()), "text": run.tokens,
        "passes": {str(m): n for m, n in run.passes.items()},
    }  # fmt: skip


def shown(method: Any, names: Any) -> str:
    """A method in one line."""
    if isinstance(method, Cascade):
        return describe(method.drafts, names) or "plain decoding"
    if isinstance(method, Comb):
        return f"comb of width {method.width}: {describe(method.cascade.drafts, names)}"
    return "router"


def bounds_of(profile: Profile) -> dict[str, float]:
    """What an ideal router could reach: at the pooled rates, and knowing each prompt's own."""
    pooled = adaptive_bound(profile, max_length=16, max_depth=1).ewif
    own = own_profiles(profile)
    sizes = {r["question_id"]: r["contexts"] for r in profile.measurement["prompts"]}
    cost = sum(
        sizes[q] / adaptive_bound(one, max_length=16, max_depth=1).ewif for q, one in own.items()
    )
    return {"pooled": pooled, "own": sum(sizes[q] for q in own) / cost}


def summarise(
    records: list[dict[str, Any]], methods: dict[str, Any], profile: Profile
) -> dict[str, Any]:
    """Speed-ups with intervals, EWIF inside passes, and the bounds."""
    rows = {}
    plain = [r["methods"]["AR"] for r in records]
    for name, method in methods.items():
        runs = [r["methods"][name] for r in records]
        # both wrote the same text, or one that parts at a tie: compare seconds a token
        seconds = [run["seconds"] / run["tokens"] * ar["tokens"]
                   for run, ar in zip(runs, plain, strict=True)]  # fmt: skip
        found = bootstrap_ratio([ar["seconds"] for ar in plain], seconds,
                                rng=np.random.default_rng(3))  # fmt: skip
        unit = sum(ar["inside"] for ar in plain) / sum(ar["cycles"] for ar in plain)
        rows[name] = {
            "method": shown(method, profile.names), "speedup": found.estimate,
            "low": found.interval.low, "high": found.interval.high, "paper": PAPER.get(name),
            "tokens_per_cycle": sum(r["emitted"] for r in runs) / sum(r["cycles"] for r in runs),
            "ewif_inside_passes": unit * sum(r["emitted"] for r in runs)
            / sum(r["inside"] for r in runs),
            "ewif_predicted": ewif(method, profile) if isinstance(method, Cascade) else None,
            "same_text": sum(r["same"][name] for r in records),
        }  # fmt: skip
    tasks = {}
    for task in dict.fromkeys(r["category"] for r in records):
        part = [r for r in records if r["category"] == task]
        tasks[task] = {
            name: sum(r["methods"]["AR"]["seconds"] for r in part)
            / sum(r["methods"][name]["seconds"] for r in part)
            for name in methods
        }
    return {
        "rows": rows, "tasks": tasks, "adaptive_bound": bounds_of(profile),
        "prompts": len(records), "names": list(profile.names),
        "alphas": np.round(profile.alphas, 4).tolist(),
        "costs": np.round(profile.costs, 5).tolist(),
        "ordering": sorted((n for n in rows if n in PAPER), key=lambda n: rows[n]["speedup"]),
        "paper_ordering": sorted(PAPER, key=PAPER.__getitem__),
        "provenance": provenance(), "threads": torch.get_num_threads(),
    }  # fmt: skip


def draw(summary: dict[str, Any], path: Path) -> None:
    """Measured bars, the paper's values as diamonds, and the adaptive bound."""
    import matplotlib.style
    from matplotlib.figure import Figure

    rows, bound = summary["rows"], summary["adaptive_bound"]
    names = [n for n in PAPER if n in rows]
    with matplotlib.style.context(["default", {"font.size": 11, "axes.spines.top": False,
                                               "axes.spines.right": False}]):  # fmt: skip
        figure = Figure(figsize=(8.6, 5.0), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(names))[::-1]
        values = np.array([rows[n]["speedup"] for n in names])
        ends = np.array([[rows[n]["low"], rows[n]["high"]] for n in names]).T
        axes.barh(
            places,
            values,
            0.62,
            color=[OURS if n == "DyTC" else BAR for n in names],
            xerr=np.abs(ends - values),
            ecolor=INK,
            capsize=3,
            label="measured here, 95 %",
        )
        axes.plot([PAPER[n] for n in names], places, "D", color="#D55E00", markersize=7,
                  linestyle="none", label="CAS-Spec, Vicuna-7B on an H100")  # fmt: skip
        axes.plot(
            [rows[n]["ewif_inside_passes"] for n in names],
            places - 0.2,
            "^",
            color=INK,
            markersize=6,
            linestyle="none",
            label="EWIF: time inside passes only",
        )
        for place, value, end in zip(places, values, ends[1], strict=True):
            axes.text(max(value, end) + 0.03, place, f"{value:.2f}", va="center", fontsize=10)
        axes.axvline(1.0, color=INK, linewidth=1.0, linestyle=(0, (3, 3)))
        axes.axvline(
            bound["own"],
            color="#009E73",
            linewidth=1.8,
            linestyle=(0, (5, 2)),
            label=f"adaptive bound {bound['own']:.2f} (EWIF of an ideal router)",
        )
        axes.set_yticks(places, names)
        axes.set_xlabel("speed-up over plain decoding")
        axes.set_xlim(0.0, max(1.12 * bound["own"], float(ends.max()) + 0.35, 1.8))
        axes.set_title("CAS-Spec's ablation on a 10-layer target trained with layer drop",
                       loc="left", fontsize=11.5)  # fmt: skip
        figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=9.5)
        figure.savefig(path, dpi=130)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="layer-drop")
    parser.add_argument(
        "--drafts",
        default="skip:0.4;skip:0.6;prompt-lookup",
        help="two DSIA settings and a bottom draft, parted by semicolons",
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="choose the layers of skip:0.4 and skip:0.6 on the measuring prompts",
    )
    parser.add_argument("--prompts", type=Path, help="default: the target's own")
    parser.add_argument("--limit", type=int, default=18, help="prompts of each split")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", type=Path, help="JSON Lines to write, and a picture beside it")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(settings, settings.record or Path(folder) / "figure3.jsonl")


def run(settings: Any, record: Path) -> None:
    """Measure, run all methods in turns, write record and picture, print the table."""
    torch.set_num_threads(settings.threads)
    console = Console(width=150)
    drafts = settings.drafts.split(";")
    path = settings.prompts or prompts_of(settings.target)
    measured_on = load_prompts(path, split="measure", limit=settings.limit)
    held_out = load_prompts(path, split="held-out", limit=settings.limit)
    if settings.choose:
        drafts[:2] = choose_in(
            load_models(settings.target, [], device="cpu"), drafts[:2], measured_on, seed=0,
            sampling=Sampling(settings.temperature), max_tokens=settings.tokens,
            folder=record.parent,
        )  # fmt: skip
        console.print(f"chosen: {', '.join(drafts[:2])}")
    models = load_models(settings.target, drafts, device="cpu")
    if not all(isinstance(models[d], SelfDraft) for d in (1, 2)) or BOTTOM not in models.one_shot:
        raise SystemExit("--drafts needs two DSIA settings and a one-shot draft")
    experiment = {"what": "cas-spec-figure3", **{k: str(v) for k, v in vars(settings).items()
                                                 if k not in ("record",)}}  # fmt: skip
    profile = measure(
        models, measured_on, sampling=Sampling(settings.temperature), max_tokens=settings.tokens,
        seed=0, log=record.with_suffix(".profile.jsonl"),
    )  # fmt: skip
    methods = methods_of(models, profile)
    log = RecordLog(record, experiment)
    names = list(methods)
    for name in names:
        run_one(methods[name], models, held_out[0], settings)  # warm-up
    for i, prompt in enumerate(held_out):
        key = str(prompt.question_id)
        if key in log.records:
            continue
        turns = names[i % len(names) :] + names[: i % len(names)]
        found = {name: run_one(methods[name], models, prompt, settings) for name in turns}
        texts = {name: found[name].pop("text") for name in names}
        log.append(key, {
            "category": prompt.category, "methods": {name: found[name] for name in names},
            "same": {name: texts[name] == texts["AR"] for name in names},
        })  # fmt: skip
        console.print(f"{i + 1}/{len(held_out)} {prompt.category}", end="\r")
    records = [log.records[str(prompt.question_id)] for prompt in held_out]
    summary = summarise(records, methods, profile)
    if "summary" not in log.records:
        log.append("summary", summary)
    draw(summary, record.with_suffix(".png"))
    table = Table(title=f"{len(records)} prompts, {settings.tokens} tokens, greedy")
    for column in ("method", "speed-up [95 %]", "paper", "tokens/cycle", "EWIF in passes",
                   "predicted", "same text", "what"):  # fmt: skip
        table.add_column(column)
    for name, row in summary["rows"].items():
        predicted, paper = row["ewif_predicted"], row["paper"]
        table.add_row(
            name, f"{row['speedup']:.2f} \\[{row['low']:.2f}, {row['high']:.2f}]",
            "" if paper is None else f"{paper:.2f}", f"{row['tokens_per_cycle']:.2f}",
            f"{row['ewif_inside_passes']:.2f}", "" if predicted is None else f"{predicted:.2f}",
            f"{row['same_text']}/{len(records)}", escape(row["method"]),
        )  # fmt: skip
    console.print(table)
    console.print(f"adaptive bound: {summary['adaptive_bound']}")
    console.print("ordering here: " + " < ".join(summary["ordering"]))
    console.print("ordering in the paper: " + " < ".join(summary["paper_ordering"]))


if __name__ == "__main__":
    main()
