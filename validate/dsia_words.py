"""What a table of DSIA settings says, in a table for the terminal and in sentences."""

from typing import TYPE_CHECKING

from validate.dsia_table import DsiaTable, Over, Point

if TYPE_CHECKING:
    from rich.console import Console

HEAD = ("setting", "accepted", "cost", "bound\nVC, HC", "too\ndear by", "must be\naccepted",
        "EWIF\nwith", "EWIF\nwithout")  # fmt: skip
SMALL = 0.01  # a gain in EWIF below this is none


def recommendation(table: DsiaTable) -> list[str]:
    """Sentences: which setting to use, and for each other how far it is from paying.

    Parameters
    ----------
    table : DsiaTable

    Returns
    -------
    list of str
        The first sentence is the recommendation.

    Examples
    --------
    >>> from cscalc.profile import Profile
    >>> from validate.dsia_table import dsia_table
    >>> profile = Profile([0.63, 0.2], [0.87, 0.001], one_shot=[2],
    ...                   names=["target", "skip:4,8,12,16", "max-gram"])
    >>> for sentence in recommendation(dsia_table(profile)):
    ...     print(sentence)
    No DSIA setting pays on target: use max-gram alone (predicted EWIF 1.25).
    skip:4,8,12,16 does not pay: it costs 0.87 target passes, 0.44 more than the bound of 0.43 \
at its acceptance rate of 0.63 over max-gram; at this cost it would need a rate of 0.97.
    """
    best = max(
        ((over, point) for point in table.points for over in point.over),
        key=lambda both: both[0].ewif,
    )
    over, point = best
    alone = max(one.ewif_without for p in table.points for one in p.over)
    if over.ewif > alone + SMALL:
        first = (
            f"Use {point.name} with {over.bottom}: {over.cascade}, predicted EWIF {over.ewif:.2f} "
            f"against {alone:.2f} for {over.bottom} alone."
        )
    else:
        holder = max((o for p in table.points for o in p.over), key=lambda o: o.ewif_without)
        rest = (
            f"use {holder.bottom} alone (predicted EWIF {alone:.2f})"
            if alone > 1.0 + SMALL else "decode plainly, or train a draft"
        )  # fmt: skip
        first = f"No DSIA setting pays on {table.target}: {rest}."
    return [first, *(_verdict(p, _nearest(p)) for p in table.points)]


def print_table(table: DsiaTable, console: "Console") -> None:
    """Print the points, their bounds and the recommendation.

    Raises
    ------
    ValueError
        Never; the table was checked when it was made.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for place, (name, (alpha, cost)) in enumerate(table.bottoms.items()):
        title = (
            f"DSIA settings of {table.target} over {name} (accepted {alpha:.2f}, cost {cost:.4f})"
        )
        shown = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left",
                      padding=(0, 1, 0, 0))  # fmt: skip
        for column in HEAD:
            left = column == HEAD[0]
            shown.add_column(column, justify="left" if left else "right", overflow="fold",
                             width=15 if left else None)  # fmt: skip
        for point in table.points:
            over = point.over[place]
            needed, gap = over.least_alpha, point.cost - over.best_bound
            shown.add_row(
                Text(point.name), f"{point.alpha:.2f}\n\\[{point.low:.2f},\u00a0{point.high:.2f}]",
                f"{point.cost:.2f}",
                f"{_cost(over.bound['vertical'])}, {_cost(over.bound['horizontal'])}",
                f"{gap:.2f}" if gap > 0.0 else "-",
                "none" if needed is None else f"{needed:.2f}",
                f"{over.ewif:.2f}", f"{over.ewif_without:.2f}",
            )  # fmt: skip
        console.print(shown)
    console.print(
        "Bound: the largest cost that pays at this acceptance rate in a vertical (VC) and a "
        "horizontal cascade (HC) with the bottom draft (CAS-Spec, Eq. 3; a verification costs "
        "one pass). EWIF: with the measured cost of wider passes.", style="dim",
    )  # fmt: skip
    for i, sentence in enumerate(recommendation(table)):
        console.print(sentence, style="bold" if i == 0 else "", markup=False, highlight=False)


def _cost(bound: float) -> str:
    return f"{bound:.2f}" if bound > 0.0 else "no"


def _nearest(point: Point) -> Over:
    """The bottom draft with which the setting fares best."""
    return max(point.over, key=lambda over: over.ewif - over.ewif_without)


def _verdict(point: Point, over: Over) -> str:
    gap = point.cost - over.best_bound
    measured = f"at its acceptance rate of {point.alpha:.2f} over {over.bottom}"
    gain = over.ewif - over.ewif_without
    if gap > 0.0:
        needed = over.least_alpha
        cure = (
            "no acceptance rate would do"
            if needed is None
            else f"it would need a rate of {needed:.2f}"
        )
        bound = (
            f"{gap:.2f} more than the bound of {over.best_bound:.2f}" if over.best_bound > 0.0
            else "and no positive cost pays"
        )  # fmt: skip
        return (
            f"{point.name} does not pay: it costs {point.cost:.2f} target passes, {bound} "
            f"{measured}; at this cost {cure}."
        )
    if gain <= SMALL:
        return (
            f"{point.name} is {-gap:.2f} under the bound of {over.best_bound:.2f} {measured}, but "
            f"here wider passes cost more than one, and it does not pay."
        )
    return (
        f"{point.name} pays: it costs {point.cost:.2f} target passes, {-gap:.2f} under the bound "
        f"of {over.best_bound:.2f} {measured}; predicted EWIF {over.ewif:.2f} against "
        f"{over.ewif_without:.2f}."
    )
