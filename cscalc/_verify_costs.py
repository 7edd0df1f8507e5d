"""Cost of verifying several positions in one pass: V(m) as it is given, checked and tabulated."""

import pickle
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from cscalc._checks import Floats, check_costs, check_int
from cscalc._pairs import frozen

Curve = Callable[[int], float]
Verify = npt.ArrayLike | Curve | Mapping[int, npt.ArrayLike | Curve] | None


def checked_curves(
    verify: Verify, n_drafts: int, one_shot: tuple[int, ...]
) -> dict[int, Floats | Curve]:
    """Curves by model, as a `Profile` takes them: an array or a callable alone is the target's."""
    if verify is None:
        return {}
    given: Mapping[Any, Any] = verify if isinstance(verify, Mapping) else {0: verify}
    curves: dict[int, Floats | Curve] = {}
    for key, curve in sorted(given.items()):
        model = check_int("verify model", key, least=0)
        if model > n_drafts:
            raise ValueError(f"verify names model {model}, but there are models 0..{n_drafts}")
        if model in one_shot:
            raise ValueError(f"verify names model {model}, which is one-shot and never reviews")
        if curve is None:
            continue
        if callable(curve):
            _check_first(model, float(curve(1)))
            curves[model] = curve
        else:
            curves[model] = _curve(model, curve)
    return curves


def _curve(model: int, values: npt.ArrayLike) -> Floats:
    curve = check_costs(f"verify of model {model}", values)
    if curve.ndim != 1 or curve.size == 0:
        raise ValueError(
            f"verify of model {model} must be a vector over m = 1, 2, ..., got {values!r}"
        )
    if not np.all(curve > 0.0):
        raise ValueError(f"verify of model {model} must be > 0, got {curve.min():g}")
    _check_first(model, float(curve[0]))
    return frozen(curve)


def _check_first(model: int, cost: float) -> None:
    if not abs(cost - 1.0) <= 1e-9:  # also true for nan
        raise ValueError(
            f"verify of model {model} must start with 1 (m = 1 position, in that model's own "
            f"passes), got {cost:g}: divide all of it by its value at m = 1"
        )


def tabulated(curve: Floats | Curve | None, model: int, most: int) -> Floats:
    """V(0) = 0, V(1), ..., V(`most`); an array ends where it ends, and None is always 1."""
    if curve is None:
        values = np.ones(most)
    elif callable(curve):
        values = np.array([float(curve(m)) for m in range(1, most + 1)])
        if not np.all(np.isfinite(values) & (values > 0.0)):
            m = int(np.argmin(np.isfinite(values) & (values > 0.0))) + 1
            raise ValueError(
                f"verify of model {model} must be finite and > 0, got {values[m - 1]} at m={m}"
            )
    else:
        values = np.asarray(curve)
    return np.concatenate([[0.0], values])  # index m


def portable(curves: Mapping[int, Floats | Curve]) -> dict[int, Any]:
    """Curves that can be pickled; a function that pickle cannot name is packed by cloudpickle.

    Raises
    ------
    TypeError
        If there is such a function, and no cloudpickle (it comes with Dask).
    """
    return {model: _packed(model, curve) for model, curve in curves.items()}


def _packed(model: int, curve: Floats | Curve) -> Any:
    if not callable(curve):
        return np.array(curve)
    try:
        pickle.dumps(curve)
    except (pickle.PicklingError, AttributeError, TypeError):
        try:
            return import_module("cloudpickle").dumps(curve)
        except (ImportError, pickle.PicklingError, AttributeError, TypeError):
            raise TypeError(
                f"verify of model {model} is a function that cannot be pickled (a lambda, or one "
                f"defined in a function): give an array, or a function of a module"
            ) from None
    return curve


def unpacked(curves: Mapping[int, Any]) -> dict[int, Any]:
    """What `portable` made, as it was."""
    return {m: pickle.loads(c) if isinstance(c, bytes) else c for m, c in curves.items()}


def curves_from_json(verify: object) -> dict[int, Any]:
    """Curves by model from a JSON object."""
    if not isinstance(verify, Mapping) or not all(str(model).isdecimal() for model in verify):
        raise ValueError(f"verify must map models 0, 1, ... to arrays, got {str(verify)[:80]}")
    return {int(model): curve for model, curve in verify.items()}
