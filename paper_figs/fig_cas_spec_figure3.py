"""CAS-Spec's Figure 3: what each part of the cascade adds, published and predicted.

Ning et al., NeurIPS 2025, arXiv:2510.26843, ablation with Vicuna-7B: layer skip (SWIFT's draft),
vertical (VC) and horizontal (HC) cascades of it and prompt lookup (PLD), trees, and their dynamic
tree cascade (DyTC). The paper prints no acceptance rates for it; what can be read off its Figure
1b is a range: alpha of the layer skip .67 to .81 (quartiles), its cost .55 to .63 target passes,
alpha of PLD .1 to .5. The bars of prediction span the best EWIF of each chain over that range, at
the best lengths, with passes as the only cost (Eq. 1 and 2; approximate because the range is).

Every chain with the layer skip in it was measured below its range, PLD within it: passes alone do
not explain the ablation. Trees cannot be predicted, for their acceptance by rank is not printed.

Drawn by ``python paper_figs/fig_cas_spec_figure3.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, ORANGE, OUT, figure, plain_decoding, source

from cscalc import Cascade, Draft, Profile, Review, ewif
from cscalc.theory.published import CAS_SPEC_FIGURE_3

NAME = Path(__file__).stem
ALT = """Dot chart of nine methods. Published speed-ups: layer skip .75, HC .91, VC .97, plain 1,
tree (SWIFT) 1.06, VC and HC 1.07, VC and tree 1.17, PLD 1.54, DyTC 1.57. The predicted ranges are
1.02 to 1.19 for layer skip, and wider ones from 1.1 to about 1.9 for PLD and both cascades."""
LOW, HIGH = (0.67, 0.63, 0.1), (0.81, 0.55, 0.5)  # alpha, c of the layer skip; alpha of PLD
PLD_COST = 0.01
PREDICTED = ("layer skip", "VC", "HC", "VC + HC", "PLD")


def _chains(method: str) -> list[Cascade]:
    """The chains of one kind among which the best is taken; draft 1 skips layers, 2 is PLD."""
    counts = range(1, 21)
    if method == "layer skip":
        return [Cascade((Draft(1, k),)) for k in counts]
    if method == "PLD":
        return [Cascade((Draft(2, k),)) for k in counts]
    reviews = [Review(1, (Draft(2, k),), rounds=n) for n in range(1, 4) for k in range(1, 9)]
    if method == "VC":
        return [Cascade((review,)) for review in reviews]
    if method == "HC":
        return [Cascade((Draft(1, k1), Draft(2, k2))) for k1 in range(1, 6) for k2 in range(1, 11)]
    return [Cascade((review, Draft(2, k))) for review in reviews for k in range(1, 9)]


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute the range of the best EWIF of each chain.

    Returns
    -------
    dict
        ``published`` (9,), in the order of the paper's numbers; ``predicted`` (5, 2), the
        methods of `PREDICTED` at `LOW` and at `HIGH`.
    """
    predicted = np.empty((len(PREDICTED), 2))
    for column, (alpha, cost, lookup) in enumerate((LOW, HIGH)):
        profile = Profile([alpha, lookup], [cost, PLD_COST])
        for row, method in enumerate(PREDICTED):
            predicted[row, column] = max(ewif(chain, profile) for chain in _chains(method))
    return {"published": np.array(list(CAS_SPEC_FIGURE_3.values())), "predicted": predicted}


def claims() -> tuple[Claim, ...]:
    """The abstract's gains, from the figure's numbers; PLD's range by the closed form."""
    shown, printed = data(), CAS_SPEC_FIGURE_3
    low, high = shown["predicted"][PREDICTED.index("PLD")]
    return claims_of(
        "arXiv:2510.26843, abstract (its App. F prints 73 and 47 %)",
        0.0051,
        [
            ("gain of DyTC over VC + HC", 0.47, printed["DyTC"] / printed["VC + HC"] - 1.0),
            ("gain of DyTC over the tree", 0.48, printed["DyTC"] / printed["tree (SWIFT)"] - 1.0),
        ],
    ) + claims_of(
        "arXiv:2211.17192, Theorem 3.8, best length",
        0.00001,
        [
            ("PLD at alpha .1, c .01: 1 token", 1.08911, low),
            ("PLD at alpha .5, c .01: 5 tokens", 1.87500, high),
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw the published numbers over the predicted ranges, slowest first."""
    shown = data()
    names = list(CAS_SPEC_FIGURE_3)
    order = np.argsort(shown["published"], kind="stable")
    with figure(NAME, folder, width=7.8, height=4.8) as drawn:
        axes = drawn.subplots()
        heights = dict(zip((names[i] for i in order), range(len(order) - 1, -1, -1), strict=True))
        for row, method in enumerate(PREDICTED):
            low, high = shown["predicted"][row]
            axes.barh(
                heights[method], high - low, left=low, height=0.42, color=BLUE, alpha=0.35,
                label="predicted, best lengths (range)" if row == 0 else None,
            )  # fmt: skip
        for name, value in CAS_SPEC_FIGURE_3.items():
            axes.plot(
                value, heights[name], "s", color=ORANGE, markersize=10,
                label="published" if name == names[0] else None,
            )  # fmt: skip
            back = "white" if 1.0 < value < 1.15 else "none"  # where it crosses plain decoding
            axes.text(
                value - 0.03, heights[name], f"{value:.2f}", ha="right", va="center",
                bbox={"facecolor": back, "edgecolor": "none", "pad": 1.0},
            )  # fmt: skip
        labels = {"AR": "plain decoding"}
        axes.set_yticks(list(heights.values()), labels=[labels.get(n, n) for n in heights])
        plain_decoding(axes, vertical=True)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0.5, 2.2), xlabel="speed-up (published) or EWIF (predicted)")
        drawn.legend(loc="outside upper center", ncols=2)
        source(
            drawn,
            "CAS-Spec, arXiv:2510.26843, Figure 3, Vicuna-7B. Ranges: rates and costs read off "
            "its Figure 1b,\n"
            "approximate. No range for trees: their acceptance by rank is not printed.",
        )


if __name__ == "__main__":
    main()
