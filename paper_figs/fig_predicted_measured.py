"""Tokens per cycle of the demo's cascade by task: predicted twice, and measured.

Read from benchmarks/records/demo-report.json, which ``python -m validate demo --out demo-output``
wrote (as report.json; machine and versions stand in it). "One rate" is the independent-acceptance
law with rates pooled over all tasks. "Own rates" replays what the target accepted at each place
of a task's prompts; only half of the prompts were measured on so, the others were held out. The
run is shown on the same prompts, which is the test of the prediction, and on all of them.

Drawn by ``python paper_figs/fig_predicted_measured.py``.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, ORANGE, OUT, VERMILION, figure, source

NAME = Path(__file__).stem
ALT = """Dot chart of tokens per cycle by task. Predictions with own rates, from 1.5 for writing
to 2.9 for extraction, coincide with what was measured on the same prompts; one rate for all
predicts 1.9 everywhere. With held-out prompts, measured values move by up to .4."""
RECORD = Path(__file__).resolve().parents[1] / "benchmarks" / "records" / "demo-report.json"
SERIES = ("one_rate", "own_rates", "measured", "measured_all")
GROUPS = {"same": "all, prompts\nmeasured on", "held-out": "all, prompts\nheld out"}


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Read tokens per cycle from the record.

    Returns
    -------
    dict
        ``one_rate``, ``own_rates``, ``measured`` (on the prompts of ``own_rates``) and
        ``measured_all`` (held-out prompts too), each (tasks,), in the record's order of tasks;
        ``group_one_rate`` (2,), ``group_own_rates`` and ``group_measured`` (2, 3): value and 95 %
        interval, for prompts measured on and held out.
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    keys = [f"{kind}tokens_per_cycle" for kind in ("pooled_", "own_", "same_", "")]
    tasks = np.array([[task[key] for key in keys] for task in record["tasks"]])  # (tasks, 4)
    groups = {group["name"]: group for group in record["groups"]}
    found = dict(zip(SERIES, tasks.T, strict=True))
    for key, part in (("own_rates", "own"), ("measured", "measured")):
        found[f"group_{key}"] = np.array(
            [groups[name][part]["tokens_per_cycle"] for name in GROUPS]
        )
    found["group_one_rate"] = np.array(
        [groups[name]["pooled"]["tokens_per_cycle"][0] for name in GROUPS]
    )
    return found


def claims() -> tuple[Claim, ...]:
    """Each task on the prompts its rates were measured on."""
    shown = data()
    tasks = [task["task"] for task in json.loads(RECORD.read_text(encoding="utf-8"))["tasks"]]
    return claims_of(
        "benchmarks/records/demo-report.json, measured; predicted with own rates",
        0.1,
        [
            (f"tokens per cycle, {task}", known, ours)
            for task, known, ours in zip(tasks, shown["measured"], shown["own_rates"], strict=True)
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw one row a task, worst on top, and both groups of prompts with their intervals."""
    shown = data()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    order = np.argsort(shown["own_rates"])[::-1]
    names = [record["tasks"][i]["task"] for i in order]
    rows = np.arange(len(order)) + 2.75  # above the two groups
    with figure(NAME, folder, width=8.0, height=5.6) as drawn:
        axes = drawn.subplots()
        own, measured, everything = (shown[key][order] for key in SERIES[1:])
        axes.hlines(
            rows, np.minimum(measured, everything), np.maximum(measured, everything),
            color=VERMILION, linewidth=1.0,
        )  # fmt: skip
        axes.axvline(shown["one_rate"][0], color=ORANGE, label="predicted, one rate for all")
        axes.plot(own, rows, "o", color=BLUE, markersize=10, label="predicted, own rates")
        axes.plot(
            measured, rows, "D", color=VERMILION, markersize=6, label="measured, same prompts"
        )
        axes.plot(
            everything, rows, "D", color=VERMILION, markerfacecolor="white", markersize=7,
            label="measured, held-out prompts too",
        )  # fmt: skip
        for row in range(len(GROUPS)):
            for key, shift, colour, marker in (
                ("own_rates", 0.13, BLUE, "o"), ("measured", -0.13, VERMILION, "D"),
            ):  # fmt: skip
                value, low, high = shown[f"group_{key}"][row]
                if high > low:
                    axes.hlines(1.25 * (1 - row) + shift, low, high, color=colour)
                axes.plot(value, 1.25 * (1 - row) + shift, marker, color=colour, markersize=7)
        axes.axhline(2.0, color="#DDDDDD", linewidth=0.8)
        axes.set_yticks([*rows, 1.25, 0], labels=[*names, *GROUPS.values()])
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(1.4, 3.1), ylim=(-0.6, rows[-1] + 0.6), xlabel="tokens per cycle")
        drawn.legend(loc="outside upper center", ncols=2, fontsize=10)
        cores = record["run"]["measured"]["machine"]["cores"]
        source(
            drawn,
            f"{record['names'][0]} with mid (1 token) and Max-Gram (4 tokens), greedy, on {cores} "
            "CPU cores.\nA task: 4 prompts, 2 of them held out. All: 16 and 16 prompts, with 95 % "
            "intervals.",
        )


if __name__ == "__main__":
    main()
