"""The front of speed and loss as a picture."""

from pathlib import Path

from cscalc.fronts import FrontPoint
from validate.deferral_report import DeferralReport

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKS = "os^Dv<>Pp*"


def draw_front(report: DeferralReport, path: str | Path) -> None:
    """Draw expected and measured speed over the loss under the target, and write a PNG.

    Left: expected extra log-loss and EWIF, with intervals. Right: measured perplexity and
    speed-up, with intervals. Rules keep colour and mark; open marks are sequential.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rules = sorted({p.rule for p in report.front.points if p.threshold is not None})
    style = {
        rule: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, rule in enumerate(rules)
    }
    style |= {"plain": ("#555555", "X"), "lossless": ("#555555", "*")}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
    for point in report.front.points:
        colour, mark = style[point.rule]
        filled = colour if point.execution == "speculative" or point.threshold is None else "none"
        left.errorbar(
            point.loss, point.ewif,
            xerr=_ends(point.loss, point.loss_low, point.loss_high),
            yerr=_ends(point.ewif, point.ewif_low, point.ewif_high),
            color=colour, marker=mark, mfc=filled, ms=7, lw=0.6,
        )  # fmt: skip
    line: list[FrontPoint] = list(report.front.front)
    left.step(
        [p.loss for p in line],
        [p.ewif for p in line],
        where="post",
        color="#999999",
        lw=1,
        zorder=0,
    )  # fmt: skip
    left.set(xlabel="expected extra log-loss under the target, nats a token",
             ylabel="expected speed-up over plain decoding", title="Expected")  # fmt: skip
    for row in report.rows:
        rule, _, rest = row.side.partition(":")
        colour, mark = style[rule]
        filled = "none" if rest.endswith("sequential") else colour
        right.errorbar(
            row.perplexity, row.speed_up,
            xerr=_ends(row.perplexity, row.perplexity_low, row.perplexity_high),
            yerr=_ends(row.speed_up, row.low, row.high),
            color=colour, marker=mark, mfc=filled, ms=7, lw=0.6,
        )  # fmt: skip
    right.set(xlabel="perplexity of the text under the target",
              ylabel="measured speed-up over plain decoding", title="Measured")  # fmt: skip
    for axes in (left, right):
        axes.axhline(1.0, color="#999999", lw=0.6, ls=":")
        axes.spines[["top", "right"]].set_visible(False)
    handles = [
        plt.Line2D([], [], color=colour, marker=mark, ls="", label=rule)
        for rule, (colour, mark) in style.items()
    ]
    handles.append(
        plt.Line2D(
            [], [], color="#555555", marker="o", mfc="none", ls="", label="open: sequential"
        )
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _ends(value: float, low: float, high: float) -> list[list[float]]:
    return [[max(0.0, value - low)], [max(0.0, high - value)]]
