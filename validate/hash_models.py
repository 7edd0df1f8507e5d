"""Models that are hash functions: greedy texts with any acceptance, at no cost."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from validate.models import TableSession

VOCAB = 32
Alpha = Callable[[int, int], float]  # place in the text and model -> acceptance rate there
_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """A hash of integers, the same on every machine (splitmix64)."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


class HashModel:
    """A model whose greedy choices are hashes of the place and the last token.

    Parameters
    ----------
    alpha : callable (place, model) -> float
        Chance that a draft's choice is the target's.
    second : float
        Chance that its second choice is, where the first is not.
    seed : int
        Of the text.
    model : int
        0: the target.

    Examples
    --------
    >>> target, draft = (HashModel(lambda place, model: 0.9, 0.3, 1, m) for m in (0, 1))
    >>> same = [target.choices(i, 5)[0] == draft.choices(i, 5)[0] for i in range(1000)]
    >>> 0.85 < sum(same) / 1000 < 0.95
    True
    """

    max_positions = 1 << 30
    vocab_size = VOCAB

    def __init__(self, alpha: Alpha, second: float, seed: int, model: int) -> None:
        self.name = f"hash{model}"
        self._alpha, self._second, self._seed, self._model = alpha, second, seed, model

    def choices(self, place: int, last: int) -> tuple[int, int]:
        """First and second choice of token number `place`, after the token `last`."""
        right = mix(self._seed, 0, place, last) % VOCAB
        if self._model == 0:
            return right, (right + 1) % VOCAB
        wrong = (right + 1 + mix(self._seed, -1, self._model, place, last) % (VOCAB - 1)) % VOCAB
        draw = mix(self._seed, self._model, place, last) / 2.0**64
        if draw < self._alpha(place - 1, self._model):
            return right, wrong
        draw = mix(self._seed, -2, self._model, place, last) / 2.0**64
        return wrong, (right if draw < self._second else (wrong + 1) % VOCAB)

    def after(self, tokens: Sequence[int]) -> Tensor:
        """Logits after `tokens`, shape (VOCAB,)."""
        logits = torch.zeros(VOCAB, dtype=torch.float64)
        first, second = self.choices(len(tokens), tokens[-1])
        logits[first], logits[second] = 6.0, 4.0
        return logits

    def start(self) -> TableSession:
        return TableSession(self)


class HashLookup(HashModel):
    """The one-shot draft: the same choices, many tokens a call."""

    start = None  # type: ignore[assignment]

    def propose(self, tokens: Sequence[int], length: int) -> list[int]:
        found: list[int] = []
        for place in range(len(tokens), len(tokens) + length):
            found.append(self.choices(place, found[-1] if found else tokens[-1])[0])
        return found
