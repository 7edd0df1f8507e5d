"""Sweeps in one process: the grid, its units, and a store that survives a kill."""

import functools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import cscalc
from cscalc import Cascade, Draft
from cscalc._sweep_store import identity
from cscalc.cli import app
from cscalc.cli_arguments import grid
from cscalc.sweep import sweep
from cscalc.theory.speculative import speculative_ewif

pytestmark = pytest.mark.filterwarnings(
    "ignore:numpy.ndarray size changed:RuntimeWarning"  # netCDF4, built against another numpy
)
AXES = {"alpha": [0.2, 0.5, 0.9], "cost": [0.01, 0.1], "length": [1, 2, 3, 4]}


class Counted:
    """Remembers its calls, and fails where told to."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = [], fail_at

    def __call__(self, **point):
        if len(self.calls) == self.fail_at:
            raise RuntimeError("out of luck")
        self.calls.append(point)
        return speculative_ewif(**point)


def count():
    """A new counter that a store takes for the same function."""
    counted = Counted()
    return counted, functools.partial(sweep, counted, key="ewif", chunk=5, **AXES)


def test_every_point_holds_the_functions_value():
    found = sweep(speculative_ewif, name="ewif", **AXES)
    assert found["ewif"].dims == ("alpha", "cost", "length")
    assert found["ewif"].shape == (3, 2, 4)
    for point in np.ndindex(3, 2, 4):
        values = {name: AXES[name][i] for name, i in zip(AXES, point, strict=True)}
        assert found["ewif"].sel(values).item() == speculative_ewif(**values)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 30), st.booleans()
)  # fmt: skip
def test_chunks_and_vectors_change_nothing(sizes, chunk, vectorized):
    axes = {f"axis_{i}": np.arange(size) * 10**i for i, size in enumerate(sizes)}

    def both(**point):
        total = sum(point.values())
        return {"total": total, "half": total / 2}

    found = sweep(both, chunk=chunk, vectorized=vectorized, **axes)
    total = sum(np.meshgrid(*axes.values(), indexing="ij"))
    np.testing.assert_array_equal(found["total"], total)
    np.testing.assert_array_equal(found["half"], total / 2)
    assert found["total"].dtype.kind == "i"
    assert found["half"].dtype.kind == "f"


def test_a_scalar_function_gets_python_scalars_and_a_vectorized_one_vectors_of_a_chunk():
    seen = []
    sweep(lambda a, b: seen.append((a, b)) or 0.0, a=[1, 2], b=["x"])
    assert seen == [(1, "x"), (2, "x")]
    assert type(seen[0][0]) is int
    sizes = []
    sweep(lambda a, b: sizes.append((a.shape, b.shape)) or a * b, vectorized=True, chunk=4,
          a=[1, 2, 3], b=[4, 5])  # fmt: skip
    assert sizes == [((4,), (4,)), ((2,), (2,))]


def test_axes_and_results_bear_units():
    share = xr.DataArray([0.1, 0.2], dims="share", attrs={"units": "%"})
    found = sweep(
        lambda **point: {"speed": 1.0, "other": 2.0}, alpha=0.5, cost=[0.1], length=[1, 2],
        share=share, seconds=[1.0], units={"seconds": "s", "speed": "tokens/s", "length": "words"},
    )  # fmt: skip
    units = {name: found[name].attrs.get("units") for name in (*found, *found.coords)}
    assert units == {
        "alpha": "1", "cost": "target passes", "length": "words", "share": "%", "seconds": "s",
        "speed": "tokens/s", "other": None,
    }  # fmt: skip


def test_nan_infinity_and_booleans_are_results_like_others(tmp_path):
    def odd(x):
        return {
            "value": [math.nan, math.inf, -math.inf, 0.1 + 0.2][x],
            "even": x % 2 == 0,
            "big": 2**53 + x,
        }

    plain = sweep(odd, x=range(4))
    for _ in range(2):  # written, and read back from the record
        stored = sweep(odd, x=range(4), chunk=3, store=tmp_path / "odd.nc")
        xr.testing.assert_identical(stored.drop_attrs(), plain.drop_attrs())
    assert plain["even"].dtype == bool


def test_the_finished_grid_is_a_netcdf_file_that_reads_back(tmp_path):
    pytest.importorskip("netCDF4")
    found = sweep(speculative_ewif, name="ewif", store=tmp_path / "ewif.nc", **AXES)
    with xr.open_dataset(tmp_path / "ewif.nc") as read:
        xr.testing.assert_identical(read.load(), found)
    assert read["length"].units == "tokens"
    assert len(read.attrs["run_id"]) == 16
    assert json.loads(read.attrs["provenance"])["versions"]["cscalc"] == cscalc.__version__
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ewif.nc", "ewif.nc.jsonl"]


@pytest.mark.parametrize("fail_at", [0, 4, 5, 12, 23])
def test_a_sweep_that_failed_goes_on_where_it_stopped(tmp_path, fail_at):
    store = tmp_path / "ewif.nc"
    whole = count()[1](store=tmp_path / "whole.nc")
    broken = Counted(fail_at)
    with pytest.raises(RuntimeError, match="out of luck"):
        sweep(broken, key="ewif", chunk=5, store=store, **AXES)
    assert not store.exists()
    counted, again = count()
    xr.testing.assert_identical(again(store=store), whole)
    recorded = fail_at // 5 * 5
    assert len(counted.calls) == 24 - recorded  # nothing that is on record is computed again
    counted, again = count()
    xr.testing.assert_identical(again(store=store), whole)
    assert counted.calls == []


SCRIPT = """
import os, sys
from cscalc.sweep import sweep
calls = 0
def slow_square(x):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
    return x * x
