"""Tokens per cycle of the demo's cascade by task: predicted twice, and measured.

Read from benchmarks/records/demo-report.json, which ``python -m validate demo --out demo-output``
wrote (as report.json; machine and versions stand in it). "One rate" is the independent-acceptance
law with the rates pooled over all tasks; "own rates" replays each prompt's own acceptance.
Half of each task's prompts are held out: they were never measured on.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from style import BLUE, GREY, ORANGE, OUT, VERMILION, figure, source

NAME = Path(__file__).stem
RECORD = Path(__file__).resolve().parents[1] / "benchmarks" / "records" / "demo-report.json"
GROUPS = {"same": "all, prompts\nmeasured on", "held-out": "all, prompts\nheld out"}


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Read tokens per cycle from the record.

    Returns
    -------
    dict
        ``one_rate``, ``own_rates``, ``measured`` (tasks,), in the record's order of tasks;
        ``group_one_rate`` (2,), ``group_own_rates`` and ``group_measured`` (2, 3): value and 95 %
        interval, for prompts measured on and held out.
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    keys = ("pooled_tokens_per_cycle", "own_tokens_per_cycle", "tokens_per_cycle")
    tasks = np.array([[task[key] for key in keys] for task in record["tasks"]])  # (tasks, 3)
    groups = {group["name"]: group for group in record["groups"]}
    found = dict(zip(("one_rate", "own_rates", "measured"), tasks.T, strict=True))
    for key, part in (("own_rates", "own"), ("measured", "measured")):
        found[f"group_{key}"] = np.array(
            [groups[name][part]["tokens_per_cycle"] for name in GROUPS]
        )
    found["group_one_rate"] = np.array(
        [groups[name]["pooled"]["tokens_per_cycle"][0] for name in GROUPS]
    )
    return found


def main(folder: Path = OUT) -> None:
    """Draw one row a task, worst on top, and both groups of prompts with their intervals."""
    shown = data()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    order = np.argsort(shown["own_rates"])[::-1]
    names = [record["tasks"][i]["task"] for i in order]
    rows = np.arange(len(order)) + 2.6  # above the two groups
    with figure(NAME, folder, width=8.0, height=5.6) as drawn:
        axes = drawn.subplots()
        own, measured = shown["own_rates"][order], shown["measured"][order]
        axes.hlines(
            rows, np.minimum(own, measured), np.maximum(own, measured), color=GREY, linewidth=1.2
        )
        axes.axvline(shown["one_rate"][0], color=ORANGE, label="predicted, one rate for all")
        axes.plot(own, rows, "o", color=BLUE, markersize=8, label="predicted, own rates")
        axes.plot(measured, rows, "D", color=VERMILION, markersize=8, label="measured")
        for row in range(len(GROUPS)):
            for key, shift, colour, marker in (
                ("own_rates", 0.13, BLUE, "o"), ("measured", -0.13, VERMILION, "D"),
            ):  # fmt: skip
                value, low, high = shown[f"group_{key}"][row]
                if high > low:
                    axes.hlines(1 - row + shift, low, high, color=colour)
                axes.plot(value, 1 - row + shift, marker, color=colour, markersize=8)
        axes.axhline(1.8, color="#DDDDDD", linewidth=0.8)
        axes.set_yticks([*rows, 1, 0], labels=[*names, *GROUPS.values()])
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(1.3, 3.1), ylim=(-0.6, rows[-1] + 0.6), xlabel="tokens per cycle")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.27))
        cores, system = record["run"]["measured"]["machine"]["cores"], "CPU"
        source(
            drawn,
            f"{record['names'][0]} with mid (1 token) and Max-Gram (4 tokens), greedy, {cores} "
            f"{system} cores.\nA task: 4 prompts, half of them held out. Bars: 95 % intervals.",
        )


if __name__ == "__main__":
    main()
