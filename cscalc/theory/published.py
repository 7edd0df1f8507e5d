"""Numbers printed in the papers, as data: for tests, figures and comparisons. No formula here.

Sources: [L] Leviathan, Kalman, Matias, ICML 2023, arXiv:2211.17192; [CSD] Chen et al., NeurIPS
2024, arXiv:2312.11462; [CAS] Ning et al., NeurIPS 2025, arXiv:2510.26843. In [L]'s tables, rates
and lengths are partly reconstructed from secondary sources; check the paper before quoting them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class OperationsRow(NamedTuple):
    """One entry of [L] Table 1: growth of operations and of speed at cost 0."""

    alpha: float
    length: int
    operations: float  # ratio to plain decoding
    speed: float  # ratio to plain decoding


LEVIATHAN_TABLE_1 = (
    OperationsRow(0.6, 2, 1.53, 1.96),
    OperationsRow(0.7, 3, 1.58, 2.53),
    OperationsRow(0.8, 2, 1.23, 2.44),
    OperationsRow(0.8, 5, 1.63, 3.69),
    OperationsRow(0.9, 2, 1.11, 2.71),
    OperationsRow(0.9, 10, 1.60, 6.86),
)


class T5Row(NamedTuple):
    """One row of [L] Tables 2 and 4: T5-XXL (11B) with a T5 draft."""

    task: str
    draft: str
    temperature: float
    length: int
    alpha: float
    cost: float  # target passes
    expected: float  # the paper's expected speed-up
    measured: float  # the paper's measured speed-up


LEVIATHAN_TABLES_2_AND_4 = (
    T5Row("EnDe", "small", 0, 7, 0.75, 0.02, 3.2, 3.4),
    T5Row("EnDe", "base", 0, 7, 0.80, 0.04, 3.3, 2.8),
    T5Row("EnDe", "large", 0, 7, 0.82, 0.11, 2.5, 1.7),
    T5Row("EnDe", "small", 1, 7, 0.62, 0.02, 2.3, 2.6),
    T5Row("EnDe", "base", 1, 5, 0.68, 0.04, 2.4, 2.4),
    T5Row("EnDe", "large", 1, 3, 0.71, 0.11, 2.0, 1.4),
    T5Row("CNNDM", "small", 0, 5, 0.65, 0.02, 2.4, 3.1),
    T5Row("CNNDM", "base", 0, 5, 0.73, 0.04, 2.6, 3.0),
    T5Row("CNNDM", "large", 0, 3, 0.74, 0.11, 2.0, 2.2),
    T5Row("CNNDM", "small", 1, 5, 0.53, 0.02, 1.9, 2.3),
    T5Row("CNNDM", "base", 1, 3, 0.55, 0.04, 1.8, 2.2),
    T5Row("CNNDM", "large", 1, 2, 0.56, 0.11, 1.6, 1.7),
)


class SimulatedRow(NamedTuple):
    """One row of [CSD] Table 1: simulated EWIF, Bernoulli acceptance."""

    data: str
    drafts: tuple[str, ...]  # dear to cheap
    lengths: tuple[int, ...]  # tokens of each
    ewif: float


CS_DRAFTING_TABLE_1 = (
    SimulatedRow("CNNDM", ("small",), (9,), 2.65),
    SimulatedRow("CNNDM", ("base",), (8,), 2.96),
    SimulatedRow("CNNDM", ("base", "small"), (5, 3), 3.03),
    SimulatedRow("EnDe", ("small",), (12,), 3.61),
    SimulatedRow("EnDe", ("base",), (11,), 3.75),
    SimulatedRow("EnDe", ("base", "small"), (5, 8), 3.93),
)

CS_DRAFTING_TABLE_1_ALPHAS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {"CNNDM": {"small": 0.65, "base": 0.73}, "EnDe": {"small": 0.75, "base": 0.80}}
)
"""Rates behind Table 1; the paper does not print them, they were recovered."""

CS_DRAFTING_TABLE_1_COSTS: Mapping[str, float] = MappingProxyType(
    {"small": 77 / 11300, "base": 250 / 11300}
)
"""Costs behind Table 1, in target passes: parameter ratios, not the .02 and .04 of [L]."""


class SwiRow(NamedTuple):
    """One row of [CSD] Tables 2 and 5: SWI with FLAN-T5-XXL, and the settings behind it."""

    data: str
    algorithm: str
    drafts: tuple[str, ...]
    ms: float  # SWI with costs ~ parameters
    ms_settings: tuple[int, ...]  # k11, or k11, k12, k22, lenience
    pw: float  # SWI with Leviathan et al.'s costs
    pw_settings: tuple[int, ...]


CS_DRAFTING_TABLE_2 = (
    SwiRow("GSM8K", "AR", (), 1.0, (), 1.0, ()),
    SwiRow("GSM8K", "SD", ("base",), 3.38, (10,), 2.99, (8,)),
    SwiRow("GSM8K", "SD", ("small",), 3.06, (11,), 2.76, (8,)),
    SwiRow("GSM8K", "CSD", ("base", "max-gram"), 3.70, (10,), 3.27, (9,)),
    SwiRow("GSM8K", "CSD", ("small", "max-gram"), 3.19, (11,), 2.82, (11,)),
    SwiRow("GSM8K", "CSD", ("base", "small", "max-gram"), 3.88, (8, 13, 1, 3), 3.43, (5, 9, 1, 3)),
    SwiRow("MMLU", "AR", (), 1.0, (), 1.0, ()),
    SwiRow("MMLU", "SD", ("base",), 3.97, (13,), 3.42, (10,)),
    SwiRow("MMLU", "SD", ("small",), 4.12, (19,), 3.51, (11,)),
    SwiRow("MMLU", "CSD", ("base", "max-gram"), 4.56, (13,), 4.21, (6,)),
    SwiRow("MMLU", "CSD", ("small", "max-gram"), 4.39, (14,), 3.99, (13,)),
    SwiRow("MMLU", "CSD", ("base", "small", "max-gram"), 4.88, (5, 19, 1, 5), 4.32, (5, 8, 1, 5)),
)
"""The table gives lenience 5 for MMLU with MS costs, the authors' code 2; and k12 = 8 for MMLU
with PW costs, where the code's increments give 13. In each case one of them is inconsistent."""

