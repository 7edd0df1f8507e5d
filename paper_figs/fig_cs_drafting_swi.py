"""CS Drafting's Tables 2 and 5: SWI as published beside our calculator's.

Chen et al., "Cascade Speculative Drafting", NeurIPS 2024, arXiv:2312.11462, target FLAN-T5-XXL.
SWI is the speed-up if every pass of a model takes the same time; MS costs go with parameters, PW
costs are those of Leviathan et al. (arXiv:2211.17192). The paper prints the draft lengths, but no
acceptance rate.

So each rate is taken from one SWI under MS costs (open circles; there is nothing to test in
these), and everything else is predicted from it: all of the PW column, and the cascades of three
drafts under both. Single drafts give their own rate by the target; each draft with Max-Gram gives
one rate of Max-Gram, whoever reviews; what base accepts of small is assumed to be what the target
does. The cascades are the paper's Algorithm 1 with its lengths k11, k12, k22 (cumulative) and ten
tokens a call of Max-Gram. What remains, up to 6 %, is what independent acceptance and a single
rate of Max-Gram leave out, and the lenience with which the paper's drafts review.

Drawn by ``python paper_figs/fig_cs_drafting_swi.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from scipy.optimize import brentq
from style import BLUE, ORANGE, OUT, figure, plain_decoding, source

from cscalc import Cascade, Profile, ewif, speculative_ewif
from cscalc.theory.published import CS_DRAFTING_TABLE_2, SwiRow
from cscalc.theory.swi import MS_COSTS, PW_COSTS, cost_coefficients

NAME = Path(__file__).stem
ALT = """Two dot charts with ten rows each, SWI under MS costs and under PW costs. Published and
computed values of single drafts differ by at most .05; those of cascades by at most .25 of values
between 2.8 and 4.9."""
TABLES = {"ms": MS_COSTS, "pw": PW_COSTS}
ROWS = tuple(row for row in CS_DRAFTING_TABLE_2 if row.algorithm != "AR")
MAX_GRAM = 10  # tokens a call


def _costs(row: SwiRow, table: str) -> tuple[float, ...]:
    names = [draft if draft == "max-gram" else f"t5-{draft}" for draft in row.drafts]
    return cost_coefficients(TABLES[table], "t5-xxl", names)


def _swi(row: SwiRow, table: str, rates: dict[tuple[str, str], float]) -> float:
    """SWI of a row of the table at these rates by (draft, algorithm)."""
    costs, settings = _costs(row, table), getattr(row, f"{table}_settings")
    alone = [rates[draft, "SD"] for draft in row.drafts[: 1 if len(settings) == 1 else 2]]
    if row.algorithm == "SD":
        return float(speculative_ewif(alone[0], costs[0], settings[0]))
    gram = [rates[draft, "CSD"] for draft in row.drafts[: len(alone)]]
    if len(alone) == 1:
        k_matrix = [[settings[0], MAX_GRAM], [MAX_GRAM]]
        alphas = [[1.0, alone[0], gram[0]], [0.0, 1.0, gram[0]], [0.0, 0.0, 1.0]]
    else:
        k11, k12, k22 = settings[:3]
        k_matrix = [[k11, k12 - k11, MAX_GRAM], [k22, MAX_GRAM], [MAX_GRAM]]
        alphas = [[1.0, *alone, gram[0]], [0.0, 1.0, alone[1], gram[0]]]
        alphas += [[0.0, 0.0, 1.0, gram[1]], [0.0, 0.0, 0.0, 1.0]]
    cascade = Cascade.from_k_matrix(k_matrix, bottom_length=MAX_GRAM)
    return ewif(cascade, Profile(alphas, costs, one_shot=[len(costs)]))


def _taken(row: SwiRow, rates: dict[tuple[str, str], float], key: tuple[str, str]) -> float:
    """The rate `key` at which the row's SWI under MS costs comes out as published."""

    def gap(rate: float) -> float:
        return _swi(row, "ms", rates | {key: rate}) - row.ms

    return float(brentq(gap, 0.01, 0.99, xtol=1e-12))


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Take the rates from the MS column, and compute all SWI.

    Returns
    -------
    dict
        ``published`` and ``computed`` (2, 10): MS and PW by row of `ROWS`; ``rates`` (10,), the
        rate taken from each row's MS value, nan where none is (three drafts).
    """
    computed, taken = np.empty((2, len(ROWS))), np.full(len(ROWS), np.nan)
    for name in ("GSM8K", "MMLU"):
        rates: dict[tuple[str, str], float] = {}
        for i, row in enumerate(ROWS):
            if row.data != name:
                continue
            if len(row.drafts) < 3:
                key = (row.drafts[0], row.algorithm)
                taken[i] = _taken(row, rates, key)
                rates[key] = taken[i]
            computed[:, i] = [_swi(row, table, rates) for table in TABLES]
    published = np.array([[getattr(row, table) for row in ROWS] for table in TABLES])
    return {"published": published, "computed": computed, "rates": taken}


def claims() -> tuple[Claim, ...]:
    """Predicted SWI, and the paper's own differences of speed-ups."""
    shown = data()
    found = []
    for tolerance, single in ((0.06, True), (0.25, False)):
        found.append(
            claims_of(
                "arXiv:2312.11462, Tables 2 and 5",
                tolerance,
                [
                    (
                        f"{row.data}, {', '.join(row.drafts)}, {table.upper()}",
                        shown["published"][t, i],
                        shown["computed"][t, i],
                    )
                    for t, table in enumerate(TABLES)
                    for i, row in enumerate(ROWS)
                    if (row.algorithm == "SD") == single
                    and not (table == "ms" and len(row.drafts) < 3)
                ],
            )
        )
    pw = {(row.data, row.drafts): row.pw for row in ROWS}
    deep = ("base", "small", "max-gram")
    gains = (
        ("GSM8K, up to 44 %", 0.44, pw["GSM8K", deep] - pw["GSM8K", ("base",)]),
        ("MMLU, up to 81 %", 0.81, pw["MMLU", deep] - pw["MMLU", ("small",)]),
    )
    return (*found[0], *found[1], *claims_of("its text; a difference of two SWI", 0.0051, gains))


