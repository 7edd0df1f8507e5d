"""CS Drafting's Table 1: its simulated EWIF beside what the theorems give.

Chen et al., "Cascade Speculative Drafting", NeurIPS 2024, arXiv:2312.11462, Corollary 4.2 and
Theorem 4.5. The paper does not print the acceptance rates and costs behind the table; they were
recovered (`cscalc.theory.published`): costs are ratios of parameter counts.

Drawn by ``python paper_figs/fig_cs_drafting_table1.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, ORANGE, OUT, figure, plain_decoding, source

from cscalc import horizontal_ewif
from cscalc.theory.published import (
    CS_DRAFTING_TABLE_1,
    CS_DRAFTING_TABLE_1_ALPHAS,
    CS_DRAFTING_TABLE_1_COSTS,
)

NAME = Path(__file__).stem
ALT = """Bar chart of six pairs, published and computed EWIF of single drafts and horizontal
cascades on CNNDM and EnDe, from 2.65 to 3.93; the bars of a pair are equal to the eye."""


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute the six values of the table.

    Returns
    -------
    dict
        ``published`` and ``computed`` (6,), EWIF in the table's order.
    """
    computed = [
        horizontal_ewif(
            [CS_DRAFTING_TABLE_1_ALPHAS[row.data][draft] for draft in row.drafts],
            [CS_DRAFTING_TABLE_1_COSTS[draft] for draft in row.drafts],
            row.lengths,
        )
        for row in CS_DRAFTING_TABLE_1
    ]
    return {
        "published": np.array([row.ewif for row in CS_DRAFTING_TABLE_1]),
        "computed": np.array(computed, dtype=np.float64),
    }


def claims() -> tuple[Claim, ...]:
    """All six values; the first is not rounded to nearest."""
    shown = data()
    return claims_of(
        "arXiv:2312.11462, Table 1",
        0.006,
        [
            (f"{row.data}, {', '.join(row.drafts)}", known, ours)
            for row, known, ours in zip(
                CS_DRAFTING_TABLE_1, shown["published"], shown["computed"], strict=True
            )
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw one pair of bars a row."""
    shown = data()
    rows = np.arange(len(CS_DRAFTING_TABLE_1))[::-1]
    with figure(NAME, folder, width=7.6, height=4.9) as drawn:
        axes = drawn.subplots()
        for name, shift, colour in (("published", 0.2, ORANGE), ("computed", -0.2, BLUE)):
            axes.barh(rows + shift, shown[name], height=0.36, color=colour, label=name)
            for row, value in zip(rows, shown[name], strict=True):
                axes.text(
                    value + 0.04, row + shift, f"{value:.{2 if name == 'published' else 4}f}",
                    va="center", fontsize=10,
                )  # fmt: skip
        labels = [
            f"{row.data}: " + ", ".join(
                f"{draft} {length}" for draft, length in zip(row.drafts, row.lengths, strict=True)
            )
            for row in CS_DRAFTING_TABLE_1
        ]  # fmt: skip
        axes.set_yticks(rows, labels=labels)
        axes.grid(visible=False, axis="y")
        plain_decoding(axes, vertical=True)
        axes.text(1.03, rows[0] + 0.55, "plain decoding", fontsize=9.5, va="bottom")
        axes.set(xlim=(0.0, 4.6), ylim=(-0.6, rows[0] + 0.9), xlabel="EWIF")
        axes.legend(loc="lower left", bbox_to_anchor=(0.55, 1.0), ncols=2, borderaxespad=0.1)
        source(
            drawn,
            "CS Drafting, arXiv:2312.11462, Table 1 (drafts and their lengths).\n"
            "Rates and costs recovered: the paper does not print them.",
        )


if __name__ == "__main__":
    main()
