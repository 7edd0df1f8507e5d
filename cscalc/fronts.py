"""Speed against quality of speculative cascades: rules, thresholds, and the front of the best.

The laws of target and draft in measured contexts give, for every rule and threshold, the law pi
of the output, how often a proposal survives it, and what pi loses against the target. Speed
follows from the acceptance rate and the costs of a profile.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cscalc._checks import Floats, check_int
from cscalc.profile import Profile
from cscalc.stats import check_confidence, check_generator
from cscalc.theory.deferral import Chow
from cscalc.theory.deferral_rates import SUMS, Laws, deferral_sums, make_rule
from cscalc.theory.speculative import expected_tokens_iid


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One rule at one threshold.

    Attributes
    ----------
    rule : str
    threshold : float or None
        None for the two ends, lossless speculative decoding and plain decoding.
    execution : {"speculative", "sequential", "plain"}
        Sequential: the plain cascade, which asks the target only where it defers.
    length : int
        Best draft length, tokens; 0 where nothing is drafted ahead.
    acceptance, deferral : float
        Means over contexts.
    ewif, ewif_low, ewif_high : float
        Expected speed-up over plain decoding with the target, and its interval.
    loss, loss_low, loss_high : float
        Expected extra log-loss under the target, nats a token, and its interval.
    disagreement : float
        Chance that a token is not the target's likeliest.
    on_front : bool
        Whether no other point is at least as fast and loses less, or as little and is faster.
    """

    rule: str
    threshold: float | None
    execution: str
    length: int
    acceptance: float
    deferral: float
    ewif: float
    ewif_low: float
    ewif_high: float
    loss: float
    loss_low: float
    loss_high: float
    disagreement: float
    on_front: bool = False


