"""How much a policy that watches its inner reviews could gain over the best fixed cascade.

The adaptive bound is the supremum of EWIF over all policies that see every inner review's outcome
before the next drafting action; the fixed cascade is the best of the whole grammar
(`optimal_config`). Two drafts, both autoregressive, .1 and .01 target passes a token, independent
acceptance, d1 accepts d2's tokens as the target does (as CAS-Spec assumes, arXiv:2510.26843).

The best fixed cascade stays within .25 per cent of the bound everywhere on the map: under
independent acceptance, watching is worth next to nothing. What adaptive methods gain, they gain
from contexts that differ, not from outcomes of inner reviews.

Drawn by ``python paper_figs/fig_adaptive_bound.py``.
"""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLACK, OUT, SERIES, figure, plain_decoding, source

from cscalc import adaptive_bound, optimal_config, optimal_length, speculative_ewif

NAME = Path(__file__).stem
ALT = """Left: EWIF over the rate of d1 from .3 to .95; the adaptive bound and the best fixed
cascade are one line, and a single draft lies up to a fifth lower. Right: a map of what the fixed
cascade misses, over the rates of both drafts: below .25 per cent everywhere, mostly zero."""
COSTS = (0.1, 0.01)
ALPHA_D2 = 0.5  # of the left panel
D1 = np.arange(12, 39) / 40.0  # (27,)
D2 = np.arange(4, 37, 2) / 40.0  # (17,)


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute bound and best fixed cascade over both rates.

    Returns
    -------
    dict
        ``alpha_d1`` (27,); ``alpha_d2`` (17,); ``bound`` and ``fixed`` (17, 27), EWIF;
        ``single`` (17, 27), EWIF of the better of both drafts alone.
    """
    found = np.array([[_pair(float(a), float(b)) for a in D1] for b in D2])  # (17, 27, 2)
    alone = [
        speculative_ewif(rate, cost, optimal_length(rate, cost))
        for rate, cost in ((D1[None, :], COSTS[0]), (D2[:, None], COSTS[1]))
    ]
    return {
        "alpha_d1": D1,
        "alpha_d2": D2,
        "bound": found[..., 0],
        "fixed": found[..., 1],
        "single": np.maximum(*alone),
    }


@cache
def _pair(alpha_d1: float, alpha_d2: float) -> tuple[float, float]:
    """Adaptive bound and best fixed EWIF at these rates."""
    rates = [alpha_d1, alpha_d2]
    return adaptive_bound(rates, COSTS).ewif, optimal_config(rates, COSTS).ewif


def claims() -> tuple[Claim, ...]:
    """Order of the three, everywhere, and the largest gap."""
    shown = data()
    gap = 1.0 - shown["fixed"] / shown["bound"]
    return claims_of(
        "dynamic program over adaptive policies, four other profiles: at most .4 %",
        0.0025,
        [("largest share that the fixed cascade misses", 0.0, gap.max())],
    ) + claims_of(
        "definition: no policy beats its supremum",
        1e-9,
        [("share by which a fixed cascade exceeds the bound", 0.0, max(0.0, -gap.min()))],
    )


def main(folder: Path = OUT) -> None:
    """Draw the curves and the map."""
    shown = data()
    row = int(np.abs(shown["alpha_d2"] - ALPHA_D2).argmin())
    with figure(NAME, folder, width=10.2, height=4.4) as drawn:
        left, right = drawn.subplots(1, 2)
        for (colour, dash), key, label, width in zip(
            SERIES,
            ("bound", "fixed", "single"),
            ("adaptive bound", "best fixed cascade", "best single draft"),
            (5.0, 1.8, 1.8),
            strict=False,
        ):
            left.plot(
                shown["alpha_d1"], shown[key][row], color=colour, linestyle=dash, linewidth=width,
                alpha=0.45 if key == "bound" else 1.0, label=label,
            )  # fmt: skip
        plain_decoding(left)
        left.set(xlabel=r"rate of d1, $\alpha_{d1}$", ylabel="EWIF", xlim=(D1[0], D1[-1]))
        left.set_title(rf"$\alpha_{{d2}}$ = {shown['alpha_d2'][row]:g}")
        left.legend(loc="upper left")
        gap = 100.0 * np.maximum(0.0, 1.0 - shown["fixed"] / shown["bound"])
        mesh = right.pcolormesh(
            shown["alpha_d1"], shown["alpha_d2"], gap, cmap="cividis", shading="nearest",
            vmin=0.0, rasterized=True,
        )  # fmt: skip
        drawn.colorbar(mesh, ax=right, label="missed by the fixed cascade (%)")
        right.plot([D2[0], D2[-1]], [D2[0], D2[-1]], color="white", linestyle="--", linewidth=1.2)
        right.text(
            0.47, 0.52, r"$\alpha_{d2} = \alpha_{d1}$", color="white", ha="right", fontsize=10,
            bbox={"facecolor": BLACK, "alpha": 0.35, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
        right.grid(visible=False)
        right.set(xlim=(D1[0], D1[-1]), ylim=(D2[0], D2[-1]), title="What watching could gain")
        right.set(xlabel=r"rate of d1, $\alpha_{d1}$", ylabel=r"rate of d2, $\alpha_{d2}$")
        source(drawn, "Costs .1 and .01 target passes a token; independent acceptance; by cscalc.")


if __name__ == "__main__":
    main()
