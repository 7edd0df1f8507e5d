"""Leviathan's Tables 2 and 4: expected speed-ups as printed, as computed, and as measured.

Leviathan, Kalman, Matias, ICML 2023, arXiv:2211.17192: T5-XXL (11B) with three T5 drafts, on
English to German (EnDe) and summaries (CNNDM), greedy (T 0) and sampled (T 1). Expected is the
paper's own column EXP; computed is Theorem 3.8 at its alpha, c and draft length; measured is its
column EMP. Expected and computed differ by the rounding of alpha and c, at most .066. Rates and
lengths of some rows are reconstructed from secondary sources (`cscalc.theory.published`).

Drawn by ``python paper_figs/fig_leviathan_tables.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, ORANGE, OUT, VERMILION, figure, plain_decoding, source

from cscalc import speculative_ewif
from cscalc.theory.published import LEVIATHAN_TABLES_2_AND_4

NAME = Path(__file__).stem
ALT = """Dot chart with twelve rows, one for each T5 draft, task and temperature. In each row the
expected speed-up of the paper and the computed one coincide within a tenth; the measured one is
up to .7 higher for small drafts and up to .8 lower for large ones."""


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute the expected speed-up of each row.

    Returns
    -------
    dict
        ``expected``, ``computed`` and ``measured`` (12,), ratios to plain decoding.
    """
    rows = LEVIATHAN_TABLES_2_AND_4
    computed = speculative_ewif(
        [row.alpha for row in rows], [row.cost for row in rows], [row.length for row in rows]
    )
    return {
        "expected": np.array([row.expected for row in rows]),
        "computed": np.asarray(computed),
        "measured": np.array([row.measured for row in rows]),
    }


def claims() -> tuple[Claim, ...]:
    """Column EXP of each row; its inputs are rounded."""
    return claims_of(
        "arXiv:2211.17192, Tables 2 and 4, EXP",
        0.07,
        [
            (f"{row.task}, {row.draft}, T = {row.temperature:g}", row.expected, ours)
            for row, ours in zip(LEVIATHAN_TABLES_2_AND_4, data()["computed"], strict=True)
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw one line a row of the tables, in their order."""
    shown = data()
    heights = np.arange(len(LEVIATHAN_TABLES_2_AND_4))[::-1] * 1.0
    heights += 0.5 * (heights > 5)  # a gap between the tasks
    with figure(NAME, folder, width=8.6, height=6.2) as drawn:
        axes = drawn.subplots()
        axes.hlines(heights, shown["computed"], shown["measured"], color="#BBBBBB", linewidth=1.4)
        axes.plot(
            shown["expected"], heights, "s", color=ORANGE, markersize=11,
            label="expected, as printed",
        )  # fmt: skip
        axes.plot(
            shown["computed"], heights, "o", color=BLUE, markersize=6, label="expected, computed"
        )
        axes.plot(
            shown["measured"], heights, "D", color=VERMILION, markerfacecolor="white",
            markersize=7, label="measured, as printed",
        )  # fmt: skip
        labels = [
            f"{row.task}  {row.draft:5}  T {row.temperature:g}  "
            rf"$\alpha$ {row.alpha:.2f}  $c$ {row.cost:.2f}  {row.length} tokens"
            for row in LEVIATHAN_TABLES_2_AND_4
        ]
        axes.set_yticks(heights, labels=labels, fontsize=10)
        axes.grid(visible=False, axis="y")
        plain_decoding(axes, vertical=True)
        axes.set(xlim=(0.8, 3.6), ylim=(-0.7, heights[0] + 0.7), xlabel="speed-up")
        axes.text(1.02, -0.55, "plain decoding", fontsize=9.5)
        drawn.legend(loc="outside upper center", ncols=3)
        source(drawn, "Leviathan et al., arXiv:2211.17192, Tables 2 and 4; computed: Theorem 3.8.")


if __name__ == "__main__":
    main()
