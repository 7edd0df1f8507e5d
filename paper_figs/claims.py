"""What a figure claims to reproduce: each published number beside ours, and how near they are."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One number that a figure shows, as its source has it and as this program finds it.

    Attributes
    ----------
    what : str
        Which number.
    known : float
        As printed in the paper, or found in another way (see `source`).
    ours : float
        What `cscalc` gives.
    tolerance : float
        Largest difference, in units of the number, > 0.
    source : str
        Paper and table, or the other way.
    """

    what: str
    known: float
    ours: float
    tolerance: float
    source: str

    @property
    def holds(self) -> bool:
        """Whether both agree within the tolerance."""
        return abs(self.ours - self.known) <= self.tolerance


def claims_of(
    source: str, tolerance: float, rows: Iterable[tuple[str, float, float]]
) -> tuple[Claim, ...]:
    """Claims of one source and tolerance from rows of (what, known, ours)."""
    return tuple(
        Claim(what, float(known), float(ours), tolerance, source) for what, known, ours in rows
    )
