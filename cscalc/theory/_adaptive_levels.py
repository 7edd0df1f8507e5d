"""The dynamic program behind `cscalc.theory.adaptive`, level by level, and its slow twin."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from cscalc._checks import Floats, check_int
from cscalc.profile import Profile

STOP, DRAFT, REVIEW = range(3)
SLACK = 1e-11  # tokens: a draft with less than this to gain is handed over as it is
MOST_STATES = 5_000_000
Drafted = Mapping[int, int]  # model -> tokens of it in a draft


@dataclass(frozen=True, slots=True)
class Action:
    """What an adaptive policy does next.

    Attributes
    ----------
    kind : {"review", "draft", "begin"}
        "review": the draft is handed to its reviewer (the target: it verifies).
        "draft": `model` proposes `length` tokens (1, or one call of a one-shot model).
        "begin": `model` begins a round of its own, with an empty draft.
    model : int
        The model that acts.
    length : int
        Tokens proposed, 0 unless `kind` is "draft".
    """

    kind: Literal["review", "draft", "begin"]
    model: int
    length: int = 0


def tables_of(profile: Profile, max_length: int) -> tuple[Any, ...]:
    """The profile as `_adaptive_kernel.solve` takes it."""
    models = range(profile.n_drafts + 1)
    known = [profile.max_positions(model) for model in models]
    caps = np.array([max_length if k is None else min(max_length, k - 1) for k in known])
    curves = np.ones((len(models), max_length + 2))  # index m
    for model in profile.verify:
        curves[model, : caps[model] + 2] = profile.verify_costs(model, int(caps[model]) + 1)
    costs = np.concatenate([[1.0], profile.costs])
    one_shot = np.array([model in profile.one_shot for model in models])
    return np.ascontiguousarray(profile.alphas), costs, one_shot, curves, caps


@dataclass(slots=True)
class Level:
    """The dynamic program of one draft: the target's, or that of an open round."""

    tables: Any
    reviewer: int
    depth: int
    cap: int
    worth: Floats  # (cap + 2,) by tokens emitted
    after: Floats
    rate: float
    values: Any = None
    spend: Any = None
    acts: Any = None
    width: Any = None

    def solve(self, keep: bool) -> tuple[float, float]:
        """Value and cost of the empty draft; fill the tables if `keep`."""
        from cscalc.theory import _adaptive_kernel as kernel  # numba loads here

        span = float(np.ptp(self.worth[1:])) if self.cap else 0.0
        self.width = kernel.widths(
            self.tables, self.reviewer, self.depth, self.cap, span, self.rate, SLACK
        )
        size = int(np.prod(self.width[self.reviewer + 1 :] + 1.0))
        if size > MOST_STATES:
            raise ValueError(
                f"max_length={self.cap} gives {size} states, more than {MOST_STATES}: lower "
                f"max_length, or leave out a draft that costs nothing"
            )
        rows = size if keep else 0
        self.values, self.spend = np.empty(rows), np.empty(rows)
        self.acts = np.empty((rows, 3), dtype=np.int64)
        value, cost = kernel.solve(
            self.tables, self.reviewer, self.depth, self.cap, self.worth, self.after, self.rate,
            SLACK, self.values, self.spend, self.acts,
        )  # fmt: skip
        return float(value), float(cost)

    def _count(self, drafted: Drafted) -> list[int]:
        models = range(self.reviewer + 1, len(self.width))
        if unknown := set(drafted) - set(models):
            raise ValueError(f"model {min(unknown)} cannot draft for model {self.reviewer}")
        count = [check_int("drafted tokens", drafted.get(j, 0), least=0) for j in models]
        if sum(count) > self.cap:
            raise ValueError(
                f"{sum(count)} drafted tokens are more than the {self.cap} that fit here: raise "
                f"max_length"
            )
        return count

    def _known(self, count: list[int]) -> bool:
        return all(c <= w for c, w in zip(count, self.width[self.reviewer + 1 :], strict=True))

    def _state(self, count: list[int]) -> int:
        return int(np.ravel_multi_index(count, self.width[self.reviewer + 1 :] + 1))

    def action(self, drafted: Drafted) -> Action:
        if self.values is None or not self.values.size:
            self.solve(keep=True)
        count = self._count(drafted)
        if not self._known(count):
            return Action("review", self.reviewer)
        kind, model, length = (int(x) for x in self.acts[self._state(count)])
        if kind == STOP:
            return Action("review", self.reviewer)
        return Action("draft", model, length) if kind == DRAFT else Action("begin", model)

    def begin(self, drafted: Drafted, model: int) -> "Level":
        """The program of a round of `model` begun at `drafted`."""
        if self.values is None or not self.values.size:
            self.solve(keep=True)
        alphas, costs, one_shot, curves, caps = self.tables
        count = self._count(drafted)
        held = sum(count)
        reviewers = range(self.reviewer + 1, caps.size - 1)  # the cheapest has nothing to review
        inner_cap = min(int(caps[model]), self.cap - held - 1) if model in reviewers else 0
        if not self.depth or inner_cap < 1 or one_shot[model]:
            raise ValueError(
                f"model {model} cannot begin a round here: it needs a cheaper model, room in "
                f"front of its reviewer, and max_depth"
            )
        rates = alphas[self.reviewer, self.reviewer + 1 :]
        kept = float(np.prod(rates ** np.array(count)))
        worth, after = np.empty(inner_cap + 2), np.empty(inner_cap + 2)
        gain = later = 0.0
        for k in range(1, inner_cap + 2):
            kept *= float(alphas[self.reviewer, model])
            gain += kept * float(self.worth[held + k + 1] - self.worth[held + k])
            later += kept * float(self.after[held + k + 1] - self.after[held + k])
            count[model - self.reviewer - 1] += 1
            if self._known(count):
                state = self._state(count)
                next_value, next_cost = float(self.values[state]), float(self.spend[state])
            else:
                next_cost = float(costs[self.reviewer] * curves[self.reviewer, held + k + 1])
                next_value = -self.rate * next_cost
            worth[k], after[k] = gain + next_value, later + next_cost
        return Level(self.tables, model, self.depth - 1, inner_cap, worth, after, self.rate)


