"""DyTC's step rule: which candidate, how long and how wide, at one leaf of a tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats
from cscalc.cascade import Draft, Review, Segment

BETTER = 1.0 + 1e-9  # so that rounding does not decide


@dataclass(frozen=True)
class Candidate:
    """One configuration to route among.

    Attributes
    ----------
    segment : Draft or Review
        As given; its length or rounds are the most of a step.
    model : int
        Whose law its tokens follow.
    inner : int or None
        What `model` reviews, in a vertical cascade.
    """

    segment: Segment
    model: int
    inner: int | None = None

    @classmethod
    def of(cls, segment: Segment) -> "Candidate":
        """Take a plain draft, or fixed rounds of a review of one plain draft."""
        if isinstance(segment, Draft) and segment.until is None:
            return cls(segment, segment.model)
        if isinstance(segment, Review) and segment.rounds is not None:
            inner = segment.drafts[0]
            if len(segment.drafts) == 1 and isinstance(inner, Draft) and inner.until is None:
                return cls(segment, segment.model, inner.model)
        raise ValueError(
            f"a router's candidate is Draft(model, n) or Review(model, (Draft(other, n),), "
            f"rounds=n), got {segment}"
        )

    @property
    def most(self) -> int:
        """Most passes, tokens of a call, or rounds of a step."""
        if isinstance(self.segment, Review):
            return int(self.segment.rounds or 1)
        return self.segment.length

    @cached_property
    def inner_length(self) -> int:
        """Tokens of one inner draft; 0 without one."""
        if isinstance(self.segment, Review):
            draft = self.segment.drafts[0]
            return draft.length if isinstance(draft, Draft) else 0
        return 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A step.

    Attributes
    ----------
    candidate : Candidate
    length : int
        Passes, tokens of a call, or rounds.
    width : int
        Children of each node of the main chain.
    value : float
        The objective's.
    """

    candidate: Candidate
    length: int
    width: int
    value: float

    def __str__(self) -> str:
        """Such as 1x3, 1x3w2 (two children a node), 3x8, 1(3x5)x2 (two rounds of a review)."""
        one = self.candidate
        name = f"{one.model}" if one.inner is None else (
            f"{one.model}({one.inner}x{one.inner_length})"
        )  # fmt: skip
        return f"{name}x{self.length}" + (f"w{self.width}" if self.width > 1 else "")


class Outlook(Protocol):
    """What a router expects."""

    def rate(self, model: int) -> float:
        """Acceptance rate of a draft's tokens by the target."""
        ...

    def second(self, model: int) -> float:
        """Chance that the target takes a runner-up, given that it refuses those before it."""
        ...

    def inner_rate(self, reviewer: int, model: int) -> float:
        """Acceptance rate of a draft's tokens by an inner reviewer."""
        ...

    def found(self, model: int) -> float:
        """Chance that a one-shot draft proposes anything; 1 for others."""
        ...

    def one_shot(self, model: int) -> bool:
        """Whether one call gives all tokens."""
        ...

    def price(self, model: int, positions: int) -> float:
        """Seconds of a pass of `model`; of the target, of one over a tree of so many nodes."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a step may be taken.

    Attributes
    ----------
    reach : float
        Chance that the leaf is accepted.
    siblings : tuple of float
        The same of siblings that are read in the same pass.
    size, max_size, levels : int
        Nodes so far, most nodes, and levels that may still be added below the leaf.
    tokens : float
        Expected tokens of the cycle so far, the extra token included.
    spent : float
        Seconds drafted so far.
    """

    reach: float
    siblings: tuple[float, ...]
    size: int
    max_size: int
    levels: int
    tokens: float
    spent: float


@dataclass(frozen=True, slots=True)
class Step:
    """What a step is expected to do."""

    choice: Choice
    gain: float  # tokens
    price: float  # seconds of drafting
    nodes: float  # mean
    end: float  # chance that the end of its chain is reached


def steps(
    candidates: Iterable[Candidate], leaf: Leaf, outlook: Outlook, width: int
) -> Iterator[Step]:
    """Every step that fits: all candidates, lengths and widths."""
    room = leaf.max_size - leaf.size
    for candidate in candidates:
        model = candidate.model
        alpha = outlook.rate(model)
        if candidate.inner is not None:
            for wide in range(1, width + 1):
                yield from _reviews(candidate, leaf, outlook, room, wide)
        elif outlook.one_shot(model):
            found, price = outlook.found(model), outlook.price(model, 1)
            for length in range(1, min(candidate.most, room, leaf.levels) + 1):
                gain = leaf.reach * found * _series(alpha, length)
                end = leaf.reach * found * alpha**length
                choice = Choice(candidate, length, 1, 0.0)
                yield Step(choice, gain, price, found * length, end)
        else:
            for wide in range(1, width + 1):
                yield from _passes(candidate, leaf, outlook, room, wide)


def _passes(
    candidate: Candidate, leaf: Leaf, outlook: Outlook, room: int, width: int
) -> Iterator[Step]:
    model = candidate.model
    alpha = outlook.rate(model)
    side = runners_up(alpha, outlook.second(model), width)  # all runners-up of one node
    gain = price = 0.0
    nodes, reach, beside = 0, leaf.reach, sum(leaf.siblings)
    n_beside = len(leaf.siblings)
    for length in range(1, min(candidate.most, leaf.levels) + 1):
        nodes += width + n_beside
        if nodes > room:
            return
        price += outlook.price(model, 1 + n_beside)
        gain += reach * (alpha + side) + beside * alpha
        beside, n_beside = reach * side, width - 1
        reach *= alpha
        yield Step(Choice(candidate, length, width, 0.0), gain, price, nodes, reach)


