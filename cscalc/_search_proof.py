"""The proof of `optimal_config`: branch and bound over the whole grammar, and what it leaves open.

The compiled part begins in `cscalc._search_tree`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cscalc._checks import Floats
from cscalc._search import by_model, most_tokens
from cscalc.cascade import Cascade, Draft, Review, Segment
from cscalc.profile import Profile
from cscalc.theory.law import ewif

ROWS = 400_000  # states of all open frames together, about 70 bytes each
MOST_FRAMES = 200
COARSE = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # tokens
SECANTS = 3
NOISE = 1e-9  # tokens; more is no rounding
ALONE, ROUNDS, UNTIL, OPEN = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Proof:
    """Some drafts of a profile, within limits, as the compiled search takes them."""

    profile: Profile
    models: tuple[int, ...]  # of the profile; 1, 2, ... in the search
    tables: Any
    max_length: int
    max_depth: int
    slack: float

    @classmethod
    def of(
        cls,
        profile: Profile,
        models: tuple[int, ...],
        max_length: int,
        max_depth: int,
        slack: float,
    ) -> "Proof":
        """Take `models` of `profile`; `slack` : relative, what is not worth a proof."""
        mine = np.array([0, *models])
        rates, *by_row = by_model(profile, most_tokens(max_length))
        alphas = np.ascontiguousarray(rates[np.ix_(mine, mine)])
        costs, curves, steady, caps, one_shot = (values[mine] for values in by_row)
        size, depth = mine.size, min(max_depth, mine.size - 2)
        longest = np.full((size, size), max_length)
        for i in range(size):
            for j in range(i + 1, size):
                if one_shot[j] and steady[i] and slack > 0.0 and alphas[i, j] < 1.0:
                    alpha = alphas[i, j]
                    enough = 1 if alpha == 0.0 else np.log(slack) / np.log(alpha)
                    longest[i, j] = min(max_length, max(1, int(np.ceil(enough))))
        cheap = np.array(curves)
        limits = np.full((size, depth + 1), max_length)
        for i, cap in enumerate(caps + 2):
            cheap[i, :cap] = np.minimum.accumulate(curves[i, :cap][::-1])[::-1]
            cheap[i, cap:] = np.inf
        for d in range(1, depth + 1):
            for j in range(1, size - 1):
                if not one_shot[j]:  # so many rounds, each of a whole draft and one more token
                    most = max_length * (1 + int(limits[j + 1 :, d - 1].sum()))
                    limits[j, d] = min(most, caps[0] + 1)
        rises = [bool(np.all(cheap[i, 1:k] == curves[i, 1:k])) for i, k in enumerate(caps + 2)]
        prices = np.column_stack([costs, cheap[:, 1]])
        facts = np.column_stack([one_shot, caps, rises, steady]).astype(np.int64)
        tables = (alphas, curves, longest, prices, facts, cheap, limits)
        return cls(profile, models, tables, max_length, depth, slack)

    @property
    def frames(self) -> int:
        """Drafts that one cascade can have: the target's, and one for each review."""

        def inside(model: int, depth: int) -> int:
            later = range(model + 1, len(self.models) + 1)
            return 1 + sum(inside(one, depth - 1) for one in later if depth)

        return inside(0, self.max_depth)

    def improve(
        self,
        best: tuple[float, Cascade],
        steps: int,
        refined: Callable[[Cascade], Cascade] | None = None,
    ) -> tuple[float, Cascade, bool]:
        """Best EWIF and cascade, and whether branch and bound ended within `steps`.

        refined : gives a cascade of the same models at least as good as the one found
        """
        from cscalc import _search_tree  # numba loads here

        rate, cascade = best
        if self.frames > MOST_FRAMES:
            return rate, cascade, False
        noise = 0.0
        for _ in range(1000):  # Dinkelbach: the ratio rises strictly, in practice a few times
            least = max(self.slack * rate, noise)
            value, acts, ended, steps = _search_tree.search(
                self.tables, self.max_length, self.max_depth, rate, least, steps, ROWS,
                self.frames + 1,
            )  # fmt: skip
            if value <= least:
                return rate, cascade, bool(ended)
            better = self.decode(acts.tolist())
            if refined is not None:
                better = refined(better)
            new_rate = ewif(better, self.profile)
            if new_rate <= rate * (1.0 + 1e-13):
                if ended or steps <= 0 or value > NOISE:
                    return rate, cascade, bool(ended)
                noise = value  # of rounding, and the search ended at it: go on
                continue
            most = rate + value / float(self.tables[3][0, 1])  # the largest EWIF there can be
            rate, cascade, noise = new_rate, better, 0.0
            if ended and most <= rate * (1.0 + self.slack):
                return rate, cascade, True
            if steps <= 0:
                break
        return rate, cascade, False

    def decode(self, acts: list[list[int]]) -> Cascade:
        """The cascade that `_search_tree.search` names."""
        open_frames: list[list[Segment]] = [[]]
        for kind, number, value in acts:
            model = self.models[number - 1]
            if kind == OPEN:
                open_frames.append([])
            elif kind == ALONE:
                open_frames[-1].append(Draft(model, value))
            else:
                drafts = tuple(open_frames.pop())
                stop = {"rounds": value} if kind == ROUNDS else {"until": value}
                open_frames[-1].append(Review(model, drafts, **stop))
        return Cascade(tuple(open_frames[0]))

    def relaxed(self, rate: float, rising: bool = False) -> float:
        """Upper bound on E[T] - rate E[C] of every cascade within the limits.

        rising : also for every acceptance model whose rates are never above these
        """
        from cscalc import _search_frames

        facts, limits = self.tables[4], self.tables[6]
        cap = int(min(facts[0, 1], limits[1:, -1].sum()))
        worth = np.arange(cap + 3.0)
        place, values = np.empty((0, 2)), np.empty((0, 0))
        for coarse in COARSE:
            used = np.zeros(3, dtype=np.int64)
            value = _search_frames.relax(
                self.tables, 0, self.max_depth, cap, worth, rate, coarse, rising, place, values,
                used,
            )  # fmt: skip
            if not used[2]:
                return 1.0 + float(value)
        return np.inf


def ewif_bound(proofs: list[Proof], weights: Floats, rate: float, rising: bool) -> float:
    """Upper bound on E[T] / E[C] of every cascade within the limits; `rate` : of one of them.

    E[T] and E[C] are sums over `proofs` by `weights`. The maximum of E[T] - r E[C] over
    relaxed policies, one for each proof, is convex in r and falls by at least the least cost
    of a cycle: between a rate where it is positive and one where it is not it lies below its
    chord, whose root is therefore a bound.
    """

    def relaxed(rate: float) -> float:
        values = [one.relaxed(rate, rising) for one in proofs]
        return float(np.dot(weights, values))

    slack = 1.0 + proofs[0].slack
    high = relaxed(rate)
    if high <= 0.0 or not np.isfinite(high):
        return rate * slack if high <= 0.0 else np.inf
    right = rate + high / float(proofs[0].tables[3][0, 1])
    for _ in range(SECANTS):
        low = relaxed(right)
        if low >= 0.0 or right - rate <= 1e-9 * rate:
            break
        right = rate + (right - rate) * high / (high - low)
    return right * slack
