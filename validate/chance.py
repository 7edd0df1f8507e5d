"""Where a decoder takes its chance from: uniforms of a generator, or every branch at once."""

from collections.abc import Callable, Hashable
from typing import Any, Protocol

import torch

from validate.sampling import Law


class Chance(Protocol):
    """Source of all randomness of a decoder."""

    def draw(self, law: Law) -> int:
        """A token from `law`."""
        ...

    def coin(self, probability: float) -> bool:
        """True with `probability`."""
        ...

    def run(self, part: Callable[..., Any], *args: Hashable) -> Any:
        """Result of ``part(self, *args)``; an enumerator may compute its law once and reuse it."""
        ...


def as_chance(generator: "torch.Generator | Chance") -> Chance:
    """The chance that a decoder was given, or that of the generator.

    Raises
    ------
    TypeError
        If it is neither.

    Examples
    --------
    >>> as_chance(torch.Generator().manual_seed(0)).coin(1.0)
    True
    """
    if hasattr(generator, "draw") and not isinstance(generator, torch.Generator):
        return generator
    return Sampled(generator)


class Sampled:
    """One branch, by uniforms of a `torch.Generator`: one number a draw and one a coin.

    Numbers are fetched in blocks, so one generator serves one decoder at a time.
    """

    def __init__(self, generator: torch.Generator) -> None:
        if not isinstance(generator, torch.Generator):
            raise TypeError(
                f"generator must be a torch.Generator, got {generator!r}: "
                "write torch.Generator().manual_seed(seed)"
            )
        self._generator = generator
        self._numbers: list[float] = []

    def uniform(self) -> float:
        """Next uniform in [0, 1)."""
        if not self._numbers:
            block = torch.rand(256, generator=self._generator, dtype=torch.float64)
            self._numbers = block.tolist()[::-1]
        return self._numbers.pop()

    def draw(self, law: Law) -> int:
        return law.draw(self.uniform())

    def coin(self, probability: float) -> bool:
        return self.uniform() < probability

    def run(self, part: Callable[..., Any], *args: Hashable) -> Any:
        return part(self, *args)
