"""Sweeps on a real Dask cluster of two worker processes, of which one is killed in mid-run."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from cscalc.cli import app
from cscalc.sweep import sweep
from cscalc.theory.speculative import speculative_ewif

distributed = pytest.importorskip(
    "distributed", reason="sweeps on a cluster: pip install 'cscalc[distributed]'"
)
GRID = {"alpha": [0.2, 0.5, 0.8], "cost": [0.01, 0.1], "length": range(1, 11)}


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as started:
        yield started


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as connected:
        connected.wait_for_workers(2, timeout=60)  # the nanny replaces one that was killed
        yield connected


def slow_ewif(alpha, cost, length):
    time.sleep(0.01)
    return {"ewif": float(speculative_ewif(alpha, cost, length)), "length_squared": length**2}


def deadly_ewif(alpha, cost, length, marker):
    """The first call with length 7 kills its worker."""
    if length == 7 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return float(speculative_ewif(alpha, cost, length))


def broken_ewif(alpha, cost, length):
    if length == 7:
        raise RuntimeError("out of luck")
    return 1.0


def test_a_cluster_finds_what_one_process_finds(client, tmp_path):
    here = sweep(slow_ewif, chunk=7, store=tmp_path / "here.nc", **GRID)
    there = sweep(slow_ewif, chunk=7, store=tmp_path / "there.nc", client=client, **GRID)
    xr.testing.assert_identical(there, here)


def test_a_worker_killed_in_mid_run_changes_nothing(client, tmp_path):
    # the outer kill: whatever the worker does, or holds, when 5 of the 30 chunks are on record
    pids = client.run(os.getpid)
    assert len(set(pids.values()) - {os.getpid()}) == 2
    record = tmp_path / "there.nc.jsonl"
    killed = threading.Event()

    def kill():
        while not record.exists() or record.read_text().count("\n") < 6:
            time.sleep(0.005)
        os.kill(min(pids.values()), signal.SIGKILL)
        if record.read_text().count("\n") < 31:
            killed.set()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    there = sweep(slow_ewif, chunk=2, store=tmp_path / "there.nc", client=client, **GRID)
    killer.join(timeout=10)
    assert killed.is_set()
    here = sweep(slow_ewif, chunk=2, store=tmp_path / "here.nc", **GRID)
    xr.testing.assert_identical(there, here)
    lines = record.read_text().splitlines()
    assert len(lines) == 31  # the header, and each chunk once
    client.wait_for_workers(2, timeout=60)
    assert set(client.run(os.getpid).values()) != set(pids.values())


def test_a_chunk_that_kills_its_worker_is_run_again(client, tmp_path):
    marker = {"marker": [str(tmp_path / "killed")]}
    there = sweep(deadly_ewif, chunk=4, client=client, **GRID, **marker)
    assert (tmp_path / "killed").exists()
    here = sweep(deadly_ewif, chunk=4, **GRID, **marker)
    xr.testing.assert_identical(there, here)


def test_a_sweep_stopped_here_goes_on_on_a_cluster(client, tmp_path):
    calls = []

    def stopping(**point):
        calls.append(point)
        if len(calls) > 25:
            raise KeyboardInterrupt
        return slow_ewif(**point)

    options = {"key": "ewif", "chunk": 4, "store": tmp_path / "ewif.nc"}
    with pytest.raises(KeyboardInterrupt):
        sweep(stopping, **options, **GRID)
    found = sweep(slow_ewif, client=client, **options, **GRID)
    whole = sweep(slow_ewif, **{**options, "store": tmp_path / "whole.nc"}, **GRID)
    xr.testing.assert_identical(found, whole)


def test_an_error_on_a_worker_is_raised_here_and_the_cluster_lives_on(client):
    with pytest.raises(RuntimeError, match="out of luck"):
        sweep(broken_ewif, chunk=3, client=client, **GRID)
    assert sweep(speculative_ewif, client=client, **GRID)["value"].shape == (3, 2, 10)


def test_the_command_runs_on_a_scheduler_named_by_address(cluster, tmp_path):
    options = ["--alpha", ".5,.8", "--cost", ".1", "--length", "1:5:5", "--chunk", "3"]
    found = []
    for name, where in (("here", []), ("there", ["--scheduler", cluster.scheduler_address])):
        path = tmp_path / f"{name}.nc"
        run = CliRunner().invoke(app, ["sweep", *options, "-o", str(path), *where])
        assert run.exit_code == 0, run.exception
        found.append((tmp_path / f"{name}.nc.jsonl").read_text().splitlines()[1:])
    assert sorted(found[0]) == sorted(found[1])


def test_workers_may_be_started_for_one_sweep():
    found = sweep(slow_ewif, workers=1, chunk=30, **GRID)
    xr.testing.assert_identical(found, sweep(slow_ewif, **GRID))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://a:1"])
def test_an_unreachable_scheduler_is_a_clear_error(address, monkeypatch):
    monkeypatch.setattr(sys.modules["cscalc.sweep"], "TIMEOUT", 0.3)
    with pytest.raises(ValueError, match=f"no Dask scheduler answers at '{address}': check"):
        sweep(speculative_ewif, scheduler=address, **GRID)


def test_the_command_says_that_a_scheduler_is_unreachable(monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["cscalc.sweep"], "TIMEOUT", 0.3)
    options = ["--alpha", ".5", "--cost", ".1", "--length", "2", "-o", str(tmp_path / "x.nc")]
    run = CliRunner().invoke(app, ["sweep", *options, "--scheduler", "tcp://127.0.0.1:1"])
    assert "no Dask scheduler answers" in str(run.exception)
