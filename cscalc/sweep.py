"""Labelled grids: a function over named axes, in chunks that survive a kill, here or on Dask."""

import json
import math
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cscalc._checks import check_int
from cscalc._sweep_store import Results, SweepStore, identity
from cscalc._version import __version__
from cscalc.records import provenance

if TYPE_CHECKING:
    import xarray as xr

UNITS = {  # of the glossary's words, where `units` says nothing else
    "alpha": "1", "cost": "target passes", "ewif": "1", "length": "tokens", "rounds": "1",
    "tokens_per_cycle": "tokens", "cycle_cost": "target passes",
}  # fmt: skip
TIMEOUT = 10.0  # seconds to reach a scheduler


class _Grid(NamedTuple):
    """What is computed, and where; travels to the workers."""

    function: Callable[..., Any]
    axes: dict[str, npt.NDArray[Any]]
    name: str
    vectorized: bool
    chunk: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes.values())

    @property
    def starts(self) -> range:
        """First point of each chunk; points are counted with the last axis running fastest."""
        return range(0, math.prod(self.shape), self.chunk)

    def size(self, start: int) -> int:
        """Points of the chunk that begins at `start`."""
        return min(self.chunk, math.prod(self.shape) - start)

    def experiment(self, key: str | None) -> dict[str, Any]:
        """All that shapes the results, as plain JSON data."""
        return {
            "sweep": identity(self.function) if key is None else key,
            "axes": {name: [axis.dtype.str, axis.tolist()] for name, axis in self.axes.items()},
            "name": self.name,
            "vectorized": self.vectorized,
            "chunk": self.chunk,
            "cscalc": __version__,
        }


def sweep(
    function: Callable[..., Any],
    /,
    *,
    name: str = "value",
    vectorized: bool = False,
    chunk: int = 1000,
    store: str | os.PathLike[str] | None = None,
    units: Mapping[str, str] | None = None,
    key: str | None = None,
    client: Any = None,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: bool = False,
    **axes: Any,
) -> "xr.Dataset":
    """Evaluate a function on the grid that the axes span.

    Parameters
    ----------
    function : callable
        Called with one keyword argument per axis. It returns a number, or a mapping from
        names to numbers; the same names everywhere.
    name : str
        Of the result, where `function` returns a bare number.
    vectorized : bool
        False: `function` is called once a point, with Python scalars. True: once a chunk,
        with vectors of shape (points,), and it returns vectors of that shape.
    chunk : int
        Points per chunk, at least 1: what is computed, sent and recorded at a time.
    store : path ending in .nc, optional
        Each chunk is recorded in ``<store>.jsonl`` as it is done, and the finished dataset is
        written to `store` as netCDF. The same sweep run again goes on where it stopped.
    units : mapping, optional
        Unit of each axis and result, kept as the attribute ``units``. An axis may bring its
        own (a `xarray.DataArray` with that attribute); the glossary's words have theirs.
    key : str, optional
        What `function` computes, hashed instead of its source, defaults and closure. The store
        of another function, other axes, chunks or version of cscalc is refused; changes in
        what `function` merely calls are not seen.
    client : distributed.Client, optional
        Run the chunks there, on any Dask cluster.
    scheduler : str, optional
        Or connect to the scheduler at this address, such as ``"tcp://host:8786"``.
    workers : int, optional
        Or start this many worker processes on this machine; a script then needs the usual
        ``if __name__ == "__main__":``. Without the three, all runs in this process.
    progress : bool
        Show a bar of finished points on stderr.
    **axes : array_like, shape (points,)
        Numbers or strings, no two alike; a scalar is an axis of one point.

    Returns
    -------
    xarray.Dataset
        One variable per result with one dimension per axis, in the order given. It does not
        depend on where, in what order, or in how many attempts the chunks were computed.

    Raises
    ------
    TypeError, ValueError
        If an axis or a result does not fit, the store belongs to another sweep, or the
        scheduler cannot be reached. What `function` raises is passed on; the chunks recorded
        before it stay in the store.

    Notes
    -----
    Dask runs a chunk again if its worker dies, so `function` should be pure; give randomness
    a seed as an axis.

    Examples
    --------
    >>> from cscalc.theory.speculative import speculative_ewif
    >>> grid = sweep(speculative_ewif, name="ewif", vectorized=True,
    ...              alpha=[0.5, 0.8], cost=0.1, length=range(1, 6))
    >>> dict(grid.sizes), grid["cost"].units
    ({'alpha': 2, 'cost': 1, 'length': 5}, 'target passes')
    >>> round(float(grid["ewif"].sel(alpha=0.8, cost=0.1, length=5)), 6)
    2.45952
    """
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}")
    check_int("chunk", chunk, least=1)
    if not axes:
        raise ValueError("a sweep needs at least one axis: sweep(function, alpha=[0.5, 0.8])")
    grid = _Grid(
        function, {axis: _axis(axis, values) for axis, values in axes.items()}, name, vectorized,
        chunk,
    )  # fmt: skip
    known = {axis: values.attrs["units"] for axis, values in axes.items()
             if "units" in getattr(values, "attrs", {})}  # fmt: skip
    places = {"client": client, "scheduler": scheduler, "workers": workers}
    if len(given := [place for place, value in places.items() if value is not None]) > 1:
        raise ValueError(f"give at most one of client, scheduler, workers; got {given}")
    if client is not None and (
        not hasattr(client, "map") or getattr(client, "asynchronous", False)
    ):
        raise TypeError(f"client must be a synchronous distributed.Client, got {client!r:.80}")
    kept = None if store is None else SweepStore(store, grid.experiment(key))
    done = {} if kept is None else kept.finished()
    missing = [start for start in grid.starts if start not in done]
    with ExitStack() as stack:
        if kept is not None:
            stack.callback(kept.drop_if_empty)
        if missing:
            client = stack.enter_context(_connected(client, scheduler, workers))
        bar = stack.enter_context(_bar(grid, done, progress))
        for start, results in stack.enter_context(closing(_compute(grid, missing, client))):
            if kept is not None:
                kept.append(start, results)
            done[start] = results
            bar.update(grid.size(start))
    dataset = _dataset(grid, done, {**UNITS, **known, **(units or {})}, set(units or {}))
    if kept is not None:
        dataset.attrs["run_id"] = kept.log.run_id
        kept.write(dataset)
    return dataset


