"""What a certificate could have seen: for each group of comparisons, its tokens and its power."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from validate.certificate_counts import Comparison


@dataclass(frozen=True, slots=True)
class Power:
    """One group of comparisons, and what it could have seen.

    Attributes
    ----------
    group : str
        One of `validate.certificate_counts.GROUPS`.
    planned, tested : int
        Comparisons listed before anything was drawn; those with enough tokens.
    n : int
        Tokens of the comparison that had most.
    needs : int or None
        Tokens from which a comparison of the group is made; None if there is nothing to count,
        because the target's law leaves no choice.
    sees : float or None
        Least total variation that one of its comparisons would have seen with chance 90 %;
        None if none was made.

    Examples
    --------
    >>> print(Power("bonus", 2, 0, 37, 100, None))
    bonus (37 tokens, needs 100)
    """

    group: str
    planned: int
    tested: int
    n: int
    needs: int | None
    sees: float | None

    @property
    def lacking(self) -> bool:
        """Whether no comparison of the group had enough tokens."""
        return not self.tested and self.needs is not None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        said = f"not tested: {self.n} tokens, needs {self.needs}" if self.lacking else None
        return {**asdict(self), "not_tested": said}

    def __str__(self) -> str:
        return f"{self.group} ({self.n} tokens, needs {self.needs})"


def powers(comparisons: Sequence[Comparison]) -> tuple[Power, ...]:
    """The power of every group, in the order of the plan.

    Examples
    --------
    >>> made = Comparison("bonus", "bonus", "draft", 250, 10, 8.5, 0.48, 1e-4, 0.21, 100)
    >>> few = Comparison("corrected", "corrected", "likeliest", 9, 0, 0.0, 1.0, 1e-4, None, 100)
    >>> [(one.group, one.lacking) for one in powers([made, few])]
    [('bonus', False), ('corrected', True)]
    """
    found = []
    for group in dict.fromkeys(one.group for one in comparisons):
        part = [one for one in comparisons if one.group == group]
        tested = [one for one in part if one.tested]
        needs = [one.needs for one in part if one.needs is not None]
        sees = [one.sees for one in tested if one.sees is not None]
        most = max(one.n for one in tested or part)
        least = min(needs, default=None), min(sees, default=None)
        found.append(Power(group, len(part), len(tested), most, *least))
    return tuple(found)
