"""Checks of arguments: each failure is one sentence with field, value and remedy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def check_int(name: str, value: object, least: int) -> int:
    """Return `value` as an int >= `least`; numpy integers pass, booleans do not."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be >= {least}, got {value}")
    return int(value)


def check_number(
    name: str, value: object, least: float = -math.inf, most: float = math.inf
) -> float:
    """Return `value` as a finite float in [`least`, `most`]."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number) or not least <= number <= most:  # also true for nan
        raise ValueError(f"{name} must be a finite number in [{least:g}, {most:g}], got {value!r}")
    return number


def as_floats(name: str, values: npt.ArrayLike) -> Floats:
    """Return `values` as a float64 array; the error names the field."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numbers in a regular array, got {values!r}") from error


def check_rates(name: str, values: npt.ArrayLike) -> Floats:
    """Return `values` as float64, each in [0, 1]."""
    rates = as_floats(name, values)
    inside = (rates >= 0.0) & (rates <= 1.0)  # False for nan
    if not np.all(inside):
        worst = rates[~inside].flat[0]
        raise ValueError(f"{name} must lie in [0, 1], got {worst:g}: give rates, not percentages")
    return rates


def check_costs(name: str, values: npt.ArrayLike) -> Floats:
    """Return `values` as float64, each finite and >= 0."""
    costs = as_floats(name, values)
    good = np.isfinite(costs) & (costs >= 0.0)
    if not np.all(good):
        worst = costs[~good].flat[0]
        raise ValueError(f"{name} must be finite and >= 0 (in target passes), got {worst:g}")
    return costs


def check_lengths(name: str, values: npt.ArrayLike, least: int = 0) -> Floats:
    """Return integer `values` as float64 (for arithmetic), each >= `least`."""
    lengths = as_floats(name, values)
    good = np.isfinite(lengths) & (lengths >= least) & (lengths == np.floor(lengths))
    if not np.all(good):
        worst = lengths[~good].flat[0]
        raise ValueError(f"{name} must be whole numbers >= {least}, got {worst:g}")
    return lengths


def check_shapes(**values: npt.ArrayLike | None) -> None:
    """Raise ValueError, naming the shapes, unless all arrays broadcast to one shape."""
    arrays = {n: v for n, v in values.items() if v is not None and not isinstance(v, int | float)}
    if len(arrays) < 2:
        return
    try:
        shapes = {name: np.shape(value) for name, value in arrays.items()}
    except ValueError:  # no regular array: the check of that field says so
        return
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(
            f"these shapes do not broadcast: {told}: give equally many entries, or a new axis for "
            f"a grid, such as {next(iter(shapes))}[:, None]"
        ) from None


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(value)
