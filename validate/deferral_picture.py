"""The front of speed and loss as a picture."""

from pathlib import Path

from cscalc.fronts import FrontPoint
from cscalc.theory.deferral_rates import RULES
from validate.deferral_report import DeferralReport

# Paul Tol's muted scheme for all kinds of colour vision (personal.sron.nl/~pault), and black:
# one for each rule, whatever else is in the picture. Grey is for decoding without a rule.
COLOURS = (
    "#332288", "#000000", "#117733", "#88CCEE", "#AA4499", "#999933", "#882255", "#44AA99",
    "#DDCC77", "#CC6677",
)  # fmt: skip
MARKS = "oh^Dv<>Pps"
OTHERS = {"plain": ("#777777", "X"), "lossless": ("#777777", "*")}


def style_of(rule: str) -> tuple[str, str]:
    """Colour and mark of a rule, the same in every picture.

    Examples
    --------
    >>> style_of("chow")
    ('#332288', 'o')
    """
    if rule in OTHERS:
        return OTHERS[rule]
    place = list(RULES).index(rule)
    return COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]


def draw_front(report: DeferralReport, path: str | Path) -> None:
    """Draw expected and measured speed over the loss under the target, and write a PNG.

    Left: expected extra log-loss and EWIF, with intervals. Right: measured perplexity and
    speed-up, with intervals. A rule has the same colour and mark in every
    picture; open marks are sequential.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    rules = sorted({p.rule for p in report.front.points if p.threshold is not None})
    style = {rule: style_of(rule) for rule in (*rules, *OTHERS)}
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
        Line2D([], [], color=colour, marker=mark, ls="", label=rule)
        for rule, (colour, mark) in style.items()
    ]
    handles.append(
        Line2D([], [], color="#555555", marker="o", mfc="none", ls="", label="open: sequential")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def _ends(value: float, low: float, high: float) -> list[list[float]]:
    return [[max(0.0, value - low)], [max(0.0, high - value)]]
