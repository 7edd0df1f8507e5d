"""Speed-up and operations of speculative decoding, over acceptance rate and draft length.

Leviathan, Kalman, Matias, ICML 2023, arXiv:2211.17192, Theorems 3.8 and 3.11, for a draft that
costs nothing (c and c-hat 0). The dots are the twelve numbers of its Table 1. A longer draft is
never slower at cost 0, but it always computes more: what is drafted behind a rejection was
verified in vain.

Drawn by ``python paper_figs/fig_leviathan_curves.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLACK, GREY, OUT, SERIES, figure, plain_decoding, source

from cscalc.theory.published import LEVIATHAN_TABLE_1
from cscalc.theory.speculative import expected_tokens_iid, operations_factor, speculative_ewif

NAME = Path(__file__).stem
ALT = """Two line charts over the acceptance rate from 0 to 1, one line for each draft length of
1, 2, 3, 5 and 10 tokens. Left: the speed-up rises from 1 to the draft length plus one. Right: the
growth of operations falls from the draft length plus one to 1. The numbers of Table 1 lie on the
lines as dots."""
LENGTHS = (1, 2, 3, 5, 10)


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute both families of curves and the points of Table 1.

    Returns
    -------
    dict
        ``alpha`` (199,); ``speed`` and ``operations`` (5, 199), ratios to plain decoding, a row
        for each of `LENGTHS`; ``limit`` (199,), tokens per cycle of an endless draft;
        ``table_alpha``, ``table_length``, ``table_speed``, ``table_operations`` (6,), ours.
    """
    alpha = np.arange(1, 200) / 200.0
    lengths = np.array(LENGTHS)[:, None]
    rates = np.array([row.alpha for row in LEVIATHAN_TABLE_1])
    counts = np.array([row.length for row in LEVIATHAN_TABLE_1])
    return {
        "alpha": alpha,
        "speed": np.asarray(expected_tokens_iid(alpha, lengths)),
        "operations": np.asarray(operations_factor(alpha, 0.0, lengths)),
        "limit": 1.0 / (1.0 - alpha),
        "table_alpha": rates,
        "table_length": counts,
        "table_speed": np.asarray(speculative_ewif(rates, 0.0, counts)),
        "table_operations": np.asarray(operations_factor(rates, 0.0, counts)),
    }


def claims() -> tuple[Claim, ...]:
    """Table 1, both columns."""
    shown = data()
    return claims_of(
        "arXiv:2211.17192, Table 1",
        0.0051,
        [
            (f"{column} at alpha {row.alpha:g}, {row.length} tokens", getattr(row, column), ours)
            for column in ("speed", "operations")
            for row, ours in zip(LEVIATHAN_TABLE_1, shown[f"table_{column}"], strict=True)
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw both panels."""
    shown = data()
    with figure(NAME, folder, width=10.2, height=4.8) as drawn:
        for axes, key, title in zip(
            drawn.subplots(1, 2),
            ("speed", "operations"),
            (r"Speed-up, $c$ = 0 (Thm 3.8)", r"Operations, $\hat c$ = 0 (Thm 3.11)"),
            strict=True,
        ):
            for row, length in enumerate(LENGTHS):
                colour, dash = SERIES[row]
                axes.plot(
                    shown["alpha"], shown[key][row], color=colour, linestyle=dash,
                    label=f"{length} token{'s' if length > 1 else ''}",
                )  # fmt: skip
                at = shown["table_length"] == length
                axes.plot(
                    shown["table_alpha"][at], shown[f"table_{key}"][at], "o", color=colour,
                    markeredgecolor=BLACK, markersize=7,
                )  # fmt: skip
            plain_decoding(axes)
            axes.set(xlim=(0.0, 1.0), ylim=(0.0, 11.5), title=title)
            axes.set_xlabel(r"acceptance rate $\alpha$")
        speed, operations = drawn.axes
        speed.plot(
            shown["alpha"],
            shown["limit"],
            color=GREY,
            linewidth=1.2,
            label=r"no end: $1/(1 - \alpha)$",
        )
        speed.plot([], [], "o", color="white", markeredgecolor=BLACK, label="Table 1")
        speed.set_ylabel("ratio to plain decoding")
        speed.legend(loc="upper left", title="draft length", alignment="left")
        operations.text(0.02, 0.45, "plain decoding", fontsize=9.5)
        source(
            drawn, "Leviathan et al., arXiv:2211.17192. Dots: the twelve numbers of its Table 1."
        )


if __name__ == "__main__":
    main()
