"""The comparisons of a certificate: which there are, fixed in advance, and their chi-squares."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.cascade import Cascade
from cscalc.goodness import chi_square
from validate.evidence import BONUS, Evidence
from validate.models import LanguageModel
from validate.sampling import Sampling

CELLS = 12  # of equal mass, when at least CELLS * PER_CELL tokens were seen
PER_CELL = 25  # expected in a cell, so that chi-square's tail can be trusted at 1e-5
FEWEST_CELLS = 4
ENOUGH = FEWEST_CELLS * PER_CELL  # tokens from which a comparison is made
FREQUENT = 10.0  # expected of a token that is a cell by itself; cells that expect less are pooled
EACH = 8  # places in a reply and in a cycle that are compared one by one
GROUPS = {  # group -> what it compares
    "all tokens": "every token",
    "place in the reply": "the tokens at one place in the reply",
    "place in the cycle": "the tokens at one place in a cycle",
    "bonus": "the extra token after every proposal was accepted",
    "corrected": "the extra token after a rejection, against (p - q)+",
    "neighbours": "two tokens that follow each other, jointly",
    "first two tokens": "joint law of the first two tokens of one prompt, token by token",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counts of one group of tokens against the target's law.

    Attributes
    ----------
    group, name : str
        One of `GROUPS`; which of its comparisons.
    order : str
        How the tokens were sorted into cells: "likeliest", "draft", "number", or "tokens"
        where cells are tokens.
    n : int
        Tokens (or pairs of tokens) counted.
    cells : int
        0 if there were too few to compare.
    statistic, p_value : float
        Pearson's chi-square and the chance of one at least as large if lossless.
    threshold : float
        Fails below this p-value: the false-alarm rate over the number of comparisons.
    sees : float or None
        Total variation, over these cells and in the shape that shows least, that would have
        failed with chance 90 %; None if there were too few to compare.
    needs : int or None
        Tokens from which the comparison is made; None if no number would do, because the
        target's law leaves no choice.
    """

    group: str
    name: str
    order: str
    n: int
    cells: int
    statistic: float
    p_value: float
    threshold: float
    sees: float | None
    needs: int | None = ENOUGH

    @property
    def tested(self) -> bool:
        """Whether there were enough tokens."""
        return self.cells > 1

    @property
    def passed(self) -> bool:
        """Whether the counts agree with the law."""
        return self.p_value >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        finite = {"statistic": self.statistic if np.isfinite(self.statistic) else None}
        return {**asdict(self), **finite, "tested": self.tested, "passed": self.passed}


Planned = tuple[str, str, str]  # group, name, order


def plan(
    cascade: Cascade, orders: Sequence[str], n_prompts: int, max_tokens: int
) -> list[Planned]:
    """List every comparison that will be made; depends on no outcome.

    Examples
    --------
    >>> len(plan(Cascade(()), ["likeliest", "number"], 2, 3))
    8
    """
    sorts = [order for order in orders if order != "number"]
    places = [str(t) for t in range(1, min(EACH, max_tokens) + 1)]
    in_cycle = [str(j) for j in range(1, min(EACH, cascade.max_length + 1) + 1)]
    found = [("all tokens", "all", order) for order in sorts]
    found += [("place in the reply", place, order) for order in sorts for place in places]
    if cascade.drafts:
        found += [("place in the cycle", place, order) for order in sorts for place in in_cycle]
        found += [("bonus", "bonus", order) for order in sorts]
        found += [("corrected", "corrected", "likeliest")]
    if max_tokens > 1:
        found += [("neighbours", "neighbours", order) for order in ("likeliest", "number")]
    found += [("first two tokens", f"prompt {i}", "tokens") for i in range(n_prompts)]
    return found


def compare(
    planned: Sequence[Planned], seen: Evidence, firsts: Sequence["FirstTwo"], false_alarm: float
) -> list[Comparison]:
    """Make the planned comparisons; their thresholds share the false alarm (Bonferroni)."""
    threshold = false_alarm / len(planned)
    made = []
    for group, name, order in planned:
        needs: int | None = ENOUGH
        if group == "first two tokens":
            at = int(name.removeprefix("prompt "))
            counts, law = firsts[at].counts(seen, at)
            needs = firsts[at].needs
        elif group == "neighbours":
            counts = _pairs(seen, order)
            law = np.full(counts.size, 1.0 / counts.size)
        else:
            values = seen.corrected if group == "corrected" else seen.uniforms[order]
            chosen = values[_chosen(seen, group, name)]
            counts = _cells(chosen[np.isfinite(chosen)])
            law = np.full(counts.size, 1.0 / counts.size)
        made.append(_comparison((group, name, order), counts, law, threshold, needs))
    return made


def _comparison(
    planned: Planned, counts: Floats, law: Floats, threshold: float, needs: int | None
) -> Comparison:
    n = int(counts.sum())
    if counts.size < 2:
        return Comparison(*planned, n, 0, 0.0, 1.0, threshold, None, needs)
    found = chi_square(counts, law, min_expected=FREQUENT)
    cells = found.dof + 1 if np.isfinite(found.statistic) else counts.size
    sees = detectable(n, found.dof, threshold) if found.dof else None
    return Comparison(
        *planned, n, cells, found.statistic, found.p_value, threshold, sees, needs
    )  # fmt: skip


