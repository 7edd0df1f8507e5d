"""Rates by pair of models, and matrices of alphas: read, checked, to JSON and back."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, as_floats, check_int, check_number, check_rates

Pair = tuple[int, int]  # (reviewer, draft)
T = TypeVar("T")


def alpha_matrix(name: str, alphas: npt.ArrayLike, n_drafts: int | None = None) -> Floats:
    """Alphas as a checked matrix, shape (n + 1, n + 1); a vector holds the target's rates.

    Raises
    ------
    ValueError
        If the shape is neither form (for `n_drafts` drafts, if given), a rate that is read
        lies outside [0, 1], or the matrix looks transposed: 0 where it is read, not 0 below.
    """
    given = as_floats(name, alphas)
    n = given.shape[0] - (given.ndim == 2) if n_drafts is None and given.ndim else n_drafts or 0
    size = n + 1
    if given.shape not in ((n,), (size, size)):
        match = "for n drafts" if n_drafts is None else f"to match the {n_drafts} costs"
        form = "(n + 1, n + 1) or (n,)" if n_drafts is None else f"({size}, {size}) or ({n},)"
        raise ValueError(f"{name} must have shape {form} {match}, got shape {given.shape}")
    matrix = np.eye(size)
    if given.ndim == 1:
        for draft, rate in enumerate(check_rates(name, given), start=1):
            matrix[:draft, draft] = rate
        return matrix
    rows, columns = np.triu_indices(size, 1)  # only i < j is read
    if n and not given[rows, columns].any() and (given.T[rows, columns] > 0.0).any():
        raise ValueError(
            f"{name} looks transposed: all rates above the diagonal, {name}[reviewer, draft], are "
            f"0, and those below it are not: give its transpose"
        )
    matrix[rows, columns] = check_rates(name, given[rows, columns])
    return matrix


def frozen(values: Floats) -> Floats:
    values = np.array(values, dtype=np.float64)
    values.flags.writeable = False
    return values


def rates_along(name: str) -> Callable[[Any], Floats]:
    def read(values: Any) -> Floats:
        rates = check_rates(name, values)
        if rates.ndim != 1 or rates.size == 0:
            raise ValueError(f"{name} of a pair must be a vector of rates, got {values!r}")
        return frozen(rates)

    return read


def one_rate(name: str) -> Callable[[Any], float]:
    return lambda value: check_number(f"{name} of a pair", value, least=0.0, most=1.0)


def checked_pairs(name: str, given: Any, read: Callable[[Any], T]) -> Mapping[Pair, T]:
    """Checked, read-only, in order of pairs."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must map pairs (reviewer, draft) to rates, got {given!r}")
    table: dict[Pair, T] = {}
    for pair, values in given.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"{name} must have pairs (reviewer, draft) as keys, got {pair!r}")
        reviewer = check_int(f"{name} reviewer", pair[0], least=0)
        draft = check_int(f"{name} draft", pair[1], least=1)
        if reviewer >= draft:
            raise ValueError(
                f"{name} names the pair {pair!r}, but models run from dear to cheap: write "
                f"(reviewer, draft) with reviewer < draft"
            )
        table[reviewer, draft] = read(values)
    return MappingProxyType(dict(sorted(table.items())))


def check_pairs(name: str, given: Mapping[Pair, Any], n_drafts: int) -> None:
    for pair in given:
        if pair[1] > n_drafts:
            raise ValueError(f"{name} names the pair {pair}, but there are drafts 1..{n_drafts}")


def check_size(name: str, alphas: Floats, n_drafts: int) -> None:
    if alphas.shape[-1] != n_drafts + 1:
        raise ValueError(
            f"acceptance has {name} of {alphas.shape[-1] - 1} drafts, but the profile has "
            f"{n_drafts}: give one rate a draft"
        )


def pairs_to_json(given: Mapping[Pair, Any] | None) -> dict[str, Any]:
    values = {f"{i},{j}": np.asarray(v).tolist() for (i, j), v in (given or {}).items()}
    return dict(values)


def pairs_from_json(given: Any) -> dict[Pair, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f'a table of rates is {{"i,j": rates}}, got {str(given)[:80]}')
    pairs: dict[Pair, Any] = {}
    for key, value in given.items():
        reviewer, _, draft = str(key).partition(",")
        if not (reviewer.isdigit() and draft.isdigit()):
            raise ValueError(f'a pair is written "i,j", got {key!r}')
        pairs[int(reviewer), int(draft)] = value
    return pairs
