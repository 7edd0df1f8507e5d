"""CAS-Spec's Table 1: speed-ups by task and size of the target.

Ning et al., NeurIPS 2025, arXiv:2510.26843: Vicuna 7B, 13B and 33B on the six tasks of
Spec-Bench, H100. Prompt lookup (PLD) decides where text repeats (summaries, retrieval), and
CAS-Spec, which drafts with it, moves along. Published values only: the paper prints no acceptance
rate and no cost by task, so there is nothing to predict from. Kangaroo's drafts are trained, the
others are not.

Drawn by ``python paper_figs/fig_cas_spec_table1.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLACK, BLUE, GREEN, ORANGE, OUT, PURPLE, SKY, figure, plain_decoding, source

from cscalc.theory.published import CAS_SPEC_TABLE_1

NAME = Path(__file__).stem
ALT = """Three dot charts, one for each size, speed-up of four to six methods in six tasks and
overall. CAS-Spec and prompt lookup reach about 2 in summaries and 1.6 in maths and retrieval, and
stay near 1.1 in translation and question answering; SWIFT lies between 1.0 and 1.25
throughout."""
SIZES = ("7B", "13B", "33B")
TASKS = {
    "conversation": "conversation", "translation": "translation",
    "summarisation": "summarisation", "question_answering": "question answering",
    "maths": "maths", "rag": "retrieval", "overall": "overall",
}  # fmt: skip
LOOKS = {
    "PLD": ("s", ORANGE), "SWIFT": ("v", SKY), "Lookahead": ("^", PURPLE),
    "Kangaroo (trained)": ("X", BLACK), "CAS-Spec": ("o", BLUE),
    "CAS-Spec (Kangaroo+PLD)": ("D", GREEN),
}  # fmt: skip


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Return the table.

    Returns
    -------
    dict
        A size gives (6, 7), `LOOKS` by `TASKS`, nan where a method was not run at that size.
    """
    rows = {(row.size, row.method): row for row in CAS_SPEC_TABLE_1}
    return {
        size: np.array(
            [
                [getattr(rows.get((size, method)), task, np.nan) for task in TASKS]
                for method in LOOKS
            ]
        )
        for size in SIZES
    }


def claims() -> tuple[Claim, ...]:
    """Overall lies near the mean of the six tasks, as a check of the transcription."""
    shown = data()
    return claims_of(
        "arXiv:2510.26843, Table 1, overall, against the mean of its six tasks",
        0.02,
        [
            (f"{size}, {method}", shown[size][i, -1], shown[size][i, :-1].mean())
            for size in SIZES
            for i, method in enumerate(LOOKS)
            if not np.isnan(shown[size][i, -1])
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw one panel a size."""
    shown = data()
    heights = np.arange(len(TASKS))[::-1] - 0.4 * (np.arange(len(TASKS)) == len(TASKS) - 1)
    with figure(NAME, folder, width=11.0, height=5.4) as drawn:
        for axes, size in zip(drawn.subplots(1, 3, sharey=True), SIZES, strict=True):
            for i, (method, (marker, colour)) in enumerate(LOOKS.items()):
                axes.plot(  # one below the other, for many values are close
                    shown[size][i], heights + 0.11 * (2.5 - i), marker, color=colour,
                    markeredgecolor="white", markeredgewidth=0.5, markersize=7.5, label=method,
                )  # fmt: skip
            plain_decoding(axes, vertical=True)
            axes.axhline(0.28, color="#DDDDDD", linewidth=0.8)
            axes.grid(visible=False, axis="y")
            axes.set(xlim=(0.9, 2.45), title=f"Vicuna-{size}", xlabel="speed-up")
        drawn.axes[0].set_yticks(heights, labels=list(TASKS.values()))
        handles = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(*handles, loc="outside upper center", ncols=3)
        source(
            drawn,
            "CAS-Spec, arXiv:2510.26843, Table 1: Spec-Bench, H100. Published values; the paper "
            "prints no rates or costs by task to predict from.",
        )


if __name__ == "__main__":
    main()
