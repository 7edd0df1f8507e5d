"""Effective bounds with measured DSIA settings on them, after CAS-Spec's Figures 1b and 1c."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cscalc.theory.effective import effective_bound
from validate.dsia_table import KINDS, LENGTH, DsiaTable

PAPER_ALPHAS = (0.1, 0.3, 0.5, 0.8)  # of d2, at a cost of .01: the paper's curves, but for one
PAPER_COST = 0.01
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>"
GREY = "#8A8A8A"
TITLES = {
    "vertical": "Vertical: the setting reviews d2",
    "horizontal": "Horizontal: the setting, then d2",
}


def draw(table: DsiaTable, path: str | os.PathLike[str]) -> None:
    """Draw bounds and points to `path` (.png, .pdf or .svg).

    Parameters
    ----------
    table : DsiaTable
    path : path
        What it ends in gives the format.

    Raises
    ------
    ValueError
        If matplotlib does not know the format.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    alphas = np.arange(0, 201) / 200.0
    highest = max(1.08, 0.06 + max(point.cost for point in table.points))
    settings = {"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False,
                "axes.grid": True, "grid.color": "#E4E4E4", "axes.axisbelow": True,
                "axes.titlelocation": "left", "axes.titlesize": 11, "legend.frameon": False,
                "svg.hashsalt": "cscalc"}  # fmt: skip
    with matplotlib.style.context(["default", settings]):
        figure = Figure(figsize=(10.4, 6.0), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, kind in zip(panels, KINDS, strict=True):
            for alpha in PAPER_ALPHAS:
                curve = np.asarray(effective_bound(kind, alphas, alpha, PAPER_COST))
                axes.plot(alphas, _positive(curve), color=GREY, linewidth=0.9)
                axes.text(alpha + 0.012, 0.012, f"{alpha:g}", color=GREY, fontsize=8.5)
            for i, (name, (alpha, cost)) in enumerate(table.bottoms.items()):
                curve = effective_bound(kind, alphas, alpha, cost, one_shot=True,
                                        max_length=LENGTH)  # fmt: skip
                axes.plot(
                    alphas, _positive(np.asarray(curve)), color=COLOURS[i % len(COLOURS)],
                    linewidth=2.2,
                    linestyle="-" if i == 0 else (0, (4, 2)),
                    label=rf"bound over {name}: $\alpha$ {alpha:.2f}, $c$ {cost:.4f}",
                )  # fmt: skip
            for i, point in enumerate(table.points):
                colour = COLOURS[(i + 2) % len(COLOURS)]
                error = [[point.alpha - point.low], [point.high - point.alpha]]
                axes.errorbar(
                    point.alpha, point.cost, xerr=np.clip(error, 0.0, None), color=colour,
                    marker=MARKERS[i % len(MARKERS)], markersize=8, capsize=3, linestyle="none",
                    label=f"{_short(point.name)}: {point.alpha:.2f} at {point.cost:.2f}",
                )  # fmt: skip
            axes.set(xlim=(0.0, 1.0), ylim=(0.0, highest))
            axes.set_title(TITLES[kind])
            axes.set_xlabel(r"acceptance rate by the target, $\alpha_{d1}$")
        panels[0].set_ylabel("cost of a pass, $c_{d1}$ (target passes)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(
            f"DSIA settings of {table.target}: what lies under a bound of bottom draft d2 pays\n"
            r"Grey: bounds for $c_{d2}$ = .01 and the $\alpha_{d2}$ at their foot, after "
            "CAS-Spec, arXiv:2510.26843. Bars: 95 %.",
            x=0.01, ha="left", fontsize=10.5,
        )  # fmt: skip
        ending = Path(path).suffix
        dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        figure.savefig(path, dpi=130, metadata=dates.get(ending))


def _positive(bound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(bound > 0.0, bound, np.nan)


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"
