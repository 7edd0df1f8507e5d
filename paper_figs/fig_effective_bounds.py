"""Effective bounds: the dearest draft d1 that still pays over d2 alone, and our measured points.

After CAS-Spec's Figures 1b (vertical) and 1c (horizontal): Ning et al., NeurIPS 2025,
arXiv:2510.26843, Eq. 3; five acceptance rates of d2, which costs .01 target passes.

The stars are the drafts `mid` and `tiny` with SmolLM2-135M on a CPU, and the dotted curve is the
bound over its Max-Gram. All are read from benchmarks/records/demo-report.json, which ``python -m
validate demo --out demo-output`` wrote (as report.json). Acceptance rates are means over its
eight tasks; the cost of `tiny` follows from the record's EWIF of `mid` and `tiny` alone. Two
things are assumed, as in the paper: d1 accepts Max-Gram's tokens at the target's rate, and
verifying costs one target pass whatever the number of tokens. Drafts made of the target itself
(layer skip and its kin) are added, as crosses, once ``python -m validate dsia`` has written
benchmarks/records/dsia.json.

Drawn by ``python paper_figs/fig_effective_bounds.py``.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLACK, CYCLE, GREY, OUT, figure, source

from cscalc import effective_bound

NAME = Path(__file__).stem
ALT = """Two charts of the largest cost of d1 that pays over its acceptance rate, five curves each
for rates of d2 from .1 to .8. Vertical bounds are convex and reach .95 at rate 1; horizontal ones
are straight and reach .91 to .23. Our draft mid, rate .54 and cost .11, lies just below the
horizontal bound over our Max-Gram and above the vertical one; tiny, rate .31, lies above both."""
RECORDS = Path(__file__).resolve().parents[1] / "benchmarks" / "records"
RECORD = RECORDS / "demo-report.json"
SELF_DRAFTS = RECORDS / "dsia.json"  # what `python -m validate dsia` writes; may be absent
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
        same for the measured Max-Gram; ``point`` and ``tiny`` (2,), alpha and cost of `mid` and
        `tiny`; ``own_d2`` (2,), those of Max-Gram; ``self_drafts`` (n, 4), of the target's own:
        alpha, its 95 % interval, cost.
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    names = record["names"]
    rates = np.mean([task["alphas"] for task in record["tasks"]], axis=0)  # (drafts,)
    times = record["cycle"]["predicted"]  # each of the two drafts is called once in a cycle
    mid, tiny, max_gram = (names.index(name) - 1 for name in ("mid", "tiny", "max-gram"))
    alone = record["curves"]["single"]  # EWIF by length: (1 + alpha) / (V(2) + c) with one token
    verify = (1.0 + rates[mid]) / alone["mid"][0] - times["mid"]
    tiny_cost = (1.0 + rates[tiny]) / alone["tiny"][0] - verify
    alpha_d1 = np.arange(1, 100) / 100.0
    found = {
        "alpha_d1": alpha_d1,
        "alpha_d2": np.array(ALPHA_D2),
        "point": np.array([rates[mid], times["mid"]]),
        "tiny": np.array([rates[tiny], tiny_cost]),
        "self_drafts": _self_drafts(),
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


def _self_drafts() -> npt.NDArray[np.float64]:
    """Rate, its interval and cost of the target's own drafts, (n, 4); none without a record."""
    if not SELF_DRAFTS.exists():
        return np.empty((0, 4))
    record = json.loads(SELF_DRAFTS.read_text(encoding="utf-8"))
    if record.get("schema") != "validate/dsia":
        raise ValueError(
            f"{SELF_DRAFTS.name} must have schema validate/dsia, got {record.get('schema')}: "
            "write it with  python -m validate dsia"
        )
    rows = [[point[key] for key in ("alpha", "low", "high", "cost")] for point in record["points"]]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


