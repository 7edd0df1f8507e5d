"""Every kind of cascade and every task, predicted against measured on real models.

The last record of benchmarks/records/prediction.jsonl (``python benchmarks/prediction.py --record
benchmarks/records/prediction.jsonl``): SmolLM2-135M on a CPU with three drafts, mid, tiny and
Max-Gram, and cascades of every kind of the grammar, run beside plain decoding on the prompts that
the rates were measured on, and on held-out ones.

Left and middle: a mark a cascade, full where predicted with own rates (the target's acceptance
place by place, replayed), hollow where predicted with one rate for all prompts and independent
acceptance, the papers' theory; a dot a cascade and task, own rates. Greedy decoding writes the
text again that was measured, so a replay must give its very cycles, and only times can differ. At
temperature 1 the run wrote other texts than were measured, and chance takes part.

Right: measured over predicted speed-up. The bar is a 95 % interval over prompts, each drawn
together with its own prediction. Triangles: prompts held out, which no rate was measured on.

Drawn by ``python paper_figs/fig_every_cascade.py``.
"""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from style import BLACK, BLUE, GREEN, GREY, ORANGE, OUT, PURPLE, SKY, VERMILION, figure, source

NAME = Path(__file__).stem
ALT = """For greedy decoding and temperature 1: predicted against measured tokens per cycle, and
predicted against measured speed-up, one mark a cascade of seven kinds and one dot a task, around
the diagonal with a band of 5 per cent; and the gap of the speed-up of each cascade in per cent,
with intervals."""
RECORD = Path(__file__).resolve().parents[1] / "benchmarks" / "records" / "prediction.jsonl"
SCHEMA = "benchmarks/prediction"
BAND = 0.05
QUANTITIES = {"tokens_per_cycle": "tokens per cycle", "speedup": "speed-up"}
KINDS = {
    "chosen": ("*", BLACK),
    "speculative": ("o", BLUE),
    "copies alone": ("s", SKY),
    "horizontal": ("D", ORANGE),
    "vertical": ("^", VERMILION),
    "nested": ("v", PURPLE),
    "K matrix": ("P", GREEN),
}


def record() -> dict[str, Any]:
    """Read the last record."""
    last = RECORD.read_text(encoding="utf-8").splitlines()[-1]
    read = json.loads(last)
    if read.get("schema") != SCHEMA:
        raise ValueError(f"{RECORD.name} must have schema {SCHEMA}, got {read.get('schema')}")
    return dict(read)


def _rows() -> list[tuple[int, dict[str, Any]]]:
    """Run and row of every cascade, greedy first."""
    runs = record()["runs"]
    return [(place, row) for place, run in enumerate(runs) for row in run["cascades"]]


def labels() -> list[str]:
    """Cascade of each row of `data`."""
    return [row["label"] for _, row in _rows()]


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Read predictions and measurements.

    Returns
    -------
    dict
        ``run`` (n,), which of the record's runs a cascade is of, and ``kind`` (n,), its place in
        `KINDS`; ``tokens_per_cycle`` and ``speedup`` (n, 5): predicted with one rate, with own
        rates, measured on the same prompts with its 95 % interval; ``gap`` (n, 3): measured
        over predicted speed-up (own rates) minus 1, with interval; ``held_out`` (n,): the same on
        held-out prompts, nan without any; ``tasks`` (m, 5), a row a cascade and task: the
        cascade's row, tokens per cycle predicted and measured, speed-up predicted and measured.
    """
    found: dict[str, list[Any]] = {
        key: [] for key in ("run", "kind", *QUANTITIES, "gap", "held_out", "tasks")
    }
    for place, (run, row) in enumerate(_rows()):
        groups = {group["name"]: group for group in row["groups"]}
        same = groups["same"]
        found["run"].append(run)
        found["kind"].append(list(KINDS).index(row["kind"]))
        for quantity in QUANTITIES:
            predicted = [same[part][quantity][0] for part in ("pooled", "own")]
            found[quantity].append([*predicted, *same["measured"][quantity]])
        found["gap"].append(row["gap"]["speedup"])
        other = groups.get("held-out")
        found["held_out"].append(
            np.nan if other is None
            else other["measured"]["speedup"][0] / other["own"]["speedup"][0] - 1.0
        )  # fmt: skip
        for task in row["tasks"]:
            if task["same_tokens_per_cycle"] is not None:
                pairs = [task[f"{who}_{quantity}"] for quantity in QUANTITIES
                         for who in ("own", "same")]  # fmt: skip
                found["tasks"].append([place, *pairs])
    return {key: np.array(values, dtype=np.float64) for key, values in found.items()}


def claims() -> tuple[Claim, ...]:
    """Greedy cycles against their replay; the record's own counts, counted again."""
    shown, read = data(), record()
    greedy = [place for place, run in enumerate(read["runs"]) if run["temperature"] == 0.0]
    counted = []
    for place, run in enumerate(read["runs"]):
        mine = shown["run"] == place
        for quantity in QUANTITIES:
            one, own, measured = shown[quantity][mine, :3].T
            for part, predicted in (("pooled", one), ("own", own)):
                said = next(x for x in run["shares"] if (x["group"], x["part"], x["quantity"])
                            == ("same", part, quantity))  # fmt: skip
                near = np.abs(measured / predicted - 1.0) <= BAND
                counted.append((
                    f"cascades within 5 %, {QUANTITIES[quantity]}, {part} rates, "
                    f"temperature {run['temperature']:g}",
                    said["within_5_percent"], near.sum(),
                ))  # fmt: skip
    again = [row for place, row in _rows() if place in greedy]
    return (
        *(
            Claim(
                f"cycles of the greedy run, {row['label']}",
                row["cycles"]["measured"],
                row["cycles"]["replayed"],
                0.01 * row["cycles"]["measured"],
                "benchmarks/records/prediction.jsonl, measured; replayed on the same text",
            )
            for row in again
        ),
        *claims_of("benchmarks/records/prediction.jsonl, its summary", 0.5, counted),
    )


