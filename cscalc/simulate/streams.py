"""The random numbers behind a tally: recorded, so that none is counted twice."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a generator stood when a simulation began.

    Attributes
    ----------
    generator : str
        Name of the bit generator.
    state : str
        Hash of its state; two tallies that began at one state are not independent.
    entropy, spawn_key
        Of its seed sequence, to repeat the run: an int or list of ints, or None if unknown.
    cycles : int
        Cycles drawn from here on.

    Examples
    --------
    >>> stream = Stream.of(np.random.default_rng(7), 100)
    >>> stream.generator, stream.entropy, stream.cycles
    ('PCG64', 7, 100)
    >>> Stream.from_dict(stream.to_dict()) == stream
    True
    """

    generator: str
    state: str
    entropy: Any
    spawn_key: tuple[int, ...]
    cycles: int

    @classmethod
    def of(cls, rng: np.random.Generator, cycles: int) -> "Stream":
        """Record where `rng` stands, before `cycles` cycles are drawn."""
        bits = rng.bit_generator
        state = json.dumps(_plain(bits.state), sort_keys=True)
        seeds = getattr(bits, "seed_seq", None)  # a generator need not come from a seed
        return cls(
            str(bits.state["bit_generator"]),
            hashlib.sha256(state.encode()).hexdigest()[:16],
            _plain(getattr(seeds, "entropy", None)),
            tuple(int(key) for key in getattr(seeds, "spawn_key", ())),
            cycles,
        )

    @property
    def place(self) -> tuple[str, str]:
        """What no two parts of a sum may share."""
        return self.generator, self.state

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""
        return {
            "generator": self.generator,
            "state": self.state,
            "entropy": self.entropy,
            "spawn_key": list(self.spawn_key),
            "cycles": self.cycles,
        }

    @classmethod
    def from_dict(cls, data: Any) -> "Stream":
        """Read what `to_dict` wrote."""
        names = ("generator", "state", "entropy", "spawn_key", "cycles")
        if not isinstance(data, Mapping) or set(data) != set(names):
            raise ValueError(f"a stream needs {', '.join(names)}, got {str(data)[:80]}")
        generator, state, entropy, spawn_key, cycles = (data[name] for name in names)
        return cls(generator, state, entropy, tuple(spawn_key), cycles)


def _plain(value: Any) -> Any:
    """Plain JSON data from what numpy keeps in the state of a generator."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, np.integer) else value
