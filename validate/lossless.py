"""Exact law of a decoder's output on models small enough to enumerate every branch."""

import math
from collections.abc import Callable, Hashable
from typing import Any

from validate.reference import Reference, Tokens
from validate.sampling import Law

Distribution = dict[Any, float]  # outcome -> probability
Branches = list[tuple[Any, float]]


class Enumerated:
    """A `Chance` that follows every branch.

    `law(part, *args)` runs ``part`` once for every branch: it replays the decisions of a
    script, takes the first outcome at each new decision, and comes back for the others.
    Laws of inner parts are computed once and kept, and equal outcomes are merged.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Distribution] = {}
        self._branches: dict[tuple[Any, ...], Branches] = {}
        self._tokens: dict[int, tuple[Law, Branches]] = {}  # by id, with the law kept alive
        self._script: list[tuple[Branches, int]] = []
        self._at = 0

    def law(self, part: Callable[..., Any], *args: Hashable) -> Distribution:
        """Exact law of ``part(self, *args)``."""
        key = (part, *args)
        if key not in self._known:
            outer = self._script, self._at
            result: Distribution = {}
            self._script = []
            while True:
                self._at = 0
                outcome = part(self, *args)
                weight = math.prod(branches[i][1] for branches, i in self._script)
                result[outcome] = result.get(outcome, 0.0) + weight
                while self._script and self._script[-1][1] + 1 == len(self._script[-1][0]):
                    self._script.pop()
                if not self._script:
                    break
                branches, i = self._script[-1]
                self._script[-1] = (branches, i + 1)
            self._script, self._at = outer
            self._known[key] = result
        return self._known[key]

    def _choose(self, branches: Branches) -> Any:
        if self._at == len(self._script):
            self._script.append((branches, 0))
        chosen, index = self._script[self._at]
        self._at += 1
        return chosen[index][0]

    def draw(self, law: Law) -> int:
        if id(law) not in self._tokens:
            probs = law.dense().double().tolist()
            self._tokens[id(law)] = law, [(t, p) for t, p in enumerate(probs) if p > 0.0]
        return int(self._choose(self._tokens[id(law)][1]))

    def coin(self, probability: float) -> bool:
        both = [(True, probability), (False, 1.0 - probability)]
        return bool(self._choose([(side, p) for side, p in both if p > 0.0]))

    def run(self, part: Callable[..., Any], *args: Hashable) -> Any:
        key = (part, *args)
        if key not in self._branches:
            self._branches[key] = list(self.law(part, *args).items())
        return self._choose(self._branches[key])


def exact_law(decoder: Reference, prompt: Tokens, n_tokens: int) -> Distribution:
    """Exact law of the first `n_tokens` tokens that `decoder` writes after `prompt`.

    Parameters
    ----------
    decoder : Reference
        A cascade with the laws of its models; vocabulary and lengths must be small.
    prompt : tuple of int
    n_tokens : int

    Returns
    -------
    dict
        Token tuple -> probability; sums to 1.
    """
    chance = Enumerated()
    laws: dict[Tokens, Distribution] = {}

    def extend(emitted: Tokens) -> Distribution:
        if len(emitted) >= n_tokens:
            return {emitted[:n_tokens]: 1.0}
        if emitted not in laws:
            total: Distribution = {}
            for tokens, weight in chance.law(decoder.cycle, prompt + emitted).items():
                for outcome, inner in extend(emitted + tokens).items():
                    total[outcome] = total.get(outcome, 0.0) + weight * inner
            laws[emitted] = total
        return laws[emitted]

    return extend(())


def target_law(decoder: Reference, prompt: Tokens, n_tokens: int) -> Distribution:
    """Law of `n_tokens` tokens written one by one, for comparison.

    Each follows `decoder.output_law`: the target's own, or what its deferral rule makes of it.
    """
    law: Distribution = {(): 1.0}
    for _ in range(n_tokens):
        longer: Distribution = {}
        for tokens, weight in law.items():
            probs = decoder.output_law(prompt + tokens).dense().double().tolist()
            for token, p in enumerate(probs):
                if p > 0.0:
                    longer[(*tokens, token)] = weight * p
        law = longer
    return law


def deviation(law: Distribution, expected: Distribution) -> float:
    """Largest absolute difference of probability over all outcomes."""
    return max(abs(law.get(x, 0.0) - expected.get(x, 0.0)) for x in law.keys() | expected.keys())
