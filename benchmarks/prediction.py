r"""Predicted against measured over every kind of cascade and every task, on the bundled models.

    python benchmarks/prediction.py --record benchmarks/records/prediction.jsonl

For greedy decoding and for temperature 1: SmolLM2-135M with its drafts mid, tiny and Max-Gram is
measured once on the prompts for measuring; then plain decoding and every cascade below decode
these prompts and held-out ones, one plain reply a prompt for all cascades, all interleaved prompt
by prompt, the order turning by one each time. Each cascade's tokens per cycle and speed-up are
predicted (one rate for all prompts and independent acceptance; own rates, place by place),
simulated and measured.

Run alone: by estimate 10 minutes on 2 cores at 20 ms a target pass. What was measured stays in
``--folder``, and an interrupted run goes on from there.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from cscalc.cascade import Cascade, Draft, Review, describe
from cscalc.choose import optimal_for_prompts
from cscalc.profile import Profile
from cscalc.records import RecordLog, provenance
from cscalc.simulate.replay import replay_prompts
from cscalc.theory.law import ewif
from validate.cli_options import check_output, progress_bars
from validate.decode import generate
from validate.gap import QUANTITIES, paired_gap
from validate.load import load_models
from validate.measure import encode, end_tokens, measure, seeded
from validate.models import Models
from validate.prompts import Prompt, load_prompts
from validate.report import report
from validate.run import WARM_UP, Progress
from validate.sampling import Sampling

SCHEMA = "benchmarks/prediction"
MID, TINY, MAX_GRAM = 1, 2, 3
# CS Drafting's K matrix, incremental: the target wants 2 tokens of mid, then 1 of tiny, then 3 of
# Max-Gram; mid reviews 2 tokens of Max-Gram, tiny likewise
K_MATRIX = [[2, 1, 3], [0, 0, 2], [0, 0, 2]]
CASCADES = {
    "speculative": [
        Cascade((Draft(MID, 1),)),
        Cascade((Draft(MID, 4),)),
        Cascade((Draft(MID, 8),)),
        Cascade((Draft(TINY, 2),)),
    ],
    "copies alone": [Cascade((Draft(MAX_GRAM, 4),)), Cascade((Draft(MAX_GRAM, 10),))],
    "horizontal": [
        Cascade((Draft(MID, 1), Draft(MAX_GRAM, 4))),
        Cascade((Draft(MID, 2), Draft(TINY, 2))),
    ],
    "vertical": [
        Cascade((Review(MID, (Draft(TINY, 2),), rounds=1),)),
        Cascade((Review(MID, (Draft(MAX_GRAM, 4),), rounds=2),)),
        Cascade((Review(MID, (Draft(MAX_GRAM, 4),), until=4),)),
    ],
    "nested": [
        Cascade((
            Review(MID, (Review(TINY, (Draft(MAX_GRAM, 3),), rounds=1),), rounds=1),
            Draft(MAX_GRAM, 4),
        )),
    ],
    "K matrix": [Cascade.from_k_matrix(K_MATRIX, form="incremental", bottom_length=2)],
}  # fmt: skip
CHOSEN = "chosen"
TASK_KEYS = ("task", "own_tokens_per_cycle", "same_tokens_per_cycle", "tokens_per_cycle",
             "own_speedup", "same_speedup", "speedup")  # fmt: skip
Numbers = Mapping[str, Any]


def decode_all(
    cascades: Sequence[Cascade],
    models: Models,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    tokens: int,
    seed: int,
    log: Path,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Decode every prompt plainly and with every cascade: one record a prompt, all sides in it."""
    sides = {str(cascade): cascade for cascade in (Cascade(()), *cascades)}
    kept = RecordLog(log, {
        "what": "prediction", "sides": [cascade.to_dict() for cascade in sides.values()],
        "models": list(models.names), "device": str(models.device), "max_tokens": tokens,
        "sampling": sampling.to_dict(), "seed": seed, "threads": torch.get_num_threads(),
        "prompts": [[p.question_id, p.category, p.text] for p in prompts],
    })  # fmt: skip

    def decode(side: str, prompt: Prompt, most: int) -> Any:
        return generate(
            sides[side], models, encode(models, prompt), max_tokens=most, sampling=sampling,
            generator=seeded(seed, prompt.question_id), eos=end_tokens(models),
        )  # fmt: skip

    names = list(sides)
    if len(kept.records) < len(prompts):
        for side in names:
            decode(side, prompts[0], WARM_UP)
    stage = f"run, temperature {sampling.temperature:g}"
    for done, prompt in enumerate(prompts):
        progress(stage, done, len(prompts))
        if str(prompt.question_id) in kept.records:
            continue
        turn = done % len(names)
        replies = {side: decode(side, prompt, tokens) for side in names[turn:] + names[:turn]}
        kept.append(str(prompt.question_id), {
            "question_id": prompt.question_id, "category": prompt.category,
            "split": prompt.split, "prompt_tokens": len(encode(models, prompt)),
            "sides": {side: reply.to_dict() for side, reply in replies.items()},
            "same_tokens": {side: reply.tokens == replies[names[0]].tokens
                            for side, reply in replies.items()},
        })  # fmt: skip
    progress(stage, len(prompts), len(prompts))
    return [kept.records[str(prompt.question_id)] for prompt in prompts]


