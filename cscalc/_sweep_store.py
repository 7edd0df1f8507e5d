"""Where a sweep is kept: chunks as records, the finished grid as netCDF, and what it was of."""

import functools
import inspect
import math
import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cscalc._files import check_folder, replacing
from cscalc.records import RecordLog

if TYPE_CHECKING:
    import xarray as xr

Results = dict[str, npt.NDArray[Any]]  # of one chunk, each of shape (points,)


class SweepStore:
    """A netCDF file that will be, and beside it the record of finished chunks.

    Parameters
    ----------
    path : path ending in .nc
        The record is ``<path>.jsonl``.
    experiment : mapping
        Plain JSON: all that shapes the results.

    Raises
    ------
    ValueError
        If `path` is no .nc file, holds something else, or the record is another sweep's.
    """

    def __init__(self, path: str | os.PathLike[str], experiment: Mapping[str, Any]) -> None:
        self.path = Path(path)
        if self.path.suffix != ".nc":
            raise ValueError(f"store must be a netCDF file, name.nc, got {str(path)!r}")
        check_folder(self.path)
        record = self.path.with_name(f"{self.path.name}.jsonl")
        if self.path.exists() and not record.exists():
            raise ValueError(
                f"{self.path} exists, but not its record {record.name}: give another path"
            )
        try:
            self.log = RecordLog(record, experiment)
        except ValueError as error:
            if "another run" not in str(error):
                raise
            raise ValueError(
                f"{self.path} belongs to another sweep (other function, axes, chunks or version): "
                f"give another path, or delete it and {record.name}"
            ) from None

    def finished(self) -> dict[int, Results]:
        """Results of the chunks on record, by their first point."""
        return {
            int(start): {name: _decode(one) for name, one in record.items()}
            for start, record in self.log.records.items()
        }

    def append(self, start: int, results: Results) -> None:
        """Record the results of one chunk; they are on disk when this returns."""
        self.log.append(str(start), {name: _encode(one) for name, one in results.items()})

    def write(self, dataset: "xr.Dataset") -> None:
        """Write netCDF, whole or not at all."""
        with replacing(self.path) as temporary:
            dataset.to_netcdf(temporary)

    def drop_if_empty(self) -> None:
        """Delete a record that holds no chunk, so that a corrected sweep is not refused."""
        if not self.log.records:
            self.log.path.unlink(missing_ok=True)


def _encode(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Numbers as JSON that reads back to the last bit; nan and inf are strings there."""
    plain = values.tolist()
    if values.dtype.kind == "f":
        plain = [value if math.isfinite(value) else str(value) for value in plain]
    return {"dtype": values.dtype.str, "values": plain}


def _decode(data: dict[str, Any]) -> npt.NDArray[Any]:
    dtype = np.dtype(data["dtype"])
    return np.array([dtype.type(value) for value in data["values"]], dtype=dtype)


def identity(function: Callable[..., Any]) -> Any:
    """Name and source of a function, with its defaults and what it closes over.

    Functions and modules that it only names are not followed.

    Raises
    ------
    ValueError
        If something that it holds cannot be written down.

    Examples
    --------
    >>> def scaled(factor):
    ...     return lambda alpha: factor * alpha
    >>> identity(scaled(2.0)) == identity(scaled(2.0)), identity(scaled(2.0)) == identity(scaled(3.0))
    (True, False)
    """  # noqa: E501 - one comparison, one line
    return _plain(function, ())


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    """`value` as JSON; `above` holds the functions that it was met in."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return [value.dtype.str, list(value.shape), np.ravel(value).astype(str).tolist()]
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item, above) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    if isinstance(value, Mapping):
        return [[_plain(key, above), _plain(item, above)] for key, item in value.items()]
    if isinstance(value, functools.partial):
        return ["partial", *(_plain(x, above) for x in (value.func, value.args, value.keywords))]
    if isinstance(value, types.MethodType):
        return ["method", _plain(value.__func__, above), _plain(value.__self__, above)]
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType | np.ufunc):
        return [getattr(value, "__module__", None), value.__name__]
    if not isinstance(value, type) and callable(getattr(value, "to_dict", None)):
        return _plain(value.to_dict(), above)  # a cascade, a profile, a plan
    return _function(getattr(value, "py_func", value), above)  # py_func: what numba compiled


def _function(value: Any, above: tuple[int, ...]) -> Any:
    if id(value) in above:  # it calls itself
        return value.__qualname__
    if not isinstance(value, types.FunctionType | type):
        raise ValueError(
            f"the function of a stored sweep holds {value!r:.80}, which cannot be hashed: "
            "say by key='...' what it computes, and change the key when that changes"
        )
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        raise ValueError(
            f"the source of {value.__qualname__} cannot be read, so a stored sweep cannot tell "
            "it from another: say by key='...' what it computes"
        ) from None
    known = [value.__module__, value.__qualname__, source]
    if isinstance(value, types.FunctionType):
        inner = (*above, id(value))
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        for part in (value.__defaults__, value.__kwdefaults__, held):
            known.append(_plain(part, inner))
    return known
