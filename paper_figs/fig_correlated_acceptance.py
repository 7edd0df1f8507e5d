"""How correlated acceptance bends EWIF away from the papers' independent coins.

Left: one draft (cost .05) whose mean acceptance rate is .7. Independent coins are the papers'
theory (Leviathan et al., arXiv:2211.17192, Theorem 3.8). Where half of the prompts have rate .5
and half .9, tokens per cycle are more (Jensen) if prompts are counted by cycles, and longer
drafts pay; but if all replies have the same length, hard prompts take more cycles, and EWIF falls
below the independent one. So it does where easy and hard tokens come in runs (mean run of 10),
for a cycle starts where the last one failed: in hard text.

Right: the error of CS Drafting's Theorem 4.3 (arXiv:2312.11462) for a vertical cascade with k =
3, against the refined formula that tells kept from corrected tokens. With difficulty shared by
both models (per position d uniform, rates .98 - .5 d and .9 - .8 d) the theorem is too low; for
the laws p = (.5, .3, .2), q1 = (.3, .5, .2), q2 = (.1, .5, .4), where corrected tokens are the
better ones, it is too high.

Drawn by ``python paper_figs/fig_correlated_acceptance.py``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLUE, OUT, SERIES, VERMILION, figure, source

from cscalc import (
    Cascade,
    Draft,
    Independent,
    Markov,
    Mixture,
    Profile,
    ewif,
    expected_tokens,
    speculative_ewif,
)
from cscalc.acceptance import Acceptance
from cscalc.theory.cs_drafting import (
    ConditionalRates,
    conditional_rates,
    correlated_vertical_tokens,
    vertical_tokens,
)

NAME = Path(__file__).stem
ALT = """Two charts. Left: EWIF over draft length 1 to 16 with mean rate .7. Prompts of two kinds
counted by cycles peak at 2.96 with 11 tokens; independent coins at 2.35 with 6; runs of easy and
hard tokens, and prompts with replies of equal length, at about 2.25. Right: relative error of
Theorem 4.3 over 1 to 6 rounds; it shrinks from -2.5 to -.5 per cent with shared difficulty, and
from 4 to .7 per cent where corrected tokens are the better ones."""
ALPHA, COST = 0.7, 0.05
KINDS = (0.5, 0.9)
EQUAL_CYCLES = "prompts of .5 and .9, equal cycles"
WORLDS: dict[str, Acceptance] = {
    EQUAL_CYCLES: Mixture([1, 1], [[kind] for kind in KINDS]),
    "independent": Independent(),
    "tokens of .5 and .9, in runs": Markov([0.9], [0.5], to_easy=0.1, to_hard=0.1),
}
EQUAL_REPLIES = "prompts of .5 and .9, equal replies"
LENGTHS = np.arange(1, 17)
ROUNDS = np.arange(1, 7)
INNER = 3  # tokens of d2 a round
LAWS = ([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.5, 0.4])


def _profile(acceptance: Acceptance) -> Profile:
    return Profile([ALPHA], [COST], acceptance=acceptance)


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute both panels.

    Returns
    -------
    dict
        ``length`` (16,); ``ewif`` (4, 16), a row for each of `WORLDS`, then `EQUAL_REPLIES`;
        ``tokens_5`` (3,), tokens per cycle with 5 drafted, by `WORLDS`; ``rounds`` (6,);
        ``refined`` and ``theorem`` (2, 6), tokens per cycle of the vertical cascade: shared
        difficulty, then the three laws.
    """
    chains = [Cascade((Draft(1, int(length)),)) for length in LENGTHS]
    cases = (_shared_difficulty(), conditional_rates(*LAWS))
    curves = [[ewif(chain, _profile(world)) for chain in chains] for world in WORLDS.values()]
    kinds = [speculative_ewif(kind, COST, LENGTHS) for kind in KINDS]  # times of equal texts add
    curves.append(2.0 / sum(1.0 / kind for kind in kinds))
    return {
        "length": LENGTHS,
        "ewif": np.array(curves),
        "tokens_5": np.array([expected_tokens(chains[4], _profile(w)) for w in WORLDS.values()]),
        "rounds": ROUNDS,
        "refined": np.array(
            [
                correlated_vertical_tokens(
                    case.alpha_inner, case.alpha_accepted, case.alpha_corrected, ROUNDS, INNER
                )
                for case in cases
            ]
        ),
        "theorem": np.array(
            [vertical_tokens(case.alpha, case.alpha_inner, ROUNDS, INNER) for case in cases]
        ),
    }


