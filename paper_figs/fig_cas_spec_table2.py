"""CAS-Spec's Table 2: tokens per cycle against speed-up, and the cycle cost between them.

Ning et al., NeurIPS 2025, arXiv:2510.26843, Vicuna-7B. Tokens over speed-up is what a cycle costs
in target passes, all overhead in it: EWIF read backwards. Prompt lookup (PLD) emits fewest tokens
and pays almost nothing; SWIFT's layer-skip tree emits three tokens and pays 2.8 passes for them;
CAS-Spec turns .4 tokens more into half as much again. Published values; rates and costs are not
printed, so the cycle costs cannot be predicted. "Mean accepted tokens" is taken to hold the extra
token.

Drawn by ``python paper_figs/fig_cas_spec_table2.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, GREY, ORANGE, OUT, figure, source

from cscalc.theory.published import CAS_SPEC_TABLE_1, CAS_SPEC_TABLE_2

NAME = Path(__file__).stem
ALT = """Scatter chart of seven methods, tokens per cycle from 1.7 to 4.4 against speed-up from
1.06 to 2.2, over lines of equal cycle cost. Prompt lookup costs 1.14 target passes a cycle,
Medusa 1.4, SD 1.6, EAGLE 1.7, EAGLE-2 2.0, CAS-Spec 2.2 and SWIFT 2.8."""
TRAINED = ("SD, 68M draft", "Medusa", "EAGLE", "EAGLE-2")
LINES = (1.0, 1.5, 2.0, 2.5, 3.0)
SHIFTS = {"PLD": (0, 10, "center"), "SD, 68M draft": (9, -4, "left")}


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Return the table and the cycle cost it implies.

    Returns
    -------
    dict
        ``tokens``, ``speedup``, ``cycle_cost`` (7,): tokens per cycle, ratio to plain decoding,
        target passes.
    """
    tokens, speedup = np.array(list(CAS_SPEC_TABLE_2.values())).T
    return {"tokens": tokens, "speedup": speedup, "cycle_cost": tokens / speedup}


def claims() -> tuple[Claim, ...]:
    """The three methods that Table 1 has too."""
    overall = {row.method: row.overall for row in CAS_SPEC_TABLE_1 if row.size == "7B"}
    return claims_of(
        "arXiv:2510.26843, Table 2, speed-up, against its Table 1",
        0.0051,
        [
            (name, CAS_SPEC_TABLE_2[name][1], overall[name])
            for name in ("PLD", "SWIFT", "CAS-Spec")
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw the methods over lines of equal cycle cost."""
    shown = data()
    with figure(NAME, folder, width=7.4, height=5.0) as drawn:
        axes = drawn.subplots()
        tokens = np.array([1.0, 5.0])
        for cost in LINES:
            axes.plot(tokens, tokens / cost, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
            end = min(4.72, 2.42 * cost)
            axes.text(
                end, end / cost, f"{cost:g}", color=GREY, fontsize=9.5, ha="center", va="center",
                backgroundcolor="white",
            )  # fmt: skip
        for i, name in enumerate(CAS_SPEC_TABLE_2):
            trained = name in TRAINED
            axes.plot(
                shown["tokens"][i], shown["speedup"][i], "s" if trained else "o", markersize=9,
                color=ORANGE if trained else BLUE,
                label={"Medusa": "trained drafts", "PLD": "no training"}.get(name),
            )  # fmt: skip
            dx, dy, align = SHIFTS.get(name, (9, -4, "left"))
            axes.annotate(
                f"{name} ({shown['cycle_cost'][i]:.2f})",
                (shown["tokens"][i], shown["speedup"][i]), (dx, dy),
                textcoords="offset points", ha=align,
            )  # fmt: skip
        axes.set(xlim=(1.0, 5.2), ylim=(0.9, 2.5), ylabel="speed-up")
        axes.set_xlabel("tokens per cycle; dashed lines and brackets: target passes a cycle costs")
        axes.legend(loc="upper left")
        source(drawn, "CAS-Spec, arXiv:2510.26843, Table 2: Vicuna-7B, Spec-Bench, H100.")


if __name__ == "__main__":
    main()
