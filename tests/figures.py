"""Import a figure script as if it were run in its folder."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "paper_figs"
RECORDS = FOLDER.parent / "benchmarks" / "records"
WAITING = {"fig_every_cascade": "prediction.jsonl"}  # drawn once there is this record
SCRIPTS = sorted(
    path.stem
    for path in FOLDER.glob("fig_*.py")
    if path.stem not in WAITING or (RECORDS / WAITING[path.stem]).exists()
)


def load(name):
    """The script or module of paper_figs with this name."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return import_module(name)


def at(grid, value):
    """Index of `value` in a grid."""
    index = int(np.abs(grid - value).argmin())
    assert grid[index] == pytest.approx(value, abs=1e-12)
    return index