@dataclass(frozen=True, slots=True)
class DeferralFront:
    """Speed and quality of rules, the best marked.

    Attributes
    ----------
    points : tuple of FrontPoint
        In order of loss.
    confidence : float
        Of every interval.
    n_texts : int
        Texts that the intervals resample.

    Examples
    --------
    >>> import numpy as np
    >>> laws = [([[0.5, 0.3, 0.2]], [[0.4, 0.5, 0.1]])] * 2
    >>> rng = np.random.default_rng(0)
    >>> front = deferral_front(Profile([0.7], [0.1]), ["opt"], [0.1], laws=laws, rng=rng)
    >>> front.n_texts, len(front.points) >= len(front.front)
    (2, True)
    """

    points: tuple[FrontPoint, ...]
    confidence: float
    n_texts: int

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The points that no other beats, in order of loss."""
        return tuple(point for point in self.points if point.on_front)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        points = [asdict(point) for point in self.points]
        return {"points": points, "confidence": self.confidence, "n_texts": self.n_texts}

    def rows(self) -> list[tuple[str, ...]]:
        """Head and rows of a table, as text."""
        head = ("", "rule", "threshold", "run", "length", "accepted", "deferred", "EWIF", "loss")
        return [head, *(_row(point) for point in self.points)]

    def _repr_html_(self) -> str:
        from cscalc._html import table

        return table(self.rows())


def _row(point: FrontPoint) -> tuple[str, ...]:
    return (
        "*" if point.on_front else "", point.rule,
        "" if point.threshold is None else f"{point.threshold:g}", point.execution,
        str(point.length), f"{point.acceptance:.3f}", f"{point.deferral:.3f}",
        f"{point.ewif:.3f} [{point.ewif_low:.3f}, {point.ewif_high:.3f}]",
        f"{point.loss:.4f} [{point.loss_low:.4f}, {point.loss_high:.4f}]",
    )  # fmt: skip


def deferral_front(
    profile: Profile,
    rules: Sequence[str],
    thresholds: Sequence[float] | Mapping[str, Sequence[float]],
    *,
    laws: Iterable[Laws],
    rng: np.random.Generator,
    draft: int = 1,
    max_length: int = 16,
    n_resamples: int = 400,
    confidence: float = 0.95,
) -> DeferralFront:
    """Pareto front of expected speed-up against expected quality loss.

    Parameters
    ----------
    profile : Profile
        Costs of `draft` and of the target's reviewing passes; its alphas are not read.
    rules : sequence of str
        Names as in `make_rule`.
    thresholds : sequence of float, or dict of rule -> sequence of float
    laws : iterable of tuple of array_like, each (contexts, vocab)
        One entry a text: laws of target and draft at temperature 1 in its contexts, and both
        as sampled from where that differs. Read once, so a generator will do.
    rng : numpy.random.Generator
        Resamples texts, for intervals.
    draft : int
        The autoregressive model that drafts.
    max_length : int
        Longest draft to consider, tokens.
    n_resamples : int
        Resamples of texts.
    confidence : float
        Of the percentile intervals.

    Returns
    -------
    DeferralFront
        With lossless speculative decoding, plain decoding, and the plain (sequential) cascades
        of the rules that read the draft only beside the speculative ones. A speculative cycle
        costs V(length + 1) + c (length + alpha^length): where all proposals are kept, the bonus
        token follows pi too, which takes one more pass of the draft.

    Raises
    ------
    ValueError
        If a rule is unknown, a threshold out of its range, there are no laws, or the model
        named cannot draft token by token.

    Examples
    --------
    >>> import numpy as np
    >>> target, draft = [[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]], [[0.4, 0.5, 0.1], [0.6, 0.2, 0.2]]
    >>> front = deferral_front(
    ...     Profile([0.7], [0.1]), ["opt", "chow"], [0.1, 0.5], laws=[(target, draft)] * 2,
    ...     rng=np.random.default_rng(0),
    ... )
    >>> [point.rule for point in front.front][-1], len(front.points)
    ('chow', 8)
    """
    check_generator(rng)
    check_int("max_length", max_length, least=1)
    check_int("n_resamples", n_resamples, least=1)
    check_confidence(confidence)
    _check_draft(profile, draft)
    jobs = front_jobs(rules, thresholds)
    made = [make_rule(name, threshold) for name, threshold in jobs]
    sums = [[deferral_sums(rule, text) for rule in [Chow(-1.0), *made]] for text in laws]
    if not sums:
        raise ValueError("laws holds no text: give the laws of target and draft in some contexts")
    table = np.array([[[cell[k] for k in SUMS] for cell in row] for row in sums])
    return front_of(
        profile, jobs, table, rng=rng, draft=draft, max_length=max_length,
        n_resamples=n_resamples, confidence=confidence,
    )  # fmt: skip


def front_jobs(
    rules: Sequence[str], thresholds: Sequence[float] | Mapping[str, Sequence[float]]
) -> list[tuple[str, float]]:
    """Every rule with each of its thresholds.

    Raises
    ------
    ValueError
        If there are none, or a rule has no thresholds.

    Examples
    --------
    >>> front_jobs(["opt"], [0.1, 0.2])
    [('opt', 0.1), ('opt', 0.2)]
    """
    if isinstance(rules, str) or not list(rules):
        raise ValueError(f"rules must be a sequence of names, got {rules!r}: such as ['opt']")
    jobs = []
    for name in rules:
        values = thresholds.get(name, ()) if isinstance(thresholds, Mapping) else thresholds
        if not list(values):
            raise ValueError(f"rule {name} has no thresholds: give at least one")
        jobs += [(name, float(value)) for value in values]
    return jobs


def front_of(
    profile: Profile,
    jobs: Sequence[tuple[str, float]],
    sums: Floats,
    *,
    rng: np.random.Generator,
    draft: int = 1,
    length: int | None = None,
    max_length: int = 16,
    n_resamples: int = 400,
    confidence: float = 0.95,
) -> DeferralFront:
    """The front from sums that were taken text by text; see `deferral_front`.

    Parameters
    ----------
    profile, rng, draft, max_length, n_resamples, confidence
        As there.
    length : int, optional
        The draft length of all rules; by default each has its best.
    jobs : sequence of (rule, threshold)
    sums : ndarray, shape (texts, 1 + len(jobs), 5)
        `deferral_sums` in the order of `SUMS`; the first column is of always deferring, which
        is lossless.
    """
    n_texts = len(sums)
    picks = rng.integers(n_texts, size=(n_resamples, n_texts))
    pools = [sums.sum(axis=0), *sums[picks].sum(axis=1)]  # each (1 + jobs, 5)
    means = np.array([pool[:, 1:] / pool[:, :1] for pool in pools])  # (1 + resamples, jobs, 4)
    speeds = _Speeds(profile, draft, max_length)
    points = [_point("plain", None, "plain", 0, means[:, 0], np.ones(len(pools)), confidence)]
    for column, (name, threshold) in enumerate([("lossless", None), *jobs]):
        here = means[:, column]
        lossless = threshold is None
        k = length if length is not None else speeds.best_length(here[0, 0], lossless)
        fast = np.array([speeds.speculative(a, k, lossless) for a in here[:, 0]])
        points.append(_point(name, threshold, "speculative", k, here, fast, confidence))
        if name in ("chow", "chowlog"):
            slow = 1.0 / (profile.cost(draft) + here[:, 1])
            points.append(_point(name, threshold, "sequential", 0, here, slow, confidence))
    points.sort(key=lambda point: (point.loss, -point.ewif))
    return DeferralFront(_marked(points), confidence, n_texts)


def _check_draft(profile: Profile, draft: int) -> None:
    check_int("draft", draft, least=1)
    if draft > profile.n_drafts:
        raise ValueError(f"draft {draft} is not in the profile, which has 1..{profile.n_drafts}")
    if draft in profile.one_shot:
        raise ValueError(f"draft {draft} is one-shot and has no law: name an autoregressive one")


class _Speeds:
    """EWIF of drafting and reviewing at an acceptance rate."""

    def __init__(self, profile: Profile, draft: int, max_length: int) -> None:
        most = profile.max_positions(0)
        self._longest = max_length if most is None else min(max_length, most - 1)
        self._cost = profile.cost(draft)
        self._review = profile.verify_costs(0, self._longest + 1)

    def speculative(self, alpha: float, length: int, lossless: bool) -> float:
        rate = min(1.0, max(0.0, alpha))
        extra = 0.0 if lossless else rate**length
        cost = float(self._review[length + 1]) + self._cost * (length + extra)
        return float(expected_tokens_iid(rate, length)) / cost

    def best_length(self, alpha: float, lossless: bool) -> int:
        lengths = range(1, self._longest + 1)
        return max(
            lengths, key=lambda length: (self.speculative(alpha, length, lossless), -length)
        )


def _point(
    name: str,
    threshold: float | None,
    execution: str,
    length: int,
    means: Floats,
    speeds: Floats,
    confidence: float,
) -> FrontPoint:
    """A point from its means (1 + resamples, 4) and speeds (1 + resamples,); row 0 is ours."""
    ends = [0.5 - confidence / 2.0, 0.5 + confidence / 2.0]
    low, high = np.quantile(speeds[1:], ends)
    loss_low, loss_high = np.quantile(means[1:, 2], ends)
    acceptance, deferral, loss, disagreement = (float(x) for x in means[0])
    return FrontPoint(
        name, threshold, execution, length, acceptance, deferral, float(speeds[0]), float(low),
        float(high), loss, float(loss_low), float(loss_high), disagreement,
    )  # fmt: skip


def _marked(points: list[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points, in order of loss, with those marked that no other beats."""
    fastest, marked = -np.inf, []
    for point in points:
        on_front = point.ewif > fastest
        fastest = max(fastest, point.ewif)
        marked.append(FrontPoint(**{**asdict(point), "on_front": on_front}))
    return tuple(marked)
