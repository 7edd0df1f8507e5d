"""Predicted against measured on real models: tokens per cycle, speed-up, and the gap explained.

SmolLM2-135M with its drafts on a CPU, from every report in benchmarks/records (``python -m
validate demo --out demo-output`` wrote demo-report.json, as report.json) and from decoders.jsonl
(``make bench``; twelve other prompts, mid alone with 4 tokens among its rows).

Left: each task's tokens per cycle. Open: independent acceptance with one rate for all tasks, the
papers' theory; it cannot tell tasks apart. Full: the target's acceptance place by place on the
same prompts, replayed. Middle: speed-ups, measured ones with 95 % intervals over prompts. Right:
the factors that lead from the first prediction to the measured speed-up, on the prompts measured
on; their product is the whole gap.

Drawn by ``python paper_figs/fig_prediction_error.py``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLACK, BLUE, GREY, ORANGE, OUT, SKY, VERMILION, figure, source

from cscalc.theory.speculative import expected_tokens_iid

NAME = Path(__file__).stem
ALT = """Three charts. Left: predicted against measured tokens per cycle of eight tasks; with own
rates all points lie on the diagonal between 1.5 and 3, with one rate they stand in a column at
1.9. Middle: predicted speed-ups of 1.34 to 1.64 lie inside the measured intervals. Right: factors
of the gap, all between -1.4 and +2.7 per cent."""
RECORDS = Path(__file__).resolve().parents[1] / "benchmarks" / "records"
REPORTS = sorted(RECORDS.glob("*-report.json"))
DECODERS = RECORDS / "decoders.jsonl"
ALONE = ("mid", 4)  # a draft and its length, as decoders.jsonl has them
GROUPS = {"same": "chosen, prompts measured on", "held-out": "chosen, prompts held out"}


def _report(path: Path) -> dict[str, Any]:
    read = json.loads(path.read_text(encoding="utf-8"))
    if read.get("schema") != "validate/report":
        raise ValueError(f"{path.name} must have schema validate/report, got {read.get('schema')}")
    return dict(read)


def _decoders() -> dict[str, dict[str, Any]]:
    """Rows of the last benchmark of decoders, by name."""
    last = DECODERS.read_text(encoding="utf-8").splitlines()[-1]
    return {row["decoder"]: row for row in json.loads(last)["rows"]}


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Read predictions and measurements.

    Returns
    -------
    dict
        ``tokens`` (n, 3), a row a task: predicted with one rate, with own rates, and measured on
        the same prompts; ``alone`` (2,), tokens per cycle of `ALONE`, predicted and measured;
        ``speedup`` (m, 5): predicted with one rate, with own rates (nan if not), measured and its
        95 % interval, rows as `labels` says; ``factor`` (k,), of the first report's residuals.
    """
    tokens, speedup = [], []
    draft, length = ALONE
    for path in REPORTS:
        report = _report(path)
        for task in report["tasks"]:
            keys = ("pooled_tokens_per_cycle", "own_tokens_per_cycle", "same_tokens_per_cycle")
            tokens.append([task[key] for key in keys])
        for group in report["groups"]:
            predicted = [group[part]["speedup"][0] for part in ("pooled", "own")]
            speedup.append([*predicted, *group["measured"]["speedup"]])
    report = _report(REPORTS[0])
    rows = _decoders()
    chosen = next(row for name, row in rows.items() if name.startswith("ours, chosen"))
    alone = rows[f"ours, {draft}:{length}"]
    curve = report["curves"]["single"][draft][length - 1]
    for predicted, row in ((report["groups"][0]["pooled"]["speedup"][0], chosen), (curve, alone)):
        speedup.append([predicted, np.nan, row["ratio"], row["low"], row["high"]])
    rate = np.mean([task["alphas"][report["names"].index(draft) - 1] for task in report["tasks"]])
    return {
        "tokens": np.array(tokens),
        "alone": np.array([float(expected_tokens_iid(rate, length)), alone["tokens_per_cycle"]]),
        "speedup": np.array(speedup),
        "factor": np.array([residual["factor"] for residual in report["residuals"]]),
    }


def labels() -> list[str]:
    """What the rows of ``speedup`` are."""
    prefix = [path.name.removesuffix("-report.json") + ": " for path in REPORTS]
    shown = prefix if len(prefix) > 1 else [""]
    draft, length = ALONE
    rows = [start + GROUPS[g["name"]] for start, path in zip(shown, REPORTS, strict=True)
            for g in _report(path)["groups"]]  # fmt: skip
    return [*rows, "chosen, other prompts", f"{draft} alone, {length} tokens, other prompts"]


