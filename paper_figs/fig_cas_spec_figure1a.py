"""CAS-Spec's Figure 1a: three methods without training, by size of the target.

Ning et al., NeurIPS 2025, arXiv:2510.26843: Vicuna on Spec-Bench, H100. Prompt lookup (PLD) beats
the layer-skip draft (SWIFT) at every size, which is the paper's starting point; SWIFT gains with
size. Published values only: the paper prints neither acceptance rates nor costs by size.

Drawn by ``python paper_figs/fig_cas_spec_figure1a.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, ORANGE, OUT, PURPLE, figure, plain_decoding, source

from cscalc.theory.published import CAS_SPEC_TABLE_1

NAME = Path(__file__).stem
ALT = """Bar chart of speed-ups for Vicuna 7B, 13B and 33B. Lookahead 1.27, 1.20, 1.23; SWIFT
1.06, 1.12, 1.21; prompt lookup 1.54, 1.46, 1.38."""
FIGURE_1A = {  # as printed over the bars
    "Lookahead": (1.2744, 1.1964, 1.2288),
    "SWIFT": (1.0643, 1.1191, 1.2059),
    "PLD": (1.5389, 1.4585, 1.3848),
}
SIZES = ("7B", "13B", "33B")
COLOURS = {"Lookahead": PURPLE, "SWIFT": BLUE, "PLD": ORANGE}


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Return the bars, and the same numbers as the paper's main table has them.

    Returns
    -------
    dict
        ``speedup`` and ``table`` (3, 3), ratios to plain decoding, method by size.
    """
    overall = {(row.method, row.size): row.overall for row in CAS_SPEC_TABLE_1}
    return {
        "speedup": np.array(list(FIGURE_1A.values())),
        "table": np.array([[overall[m, size] for size in SIZES] for m in FIGURE_1A]),
    }


def claims() -> tuple[Claim, ...]:
    """The figure's bars are the overall column of Table 1."""
    shown = data()
    return claims_of(
        "arXiv:2510.26843, Figure 1a, against Table 1 as this program has it",
        0.00055,
        [
            (f"{method}, {size}", shown["speedup"][i, j], shown["table"][i, j])
            for i, method in enumerate(FIGURE_1A)
            for j, size in enumerate(SIZES)
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw three bars a size."""
    shown = data()
    with figure(NAME, folder, width=7.2, height=4.2) as drawn:
        axes = drawn.subplots()
        for i, (method, colour) in enumerate(COLOURS.items()):
            places = np.arange(3) + 0.27 * (i - 1)
            axes.bar(places, shown["speedup"][i], width=0.25, color=colour, label=method)
            for place, value in zip(places, shown["speedup"][i], strict=True):
                axes.text(place, value + 0.02, f"{value:.2f}", ha="center", fontsize=10)
        axes.set_xticks(range(3), labels=[f"Vicuna-{size}" for size in SIZES])
        plain_decoding(axes)
        axes.text(2.44, 1.02, "plain", fontsize=9.5)
        axes.grid(visible=False, axis="x")
        axes.set(ylabel="speed-up", ylim=(0.0, 1.9), xlim=(-0.5, 2.75))
        axes.legend(loc="upper right", ncols=3)
        source(drawn, "CAS-Spec, arXiv:2510.26843, Figure 1a: Spec-Bench, H100. Published values.")


if __name__ == "__main__":
    main()
