"""Effective bounds: the dearest draft d1 that still pays over d2 alone, and our measured point.

After CAS-Spec's Figures 1b (vertical) and 1c (horizontal): Ning et al., NeurIPS 2025,
arXiv:2510.26843, Eq. 3; five acceptance rates of d2, which costs .01 target passes.

The point is the draft `mid` over Max-Gram with SmolLM2-135M on a CPU, and the dotted curve is the
bound for that Max-Gram. Both are read from benchmarks/records/demo-report.json, which
``python -m validate demo --out demo-output`` wrote (as report.json). Acceptance rates are means
over its eight tasks. Two things are assumed, as in the paper: d1 accepts Max-Gram's tokens at the
target's rate, and verifying costs one target pass whatever the number of tokens.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from style import BLACK, CYCLE, GREY, OUT, figure, source

from cscalc import effective_bound

NAME = Path(__file__).stem
RECORD = Path(__file__).resolve().parents[1] / "benchmarks" / "records" / "demo-report.json"
ALPHA_D2 = (0.1, 0.2, 0.3, 0.5, 0.8)
COST_D2 = 0.01
MAX_GRAM_LENGTH = 10  # tokens per call, as in CS Drafting (arXiv:2312.11462)
KINDS = ("vertical", "horizontal")
SWIFT = (0.67, 0.81, 0.55, 0.63)  # quartiles of alpha, range of c: read off the paper's plot


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute the bounds; keys are those of the picture.

    Returns
    -------
    dict
        ``alpha_d1`` (99,); ``alpha_d2`` (5,); ``vertical`` and ``horizontal`` (5, 99), in target
        passes, 0 where no positive cost pays; ``own_vertical`` and ``own_horizontal`` (99,), the
        same for the measured Max-Gram; ``point`` (2,), alpha and cost of `mid`; ``own_d2`` (2,),
        those of Max-Gram.
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    names = record["names"]
    rates = np.mean([task["alphas"] for task in record["tasks"]], axis=0)  # (drafts,)
    times = record["cycle"]["predicted"]  # each of the two drafts is called once in a cycle
    mid, max_gram = (names.index(name) - 1 for name in ("mid", "max-gram"))
    alpha_d1 = np.arange(1, 100) / 100.0
    found = {
        "alpha_d1": alpha_d1,
        "alpha_d2": np.array(ALPHA_D2),
        "point": np.array([rates[mid], times["mid"]]),
        "own_d2": np.array([rates[max_gram], times["max-gram"]]),
    }
    for kind in KINDS:
        found[kind] = np.asarray(
            effective_bound(kind, alpha_d1, found["alpha_d2"][:, None], COST_D2)
        )
        found[f"own_{kind}"] = np.asarray(
            effective_bound(
                kind, alpha_d1, *found["own_d2"], one_shot=True, max_length=MAX_GRAM_LENGTH
            )
        )
    return found


def _apart(heights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Heights of labels, lowered from the top where two would overlap."""
    apart = heights.copy()
    for row in range(1, len(apart)):  # from the highest curve down
        apart[row] = min(apart[row], apart[row - 1] - 0.05)
    return apart


def _positive(bound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(bound > 0.0, bound, np.nan)


def main(folder: Path = OUT) -> None:
    """Draw both panels."""
    shown = data()
    with figure(NAME, folder, width=10.2, height=5.0) as drawn:
        for axes, kind in zip(drawn.subplots(1, 2, sharey=True), KINDS, strict=True):
            heights = _apart(shown[kind][:, -1])
            for row, (alpha, colour) in enumerate(zip(ALPHA_D2, CYCLE, strict=True)):
                axes.plot(shown["alpha_d1"], _positive(shown[kind][row]), color=colour)
                axes.text(
                    1.01, heights[row], f"{alpha:g}", va="center", color=colour, weight="bold"
                )
            axes.plot(
                shown["alpha_d1"], _positive(shown[f"own_{kind}"]), color=BLACK,
                linestyle=(0, (1, 1.5)), linewidth=1.6,
                label=rf"bound over our Max-Gram: $\alpha$ {shown['own_d2'][0]:.2f}, "
                rf"$c$ {shown['own_d2'][1]:.4f}",
            )  # fmt: skip
            axes.plot(
                *shown["point"], "*", color=BLACK, markersize=14,
                label=rf"our draft mid: $\alpha$ {shown['point'][0]:.2f}, "
                rf"$c$ {shown['point'][1]:.2f}",
            )  # fmt: skip
            left, right, low, high = SWIFT
            axes.fill(
                [left, right, right, left], [low, low, high, high], color=GREY, alpha=0.35,
                linewidth=0, label="SWIFT in the paper (approximate)",
            )  # fmt: skip
            axes.text(1.01, 1.04, r"$\alpha_{d2}$", va="center")
            axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0))
            axes.set_xlabel(r"acceptance rate of d1, $\alpha_{d1}$")
        vertical, horizontal = drawn.axes
        vertical.set_title("Vertical cascade (Fig. 1b): d1 reviews d2")
        horizontal.set_title("Horizontal cascade (Fig. 1c): d1, then d2")
        vertical.set_ylabel("largest cost of d1 that pays, $c_{d1}$ (target passes)")
        vertical.legend(loc="upper left", fontsize=9.5)
        source(
            drawn,
            r"Below a curve, the best cascade of d1 and d2 beats the best use of d2 alone; "
            r"$c_{d2}$ = .01 on the coloured curves. After CAS-Spec, arXiv:2510.26843, Eq. 3.",
        )


if __name__ == "__main__":
    main()
