"""One look for every figure, and files that are the same bytes whenever they are drawn."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OUT = Path(__file__).resolve().parent / "out"

# Okabe and Ito's palette for all kinds of colour vision (jfly.uni-koeln.de/color), without yellow,
# which is lost on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#767676"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY)
DASHES = ("-", (0, (6, 1.5)), (0, (3, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1.2)))
SERIES = tuple(zip((BLUE, VERMILION, GREEN, PURPLE, BLACK), DASHES, strict=True))
"""Colour and dash of lines that carry a label far away: they differ in grey too."""

SETTINGS = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text, which journals ask for
    "svg.hashsalt": "cscalc",  # ids drawn by chance otherwise
}


@contextmanager
def figure(name: str, folder: Path = OUT, *, width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure of `width` by `height` inches; save it as PDF and PNG on leaving.

    Nothing of the caller's matplotlib settings reaches the figure, and no date reaches the files.
    A warning of matplotlib (what does not fit, a glyph that is missing) is an error.
    """
    with warnings.catch_warnings(), matplotlib.style.context(["default", SETTINGS]):
        warnings.simplefilter("error")
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn
        folder.mkdir(parents=True, exist_ok=True)
        drawn.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        drawn.savefig(folder / f"{name}.png", dpi=130)


def source(drawn: Figure, text: str) -> None:
    """Write where the numbers come from under the figure."""
    drawn.supxlabel(text, x=0.01, ha="left", fontsize=9, color=GREY)


def plain_decoding(axes: Axes, *, vertical: bool = False) -> None:
    """Mark the value 1, at which a cascade is as fast as plain decoding."""
    line = axes.axvline if vertical else axes.axhline
    line(1.0, color=BLACK, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