def row_of(
    kind: str, cascade: Cascade, profile: Profile, replies: Sequence[Numbers], seed: int
) -> dict[str, Any]:
    """Everything predicted, simulated and measured of one cascade."""
    side, plain = str(cascade), str(Cascade(()))
    records = [
        {**reply, "plain": reply["sides"][plain], "cascade": reply["sides"][side],
         "same_tokens": reply["same_tokens"][side]}
        for reply in replies
    ]  # fmt: skip
    made = report(cascade, profile, records, seed=seed).to_dict()
    rng = np.random.default_rng([seed, 0x5EED])  # as `report` draws, so the same replays
    own = replay_prompts(cascade, profile, rng=rng)
    gap = paired_gap(own, records, rng)
    cycles = [len(r["cascade"]["emitted"]) for r in records if r["question_id"] in own]
    return {
        "kind": kind,
        "label": describe(cascade.drafts, profile.names),
        "cascade": cascade.to_dict(),
        "same_tokens": made["run"]["same_tokens"],
        "groups": made["groups"],
        "gap": {quantity: estimate.to_list() for quantity, estimate in gap.items()},
        "cycles": {"replayed": float(sum(sums[1] for sums in own.values())),
                   "measured": float(sum(cycles))},
        "tasks": [{key: task[key] for key in TASK_KEYS} for task in made["tasks"]],
        "cycle": made["cycle"],
    }  # fmt: skip


def shares(rows: Sequence[Numbers], group: str, part: str, quantity: str) -> dict[str, Any]:
    """How many cascades were as predicted by `part` ("pooled" or "own") in a group of prompts."""
    gaps, inside, paired = [], [], []
    for row in rows:
        found = next(one for one in row["groups"] if one["name"] == group)
        predicted, low, high = found[part][quantity]
        measured = found["measured"][quantity]
        gaps.append(measured[0] / predicted - 1.0)
        inside.append(low <= measured[0] <= high if low < high
                      else measured[1] <= predicted <= measured[2])  # fmt: skip
        if (group, part) == ("same", "own"):
            paired.append(row["gap"][quantity][1] <= 0.0 <= row["gap"][quantity][2])
    size = np.abs(gaps)
    return {
        "group": group, "part": part, "quantity": quantity, "cascades": len(rows),
        "inside": int(np.sum(inside)), "paired_inside": sum(paired) if paired else None,
        "within_5_percent": int((size <= 0.05).sum()),
        "at_least_95_percent": int((np.array(gaps) >= -0.05).sum()),
        "median_gap": float(np.median(gaps)), "largest_gap": float(size.max()),
    }  # fmt: skip


def rounded(value: Any) -> Any:
    """The same JSON data with six significant digits, which is more than was measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def minutes(profile: Profile, cascades: Sequence[Cascade], prompts: int, tokens: int) -> float:
    """What running all cascades will take, by the profile's own prediction."""
    per_token = 1.0 + sum(1.0 / ewif(cascade, profile) for cascade in cascades)
    reading = 3.0 * (len(cascades) + 1)  # a prompt's pass, about 3 of one position
    unit = float((profile.measurement or {})["pass_seconds"])
    return prompts * (tokens * per_token + reading) * unit / 60.0


def run_temperature(
    temperature: float, models: Models, arguments: argparse.Namespace, progress: Progress
) -> dict[str, Any]:
    """Measure, choose, run and set side by side at one temperature."""
    sampling, seed, tokens = Sampling(temperature), arguments.seed, arguments.tokens
    measured_on = load_prompts(split="measure", limit=arguments.prompts)
    held_out = load_prompts(split="held-out", limit=arguments.held_out)
    folder, name = arguments.folder, f"temperature-{temperature:g}"
    profile = measure(
        models, measured_on, sampling=sampling, max_tokens=tokens, seed=seed,
        log=folder / f"{name}.measured.jsonl", progress=lambda _, done, of: progress(
            f"measure, temperature {temperature:g}", done, of),
    )  # fmt: skip
    best = optimal_for_prompts(profile).cascade
    cascades = {cascade: kind for kind, group in CASCADES.items() for cascade in group}
    cascades = {best: CHOSEN} | {c: kind for c, kind in cascades.items() if c != best}
    prompts = [*measured_on, *held_out]
    about = minutes(profile, list(cascades), len(prompts), tokens)
    tqdm.write(f"{len(cascades)} cascades and plain: about {about:.1f} minutes", file=sys.stderr)
    replies = decode_all(
        list(cascades), models, prompts, sampling=sampling, tokens=tokens, seed=seed + 1,
        log=folder / f"{name}.run.jsonl", progress=progress,
    )  # fmt: skip
    rows = [row_of(kind, cascade, profile, replies, seed) for cascade, kind in cascades.items()]
    data = profile.to_dict()
    return {
        "temperature": temperature,
        "profile": {key: data[key] for key in ("alphas", "costs", "one_shot", "verify")},
        "pass_seconds": (profile.measurement or {})["pass_seconds"],
        "prompts": len(measured_on), "held_out": len(held_out),
        "cascades": rows,
        "shares": [shares(rows, group["name"], part, quantity) for group in rows[0]["groups"]
                   for quantity in ("tokens_per_cycle", "speedup") for part in ("pooled", "own")],
    }  # fmt: skip


