"""Acceptance models: what decides whether a reviewer accepts a token.

`Independent` is the papers' own and the default of a `Profile`; `ByPosition` and `Conditional` are
tables of rates too: by position, and by the inner review's outcome. Those with memory, of the
prompt, of difficulty that lasts, or of overlaps that were measured, are in
`cscalc.acceptance_memory`. Descriptions only: their laws are in `cscalc.theory`.

Kinds of tokens in front of a reviewer i: proposed (by a draft); kept, corrected, or added as
bonus token by the inner review that model j made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cscalc._acceptance_base import Acceptance as Acceptance
from cscalc._checks import Floats
from cscalc._pairs import (
    Pair,
    check_pairs,
    checked_pairs,
    one_rate,
    pairs_from_json,
    pairs_to_json,
    rates_along,
)
from cscalc.acceptance_memory import BetaMixture as BetaMixture
from cscalc.acceptance_memory import Markov as Markov
from cscalc.acceptance_memory import Mixture as Mixture
from cscalc.acceptance_memory import Trace as Trace

PROPOSED, KEPT, CORRECTED, BONUS = range(4)  # first axis of `rate_table`


@dataclass(frozen=True, slots=True, eq=False)
class Independent(Acceptance):
    """Each token is accepted with its pair's rate, whatever happened before.

    Examples
    --------
    >>> Acceptance.from_dict(Independent().to_dict())
    Independent()
    """

    kind: ClassVar[str] = "independent"

    def check(self, n_drafts: int) -> None:
        """Fit every profile."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"kind": self.kind}


@dataclass(frozen=True, slots=True, eq=False)
class ByPosition(Acceptance):
    """The rate depends on where the token stands in front of its reviewer.

    Attributes
    ----------
    rates : mapping (i, j) -> array_like
        Acceptance rates, in [0, 1], of model j's tokens at positions 1, 2, ... of the whole
        draft in front of reviewer i; the last one holds beyond. A pair not named keeps its
        alpha. For an inner reviewer, positions count from the start of each of its rounds.

    Examples
    --------
    >>> ByPosition({(0, 1): [0.9, 0.8, 0.6]}).rates[0, 1].tolist()
    [0.9, 0.8, 0.6]
    """

    kind: ClassVar[str] = "by_position"
    rates: Mapping[Pair, npt.ArrayLike | Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", checked_pairs("rates", self.rates, rates_along("rates")))

    def check(self, n_drafts: int) -> None:
        """Raise ValueError if a pair names a draft beyond `n_drafts`."""
        check_pairs("rates", self.rates, n_drafts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"kind": self.kind, "rates": pairs_to_json(self.rates)}


@dataclass(frozen=True, slots=True, eq=False)
class Conditional(Acceptance):
    r"""The rate depends on what the inner review did to the token.

    Attributes
    ----------
    kept, corrected, bonus : mapping (i, j) -> float
        Acceptance rates by reviewer i, in [0, 1], of tokens that the inner reviewer j had
        kept, had put in place of a rejected one, or had added after accepting all. A pair not
        named keeps its alpha, as does every token that j drafted without a review.

    Notes
    -----
    With lossless sampling, and laws that do not depend on the context, `kept` is
    :math:`\sum_x \min(q_1, q_2) \min(1, p/q_1) / \alpha'`, `corrected` is
    :math:`\sum_x (q_1 - q_2)_+ \min(1, p/q_1) / (1 - \alpha')` and `bonus` is alpha; see
    `cscalc.theory.cs_drafting.conditional_rates`. Then the law of the cycle is exact, where
    CS Drafting's Theorem 4.3 (arXiv:2312.11462) is an approximation. Only the review directly
    in front of i counts, not what happened further in.

    Examples
    --------
    >>> Conditional(kept={(0, 1): 0.75}, corrected={(0, 1): 1.0}).kept[0, 1]
    0.75
    """

    kind: ClassVar[str] = "conditional"
    kept: Mapping[Pair, float]
    corrected: Mapping[Pair, float]
    bonus: Mapping[Pair, float] | None = None

    def __post_init__(self) -> None:
        for name in ("kept", "corrected", "bonus"):
            given = getattr(self, name)
            table = checked_pairs(name, {} if given is None else given, one_rate(name))
            object.__setattr__(self, name, table)

    def check(self, n_drafts: int) -> None:
        """Raise ValueError if a pair names a draft beyond `n_drafts`."""
        for name in ("kept", "corrected", "bonus"):
            check_pairs(name, getattr(self, name), n_drafts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        tables = {n: pairs_to_json(getattr(self, n)) for n in ("kept", "corrected", "bonus")}
        return {"kind": self.kind, **tables}


def rate_table(alphas: Floats, acceptance: Acceptance) -> Floats:
    """Rates by kind of token, reviewer, draft and position, shape (4, n + 1, n + 1, positions).

    Parameters
    ----------
    alphas : ndarray, shape (n + 1, n + 1)
        Of the profile.
    acceptance : Acceptance
        `Independent`, `ByPosition` or `Conditional`; the others are no such table.

    Returns
    -------
    ndarray
        Kinds: 0 proposed by a draft; 1 kept, 2 corrected, 3 added as bonus by an inner review.
        Positions from 0; the last entry holds beyond.

    Raises
    ------
    ValueError
        If the acceptance model has memory beyond one review.

    Examples
    --------
    >>> model = ByPosition({(0, 1): [0.9, 0.8]})
    >>> rate_table(np.array([[1.0, 0.7], [0.0, 1.0]]), model)[0, 0, 1].tolist()
    [0.9, 0.8]
    """
    if not isinstance(acceptance, Independent | ByPosition | Conditional):
        raise ValueError(f"acceptance of kind {acceptance.kind!r} is not a table of rates")
    positions = 1
    if isinstance(acceptance, ByPosition):
        positions = max((np.size(rates) for rates in acceptance.rates.values()), default=1)
    table = np.empty((4, *alphas.shape, positions))
    table[:] = alphas[None, :, :, None]
    if isinstance(acceptance, ByPosition):
        for (i, j), given in acceptance.rates.items():
            rates = np.asarray(given)
            table[:, i, j, : rates.size] = rates
            table[:, i, j, rates.size :] = rates[-1]
    elif isinstance(acceptance, Conditional):
        named = {KEPT: acceptance.kept, CORRECTED: acceptance.corrected, BONUS: acceptance.bonus}
        for kind, rates_of in named.items():
            for (i, j), rate in (rates_of or {}).items():
                table[kind, i, j] = rate
    return table


def _tables_read(kind: Callable[..., Acceptance]) -> Callable[[dict[str, Any]], Acceptance]:
    return lambda data: kind(**{name: pairs_from_json(table) for name, table in data.items()})


def _trace_read(texts: Sequence[Any]) -> Trace:
    return Trace([pairs_from_json(text) for text in texts])


KINDS: dict[str, Callable[[dict[str, Any]], Acceptance]] = {
    Independent.kind: lambda data: Independent(**data),
    ByPosition.kind: _tables_read(ByPosition),
    Conditional.kind: _tables_read(Conditional),
    Mixture.kind: lambda data: Mixture(**data),
    BetaMixture.kind: lambda data: BetaMixture(**data),
    Markov.kind: lambda data: Markov(**data),
    Trace.kind: lambda data: _trace_read(**data),
}