def main(folder: Path = OUT) -> None:
    """Draw a row of three panels for each temperature; nothing where there is no record yet."""
    if not RECORD.exists():
        return
    shown, read = data(), record()
    runs = read["runs"]
    with figure(NAME, folder, width=15.2, height=6.0 * len(runs) + 0.5) as drawn:
        grid = drawn.subplots(len(runs), 3, width_ratios=(5, 5, 4.2), squeeze=False)
        for place, (panels, run) in enumerate(zip(grid, runs, strict=True)):
            cool = run["temperature"] == 0.0
            law = "greedy" if cool else f"temperature {run['temperature']:g}"
            for number, quantity in enumerate(QUANTITIES):
                _scatter(panels[number], shown, place, quantity, 1 + 2 * number)
                panels[number].set_title(f"{QUANTITIES[quantity].capitalize()}, {law}")
            _gaps(panels[2], shown, place)
            panels[2].set_title(f"Speed-up: gap, {law}")
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=colour, label=kind, markersize=8)
            for kind, (marker, colour) in KINDS.items()
        ]
        drawn.legend(handles=handles, loc="outside upper center", ncols=len(handles))
        machine = read["provenance"]["machine"]
        source(
            drawn,
            "Full: own rates; hollow: one rate; grey triangles: held out; grey band: within 5 %. "
            f"{read['names'][0]}, {runs[0]['prompts']} prompts measured on, "
            f"{runs[0]['held_out']} held out, {read['tokens']} tokens a reply, "
            f"{machine['cores']} cores, {machine['processor']}.",
        )


def _scatter(
    axes: Axes, shown: dict[str, npt.NDArray[np.float64]], run: int, quantity: str, column: int
) -> None:
    """Predicted against measured: cascades, their intervals, and their tasks as dots."""
    mine = np.flatnonzero(shown["run"] == run)
    dots = shown["tasks"][np.isin(shown["tasks"][:, 0], mine)]
    marks, spots = shown[quantity][mine, :3], dots[:, column : column + 2]
    values = np.concatenate([marks.ravel(), spots.ravel()])
    low, high = 0.95 * values.min(), 1.04 * values.max()
    ends = np.array([low, high])
    axes.fill_between(
        ends, (1 - BAND) * ends, (1 + BAND) * ends, color="#E4E4E4", linewidth=0, zorder=0
    )
    axes.plot(ends, ends, color=GREY, linewidth=1.0, zorder=1)
    for row, predicted, measured in dots[:, [0, column, column + 1]]:
        colour = list(KINDS.values())[int(shown["kind"][int(row)])][1]
        axes.plot(predicted, measured, ".", color=colour, markersize=5, alpha=0.6, zorder=2)
    for row in mine:
        marker, colour = list(KINDS.values())[int(shown["kind"][row])]
        one, own, measured = shown[quantity][row, :3]
        size = 13 if marker == "*" else 8
        axes.plot(
            one, measured, marker, color=colour, markerfacecolor="white", markersize=size - 2
        )
        axes.plot(own, measured, marker, color=colour, markersize=size)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel="measured")


def _gaps(axes: Axes, shown: dict[str, npt.NDArray[np.float64]], run: int) -> None:
    """Gap of each cascade's speed-up, in per cent."""
    mine = np.flatnonzero(shown["run"] == run)
    heights = np.arange(len(mine))[::-1]
    axes.axvspan(-100 * BAND, 100 * BAND, color="#E4E4E4", linewidth=0, zorder=0)
    axes.axvline(0.0, color=GREY, linewidth=1.0, zorder=1)
    for row, height in zip(mine, heights, strict=True):
        marker, colour = list(KINDS.values())[int(shown["kind"][row])]
        one, _, measured = shown["speedup"][row, :3]
        value, low, high = 100.0 * shown["gap"][row]
        axes.hlines(height, low, high, color=colour, linewidth=1.6)
        axes.plot(
            100.0 * (measured / one - 1.0), height, marker, color=colour, markerfacecolor="white",
            markersize=9 if marker == "*" else 6,
        )  # fmt: skip
        axes.plot(value, height, marker, color=colour, markersize=12 if marker == "*" else 7)
        axes.plot(100.0 * shown["held_out"][row], height, "<", color=GREY, markersize=5, zorder=2)
    names = labels()
    axes.set_yticks(heights, labels=[_wrapped(names[row]) for row in mine], fontsize=7.5)
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(-0.7, len(mine) - 0.3), xlabel="measured over predicted, minus 1 (%)")


def _wrapped(label: str) -> str:
    """A cascade on as many short lines as it needs."""
    return "\n".join(textwrap.wrap(label, 40, break_on_hyphens=False))


if __name__ == "__main__":
    main()
