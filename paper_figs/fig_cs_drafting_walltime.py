"""CS Drafting's Tables 3 and 4: measured tokens per second, as speed-ups.

Chen et al., "Cascade Speculative Drafting", NeurIPS 2024, arXiv:2312.11462: Vicuna-7B with a
draft of 68M parameters, greedy, on one A40. Published values only: the paper prints no acceptance
rate and no measured cost for this pair, so nothing can be predicted. What can be computed is the
rate that the plain draft needs: with c = 68/7000 (ratio of parameters) and the best draft length,
a speed-up of 1.33 on GSM8K asks for a rate of only .27. Either the draft is that weak, or a pass
of it costs more than its share of the parameters; the paper's numbers cannot tell which.

Drawn by ``python paper_figs/fig_cs_drafting_walltime.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from scipy.optimize import brentq
from style import BLUE, GREEN, GREY, ORANGE, OUT, PURPLE, figure, plain_decoding, source

from cscalc import optimal_length, speculative_ewif
from cscalc.theory.published import CS_DRAFTING_TABLE_3, CS_DRAFTING_TABLE_4
from cscalc.theory.swi import ewif_from_speed

NAME = Path(__file__).stem
ALT = """Two bar charts of speed-ups over plain decoding. Left, GSM8K and MMLU: one draft 1.33 and
1.32, CS Drafting 1.70 and 1.68, Medusa 1.86 and 1.70, CS Drafting with a tree 1.91 and 1.91.
Right, the ablation on GSM8K: lengths K00 of 1, 2, 3 give 1.68, 1.66, 1.61; without horizontal
cascade 1.61."""
COST = 68 / 7000
METHODS = {"SD": GREY, "CSD": BLUE, "Medusa": PURPLE, "CSD + tree": GREEN}
PLAIN = "GSM8K"  # Table 4 is on GSM8K; plain decoding as in Table 3


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Turn tokens per second into speed-ups.

    Returns
    -------
    dict
        ``speedup`` (2, 4), GSM8K and MMLU by `METHODS`; ``ablation`` (4,), Table 4 in its order;
        ``needed`` (2,), the rate at which one draft at `COST` gives the speed-up of SD.
    """
    speedup = np.array(
        [
            [float(ewif_from_speed(row[method], 1.0 / row["AR"])) for method in METHODS]
            for row in CS_DRAFTING_TABLE_3.values()
        ]
    )
    seconds = 1.0 / CS_DRAFTING_TABLE_3[PLAIN]["AR"]
    return {
        "speedup": speedup,
        "ablation": np.asarray(ewif_from_speed(list(CS_DRAFTING_TABLE_4.values()), seconds)),
        "needed": np.array([_needed(value) for value in speedup[:, 0]]),
    }


def _needed(speedup: float) -> float:
    """Acceptance rate at which the best draft length at `COST` gives `speedup`."""

    def gap(alpha: float) -> float:
        length = optimal_length(alpha, COST)
        return float(speculative_ewif(alpha, COST, length)) - speedup

    return float(brentq(gap, COST, 0.99, xtol=1e-12))


def claims() -> tuple[Claim, ...]:
    """No formula stands behind these tables; their speed-ups are quotients of what is printed."""
    shown = data()
    return claims_of(
        "arXiv:2312.11462, Table 3 by hand",
        0.0051,
        [
            ("GSM8K, SD", 1.33, shown["speedup"][0, 0]),
            ("GSM8K, CSD", 1.70, shown["speedup"][0, 1]),
            ("MMLU, CSD with a tree", 1.91, shown["speedup"][1, 3]),
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw both tables as bars."""
    shown = data()
    with figure(NAME, folder, width=9.6, height=4.4) as drawn:
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for j, (method, colour) in enumerate(METHODS.items()):
            places = np.arange(2) + 0.2 * (j - 1.5)
            left.bar(places, shown["speedup"][:, j], width=0.19, color=colour, label=method)
            for place, value in zip(places, shown["speedup"][:, j], strict=True):
                left.text(place, value + 0.02, f"{value:.2f}", ha="center", fontsize=9.5)
        left.set_xticks([0, 1], labels=list(CS_DRAFTING_TABLE_3))
        left.legend(loc="upper left", ncols=4, fontsize=9.5, columnspacing=1.2, handlelength=1.2)
        left.set(title="Table 3", ylabel="speed-up", ylim=(0.0, 2.4))
        right.bar(range(4), shown["ablation"], width=0.55, color=[BLUE] * 3 + [ORANGE])
        for place, value in enumerate(shown["ablation"]):
            right.text(place, value + 0.02, f"{value:.2f}", ha="center", fontsize=9.5)
        names = [
            name.replace("no horizontal cascade", "no hori-\nzontal")
            for name in CS_DRAFTING_TABLE_4
        ]
        right.set_xticks(range(4), labels=names, fontsize=10)
        right.set_title("Table 4: ablation of CSD on GSM8K")
        for axes in (left, right):
            plain_decoding(axes)
            axes.grid(visible=False, axis="x")
        source(
            drawn,
            "CS Drafting, arXiv:2312.11462: Vicuna-7B, 68M draft, A40, greedy. Published values; "
            "no acceptance rate is printed to predict from.",
        )


if __name__ == "__main__":
    main()