def claims() -> tuple[Claim, ...]:
    """What was measured, against what was predicted of the same prompts."""
    shown = data()
    report = _report(REPORTS[0])
    first = shown["speedup"][0]
    return (
        claims_of(
            "benchmarks/records, measured on the same prompts; predicted with own rates",
            0.1,
            [
                (f"tokens per cycle, {path.name.removesuffix('-report.json')}, {task['task']}",
                 task["same_tokens_per_cycle"], task["own_tokens_per_cycle"])
                for path in REPORTS
                for task in _report(path)["tasks"]
            ],
        )
        + claims_of(
            "benchmarks/records/decoders.jsonl, measured; predicted with one rate",
            0.1,
            [("tokens per cycle, mid alone, 4 tokens", shown["alone"][1], shown["alone"][0])],
        )
        + claims_of(
            "measured; predicted times all factors",
            1e-9,
            [(f"speed-up, {report['names'][0]}", first[2], first[0] * shown["factor"].prod())],
        )
    )  # fmt: skip


def main(folder: Path = OUT) -> None:
    """Draw the three panels."""
    shown = data()
    with figure(NAME, folder, width=13.4, height=4.9) as drawn:
        left, middle, right = drawn.subplots(1, 3, width_ratios=(5, 4, 4))
        one, own, measured = shown["tokens"].T
        low, high = 1.3, 1.05 * max(own.max(), measured.max())
        left.fill_between(
            [low, high], [0.9 * low, 0.9 * high], [1.1 * low, 1.1 * high], color="#E8E8E8",
            linewidth=0, label="within 10 %",
        )  # fmt: skip
        left.plot([low, high], [low, high], color=GREY, linewidth=1.0)
        hollow = {"color": ORANGE, "markerfacecolor": "white"}
        left.plot(one, measured, "o", label="predicted, one rate", **hollow)
        left.plot(own, measured, "o", color=BLUE, label="predicted, own rates")
        left.plot(*shown["alone"], "s", label="mid alone, other prompts", **hollow)
        left.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel="measured")
        left.set_title("Tokens per cycle, by task")
        heights = np.arange(len(shown["speedup"]))[::-1]
        pooled, fitted, value, bottom, top = shown["speedup"].T
        middle.hlines(heights, bottom, top, color=VERMILION, linewidth=1.8)
        middle.plot(value, heights, "D", color=VERMILION, label="measured, 95 % interval")
        middle.plot(pooled, heights + 0.16, "o", **hollow)
        middle.plot(fitted, heights - 0.16, "o", color=BLUE)
        middle.set_yticks(heights, labels=[label.replace(", ", ",\n", 1) for label in labels()])
        middle.tick_params(axis="y", labelsize=10)
        middle.grid(visible=False, axis="y")
        middle.set(xlim=(1.0, 2.15), ylim=(-0.6, heights[0] + 0.6), xlabel="speed-up")
        middle.set_title("Speed-up, by cascade")
        drawn.legend(loc="outside upper center", ncols=5, fontsize=10.5)
        percent = 100.0 * (shown["factor"] - 1.0)
        places = np.arange(len(percent))[::-1]
        right.barh(places, percent, height=0.62, color=SKY)
        right.axvline(0.0, color=BLACK, linewidth=1.0)
        names = [residual["term"] for residual in _report(REPORTS[0])["residuals"]]
        right.set_yticks(places, labels=[_wrapped(name) for name in names], fontsize=9)
        right.grid(visible=False, axis="y")
        right.set(xlabel="factor on the speed-up (%)")
        right.set_title("What the gap is made of")
        source(
            drawn,
            "SmolLM2-135M, greedy, 2 CPU cores; benchmarks/records/demo-report.json and "
            "decoders.jsonl. Middle: 95 % intervals over prompts.",
        )


def _wrapped(term: str, width: int = 30) -> str:
    """A residual's name on two lines at most, broken where it is about half."""
    if len(term) <= width:
        return term
    words, line = term.split(), ""
    while len(line) + len(words[0]) < len(term) / 2 + 2:
        line += words.pop(0) + " "
    return line.rstrip() + "\n" + " ".join(words)


if __name__ == "__main__":
    main()
