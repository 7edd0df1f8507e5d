"""What every acceptance model is: frozen data that fits profiles and can be written as JSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar


class Acceptance(ABC):
    """Base of the acceptance models: frozen data, equal when their JSON data are."""

    __slots__ = ()
    kind: ClassVar[str]

    @abstractmethod
    def check(self, n_drafts: int) -> None:
        """Raise ValueError if this model does not fit a profile with drafts 1..n_drafts."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `Acceptance.from_dict` reads it back."""

    @staticmethod
    def from_dict(data: Mapping[str, Any] | None) -> "Acceptance":
        """Read what `to_dict` wrote; None is `Independent()`.

        Raises
        ------
        ValueError
            If the kind is unknown or a field does not fit.
        """
        from cscalc.acceptance import KINDS  # they are built on this

        if data is None:
            return KINDS["independent"]({})
        if not isinstance(data, Mapping) or data.get("kind") not in KINDS:
            raise ValueError(
                f'acceptance needs "kind", one of {", ".join(KINDS)}, got {str(data)[:80]}'
            )
        try:
            return KINDS[data["kind"]]({key: v for key, v in data.items() if key != "kind"})
        except (TypeError, AttributeError) as error:  # a field is missing, unknown, or no map
            raise ValueError(f"acceptance of kind {data['kind']!r}: {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Acceptance) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(str(self.to_dict()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Acceptance.from_dict, (self.to_dict(),)
