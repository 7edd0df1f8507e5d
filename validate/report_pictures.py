"""Pictures of a report as inline SVG: they take the page's text colour, in light and dark."""

import html
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from cscalc.diagram import MODEL_COLOURS
from validate.report import Report
from validate.report_words import short

DARK = ("#0072B2", "#D55E00")  # white writing on these, black on the others
OTHER = "#999999"
MEASURED = "#D55E00"
MARKERS = ("o", "s", "^", "D", "v", "P")  # of draft 1, 2, ...: told apart without colour too
INK, PAPER, FAINT = "#010203", "#040506", "#070809"  # stand-ins, replaced by the page's colours
PAGE_COLOURS = {INK: "currentColor", PAPER: "var(--paper)", FAINT: "var(--line)"}
WIDTH = 5.3  # inches: at 72 units each, letters stay readable on a phone
SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 11.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "lines.linewidth": 1.8,
}


def model_colour(model: int) -> str:
    """Colour of a model in every picture and in the diagram."""
    return MODEL_COLOURS[model % len(MODEL_COLOURS)]


def part_colour(report: Report, part: str) -> str:
    """Colour of a part of the cycle: a model's name, or the time outside the passes."""
    return model_colour(report.names.index(part)) if part in report.names else OTHER


def cycle_picture(report: Report) -> str:
    """Where the time of a cycle goes: predicted and measured, stacked by model."""
    sides = ("predicted", "measured")
    totals = [sum(report.cycle[side].values()) for side in sides]
    longest = max(*totals, 1.0)
    with _figure("cycle", 1.85) as (figure, found):
        axes = figure.subplots()
        for row, side in enumerate(sides):
            left = 0.0
            for part, spent in report.cycle[side].items():
                width = max(0.0, spent)  # drawing only: the table shows the number
                colour = part_colour(report, part)
                axes.barh(
                    row, width, left=left, height=0.62, color=colour, edgecolor=PAPER, linewidth=1
                )
                if width > 0.12 * longest:
                    ink = "#ffffff" if colour in DARK else "#000000"
                    axes.text(left + width / 2, row, f"{spent:.2f}", color=ink, **_CENTRED)
                left += width
            axes.text(
                left + 0.015 * longest, row, f"{totals[row]:.2f}", va="center", weight="bold"
            )
        axes.axvline(1.0, color=INK, linewidth=1.2, linestyle=(0, (2, 2)), zorder=0)
        axes.annotate(
            "plain decoding: 1", (1.0, -0.62), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=10.5,
        )  # fmt: skip
        axes.set(ylim=(1.5, -0.95), xlim=(0.0, 1.14 * longest), yticks=[0, 1], yticklabels=sides)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("time of a cycle, in plain tokens' time")
    return _described(found, "Stacked bars: " + "; ".join(
        f"{side} " + ", ".join(f"{name} {spent:.3f}" for name, spent in report.cycle[side].items())
        for side in sides
    ))  # fmt: skip


def tasks_picture(report: Report) -> str:
    """Tokens per cycle by task: predicted with own rates, measured, and the one prediction."""
    tasks = sorted(report.tasks, key=lambda task: task["own_tokens_per_cycle"] or 0.0)
    with _figure("tasks", 1.05 + 0.32 * len(tasks)) as (figure, found):
        axes = figure.subplots()
        for row, task in enumerate(tasks):
            predicted, measured = task["own_tokens_per_cycle"], shown_measured(task)
            if predicted is not None:
                axes.plot([predicted, measured], [row, row], color=OTHER, zorder=1)
                axes.plot(
                    predicted, row, "o", markersize=9, color=INK, markerfacecolor=PAPER,
                    markeredgewidth=1.6, zorder=2,
                )  # fmt: skip
            axes.plot(measured, row, "D", markersize=6.5, color=MEASURED, zorder=3)
        pooled = tasks[0]["pooled_tokens_per_cycle"]
        axes.axvline(pooled, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=0)
        right = axes.get_xlim()[1]
        axes.set(xlim=(0.9, max(right, 2.0) + 0.1), ylim=(-0.7, len(tasks) + 0.1))
        axes.set_yticks(range(len(tasks)))
        for label in axes.set_yticklabels([short(task["task"], 20) for task in tasks]):
            label.set_parse_math(False)
        high = pooled > sum(axes.get_xlim()) / 2
        axes.annotate(
            f"one rate for all: {pooled:.2f}", (pooled, len(tasks) - 0.2), va="center",
            xytext=(-4 if high else 4, 0), textcoords="offset points", fontsize=10.5,
            ha="right" if high else "left",
        )  # fmt: skip
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y")
        axes.set_xlabel("tokens per cycle")
    return _described(found, "Tokens per cycle by task, predicted and measured; the table below "
                             "holds the numbers")  # fmt: skip


