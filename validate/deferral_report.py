"""What rules promised and did: a table, the front, and the paper's findings tried on it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cscalc.fronts import DeferralFront, front_of
from cscalc.profile import Profile
from cscalc.theory.deferral_rates import SUMS
from cscalc.theory.speculative import expected_tokens_iid
from validate.deferral_run import LOSSLESS, PLAIN, SEQUENTIAL, Job, side_name

N_RESAMPLES = 1000
TAILS = (0.025, 0.975)
# arXiv:2405.19261, sections 4 and 5: which rules are said to beat which, at equal loss
CLAIMS = (
    ("token-specific rules beat Chow's", ("token-v1", "token-v2", "token-v3"), ("chow",)),
    ("token-specific rules beat BiLD's", ("token-v1", "token-v2", "token-v3"), ("bild",)),
    ("OPT beats Diff", ("opt",), ("diff",)),
)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One side of a deferral run over all prompts; intervals are over prompts.

    Attributes
    ----------
    side : str
    tokens_per_cycle, predicted_tokens : float
        Measured; predicted from the overlap on the target's own replies.
    speed_up, low, high, predicted_speed_up : float
        Over plain decoding in the same run, with its 95 % interval.
    perplexity, perplexity_low, perplexity_high : float
        Under the target, of the text that was written.
    agreement : float
        Share of tokens that are the target's likeliest.
    accuracy : float or None
        Share of right answers, of the prompts that have one.
    """

    side: str
    tokens_per_cycle: float
    predicted_tokens: float
    speed_up: float
    low: float
    high: float
    predicted_speed_up: float
    perplexity: float
    perplexity_low: float
    perplexity_high: float
    agreement: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim of the paper, and how much faster the first family is at equal expected loss.

    Attributes
    ----------
    claim : str
    gain, low, high : float
        Mean relative gain in expected speed over the losses both reach; 95 % interval.
    measured, measured_low, measured_high : float
        The same in the speed that was measured, at the same expected losses.
    verdict : str
        "found", "not found" or "the contrary", of the expected speed.
    """

    claim: str
    gain: float
    low: float
    high: float
    measured: float
    measured_low: float
    measured_high: float

    @property
    def verdict(self) -> str:
        if self.low > 0.0:
            return "found"
        return "the contrary" if self.high < 0.0 else "not found"


@dataclass(frozen=True, slots=True)
class DeferralReport:
    """Rows, front and findings of one run.

    Attributes
    ----------
    rows : tuple of RuleRow
    front : DeferralFront
        Expected speed and loss, at the draft length that was run.
    findings : tuple of Finding
    length : int
        Draft length, tokens.
    costs : dict
        Seconds of a plain pass, and cost of a draft's and of a reviewing pass in such passes.
    """

    rows: tuple[RuleRow, ...]
    front: DeferralFront
    findings: tuple[Finding, ...]
    length: int
    costs: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "front": self.front.to_dict(),
            "findings": [{**asdict(f), "verdict": f.verdict} for f in self.findings],
            "length": self.length,
            "costs": self.costs,
        }


def deferral_report(
    records: Sequence[Mapping[str, Any]],
    jobs: Sequence[Job],
    *,
    length: int,
    draft: int = 1,
    rng: np.random.Generator,
) -> DeferralReport:
    """Tables and findings of the records of `run_deferral`.

    Parameters
    ----------
    records : sequence of dict
    jobs : sequence of (rule, threshold)
        As they were run.
    length, draft : int
        As they were run.
    rng : numpy.random.Generator
        Resamples prompts.

    Returns
    -------
    DeferralReport

    Raises
    ------
    ValueError
        If there are no records.
    """
    if not records:
        raise ValueError("there are no records: run the rules on at least one prompt")
    costs = _costs(records, draft)
    profile = Profile(
        [0.5], [costs["draft"]], verify=[1.0] + [costs["review"]] * length
    )  # the alpha is not read
    sums = np.array([[[cell[k] for k in SUMS] for cell in r["sums"]] for r in records])
    picks = rng.integers(len(records), size=(N_RESAMPLES, len(records)))
    front = front_of(profile, jobs, sums, rng=rng, length=length, n_resamples=N_RESAMPLES)
    findings = _findings(profile, jobs, sums, picks, length, records)
    rows = _rows(records, front, picks)
    return DeferralReport(tuple(rows), front, tuple(findings), length, costs)


def _costs(records: Sequence[Mapping[str, Any]], draft: int) -> dict[str, float]:
    """Costs of passes, from the plain and the lossless side of the same run."""

    def mean(side: str, model: int) -> float:
        sides = [record["sides"][side] for record in records]
        passes: int = sum(s["passes"][str(model)] for s in sides)
        seconds: float = sum(s["pass_seconds"][str(model)] for s in sides)
        return seconds / passes

    unit = mean(PLAIN, 0)
    return {
        "pass_seconds": unit,
        "draft": mean(LOSSLESS, draft) / unit,
        "review": mean(LOSSLESS, 0) / unit,
    }


def _rows(
    records: Sequence[Mapping[str, Any]], front: DeferralFront, picks: np.ndarray
) -> list[RuleRow]:
    points = {}
    for point in front.points:
        if point.threshold is None:
            name = point.rule
        else:
            name = side_name((point.rule, point.threshold), point.execution)
        points[name] = point
    rows = []
    for side in records[0]["sides"]:
        point = points[side]
        totals, speed = _totals(records, side, picks), _speed(records, side, picks)
        perplexity = np.exp(totals[:, 3] / totals[:, 0])
        answers = [record["sides"][side]["right"] for record in records]
        right = [a for a in answers if a is not None]
        low, high = (float(x) for x in np.quantile(speed[1:], TAILS))
        least, most = (float(x) for x in np.quantile(perplexity[1:], TAILS))
        predicted = 1.0
        if point.execution == "speculative":
            predicted = float(expected_tokens_iid(point.acceptance, point.length))
        rows.append(
            RuleRow(
                side, float(totals[0, 4] / totals[0, 2]),
                predicted, float(speed[0]), low, high, point.ewif,
                float(perplexity[0]), least, most,
                sum(r["sides"][side]["agreed"] for r in records) / float(totals[0, 0]),
                sum(right) / len(right) if right else None,
            )
        )  # fmt: skip
    return rows


def _totals(records: Sequence[Mapping[str, Any]], side: str, picks: np.ndarray) -> np.ndarray:
    """Tokens, seconds, cycles, nats, emitted tokens: of all and resampled, (1 + resamples, 5)."""
    keys = ("tokens", "seconds", "cycles", "nats", "emitted")
    table = np.array([[record["sides"][side][key] for key in keys] for record in records])
    return np.array([table.sum(axis=0), *table[picks].sum(axis=1)])


def _speed(records: Sequence[Mapping[str, Any]], side: str, picks: np.ndarray) -> np.ndarray:
    """Measured speed over plain decoding, of all and resampled, (1 + resamples,)."""
    totals, plain = _totals(records, side, picks), _totals(records, PLAIN, picks)
    return np.asarray((totals[:, 0] / totals[:, 1]) / (plain[:, 0] / plain[:, 1]))


def _findings(
    profile: Profile,
    jobs: Sequence[Job],
    sums: np.ndarray,
    picks: np.ndarray,
    length: int,
    records: Sequence[Mapping[str, Any]],
) -> list[Finding]:
    """The claims that these rules can speak to."""
    pools = np.array([sums.sum(axis=0), *sums[picks].sum(axis=1)])  # (1 + resamples, 1 + jobs, 5)
    means = pools[:, :, 1:] / pools[:, :, :1]
    loss = means[:, :, 2]
    speculative = _speculative_speed(profile, means[:, :, 0], length)
    speculative[:, 0] = _speculative_speed(profile, means[:, :1, 0], length, lossless=True)[:, 0]
    sequential = 1.0 / (profile.cost(1) + means[:, :, 1])
    sequential[:, 0] = 1.0  # always deferring is plain decoding: no draft pass is made
    there = records[0]["sides"]
    sides = [LOSSLESS, *(side_name(job, "speculative") for job in jobs)]
    seen = np.stack([_speed(records, side, picks) for side in sides], axis=1)
    sides = [PLAIN, *(side_name(job, "sequential") for job in jobs)]
    seen_sequential = np.stack(
        [_speed(records, side if side in there else PLAIN, picks) for side in sides], axis=1
    )
    columns = {name: [1 + i for i, job in enumerate(jobs) if job[0] == name] for name, _ in jobs}
    found = []
    for claim, better, worse in CLAIMS:
        if any(n in columns for n in better) and any(n in columns for n in worse):
            one, other = (
                [0, *(c for n in names for c in columns.get(n, ()))] for names in (better, worse)
            )
            expected, measured = (
                _gains(loss[:, one], speed[:, one], loss[:, other], speed[:, other])
                for speed in (speculative, seen)
            )
            found.append(_finding(claim, expected, measured))
    both = [0, *(c for n in SEQUENTIAL for c in columns.get(n, ()))]
    if len(both) > 1:
        at = loss[:, both]
        expected = _gains(at, speculative[:, both], at, sequential[:, both])
        measured = _gains(at, seen[:, both], at, seen_sequential[:, both])
        claim = "speculative cascades beat sequential ones of the same rule"
        found.append(_finding(claim, expected, measured))
    return found


def _speculative_speed(
    profile: Profile, acceptance: np.ndarray, length: int, *, lossless: bool = False
) -> np.ndarray:
    """EWIF at each acceptance; a rule's bonus token takes one more pass of the draft."""
    rate = np.clip(acceptance, 0.0, 1.0)
    extra = 0.0 if lossless else rate**length
    cost = profile.pass_cost(0, length + 1) + profile.cost(1) * (length + extra)
    return np.asarray(expected_tokens_iid(rate, length)) / cost


def _gains(
    loss_a: np.ndarray, speed_a: np.ndarray, loss_b: np.ndarray, speed_b: np.ndarray
) -> list[float]:
    """`_gain` of every row."""
    return [_gain(*row) for row in zip(loss_a, speed_a, loss_b, speed_b, strict=True)]


def _gain(
    loss_a: np.ndarray, speed_a: np.ndarray, loss_b: np.ndarray, speed_b: np.ndarray
) -> float:
    """Mean relative difference of the best speeds at most a loss, over losses both reach."""
    most = min(loss_a.max(), loss_b.max())
    levels = np.linspace(0.0, max(most, 0.0), 21)
    best_a = [speed_a[loss_a <= level + 1e-12].max() for level in levels]
    best_b = [speed_b[loss_b <= level + 1e-12].max() for level in levels]
    return float(np.mean(np.array(best_a) / np.array(best_b)) - 1.0)


def _finding(claim: str, expected: Sequence[float], measured: Sequence[float]) -> Finding:
    numbers = [
        float(x) for gains in (expected, measured)
        for x in (gains[0], *np.quantile(gains[1:], TAILS))
    ]  # fmt: skip
    return Finding(claim, *numbers)