def _shared_difficulty() -> ConditionalRates:
    """Rates where both models have the same difficulty d at a place, uniform on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(4)  # exact for these polynomials
    d = (nodes + 1.0) / 2.0
    target, inner = 0.98 - 0.5 * d, 0.9 - 0.8 * d

    def mean(values: npt.NDArray[np.float64]) -> float:
        return float(values @ weights / 2.0)

    return ConditionalRates(
        np.float64(mean(target)),
        np.float64(mean(inner)),
        np.float64(mean(target * inner) / mean(inner)),
        np.float64(mean(target * (1.0 - inner)) / mean(1.0 - inner)),
    )


def claims() -> tuple[Claim, ...]:
    """Jensen's gap of the mixture, and exact enumerations of both vertical examples."""
    shown = data()
    worlds = dict(zip(WORLDS, shown["tokens_5"], strict=True))
    two = list(ROUNDS).index(2)
    shared, laws = shown["refined"][:, two]
    shared_theorem, laws_theorem = shown["theorem"][:, two]
    return claims_of(
        "mean of arXiv:2211.17192, Eq. (1)",
        0.000006,
        [
            (
                "tokens per cycle, 5 drafted, mixture",
                3.32717,
                worlds[EQUAL_CYCLES],
            ),
            ("tokens per cycle, 5 drafted, independent", 2.94117, worlds["independent"]),
        ],
    ) + claims_of(
        "exact enumeration (three laws) and 4 million simulated rounds (shared difficulty)",
        0.000006,
        [
            ("shared difficulty, 2 rounds of 3, refined", 2.848100, shared),
            ("shared difficulty, 2 rounds of 3, Theorem 4.3", 2.786793, shared_theorem),
            ("three laws, 2 rounds of 3, refined", 3.724004, laws),
            ("three laws, 2 rounds of 3, Theorem 4.3", 3.843725, laws_theorem),
        ],
    )


def main(folder: Path = OUT) -> None:
    """Draw both panels."""
    shown = data()
    with figure(NAME, folder, width=10.4, height=4.6) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=(3, 2))
        for row, world in enumerate((*WORLDS, EQUAL_REPLIES)):
            colour, dash = SERIES[row]
            left.plot(
                shown["length"], shown["ewif"][row], color=colour, linestyle=dash, label=world
            )
            best = int(shown["ewif"][row].argmax())
            left.plot(shown["length"][best], shown["ewif"][row, best], "o", color=colour)
        left.legend(loc="lower right", fontsize=10, title="dot: best length", alignment="left")
        left.set(xlim=(0.5, 16), ylim=(1.0, 3.2), xlabel="draft length (tokens)", ylabel="EWIF")
        left.set_title(r"One draft, mean rate .7, $c$ = .05")
        error = 100.0 * (shown["theorem"] / shown["refined"] - 1.0)
        names = ("corrected tokens are better", "shared difficulty")
        for row, (colour, name) in enumerate(zip((BLUE, VERMILION), names[::-1], strict=True)):
            right.plot(shown["rounds"], error[row], "o-", color=colour)
            right.text(1.2, error[row, 0] + (0.3 if row else -0.9), name, color=colour)
        right.axhline(0.0, color="#000000", linewidth=1.0)
        right.set(xlabel="rounds", ylabel="error (%)", xlim=(0.7, 6.3), ylim=(-4, 5.2))
        right.set_title("Vertical cascade: Theorem 4.3")
        source(
            drawn,
            "Laws by cscalc, exact. Theorem 4.3: CS Drafting, arXiv:2312.11462, against the "
            "formula for correlated acceptance, three tokens a round.",
        )


if __name__ == "__main__":
    main()
