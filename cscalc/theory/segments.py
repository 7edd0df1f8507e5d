"""Segment calculus: expected tokens and cost of a cascade by sums and products alone.

It works on whatever adds and multiplies: arrays over many profiles at once (see
`cscalc.theory.means`), complex numbers (whose imaginary parts are derivatives), exact fractions,
and sympy's symbols. The laws themselves, and other acceptance models, are in
`cscalc.theory.law`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cscalc.cascade import Draft, Segment


class Node(NamedTuple):
    """A segment whose length and rounds may be anything that can stand in an exponent."""

    model: int
    inner: tuple["Node", ...]  # empty: a draft
    length: Any  # tokens of one call of a draft
    calls: Any  # rounds of a review; 1 for a draft
    until: int | None


class Affine(NamedTuple):
    """Verification cost of a pass over m positions: 1 + slope (m - 1)."""

    slope: Any


Verification = None | Affine | Callable[[int], Any]


def nodes_of(drafts: tuple[Segment, ...]) -> tuple[Node, ...]:
    """The segments of a cascade as nodes.

    Parameters
    ----------
    drafts : tuple of Draft or Review
        Segments in drafting order.

    Returns
    -------
    tuple of Node
        One a segment, in the same order; a review holds those of its drafts.

    Examples
    --------
    >>> nodes_of((Draft(1, 4),))
    (Node(model=1, inner=(), length=4, calls=1, until=None),)
    """

    def one(segment: Segment) -> Node:
        if isinstance(segment, Draft):
            return Node(segment.model, (), segment.length, 1, segment.until)
        return Node(segment.model, nodes_of(segment.drafts), 0, segment.rounds, segment.until)

    return tuple(one(segment) for segment in drafts)


def powers(base: Any, count: int) -> tuple[Any, Any]:
    """``base**count`` and ``1 + base + ... + base**(count - 1)``, by doubling.

    Parameters
    ----------
    base : number
        Of any kind that multiplies and adds: float, Fraction, polynomial.
    count : int
        Power, >= 0.

    Returns
    -------
    (number, number)
        The power, and the sum.

    Examples
    --------
    >>> powers(3, 4)
    (81, 40)
    """
    power, total = 1, 0
    for bit in bin(count)[2:]:
        power, total = power * power, total * (1 + power)
        if bit == "1":
            power, total = power * base, 1 + base * total
    return power, total


@dataclass(frozen=True, slots=True)
class Calculus:
    r"""Expected tokens and cost of cascades, over any kind of number.

    Attributes
    ----------
    alpha : callable (reviewer, draft) -> number
        Acceptance rate of the draft's tokens by the reviewer; acceptance is independent.
    cost : callable (model) -> number
        One pass of the model in target passes; of the target, model 0, it is 1.
    one_shot : collection of int
        Models whose call is one pass however many tokens it proposes.
    verify : callable (model) -> None, Affine or callable
        Cost of a reviewing pass over m positions, in the model's own passes: None is 1.
    powers : callable (base, count) -> (power, geometric sum)
        As `powers`.
    tidy : callable
        Applied to every sum of chances over draft lengths before it is used further.

    Notes
    -----
    Let N be the tokens that a reviewer i emits in a round: accepted + 1. For segments s with
    rates :math:`b_s`, pgf :math:`g_s` of their length, and :math:`K_s(y) = E[y + \dots +
    y^{length}]`,

    .. math:: T(x) = E[1 + x + \dots + x^{N-1}]
              = 1 + \sum_s \Big[\prod_{r<s} g_r(x b_r)\Big] K_s(x b_s),

    because ``x**m`` is kept with the chance that the first m proposals are all accepted. The
    mean is T(1) and the pgf :math:`G(x) = 1 - (1 - x) T(x)`. A draft of k tokens has
    :math:`g(y) = y^k`; n rounds of a reviewer have :math:`g = G^n` and
    :math:`K(y) = y T(y) (1 + G + \dots + G^{n-1})`. Nothing is divided, so no rate is special.
    Where a segment repeats `until` a threshold, segments depend on each other through the
    draft's length, and T is summed over lengths instead.

    Examples
    --------
    >>> from cscalc.theory.symbols import calculus_of
    >>> calculus_of(False).cost(1)
    c_1
    """

    alpha: Callable[[int, int], Any]
    cost: Callable[[int], Any]
    one_shot: Collection[int] = ()
    verify: Callable[[int], Verification] = lambda model: None
    powers: Callable[[Any, Any], tuple[Any, Any]] = powers
    tidy: Callable[[Any], Any] = lambda value: value

    def tokens(self, drafts: Sequence[Node], reviewer: int = 0, x: Any = 1) -> Any:
        """T(x) of one round of `reviewer` over `drafts`; T(1) is the mean number emitted."""
        if _has_until(drafts):
            return self._tokens_by_length(drafts, reviewer, x)
        reach, total = 1, 1
        for node in drafts:
            y = x * self.alpha(reviewer, node.model)
            through, kept = self._segment(node, y)
            total = total + reach * kept
            reach = reach * through
        return total

    def _tokens_by_length(self, drafts: Sequence[Node], reviewer: int, x: Any) -> Any:
        alive: dict[int, Any] = {0: 1}  # E[x**length; this length is reached, all accepted]
        total: Any = 1
        for node in drafts:
            y = x * self.alpha(reviewer, node.model)
            law = self.call_law(node)
            _, kept = self._segment(node._replace(calls=1), y)
            through, power = {}, 1
            for added in range(1, max(law) + 1):
                power = power * y
                if added in law:
                    through[added] = law[added] * power
            reach: Any = 0  # summed over the calls of this segment
            for start in _starts(node, alive):
                weight = self.tidy(alive.pop(start))
                reach = reach + weight
                for added, chance in through.items():
                    alive[start + added] = alive.get(start + added, 0) + weight * chance
            total = total + self.tidy(reach) * kept
        return total

    def _segment(self, node: Node, y: Any) -> tuple[Any, Any]:
        """g(y) and K(y) of a segment."""
        if not node.inner:
            power, total = self.powers(y, node.length)
            return power, y * total
        emitted = self.tokens(node.inner, node.model, y)
        power, total = self.powers(1 - (1 - y) * emitted, node.calls)
        return power, y * emitted * total

    def tail(self, drafts: Sequence[Node], reviewer: int) -> list[Any]:
        """P(a round emits more than i tokens) for i = 0, 1, ..."""
        alive: dict[int, Any] = {0: 1}  # P(this length is reached with all of it accepted)
        tail: dict[int, Any] = {0: 1}
        for node in drafts:
            b = self.alpha(reviewer, node.model)
            law = self.call_law(node)
            for start in _starts(node, alive):
                kept = self.tidy(alive.pop(start))
                above, power = 1, 1  # P(the call adds >= i tokens), b**i
                for i in range(1, max(law) + 1):
                    power = power * b
                    tail[start + i] = tail.get(start + i, 0) + kept * above * power
                    if i in law:
                        alive[start + i] = alive.get(start + i, 0) + kept * law[i] * power
                        above = above - law[i]
        return [self.tidy(tail[i]) for i in range(max(tail) + 1)]

    def call_law(self, node: Node) -> dict[int, Any]:
        """Law of the tokens that one call of a segment adds."""
        if not node.inner:
            return {node.length: 1}
        tail = [*self.tail(node.inner, node.model), 0]
        return {i + 1: self.tidy(tail[i] - tail[i + 1]) for i in range(len(tail) - 1)}

    def lengths(self, drafts: Sequence[Node]) -> tuple[list[Any], dict[int, Any]]:
        """Expected calls of each segment, and the law of the draft's length."""
        reached: dict[int, Any] = {0: 1}
        calls: list[Any] = []
        for node in drafts:
            law = self.call_law(node)
            made: Any = 0
            for start in _starts(node, reached):
                weight = self.tidy(reached.pop(start))
                made = made + weight
                for added, chance in law.items():
                    reached[start + added] = reached.get(start + added, 0) + weight * chance
            calls.append(node.calls if node.until is None else made)
        return calls, {length: self.tidy(weight) for length, weight in reached.items()}

    def cycle_cost(self, drafts: Sequence[Node], reviewer: int = 0) -> Any:
        """Expected cost of one round of `reviewer` over `drafts`, in target passes."""
        verify = self.verify(reviewer)
        if _has_until(drafts) or callable(verify):
            calls, law = self.lengths(drafts)
            mean = sum(length * chance for length, chance in law.items())
        else:
            calls, law = [node.calls for node in drafts], {}
            mean = sum(node.calls * self._mean_length(node) for node in drafts) if verify else 0
        passes: Any = 1
        if isinstance(verify, Affine):
            passes = 1 + verify.slope * mean
        elif verify is not None:
            passes = sum(chance * verify(length + 1) for length, chance in law.items())
        spent = self.cost(reviewer) * passes
        for count, node in zip(calls, drafts, strict=True):
            spent = spent + count * self._call_cost(node)
        return spent

    def _mean_length(self, node: Node) -> Any:
        return self.tokens(node.inner, node.model) if node.inner else node.length

    def _call_cost(self, node: Node) -> Any:
        if node.inner:
            return self.cycle_cost(node.inner, node.model)
        passes = 1 if node.model in self.one_shot else node.length
        return passes * self.cost(node.model)


def _has_until(drafts: Sequence[Node]) -> bool:
    return any(node.until is not None for node in drafts)


def _starts(node: Node, weights: dict[int, Any]) -> Iterator[int]:
    """Lengths at which a segment makes a call, in an order in which each is final."""
    if node.until is not None:
        yield from (start for start in range(node.until) if start in weights)
        return
    for _ in range(node.calls):
        yield from sorted(weights, reverse=True)  # ends lie above their start
