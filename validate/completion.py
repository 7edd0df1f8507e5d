"""What one run of a decoder emitted, and what it took."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Completion:
    """What one run emitted, and what it took.

    Attributes
    ----------
    tokens : list of int
        Emitted tokens, at most as many as asked for; an end-of-text token is kept.
    emitted : list of int
        Tokens that each cycle emitted, before the last one is cut to length.
    reviewed : list of int
        Proposals in front of the target in each cycle.
    passes, positions : dict of int -> int
        Passes (calls, for a one-shot model) and positions passed through, after the prompt.
    seconds : dict of int -> float
        Time inside passes of each model, after the prompt; in a batch a pass's time is shared
        equally among the rows that it served.
    prefill_seconds, decode_seconds : float
        Time to read the prompt with all models; time of all cycles.
    finish : str
        "length", "eos", "stop" (a stop string) or "context".
    stop : str or None
        The stop string that ended the text.
    """

    tokens: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)
    reviewed: list[int] = field(default_factory=list)
    passes: dict[int, int] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    finish: str = "length"
    stop: str | None = None
    reader: Any = field(default=None, repr=False, compare=False)  # where stop strings are sought

    @property
    def cycles(self) -> int:
        """Number of cycles."""
        return len(self.emitted)

    @property
    def tokens_per_cycle(self) -> float:
        """Mean of `emitted`."""
        return sum(self.emitted) / len(self.emitted)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data, without the tokens."""
        return {
            "tokens": len(self.tokens),
            "emitted": self.emitted,
            "reviewed": self.reviewed,
            "passes": {str(m): n for m, n in self.passes.items()},
            "positions": {str(m): n for m, n in self.positions.items()},
            "seconds": {str(m): s for m, s in self.seconds.items()},
            "prefill_seconds": self.prefill_seconds,
            "decode_seconds": self.decode_seconds,
            "finish": self.finish,
            "stop": self.stop,
        }
