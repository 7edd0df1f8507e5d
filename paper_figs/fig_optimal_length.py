"""Best draft length and the speed-up it gives, over acceptance rate and cost of one draft.

Leviathan, Kalman, Matias, ICML 2023, arXiv:2211.17192, Theorem 3.8. The dots are the T5 drafts of
its Tables 2 and 4, decoded greedily (rates partly reconstructed, see `cscalc.theory.published`).

Drawn by ``python paper_figs/fig_optimal_length.py``.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from style import BLACK, OUT, figure, source

from cscalc import optimal_length, speculative_ewif
from cscalc.theory.published import LEVIATHAN_TABLES_2_AND_4

NAME = Path(__file__).stem
ALT = """Two maps over acceptance rate .05 to .95 and cost .01 to .6. The best draft length grows
from 0 above the line c = alpha to 40 tokens at rate .95 and cost .01, the EWIF from 1 to 12.5.
T5's drafts lie where 4 to 9 tokens are best."""
LENGTH_STEPS = (0, 1, 2, 3, 4, 5, 7, 10, 15, 25, 41)  # first length of each colour, and an end
SPEED_STEPS = (1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
COST_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
LABELS = {"small": "S", "base": "B", "large": "L"}


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute both maps.

    Returns
    -------
    dict
        ``alpha`` (A,); ``cost`` (C,), in target passes; ``length`` (C, A), the best draft length
        in tokens, the shorter one on a tie; ``ewif`` (C, A), the speed-up it gives;
        ``t5_alpha`` and ``t5_cost`` (6,), the published drafts.
    """
    alpha = np.arange(20, 381) / 400.0
    cost = np.concatenate([np.arange(10, 100) / 1000.0, np.arange(20, 121) / 200.0])
    length = np.asarray(optimal_length(alpha, cost[:, None]))  # (C, A)
    greedy = [row for row in LEVIATHAN_TABLES_2_AND_4 if row.temperature == 0]
    return {
        "alpha": alpha,
        "cost": cost,
        "length": length,
        "ewif": np.asarray(speculative_ewif(alpha, cost[:, None], length)),
        "t5_alpha": np.array([row.alpha for row in greedy]),
        "t5_cost": np.array([row.cost for row in greedy]),
    }


TABLE = {  # cost: best length and EWIF at `TABLE_ALPHAS`, by a search over all lengths
    0.01: ((1, 1.089), (3, 1.376), (5, 1.875), (9, 2.972), (14, 4.232), (24, 7.486), (40, 12.542)),
    0.02: ((1, 1.078), (3, 1.337), (4, 1.794), (8, 2.758), (11, 3.817), (19, 6.365), (31, 9.954)),
    0.05: ((1, 1.048), (2, 1.264), (3, 1.630), (6, 2.353), (8, 3.092), (13, 4.674), (21, 6.600)),
    0.1: ((0, 1.0), (1, 1.182), (2, 1.458), (4, 1.981), (6, 2.470), (10, 3.431), (15, 4.479)),
    0.2: ((0, 1.0), (1, 1.083), (1, 1.250), (3, 1.583), (4, 1.868), (7, 2.373), (10, 2.875)),
    0.5: ((0, 1.0), (0, 1.0), (0, 1.0), (1, 1.133), (2, 1.220), (3, 1.376), (5, 1.514)),
}
TABLE_ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


def claims() -> tuple[Claim, ...]:
    """Lengths and EWIF of a table found by exhaustive search of Theorem 3.8."""
    shown = data()
    lengths, speeds = [], []
    for cost, row in TABLE.items():
        for alpha, (length, ewif) in zip(TABLE_ALPHAS, row, strict=True):
            i = int(np.abs(shown["cost"] - cost).argmin())
            j = int(np.abs(shown["alpha"] - alpha).argmin())
            at = f"alpha {alpha:g}, c {cost:g}"
            lengths.append((f"best length, {at}", length, shown["length"][i, j]))
            speeds.append((f"EWIF, {at}", ewif, shown["ewif"][i, j]))
    found = "exhaustive search of arXiv:2211.17192, Theorem 3.8"
    return claims_of(found, 1e-9, lengths) + claims_of(found, 5.1e-4, speeds)


def _published(axes: Axes) -> None:
    for row in LEVIATHAN_TABLES_2_AND_4:
        if row.temperature == 0:
            marker = "o" if row.task == "EnDe" else "s"
            axes.plot(
                row.alpha, row.cost, marker, color="white", markeredgecolor=BLACK, markersize=11
            )
            axes.text(
                row.alpha, row.cost, LABELS[row.draft], ha="center", va="center_baseline",
                fontsize=8.5,
            )  # fmt: skip


def main(folder: Path = OUT) -> None:
    """Draw both maps, cost on a logarithmic axis."""
    shown = data()
    with figure(NAME, folder, width=10.6, height=4.8) as drawn:
        lengths, speeds = drawn.subplots(1, 2, sharey=True)
        for axes, values, steps, more, title in (
            (lengths, shown["length"], LENGTH_STEPS, "neither", "Best draft length (tokens)"),
            (speeds, shown["ewif"], SPEED_STEPS, "max", "EWIF at that length"),
        ):
            norm = BoundaryNorm(steps, ncolors=256, extend=more)
            mesh = axes.pcolormesh(
                shown["alpha"], shown["cost"], values, cmap="viridis", norm=norm,
                shading="nearest", rasterized=True,
            )  # fmt: skip
            bar = drawn.colorbar(mesh, ax=axes, pad=0.02)
            if axes is lengths:  # a colour is a range of whole numbers: named at its middle
                spans = [(low, high - 1) for low, high in pairwise(steps)]
                middles = [(low + high) / 2 for low, high in pairwise(steps)]
                names = [f"{a}" if a == b else f"{a}-{b}" for a, b in spans]
                bar.set_ticks(middles, labels=names)
                bar.ax.tick_params(length=0)
            else:
                bar.set_ticks(steps, labels=[f"{step:g}" for step in steps])
            axes.set(yscale="log", title=title, xlabel=r"acceptance rate $\alpha$")
            axes.grid(visible=False)
            axes.set_yticks(COST_TICKS, labels=[f"{tick:g}" for tick in COST_TICKS])
            axes.minorticks_off()
            _published(axes)
        lengths.set_ylabel("cost $c$ of a draft pass (target passes)")
        speeds.plot(shown["alpha"], shown["alpha"], color="white", linestyle="--", linewidth=1.4)
        speeds.set(xlim=(0.05, 0.95), ylim=(0.01, 0.6))
        speeds.text(0.31, 0.37, r"$c = \alpha$", color="white", ha="right")
        source(
            drawn,
            "Letters: T5-XXL's drafts small, base, large in Leviathan et al., arXiv:2211.17192, "
            "Tables 2 and 4, greedy; circles EnDe, squares CNNDM.\n"
            "Maps: Theorem 3.8. Above the dashed line no draft length pays (Corollary 3.9).",
        )


if __name__ == "__main__":
    main()