CS_DRAFTING_TABLE_3: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "GSM8K": {"AR": 33.34, "SD": 44.31, "CSD": 56.72, "Medusa": 61.87, "CSD + tree": 63.81},
        "MMLU": {"AR": 33.11, "SD": 43.65, "CSD": 55.60, "Medusa": 56.19, "CSD + tree": 63.37},
    }
)
"""Tokens per second, Vicuna-7B with a 68M draft, one A40, greedy."""

CS_DRAFTING_TABLE_4: Mapping[str, float] = MappingProxyType(
    {"K00 = 1": 56.16, "K00 = 2": 55.51, "K00 = 3": 53.73, "no horizontal cascade": 53.55}
)
"""Ablation on GSM8K, tokens per second, same set-up as Table 3."""


class KMatrix(NamedTuple):
    """A published configuration of [CSD], in its authors' incremental form."""

    setting: str
    drafts: tuple[str, ...]  # dear to cheap; the last is Max-Gram, one-shot
    rows: tuple[tuple[int, ...], ...]  # row i serves reviewer i, thresholds are running sums
    lenience: float | None  # CS Drafting's l >= 1; None where the paper gives none


CS_DRAFTING_K_MATRICES = (
    KMatrix(
        "MMLU, MS costs",
        ("base", "small", "max-gram"),
        ((5, 14, 10), (0, 1, 10), (0, 0, 10)),
        2,
    ),
    KMatrix(
        "MMLU, PW costs",
        ("base", "small", "max-gram"),
        ((5, 8, 10), (0, 1, 10), (0, 0, 10)),
        5,
    ),
    KMatrix("LLaMA-7B", ("160m", "max-gram"), ((13, 10), (0, 10)), 3),
    KMatrix("Vicuna-7B", ("68m", "max-gram"), ((2, 10), (0, 10)), None),
    KMatrix("Vicuna-7B with tree", ("68m", "max-gram"), ((1, 3), (0, 1)), None),
)