found = sweep(slow_square, x=range(20), chunk=3, store=sys.argv[1])
print(calls, found["value"].values.tolist())
"""


def test_a_sweep_killed_by_sigkill_goes_on_where_it_stopped(tmp_path):
    script, store = tmp_path / "script.py", tmp_path / "squares.nc"
    script.write_text(SCRIPT)

    def run(kill_at):
        return subprocess.run(
            [sys.executable, script, store, str(kill_at)], capture_output=True, text=True,
            check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip

    assert run(9).returncode == -signal.SIGKILL
    record = tmp_path / "squares.nc.jsonl"
    record.write_bytes(record.read_bytes() + b'{"key": "6", "rec')  # and killed while writing
    finished = run(-1)
    assert finished.stdout == f"14 {[x * x for x in range(20)]}\n", finished.stderr
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "change",
    [{"alpha": [0.2, 0.5, 0.8]}, {"chunk": 6}, {"key": "other"}, {"name": "speed"},
     {"vectorized": True}, {"cost": [0.1, 0.01]}, {"length": [1.0, 2.0, 3.0, 4.0]}],
    ids=str,
)  # fmt: skip
def test_the_store_of_another_sweep_is_refused(tmp_path, change):
    store = tmp_path / "ewif.nc"
    count()[1](store=store)
    before = store.read_bytes()
    with pytest.raises(ValueError, match=r"ewif\.nc belongs to another sweep"):
        sweep(speculative_ewif, **{"key": "ewif", "chunk": 5, **AXES, "store": store, **change})
    assert store.read_bytes() == before


def test_a_store_tells_functions_apart_by_source_defaults_and_closure():
    def scaled(factor, shift=0.0):
        return lambda x, shift=shift: factor * x + shift

    def itself(x):
        return itself(x - 1) if x else 0

    same = scaled(2.0)
    assert identity(same) == identity(scaled(2.0))
    others = [scaled(3.0), scaled(2.0, 1.0), scaled(math.nan), speculative_ewif, math.sqrt, itself,
              functools.partial(same, shift=2.0), functools.partial(same, shift=3.0),
              scaled(np.arange(2)), scaled(np.arange(3)), scaled({"a": 1}), scaled({1, 2}),
              scaled(Cascade((Draft(1, 2),))), scaled(Cascade((Draft(1, 3),))), np.add,
              Counted.__call__, scaled(scaled(1.0)), scaled(None), scaled(Counted)]  # fmt: skip
    texts = [json.dumps(identity(one), allow_nan=False) for one in [same, *others]]
    assert len(set(texts)) == len(texts)


def test_a_function_that_cannot_be_hashed_asks_for_a_key(tmp_path):
    holds = object()
    with pytest.raises(ValueError, match="say by key"):
        sweep(lambda x: holds and x, x=[1], store=tmp_path / "x.nc")
    written = eval("lambda x: x")  # its source is nowhere
    with pytest.raises(ValueError, match="source of <lambda> cannot be read"):
        sweep(written, x=[1], store=tmp_path / "x.nc")
    assert sweep(written, x=[1], store=tmp_path / "x.nc", key="x")["value"].item() == 1
    assert sweep(lambda x: holds and x, x=[1])["value"].item() == 1  # without a store, none


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"alpha": []}, "axis alpha must be a vector"),
        ({"alpha": [[0.1]]}, "axis alpha must be a vector"),
        ({"alpha": [None]}, "axis alpha must be a vector"),
        ({"alpha": [0.1, math.nan]}, "axis alpha must be finite, got nan"),
        ({"alpha": [0.1, 0.1]}, "axis alpha holds a value twice"),
        ({"chunk": 0}, "chunk must be >= 1"),
        ({"units": {"typo": "s"}}, "units names typo, which is no axis and no result"),
        ({"name": "alpha"}, "alpha is an axis and a result"),
        ({"store": "grid.zarr"}, "store must be a netCDF file"),
        ({"store": "nowhere/grid.nc"}, "there is no folder nowhere"),
        ({"scheduler": "tcp://a:1", "workers": 2}, "at most one of client, scheduler, workers"),
    ],
)
def test_bad_arguments_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        sweep(lambda alpha: alpha, **{"alpha": [0.5], **change})


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: "text", "value must be a number at each point"),
        (lambda x: [1.0, 2.0], "value must be a number at each point"),
        (lambda x: {"a": 1} if x else {"b": 1}, "results must have the same names"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 10])
def test_bad_results_are_refused(function, sentence, chunk):
    with pytest.raises(ValueError, match=sentence):
        sweep(function, x=[0, 1], chunk=chunk)


def test_a_sweep_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one axis"):
        sweep(speculative_ewif)
    with pytest.raises(TypeError, match="function must be callable"):
        sweep(0.5, x=[1])
    with pytest.raises(TypeError, match="client must be a synchronous distributed"):
        sweep(abs, x=[1], client="tcp://localhost:8786")


def test_a_file_that_is_no_store_is_not_overwritten(tmp_path):
    (tmp_path / "mine.nc").write_text("years of work")
    with pytest.raises(ValueError, match="exists, but not its record"):
        sweep(lambda x: x, x=[1], store=tmp_path / "mine.nc")
    assert (tmp_path / "mine.nc").read_text() == "years of work"


def test_the_module_can_be_called_like_the_function():
    import cscalc.sweep  # noqa: F401 - by which cscalc.sweep may become the module

    assert sys.modules["cscalc.sweep"](lambda x: x, x=[7])["value"].item() == 7


def test_a_bar_counts_points_on_stderr_if_asked(capsys):
    sweep(lambda x: x, x=range(6), chunk=2, progress=True)
    assert "6/6" in capsys.readouterr().err
    sweep(lambda x: x, x=range(6), chunk=2)
    assert capsys.readouterr().err == ""


def command(*options):
    return CliRunner().invoke(app, ["sweep", *map(str, options)])


GRID = ["--alpha", ".5:.9:3", "--cost", ".01,.1", "--length", "0:6:7"]


def test_the_command_writes_the_grid_and_prints_the_best_point(tmp_path):
    pytest.importorskip("netCDF4")
    run = command(*GRID, "-o", tmp_path / "ewif.nc")
    assert run.exit_code == 0, run.exception
    found = json.loads(run.stdout)
    assert found["sizes"] == {"alpha": 3, "cost": 2, "length": 7}
    assert found["points"] == 42
    best = found["best"]
    assert (best["alpha"], best["cost"], best["length"]) == (0.9, 0.01, 6.0)
    with xr.open_dataset(tmp_path / "ewif.nc") as read:
        assert best["ewif"] == float(read["ewif"].max())
        assert read["ewif"].sel(alpha=0.5, cost=0.1, length=2).item() == speculative_ewif(
            0.5, 0.1, 2
        )
    assert command(*GRID, "-o", tmp_path / "ewif.nc").stdout == run.stdout
    other = command("--alpha", ".5", *GRID[2:], "-o", tmp_path / "ewif.nc")
    assert "belongs to another sweep" in str(other.exception)


@pytest.mark.parametrize("text", ["1:2", "0:1:1", "0:1:1.5", "0:1:2:3", "a:b:c", "0:1:inf"])
def test_a_grid_that_is_no_grid_is_refused(text):
    with pytest.raises(ValueError, match="--alpha must be numbers"):
        grid("--alpha", text)


def test_a_grid_holds_both_ends():
    assert grid("--alpha", "0.1:0.3:3") == [0.1, 0.2, 0.3]
    assert grid("--length", "1:8:8") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert grid("--cost", ".5, .1") == [0.5, 0.1]