def shown_measured(task: dict[str, Any]) -> float:
    """Measured tokens per cycle on the prompts of the prediction, or on all without one."""
    same = task["same_tokens_per_cycle"]
    return float(task["tokens_per_cycle"] if same is None else same)


def curves_picture(report: Report) -> str:
    """EWIF against draft length of each draft alone, with the chosen cascade marked."""
    chosen = report.curves["chosen"]
    with _figure("curves", 3.3) as (figure, found):
        axes = figure.subplots()
        for name, values in report.curves["single"].items():
            model = report.names.index(name)
            axes.plot(
                range(1, len(values) + 1), values, color=model_colour(model),
                marker=marker(model), markersize=5, markeredgecolor=PAPER, markeredgewidth=0.5,
            )  # fmt: skip
        axes.axhline(1.0, color=INK, linewidth=1.2, linestyle=(0, (2, 2)), zorder=0)
        axes.plot(
            chosen["length"], chosen["ewif"], "*", markersize=17, color=INK,
            markeredgecolor=PAPER, zorder=5,
        )  # fmt: skip
        right = max(axes.get_xlim()[1], chosen["length"] + 1.0)
        low, high = axes.get_ylim()
        axes.set(
            xlim=(min(0.4, chosen["length"] - 0.6), right), ylim=(low, high + 0.1 * (high - low))
        )
        late = chosen["length"] > 0.6 * right
        axes.annotate(
            f"chosen: {chosen['ewif']:.2f}", (chosen["length"], chosen["ewif"]),
            xytext=(-9 if late else 9, 8), textcoords="offset points",
            ha="right" if late else "left", weight="bold",
        )  # fmt: skip
        axes.annotate(
            "plain decoding: 1", (right, 1.0), xytext=(0, 3), textcoords="offset points",
            ha="right", va="bottom", fontsize=10.5,
        )  # fmt: skip
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        axes.set_xlabel("draft length: tokens proposed per cycle")
        axes.set_ylabel("EWIF")
    return _described(found, "EWIF against draft length of each draft alone; the chosen cascade "
                             f"has EWIF {chosen['ewif']:.3f}")  # fmt: skip


def marker(model: int) -> str:
    """Matplotlib marker of a draft's curve."""
    return MARKERS[(model - 1) % len(MARKERS)]


_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}


@contextmanager
def _figure(name: str, height: float) -> Iterator[tuple[Any, list[str]]]:
    """Figure to draw on; afterwards the list holds it as SVG."""
    from matplotlib import style
    from matplotlib.figure import Figure

    found: list[str] = []
    with style.context(["default", {**SETTINGS, "svg.hashsalt": name}]), warnings.catch_warnings():
        # the reader's browser has the letters that matplotlib's own font lacks
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = Figure((WIDTH, height), layout="constrained")
        yield figure, found
        page = StringIO()
        figure.savefig(page, format="svg", metadata={"Date": None})
    found.append(_inline(name, page.getvalue()))


def _inline(name: str, svg: str) -> str:
    """Cut a stand-alone SVG down to an element of a page: own ids, page's font and colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<= )(xmlns(:\w+)?|version|width|height)="[^"]*"', "", svg, count=5)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: (?:(bold|\d+) )?([\d.]+px)[^;\"]*", _font, svg)  # before 3.10
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    for stand_in, colour in PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.strip()


def _font(match: re.Match[str]) -> str:
    return f"font-weight: {match[1] or 'normal'}; font-size: {match[2]}"


def _described(found: list[str], text: str) -> str:
    return found[0].replace("<svg", f'<svg role="img" aria-label="{html.escape(text)}"', 1)
