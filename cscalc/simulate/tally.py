"""What a simulation, or a run, brought out: counts and sums that add."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cscalc._checks import Floats, check_int, check_number
from cscalc._files import read_json, write_json
from cscalc._html import bars, facts
from cscalc._version import __version__
from cscalc.simulate.streams import Stream
from cscalc.stats import Interval, check_confidence, quantile, ratio_sigma

SCHEMA = "cscalc/tally"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Cycles of one experiment: counts and sums. Tallies of one experiment add.

    Attributes
    ----------
    experiment : dict
        All that shapes the law, as plain JSON: cascade, rates, costs. Hashed as `run_id`.
    counts : tuple of int
        ``counts[i]`` is the number of cycles that emitted i tokens; ``counts[0]`` is 0.
    passes : tuple of int
        Passes of each model (calls, for a one-shot draft).
    cost, cost_squared, cost_tokens : float
        Sums over the cycles of the cost (target passes), of its square, and of the cost
        times the tokens emitted.
    streams : tuple of Stream
        The random numbers used; recorded, not hashed.
    blocks : tuple of float
        Where cycles depend on one another: how many independent blocks of cycles there are,
        and the sums over them of n n, n t, n c, t t, t c, c c, with n, t, c a block's cycles,
        tokens and cost. Standard errors are then taken over blocks. Empty otherwise.

    Examples
    --------
    >>> from cscalc.cascade import Cascade, Draft
    >>> from cscalc.profile import Profile
    >>> from cscalc.simulate.events import simulate
    >>> parts = [simulate(Cascade((Draft(1, 5),)), Profile([0.8], [0.1]), 1000, rng=rng)
    ...          for rng in np.random.default_rng(7).spawn(2)]
    >>> tally = parts[0] + parts[1]
    >>> tally.cycles, tally.passes, tally.cost
    (2000, (2000, 10000), 3000.0)
    >>> low, high = tally.interval(0.99)
    >>> low < 2.45952 < high
    True
    """

    experiment: dict[str, Any] = field(repr=False)
    counts: tuple[int, ...]
    passes: tuple[int, ...]
    cost: float
    cost_squared: float
    cost_tokens: float
    streams: tuple[Stream, ...] = field(repr=False)
    blocks: tuple[float, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        experiment: dict[str, Any],
        counts: Iterable[int],
        passes: Iterable[int],
        sums: Iterable[float],
        stream: Stream,
        blocks: Iterable[float] = (),
    ) -> "Tally":
        """Build a tally from what a kernel filled in; `sums` as named in `Attributes`."""
        cost, squared, tokens = (float(value) for value in sums)
        return cls(
            experiment=experiment,
            counts=tuple(int(count) for count in counts),
            passes=tuple(int(one) for one in passes),
            cost=cost,
            cost_squared=squared,
            cost_tokens=tokens,
            streams=(stream,),
            blocks=tuple(float(value) for value in blocks),
        )

    def __post_init__(self) -> None:
        for name in ("counts", "passes"):
            ints = tuple(check_int(name, value, least=0) for value in getattr(self, name))
            object.__setattr__(self, name, ints)
        for name in ("cost", "cost_squared", "cost_tokens"):
            check_number(name, getattr(self, name), least=0.0)
        for value in self.blocks:
            check_number("blocks", value, least=0.0)
        if len(self.blocks) not in (0, 7):
            raise ValueError(f"blocks must be empty or 7 sums, got {self.blocks}")
        if not self.counts or self.counts[0] or not sum(self.counts):
            raise ValueError(f"counts must hold cycles of at least 1 token, got {self.counts}")

    @property
    def run_id(self) -> str:
        """Hash of the experiment; tallies add if theirs are equal."""
        canonical = json.dumps(self.experiment, sort_keys=True, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def cycles(self) -> int:
        """Cycles run."""
        return sum(self.counts)

    @property
    def tokens(self) -> int:
        """Tokens emitted, corrections and bonus tokens included."""
        return sum(i * count for i, count in enumerate(self.counts))

    @property
    def tokens_squared(self) -> int:
        """Sum over the cycles of the square of the tokens emitted."""
        return sum(i * i * count for i, count in enumerate(self.counts))

    @property
    def tokens_per_cycle(self) -> float:
        """Mean of the tokens emitted."""
        return self.tokens / self.cycles

    @property
    def cost_per_cycle(self) -> float:
        """Mean cost of a cycle, in target passes."""
        return self.cost / self.cycles

    @property
    def passes_per_cycle(self) -> Floats:
        """Mean passes of each model, shape (n_models,)."""
        return np.array(self.passes) / self.cycles

    @property
    def pmf(self) -> Floats:
        """Share of the cycles that emitted 0, 1, 2, ... tokens."""
        return np.array(self.counts) / self.cycles

    @property
    def ewif(self) -> float:
        """Tokens per target-pass time: tokens over cost."""
        if not self.cost > 0.0:
            raise ValueError(f"EWIF needs a cost > 0, got {self.cost:g}: was the cost recorded?")
        return self.tokens / self.cost

    @property
    def sigma(self) -> float:
        """Standard error of `ewif` by the delta method; needs `observations` >= 2."""
        return self._sigma(1, 2)

    @property
    def tokens_sigma(self) -> float:
        """Standard error of `tokens_per_cycle`; needs `observations` >= 2."""
        return self._sigma(1, 0)

    @property
    def cost_sigma(self) -> float:
        """Standard error of `cost_per_cycle`; needs `observations` >= 2."""
        return self._sigma(2, 0)

    @property
    def observations(self) -> int:
        """Independent observations behind a standard error: blocks if there are, else cycles."""
        return int(self.blocks[0]) if self.blocks else self.cycles

    def _sigma(self, above: int, below: int) -> float:
        """Standard error of a ratio of two of (cycles, tokens, cost)."""
        n = float(self.cycles)
        tokens = float(self.tokens)
        sums = n, tokens, self.cost
        squares = (n, tokens, self.cost, float(self.tokens_squared), self.cost_tokens,
                   self.cost_squared)  # fmt: skip
        nn, nt, nc, tt, tc, cc = self.blocks[1:] if self.blocks else squares
        table = ((nn, nt, nc), (nt, tt, tc), (nc, tc, cc))
        return ratio_sigma(
            self.observations, sums[above], sums[below], table[above][above],
            table[above][below], table[below][below],
        )[1]  # fmt: skip

    def interval(self, confidence: float = 0.95) -> Interval:
        """Interval of `ewif`.

        Parameters
        ----------
        confidence : float
            Strictly between 0 and 1.

        Returns
        -------
        Interval
            By the delta method for a ratio of means, so for many cycles: if the rare
            outcome was never seen it is too short.

        Raises
        ------
        ValueError
            If there is only one cycle, or one block of cycles that depend on one another.
        """
        return self._around(self.ewif, self.sigma, confidence)

    def tokens_interval(self, confidence: float = 0.95) -> Interval:
        """Interval of `tokens_per_cycle`; parameters as for `interval`."""
        return self._around(self.tokens_per_cycle, self.tokens_sigma, confidence)

    def relative_error(self, confidence: float = 0.95) -> float:
        """Half the width of `interval` over `ewif`."""
        return self.interval(confidence).half_width / self.ewif

    def _around(self, mean: float, sigma: float, confidence: float) -> Interval:
        half = quantile(check_confidence(confidence), self.observations - 1) * sigma
        return Interval(mean - half, mean + half)

    def __add__(self, other: "Tally") -> "Tally":
        if not isinstance(other, Tally):
            return NotImplemented
        if self.run_id != other.run_id:
            raise ValueError(f"different experiments cannot add: {_unlike(self, other)}")
        if both := {s.place for s in self.streams} & {s.place for s in other.streams}:
            raise ValueError(
                f"generator state {min(both)[1]} would be counted twice: simulate each part "
                f"with its own generator, for example from rng.spawn(n)"
            )
        return replace(
            self,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            passes=tuple(a + b for a, b in zip(self.passes, other.passes, strict=True)),
            cost=self.cost + other.cost,
            cost_squared=self.cost_squared + other.cost_squared,
            cost_tokens=self.cost_tokens + other.cost_tokens,
            streams=self.streams + other.streams,
            blocks=tuple(a + b for a, b in zip(self.blocks, other.blocks, strict=True)),
        )

    def __radd__(self, other: object) -> "Tally":
        return self if other == 0 and isinstance(other, int) else NotImplemented  # sum()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""
        return {
            "schema": SCHEMA,
            "version": 1,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "counts": list(self.counts),
            "passes": list(self.passes),
            "cost": self.cost,
            "cost_squared": self.cost_squared,
            "cost_tokens": self.cost_tokens,
            "streams": [stream.to_dict() for stream in self.streams],
            **({"blocks": list(self.blocks)} if self.blocks else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "tally") -> "Tally":
        """Read what `to_dict` wrote; ValueError names `source` and the field."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f'{source}: not a tally ("schema" must be "{SCHEMA}")')
        if data.get("version") != 1:
            raise ValueError(
                f"{source}: tally version {data.get('version')!r} is unknown: update cscalc"
            )
        names = ("experiment", "counts", "passes", "cost", "cost_squared", "cost_tokens")
        if missing := {*names, "streams"} - set(data):
            raise ValueError(f"{source}: {' and '.join(sorted(missing))} missing: simulate again")
        try:
            tally = cls(
                experiment=dict(data["experiment"]),
                counts=tuple(data["counts"]),
                passes=tuple(data["passes"]),
                cost=float(data["cost"]),
                cost_squared=float(data["cost_squared"]),
                cost_tokens=float(data["cost_tokens"]),
                streams=tuple(Stream.from_dict(stream) for stream in data["streams"]),
                blocks=tuple(float(value) for value in data.get("blocks", ())),
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: {error}") from error
        if data.get("run_id") != tally.run_id:
            raise ValueError(
                f"{source}: run_id {data.get('run_id')!r} is not the hash of the experiment "
                f"({tally.run_id}): the file was edited; simulate again"
            )
        return tally

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, whole or not at all, with versions and machine beside the counts."""
        made_with = {
            "cscalc": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
        }
        write_json(path, {**self.to_dict(), "made_with": made_with})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tally":
        """Read JSON; ValueError (or FileNotFoundError) says what is wrong with the file."""
        return cls.from_dict(read_json(path), source=str(Path(path)))

    def _repr_html_(self) -> str:
        rows = [("cycles", f"{self.cycles:,}"), ("tokens", f"{self.tokens:,}")]
        if self.observations > 1 and self.cost > 0.0:
            low, high = self.tokens_interval()
            mean = f"{self.tokens_per_cycle:.4f}"
            rows.append(("tokens per cycle (95 %)", f"{mean} ({low:.4f} to {high:.4f})"))
            rows.append(("cost per cycle, target passes", f"{self.cost_per_cycle:.4f}"))
            low, high = self.interval()
            rows.append(("EWIF (95 %)", f"{self.ewif:.4f} ({low:.4f} to {high:.4f})"))
        rows.append(("passes by model", ", ".join(f"{one:,}" for one in self.passes)))
        rows.append(("run", self.run_id))
        shares = [(str(emitted), share) for emitted, share in enumerate(self.pmf) if emitted]
        return facts(rows) + bars("share of the cycles by tokens emitted", shares)


def _unlike(a: Tally, b: Tally) -> str:
    names = sorted({*a.experiment, *b.experiment})
    name = next(n for n in names if a.experiment.get(n) != b.experiment.get(n))
    return f"{name} is {a.experiment.get(name)} and {b.experiment.get(name)}"