def detectable(n: int, dof: int, threshold: float, power: float = 0.9) -> float:
    """Total variation that fails with chance `power`, spread evenly over cells of equal mass.

    A law off by v in total variation, half of its cells up and half down by the same, has
    noncentrality 4 n v^2; any other shape has more.

    Examples
    --------
    >>> round(detectable(6400, 11, 2e-5), 3)
    0.044
    """
    from scipy import optimize, stats

    limit = stats.chi2.isf(threshold, dof)
    reach = optimize.brentq(lambda x: stats.ncx2.sf(limit, dof, x) - power, 1e-3, 10.0 * limit)
    return float(min(1.0, np.sqrt(reach / (4.0 * n))))


def _chosen(seen: Evidence, group: str, name: str) -> npt.NDArray[np.bool_]:
    if group == "place in the reply":
        return np.asarray(seen.position == int(name) - 1)
    if group == "place in the cycle":
        return np.asarray(seen.index == int(name) - 1)
    if group == "bonus":
        return np.asarray(seen.kind == BONUS)
    return np.ones(seen.position.size, dtype=bool)


def _cells(values: Floats) -> Floats:
    """Histogram of uniforms over cells of equal width; one cell if there are too few."""
    cells = min(CELLS, values.size // PER_CELL)
    if cells < FEWEST_CELLS:
        return np.array([float(values.size)])
    return np.histogram(values, bins=cells, range=(0.0, 1.0))[0].astype(np.float64)


def _pairs(seen: Evidence, order: str) -> Floats:
    """Counts of (first, second) over pairs of tokens that share none with another pair."""
    u = seen.uniforms[order]
    left = np.flatnonzero(seen.position[:-1] % 2 == 0)
    left = left[seen.reply[left] == seen.reply[left + 1]]
    side = min(5, int(np.sqrt(left.size / PER_CELL)))
    if side < 2:
        return np.array([float(left.size)])
    cell = [np.minimum((u[at] * side).astype(np.int64), side - 1) for at in (left, left + 1)]
    return np.bincount(cell[0] * side + cell[1], minlength=side * side).astype(np.float64)


@dataclass(frozen=True, slots=True)
class FirstTwo:
    """Cells of the first two tokens after one prompt, and their chances.

    A cell is a pair of tokens, a first token with all other seconds (second -1), or all else
    (-1, -1).
    """

    law: Mapping[tuple[int, int], float]
    needs: int | None  # replies from which there are two cells; None: there is one outcome only

    @classmethod
    def of(
        cls, target: LanguageModel, prompt: Sequence[int], sampling: Sampling, n: int,
        most: int = 8,
    ) -> "FirstTwo":  # fmt: skip
        """Cells for `n` replies, the likeliest tokens first; fixed before any reply is drawn."""
        session = target.start()
        cells: dict[tuple[int, int], float] = {}
        first = _law(session.extend(list(prompt), 1), prompt, sampling)
        needs = _replies(max(first))
        for a in _frequent(first, n, most):
            cells[a, -1] = first[a]
            session.rewind(len(prompt))
            second = _law(session.extend([a], 1), [*prompt, a], sampling)
            if needs is None:  # the first token is sure
                needs = _replies(max(second))
            for b in _frequent(second, n * first[a], most):
                cells[a, b] = first[a] * second[b]
                cells[a, -1] -= cells[a, b]
        left = 1.0 - sum(cells.values())
        law = {cell: chance for cell, chance in cells.items() if chance > 1e-9}
        if left > 1e-9:
            law[-1, -1] = left
        return cls({cell: chance / sum(law.values()) for cell, chance in law.items()}, needs)

    def counts(self, seen: Evidence, prompt: int) -> tuple[Floats, Floats]:
        """How often each cell was seen after the prompt of this number, and its chance."""
        cells = {cell: i for i, cell in enumerate(self.law)}
        found = np.zeros(len(cells) + 1)  # the last: an outcome without chance
        first = np.flatnonzero((seen.prompt == prompt) & (seen.position == 0))
        second = first + 1
        for a, b in zip(seen.token[first].tolist(), seen.token[second].tolist(), strict=True):
            cell = next((c for c in ((a, b), (a, -1), (-1, -1)) if c in cells), None)
            found[-1 if cell is None else cells[cell]] += 1
        law = np.array([*self.law.values(), 0.0])
        return (found, law) if found[-1] else (found[:-1], law[:-1])


def _law(logits: Any, text: Sequence[int], sampling: Sampling) -> list[float]:
    probs: list[float] = sampling.law(logits, list(text)).dense()[0].double().cpu().tolist()
    return probs


def _replies(largest: float) -> int | None:
    """Draws in which the likeliest token and all others are frequent; None if it is sure."""
    others = 1.0 - largest
    return None if others < 1e-9 else int(np.ceil(FREQUENT / min(largest, others)))


def _frequent(law: Sequence[float], n: float, most: int) -> list[int]:
    """The likeliest tokens of which `n` draws hold at least ten each, at most `most`."""
    order = np.argsort(-np.asarray(law), kind="stable")[:most]
    return [int(token) for token in order if n * law[token] >= FREQUENT]