def show(console: Console, run: Numbers) -> None:
    """Print one table a group of prompts, and how many cascades were as predicted."""
    names = {"same": "prompts that the rates were measured on", "held-out": "held-out prompts"}
    for number, group in enumerate(run["cascades"][0]["groups"]):
        table = Table(title=f"temperature {run['temperature']:g}, {group['n_prompts']} "
                            f"{names[group['name']]}", title_justify="left")  # fmt: skip
        table.add_column("cascade")
        for quantity in ("tokens per cycle", "speed-up"):
            for column in (f"{quantity}:\none rate", "own", "simulated", "measured [95 %]", "gap"):
                table.add_column(column, justify="right")
        for row in run["cascades"]:
            found, cells = row["groups"][number], []
            for quantity in ("tokens_per_cycle", "speedup"):
                one, own, seen = (found[x][quantity][0] for x in ("pooled", "own", "simulated"))
                value, low, high = found["measured"][quantity]
                cells += [f"{number:.2f}" for number in (one, own, seen)]
                cells += [f"{value:.2f} [{low:.2f}, {high:.2f}]", f"{value / own - 1:+.1%}"]
            table.add_row(escape(row["label"]), *cells)
        console.print(table)
    if run["temperature"] == 0.0:
        n = run["prompts"] + run["held_out"]
        same = sum(row["same_tokens"] == n for row in run["cascades"])
        console.print(f"all {n} replies are token by token those of plain decoding: "
                      f"{same}/{len(run['cascades'])} cascades")  # fmt: skip
    table = Table(title="cascades as predicted; paired: each prompt beside its own prediction",
                  title_justify="left")  # fmt: skip
    columns = ("prompts", "quantity", "predicted with", "in 95 % interval", "paired",
               "within 5 %", ">= 0.95 of it", "median gap", "largest")  # fmt: skip
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 3 else "right")
    for found in run["shares"]:
        counts = ("inside", "paired_inside", "within_5_percent", "at_least_95_percent")
        table.add_row(
            found["group"], QUANTITIES[found["quantity"]],
            {"pooled": "one rate", "own": "own rates"}[found["part"]],
            *("" if found[key] is None else f"{found[key]}/{found['cascades']}" for key in counts),
            f"{found['median_gap']:+.1%}", f"{found['largest_gap']:.1%}",
        )  # fmt: skip
    console.print(table)


def main(given: Sequence[str] | None = None) -> None:
    """Measure, run, print tables, append a record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=16, help="prompts to measure on")
    parser.add_argument("--held-out", type=int, default=8, help="prompts held out")
    parser.add_argument("--tokens", type=int, default=40, help="tokens a reply")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--quick", action="store_true", help="3 + 2 prompts of 16 tokens")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, default=Path("demo-output/prediction"), help="for what is measured"
    )
    parser.add_argument("--record", type=Path, help="JSON Lines to append to")
    arguments = parser.parse_args(given)
    if arguments.record:
        check_output(arguments.record)
    if arguments.quick:
        arguments.prompts, arguments.held_out, arguments.tokens = 3, 2, 16
        arguments.folder = arguments.folder / "quick"
    arguments.folder.mkdir(parents=True, exist_ok=True)
    models = load_models()
    console = Console(width=190)
    runs = []
    with progress_bars() as progress:
        for temperature in arguments.temperatures:
            runs.append(run_temperature(temperature, models, arguments, progress))
    for run in runs:
        show(console, run)
    if arguments.record:
        record = {
            "schema": SCHEMA, "version": 1, "benchmark": "prediction", "names": models.names,
            "tokens": arguments.tokens, "seed": arguments.seed, "runs": runs,
            "device": str(models.device), "dtype": str(models.target.module.dtype),
            "threads": torch.get_num_threads(), "provenance": provenance(),
        }  # fmt: skip
        with arguments.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded(record)) + "\n")


if __name__ == "__main__":
    main()