def _reviews(
    candidate: Candidate, leaf: Leaf, outlook: Outlook, room: int, width: int
) -> Iterator[Step]:
    model, inner = candidate.model, int(candidate.inner or 0)
    alpha, own = outlook.rate(model), outlook.inner_rate(model, inner)
    length = candidate.inner_length
    found = outlook.found(inner)
    # E(alpha**tokens of a round), CS Drafting (arXiv:2312.11462), Thm 4.1
    phi = 1.0 + (alpha - 1.0) * (1.0 + _series(own * alpha, length))
    power = (1.0 - found) * alpha + found * phi
    mean = 1.0 + found * _series(own, length)
    calls = 1 if outlook.one_shot(inner) else length
    price = calls * outlook.price(inner, 1) + outlook.price(model, 1 + round(found * length))
    side = runners_up(alpha, outlook.second(model), width)
    for rounds in range(1, candidate.most + 1):
        most = rounds * (length + 1)
        if width * most > room or most > leaf.levels:
            return
        end = power**rounds
        nodes = mean * rounds if alpha >= 1.0 else (1.0 - end) / (1.0 - alpha)  # reached
        yield Step(
            Choice(candidate, rounds, width, 0.0),
            leaf.reach * nodes * (alpha + side),
            rounds * price,
            rounds * mean * width,
            leaf.reach * end,
        )


def _series(alpha: float, length: int) -> float:
    """Sum of the first `length` powers of `alpha`, from alpha itself."""
    return float(sum(alpha**i for i in range(1, length + 1)))


def runners_up(alpha: float, second: float, width: int) -> float:
    """Chance that one of the ranks 2..width of a node is the one the target takes."""
    return (1.0 - alpha) * (1.0 - (1.0 - second) ** (width - 1))


def best_ratio(
    candidates: Iterable[Candidate],
    leaf: Leaf,
    outlook: Outlook,
    width: int,
    after: Iterable[Candidate],
) -> Choice | None:
    """The step after which tokens over seconds of the whole cycle are most; None: verify now.

    One look ahead: what follows a step at the end of its chain, by any of the candidates
    `after`, is counted in where that is better. The rule of `cscalc.theory.dytc` lets one token
    of the bottom draft follow.
    """
    size = leaf.size
    verify = np.array([0.0, *(outlook.price(0, n) for n in range(1, leaf.max_size + 1))])
    found = list(steps(candidates, leaf, outlook, width))
    if not found:
        return None
    fresh = Leaf(1.0, (), size, leaf.max_size, leaf.levels, 1.0, 0.0)
    gain, price, nodes, end = _columns(found)
    value = (leaf.tokens + gain) / (leaf.spent + price + verify[size + nodes])
    if follow := list(steps(after, fresh, outlook, width)):
        gains, prices, more, _ = _columns(follow)
        tokens = leaf.tokens + gain[:, None] + end[:, None] * gains  # (found, follow)
        total = size + nodes[:, None] + more
        seconds = leaf.spent + price[:, None] + prices + verify[total.clip(max=leaf.max_size)]
        ahead = np.where(total <= leaf.max_size, tokens / seconds, 0.0)
        value = np.maximum(value, ahead.max(axis=1))
    best = int(np.argmax(value))
    if not value[best] > BETTER * leaf.tokens / (leaf.spent + verify[size]):
        return None
    return replace(found[best].choice, value=float(value[best]))


def _columns(found: list[Step]) -> tuple[Floats, Floats, npt.NDArray[np.int64], Floats]:
    gain, price, nodes, end = np.array([(s.gain, s.price, s.nodes, s.end) for s in found]).T
    return gain, price, np.rint(nodes).astype(np.int64), end


def best_printed(
    candidates: Iterable[Candidate],
    leaf: Leaf,
    outlook: Outlook,
    bottom: int,
    width: int,
    t_min: float,
) -> Choice | None:
    """CAS-Spec's Eq. 5 and 6 and its stop rule, costs in target passes; None: verify now."""
    unit = outlook.price(0, 1)
    last, last_price = outlook.rate(bottom), outlook.price(bottom, 1) / unit
    if last_price > 0.0 and last / last_price * leaf.reach < t_min:
        return None
    best: Choice | None = None
    for candidate in candidates:
        alpha = outlook.rate(candidate.model)
        cost = _per_token(candidate, outlook) / unit
        for length in range(1, min(candidate.most, leaf.levels) + 1):
            paid = cost * length + last_price
            nodes = length * (candidate.inner_length + 1)
            if nodes > min(leaf.max_size - leaf.size, leaf.levels) or not paid > 0.0:
                break
            value = leaf.reach * (_series(alpha, length) + alpha**length * last) / paid
            if value > (0.0 if best is None else BETTER * best.value):
                best = Choice(candidate, length, width, value)
    return best


def _per_token(candidate: Candidate, outlook: Outlook) -> float:
    """Seconds that one token of a candidate costs."""
    if candidate.inner is None:
        return outlook.price(candidate.model, 1)
    length, found = candidate.inner_length, outlook.found(candidate.inner)
    calls = 1 if outlook.one_shot(candidate.inner) else length
    price = calls * outlook.price(candidate.inner, 1)
    price += outlook.price(candidate.model, 1 + round(found * length))
    inner = outlook.inner_rate(candidate.model, candidate.inner)
    return price / (1.0 + found * _series(inner, length))