def target_level(tables: Any, max_length: int, max_depth: int, rate: float) -> Level:
    cap = int(min(max_length, tables[-1][0]))
    return Level(tables, 0, max_depth, cap, np.arange(cap + 2.0), np.zeros(cap + 2), rate)


def best_value_slow(profile: Profile, rate: float, max_length: int, max_depth: int) -> float:
    """Largest E[T] - rate E[C] of an adaptive policy, by plain recursion; for tests.

    Examples
    --------
    >>> round(best_value_slow(Profile([0.8], [0.1]), 1.0, 2, 1), 6)
    1.24
    """
    n = profile.n_drafts

    def best(reviewer: int, depth: int, cap: int, worth: Any) -> float:
        known = profile.max_positions(reviewer)
        cap = cap if known is None else min(cap, known - 1)

        @cache
        def go(count: tuple[int, ...]) -> float:
            held = sum(count)
            kept = 1.0
            for j, c in enumerate(count):
                kept *= float(profile.alphas[reviewer, reviewer + 1 + j]) ** c
            choices = []
            if held or reviewer == 0:
                choices.append(-rate * profile.pass_cost(reviewer, held + 1))

            def ahead(model: int, k: int) -> float:
                """Worth of the next k tokens, all of `model`, and of what follows them."""
                j, alpha = model - reviewer - 1, float(profile.alphas[reviewer, model])
                gain = sum(
                    kept * alpha**i * (worth(held + i + 1) - worth(held + i))
                    for i in range(1, k + 1)
                )
                return float(gain) + go((*count[:j], count[j] + k, *count[j + 1 :]))

            for model in range(reviewer + 1, n + 1):
                most = cap - held if model in profile.one_shot else min(1, cap - held)
                for k in range(1, most + 1):
                    choices.append(ahead(model, k) - rate * profile.cost(model))
                if depth and model not in profile.one_shot and model < n and cap - held > 1:
                    inner = best(model, depth - 1, cap - held - 1, lambda k, m=model: ahead(m, k))
                    choices.append(inner)
            return max(choices, default=-np.inf)

        return float(worth(1)) + go((0,) * (n - reviewer)) if cap > 0 or reviewer == 0 else -np.inf

    return best(0, max_depth, max_length, float)
