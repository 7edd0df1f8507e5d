"""Speculative cascades: what quality and time different deferral rules trade, on synthetic laws.

Narasimhan et al., "Faster Cascades via Speculative Decoding", ICLR 2025, arXiv:2405.19261. The
paper's fronts are of T5 and Gemma models, which are not reproduced here: these are 300 synthetic
contexts over 24 tokens, drawn with a fixed seed. In each, the truth is a softmax of normal
scores; target and draft see it with noise, the draft with more in some contexts than in others. A
rule's threshold moves along its front; every point is exact (law, acceptance and loss in each
context), one draft of 5 tokens at cost .1.

Left, the known example: target (.3, .5, .2), draft (.6, .3, .1). More acceptance is bought with
distance from the target's law; Token V3 first moves away from the draft, for it raises the likely
tokens. Right, what a drawn token costs in quality: the chance that it is not one drawn from the
truth. Rules that look at both laws are faster and better than speculative decoding, token by
token more so than by context (the paper's best results are of a token rule, too); the one that
reads the draft alone is worst (Chow). That order belongs to this loss and these laws: under
log-loss, the same contexts favour lossy decoding.

Drawn by ``python paper_figs/fig_speculative_cascades.py``.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from claims import Claim, claims_of
from style import BLACK, BLUE, GREEN, ORANGE, OUT, PURPLE, VERMILION, figure, source

from cscalc.theory.deferral import Chow, DeferralRule, Diff, Opt
from cscalc.theory.lossy import Lossy
from cscalc.theory.token_deferral import TokenV1, TokenV3

NAME = Path(__file__).stem
ALT = """Two charts. Left: acceptance against distance from the target's law for three tokens;
Chow, Diff, OPT and lossy lie on one line from .7 to 1, token rules off it. Right: chance of a
wrong token against EWIF from 1.75 to 4 on synthetic contexts. Token V3 reaches .64 and Token V1
.66 near EWIF 2 to 2.5, OPT .675, Diff .68, lossy .685, Chow .69, speculative decoding .695; all
end at .71 with the draft alone."""
RULES: dict[str, tuple[Callable[[float], DeferralRule], float, float, str, object]] = {
    "Chow": (Chow, -0.01, 1.0, ORANGE, (0, (1, 1.2))),
    "Diff": (Diff, -1.0, 1.0, BLUE, (0, (6, 1.5))),
    "OPT": (Opt, -1.0, 1.0, GREEN, "-"),
    "Token V1": (TokenV1, -0.6, 1.0, PURPLE, (0, (5, 1.5, 1, 1.5))),
    "Token V3": (TokenV3, -0.01, 1.0, VERMILION, (0, (9, 1.5, 1, 1.5, 1, 1.5))),
    "lossy": (Lossy, 0.0, 0.97, BLACK, (0, (3, 1.5))),
}
EXAMPLE = ([0.3, 0.5, 0.2], [0.6, 0.3, 0.1])
COST, LENGTH = 0.1, 5
STEPS = 101


def worlds() -> tuple[npt.NDArray[np.float64], ...]:
    """Truth, target and draft laws of the synthetic contexts, each (300, 24)."""
    rng = np.random.default_rng(2405_19261)
    scores = rng.normal(size=(300, 24)) * rng.uniform(1.0, 4.0, size=(300, 1))
    seen = [scores]
    for spread in (0.6, rng.uniform(0.3, 2.0, size=(300, 1))):
        seen.append(scores + spread * rng.normal(size=scores.shape))
    raised = [np.exp(s - s.max(axis=1, keepdims=True)) for s in seen]
    return tuple(r / r.sum(axis=1, keepdims=True) for r in raised)


def _wrong(truth: npt.NDArray[np.float64], law: npt.NDArray[np.float64]) -> float:
    """Chance that a token drawn from `law` is not one drawn from the truth."""
    return float(1.0 - np.mean((truth * law).sum(axis=1)))


def data() -> dict[str, npt.NDArray[np.float64]]:
    """Compute every front.

    Returns
    -------
    dict
        A rule of `RULES` gives (2, 101), loss and speed-up of the synthetic contexts over
        thresholds; ``example <rule>`` (2, 101) distance and acceptance of the example; ``target``
        and ``lossless`` (2,), loss and speed-up of plain decoding and of speculative decoding.
    """
    truth, target, draft = worlds()
    found = {}
    for name, (rule, low, high, *_) in RULES.items():
        points, example = [], []
        for threshold in np.linspace(low, high, STEPS):
            made = rule(float(threshold))
            synthetic = made.law(target, draft)
            loss = _wrong(truth, synthetic.law)
            points.append((loss, 1.0 / synthetic.speculative_cost(COST, LENGTH)))
            small = made.law(*EXAMPLE)
            distance = 0.5 * float(np.abs(small.law - np.array(EXAMPLE[0])).sum())
            example.append((distance, float(small.acceptance)))
        found[name] = np.array(points).T
        found[f"example {name}"] = np.array(example).T
    lossless = Lossy(0.0).law(target, draft)
    loss = _wrong(truth, target)
    found["target"] = np.array([loss, 1.0])
    found["lossless"] = np.array([loss, 1.0 / lossless.speculative_cost(COST, LENGTH)])
    return found


def claims() -> tuple[Claim, ...]:
    """The example by hand: acceptance and law of four rules."""
    found = []
    for name, rule, acceptance, law in (
        ("V1, threshold .25", TokenV1(0.25), 0.92, (0.63, 0.35, 0.02)),
        ("V3, threshold .25", TokenV3(0.25), 0.61, (0.21, 0.65, 0.14)),
        ("lossy, threshold .2", Lossy(0.2), 0.775, (0.375, 0.446429, 0.178571)),
        ("lossless", Lossy(0.0), 0.7, (0.3, 0.5, 0.2)),
    ):
        made = rule.law(*EXAMPLE)
        found.append((f"acceptance, {name}", acceptance, made.acceptance))
        found += [
            (f"P(token {i + 1}), {name}", known, ours)
            for i, (known, ours) in enumerate(zip(law, made.law, strict=True))
        ]
    return claims_of("arXiv:2405.19261, Eq. 11, 13, 15 and Lemma 2, by hand", 0.000001, found)


def main(folder: Path = OUT) -> None:
    """Draw the example and the synthetic fronts."""
    shown = data()
    with figure(NAME, folder, width=10.4, height=5.2) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=(2, 3))
        for name, (*_, colour, dash) in RULES.items():
            left.plot(
                *shown[f"example {name}"], color=colour, linestyle=dash, marker=".", markersize=4,
                linewidth=1.4,
            )  # fmt: skip
            loss, speed = shown[name]
            right.plot(speed, loss, color=colour, linestyle=dash, label=name)
        left.text(0.02, 0.93, "Chow, Diff,\nOPT, lossy", fontsize=10)
        left.text(0.3, 0.775, "Token V1", color=PURPLE, fontsize=10)
        left.text(0.17, 0.62, "Token V3", color=VERMILION, fontsize=10)
        left.set(xlabel="total variation distance from the target", ylabel="acceptance")
        left.set_title("Example of three tokens")
        right.plot(shown["target"][1], shown["target"][0], "D", color=BLACK, label="target alone")
        right.plot(
            shown["lossless"][1], shown["lossless"][0], "o", color=BLACK, markersize=8,
            markerfacecolor="white", label="speculative decoding",
        )  # fmt: skip
        right.set(
            xlabel=f"EWIF, {LENGTH} tokens at cost {COST:g}", ylabel="chance of a wrong token"
        )
        right.set_title("300 synthetic contexts (down, right: better)")
        right.set_xlim(0.8, 4.1)
        drawn.legend(loc="outside upper center", ncols=4, fontsize=10)
        source(
            drawn,
            "Rules: Narasimhan et al., arXiv:2405.19261. Laws: SYNTHETIC, seeded; exact per "
            "context, no model was run.",
        )


if __name__ == "__main__":
    main()