def main(folder: Path = OUT) -> None:
    """Draw one panel for each cost table."""
    shown = data()
    heights = np.arange(len(ROWS))[::-1] * 1.0
    heights += 0.5 * (heights > 4)
    fitted = ~np.isnan(shown["rates"])
    with figure(NAME, folder, width=10.4, height=5.2) as drawn:
        for t, (axes, title) in enumerate(
            zip(
                drawn.subplots(1, 2, sharey=True),
                ("MS costs: parameters", "PW costs: .04 and .02"),
                strict=True,
            )
        ):
            published, computed = shown["published"][t], shown["computed"][t]
            axes.plot(published, heights, "s", color=ORANGE, markersize=11, label="published")
            test = ~fitted if t == 0 else np.full(len(ROWS), True)
            axes.plot(
                computed[test], heights[test], "o", color=BLUE, markersize=6.5, label="predicted"
            )
            axes.plot(
                computed[~test], heights[~test], "o", color=BLUE, markerfacecolor="white",
                markersize=6.5, label="a rate is taken from it",
            )  # fmt: skip
            plain_decoding(axes, vertical=True)
            axes.grid(visible=False, axis="y")
            axes.set(xlim=(0.9, 5.2), ylim=(-0.7, heights[0] + 0.7), title=title, xlabel="SWI")
        left = drawn.axes[0]
        left.set_yticks(heights, labels=[f"{r.data}: {', '.join(r.drafts)}" for r in ROWS])
        left.text(1.04, -0.55, "plain decoding", fontsize=9.5)
        drawn.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        source(drawn, "CS Drafting, arXiv:2312.11462, Tables 2 and 5; target FLAN-T5-XXL.")


if __name__ == "__main__":
    main()