class SpecBenchRow(NamedTuple):
    """One row of [CAS]'s main table: speed-up over plain decoding, Vicuna, H100, Spec-Bench."""

    size: str
    method: str
    conversation: float
    translation: float
    summarisation: float
    question_answering: float
    maths: float
    rag: float
    overall: float


CAS_SPEC_TABLE_1 = (
    SpecBenchRow("7B", "Lookahead", 1.386, 1.172, 1.173, 1.253, 1.567, 1.078, 1.274),
    SpecBenchRow("7B", "PLD", 1.563, 1.046, 2.276, 1.109, 1.603, 1.642, 1.539),
    SpecBenchRow("7B", "SWIFT", 1.073, 1.075, 1.096, 1.019, 1.067, 1.055, 1.064),
    SpecBenchRow("7B", "CAS-Spec", 1.598, 1.103, 2.268, 1.145, 1.664, 1.676, 1.578),
    SpecBenchRow("7B", "Kangaroo (trained)", 1.698, 1.307, 1.548, 1.409, 1.658, 1.581, 1.534),
    SpecBenchRow("7B", "CAS-Spec (Kangaroo+PLD)", 1.727, 1.312, 2.327, 1.407, 1.701, 1.695, 1.696),
    SpecBenchRow("13B", "Lookahead", 1.281, 1.065, 1.132, 1.128, 1.480, 1.068, 1.196),
    SpecBenchRow("13B", "PLD", 1.418, 1.020, 2.104, 1.035, 1.577, 1.673, 1.458),
    SpecBenchRow("13B", "SWIFT", 1.155, 1.087, 1.196, 1.040, 1.106, 1.142, 1.119),
    SpecBenchRow("13B", "CAS-Spec", 1.562, 1.134, 2.063, 1.107, 1.582, 1.691, 1.524),
    SpecBenchRow("13B", "Kangaroo (trained)", 1.652, 1.244, 1.483, 1.340, 1.652, 1.508, 1.482),
    SpecBenchRow(
        "13B", "CAS-Spec (Kangaroo+PLD)", 1.732, 1.251, 2.337, 1.401, 1.719, 1.689, 1.673
    ),
    SpecBenchRow("33B", "Lookahead", 1.295, 1.085, 1.159, 1.165, 1.535, 1.114, 1.229),
    SpecBenchRow("33B", "PLD", 1.431, 1.047, 1.891, 1.061, 1.523, 1.396, 1.385),
    SpecBenchRow("33B", "SWIFT", 1.218, 1.187, 1.244, 1.152, 1.218, 1.221, 1.206),
    SpecBenchRow("33B", "CAS-Spec", 1.547, 1.176, 1.862, 1.186, 1.563, 1.490, 1.481),
)

CAS_SPEC_TABLE_2: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "PLD": (1.75, 1.54),
        "SWIFT": (3.01, 1.06),
        "CAS-Spec": (3.43, 1.58),
        "SD, 68M draft": (2.27, 1.44),
        "Medusa": (2.39, 1.69),
        "EAGLE": (3.57, 2.05),
        "EAGLE-2": (4.36, 2.21),
    }
)
"""Vicuna-7B: mean tokens per cycle as the paper counts them ("mean accepted"), and speed-up."""

CAS_SPEC_FIGURE_3: Mapping[str, float] = MappingProxyType(
    {
        "AR": 1.0,
        "layer skip": 0.75,
        "VC": 0.97,
        "HC": 0.91,
        "VC + HC": 1.07,
        "tree (SWIFT)": 1.06,
        "VC + tree": 1.17,
        "PLD": 1.54,
        "DyTC": 1.57,
    }
)
"""Ablation, Vicuna-7B: speed-up over plain decoding."""