def _bar(grid: _Grid, done: dict[int, Results], show: bool) -> Any:
    from tqdm import tqdm

    before = sum(grid.size(start) for start in done)
    return tqdm(
        total=math.prod(grid.shape), initial=before, unit=" points", desc="sweep",
        disable=not show,
    )  # fmt: skip


def _axis(name: str, values: Any) -> npt.NDArray[Any]:
    axis = np.atleast_1d(np.asarray(values))
    if axis.ndim != 1 or axis.size == 0 or axis.dtype.kind not in "biufU":
        raise ValueError(f"axis {name} must be a vector of numbers or strings, got {values!r:.80}")
    if axis.dtype.kind == "f" and not np.all(np.isfinite(axis)):
        raise ValueError(f"axis {name} must be finite, got {axis[~np.isfinite(axis)][0]}")
    if np.unique(axis).size != axis.size:
        raise ValueError(f"axis {name} holds a value twice: leave one out of {values!r:.80}")
    return axis


@contextmanager
def _connected(client: Any, scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """Yield a Dask client, or None for this process; close what was opened here."""
    if scheduler is None and workers is None:
        yield client
        return
    try:
        dask: Any = import_module("distributed")
    except ModuleNotFoundError:
        raise ValueError(
            "a sweep on workers needs Dask: pip install 'cscalc[distributed]', or run it here"
        ) from None
    with ExitStack() as stack:
        if workers is not None:
            address: Any = dask.LocalCluster(
                n_workers=check_int("workers", workers, least=1), threads_per_worker=1,
                dashboard_address=":0",
            )  # fmt: skip
            stack.enter_context(address)
        else:
            address = scheduler
        try:
            found = dask.Client(address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no Dask scheduler answers at {address!r}: check the address and that it runs "
                f"({error})"
            ) from error
        yield stack.enter_context(found)


def _compute(
    grid: _Grid, missing: list[int], client: Any
) -> Generator[tuple[int, Results], None, None]:
    """Yield the first point and the results of each missing chunk, as it is done."""
    if client is None:
        for start in missing:
            yield _run_chunk(start, grid)
        return
    dask: Any = import_module("distributed")

    futures = client.map(_run_chunk, missing, grid=grid, pure=False)  # not an earlier sweep's
    try:
        for _, chunk in dask.as_completed(futures, loop=client.loop, with_results=True):
            yield chunk
    finally:
        client.cancel(futures)


def _run_chunk(start: int, grid: _Grid) -> tuple[int, Results]:
    size = grid.size(start)
    indices = np.unravel_index(np.arange(start, start + size), grid.shape)
    points = {name: grid.axes[name][i] for name, i in zip(grid.axes, indices, strict=True)}
    if grid.vectorized:
        found = _named(grid.function(**points), grid.name)
        return start, {name: _checked(name, one, size) for name, one in found.items()}
    columns = [values.tolist() for values in points.values()]
    rows = [
        _named(grid.function(**dict(zip(points, point, strict=True))), grid.name)
        for point in zip(*columns, strict=True)
    ]
    for row in rows:
        if set(row) != set(rows[0]):
            raise ValueError(f"results must have the same names: {[*rows[0]]} and {[*row]}")
    return start, {name: _checked(name, [r[name] for r in rows], len(rows)) for name in rows[0]}


def _named(found: Any, name: str) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {name: found}


def _checked(name: str, values: Any, size: int) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.shape != (size,):
        raise ValueError(
            f"{name} must be a number at each point, got {array.dtype} of shape {array.shape} "
            f"for {size} points"
        )
    return array


def _dataset(
    grid: _Grid, done: dict[int, Results], units: Mapping[str, str], named: set[str]
) -> "xr.Dataset":
    import xarray as xr

    def unit(name: str) -> dict[str, str]:
        return {"units": units[name]} if name in units else {}

    outputs = [*done[0]]
    for results in done.values():
        if set(results) != set(outputs):
            raise ValueError(f"results must have the same names: {outputs} and {[*results]}")
    if clash := set(outputs) & set(grid.axes):
        raise ValueError(f"{min(clash)} is an axis and a result: rename the result")
    if unknown := named - set(outputs) - set(grid.axes):
        raise ValueError(
            f"units names {min(unknown)}, which is no axis and no result: "
            f"use {', '.join([*grid.axes, *outputs])}"
        )
    flat = {out: np.concatenate([done[start][out] for start in grid.starts]) for out in outputs}
    return xr.Dataset(
        {out: ((*grid.axes,), one.reshape(grid.shape), unit(out)) for out, one in flat.items()},
        {axis: ((axis,), values, unit(axis)) for axis, values in grid.axes.items()},
        {"provenance": json.dumps(provenance())},
    )


class _CallableModule(ModuleType):
    __call__ = staticmethod(sweep)  # `cscalc.sweep(...)` works where this module was imported


sys.modules[__name__].__class__ = _CallableModule