TABLE_ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
TABLES = {  # by rate of d2; None: no positive cost pays
    "vertical": (
        (0.001, 0.095, 0.192, 0.290, 0.390, 0.492, 0.596, 0.701, 0.809, 0.878, 0.952),
        (None, 0.001, 0.074, 0.168, 0.265, 0.365, 0.470, 0.583, 0.734, 0.821, 0.927),
        (None, None, 0.001, 0.070, 0.151, 0.247, 0.362, 0.500, 0.664, 0.773, 0.905),
        (None, None, None, None, 0.004, 0.072, 0.175, 0.317, 0.517, 0.662, 0.855),
        (None, None, None, None, None, None, None, 0.008, 0.173, 0.371, 0.708),
    ),
    "horizontal": (
        (0.010, 0.110, 0.211, 0.312, 0.413, 0.514, 0.615, 0.716, 0.817, 0.868, 0.908),
        (None, 0.010, 0.109, 0.211, 0.313, 0.415, 0.517, 0.619, 0.721, 0.772, 0.812),
        (None, None, 0.010, 0.111, 0.212, 0.315, 0.418, 0.521, 0.624, 0.675, 0.717),
        (None, None, None, None, 0.010, 0.113, 0.218, 0.323, 0.428, 0.481, 0.523),
        (None, None, None, None, None, None, None, 0.010, 0.123, 0.179, 0.225),
    ),
}


def claims() -> tuple[Claim, ...]:
    """Eleven points of each curve: found by search, and within .01 of the paper's plot."""
    shown = data()
    return claims_of(
        "search of arXiv:2510.26843, Eq. 3, over all lengths to 80 and counts to 200; the curves "
        "of its Figures 1b and 1c, read off the plot, lie within .007 of these",
        6e-4,
        [
            (
                f"{kind}, alpha_d2 {rate:g}, alpha_d1 {alpha:g}",
                0.0 if known is None else known,
                curve[int(np.abs(shown["alpha_d1"] - alpha).argmin())],
            )
            for kind, table in TABLES.items()
            for rate, row, curve in zip(ALPHA_D2, table, shown[kind], strict=True)
            for alpha, known in zip(TABLE_ALPHAS, row, strict=True)
        ],
    )


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
    with figure(NAME, folder, width=10.4, height=5.4) as drawn:
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
            axes.plot(
                *shown["tiny"], "*", color="white", markeredgecolor=BLACK, markersize=14,
                label=rf"our draft tiny: $\alpha$ {shown['tiny'][0]:.2f}, "
                rf"$c$ {shown['tiny'][1]:.2f}",
            )  # fmt: skip
            if len(shown["self_drafts"]):
                alpha, low_alpha, high_alpha, cost = shown["self_drafts"].T
                axes.hlines(cost, low_alpha, high_alpha, color=BLACK, linewidth=0.8)
                axes.plot(
                    alpha, cost, "x", color=BLACK, markersize=8, markeredgewidth=2.0,
                    label="drafts of the target's own layers",
                )  # fmt: skip
            left, right, low, high = SWIFT
            axes.fill(
                [left, right, right, left], [low, low, high, high], color=GREY, alpha=0.35,
                linewidth=0, label="SWIFT in the paper (approximate)",
            )  # fmt: skip
            axes.text(1.01, 1.04, r"$\alpha_{d2}$", va="center")
            axes.set(
                xlim=(0.0, 1.0), ylim=(0.0, max(1.0, 1.05 * shown["self_drafts"].max(initial=0)))
            )
            axes.set_xlabel(r"acceptance rate of d1, $\alpha_{d1}$")
        vertical, horizontal = drawn.axes
        vertical.set_title("Vertical cascade (Fig. 1b): d1 reviews d2")
        horizontal.set_title("Horizontal cascade (Fig. 1c): d1, then d2")
        vertical.set_ylabel("largest cost of d1 that pays, $c_{d1}$ (target passes)")
        handles = vertical.get_legend_handles_labels()
        drawn.legend(*handles, loc="outside upper center", ncols=3, fontsize=10)
        source(
            drawn,
            r"Below a curve, the best cascade of d1 and d2 beats the best use of d2 alone; "
            r"$c_{d2}$ = .01 on the coloured curves. After CAS-Spec, arXiv:2510.26843, Eq. 3.",
        )


if __name__ == "__main__":
    main()
