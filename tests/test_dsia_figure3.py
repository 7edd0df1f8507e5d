"""CAS-Spec's ablation runs with one command, and lands in a record and a picture."""

import json
import runpy
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "cas_spec_figure3.py"
METHODS = {"AR", "LS", "VC", "HC", "VC+HC", "Tree", "VC+Tree", "DyTC", "PLD", "best fixed"}


@pytest.mark.slow
def test_the_ablation_leaves_a_record_with_every_method_and_a_picture(tmp_path, monkeypatch):
    record = tmp_path / "figure3.jsonl"
    threads = torch.get_num_threads()
    options = ["--limit", "3", "--tokens", "12", "--record", str(record)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    summary = next(line["record"] for line in lines[1:] if line["key"] == "summary")
    assert set(summary["rows"]) == METHODS
    assert all(row["same_text"] == 3 for row in summary["rows"].values())  # greedy: one text
    assert summary["rows"]["DyTC"]["paper"] == 1.57
    assert (
        summary["adaptive_bound"]["pooled"]
        >= max(row["ewif_predicted"] or 0.0 for row in summary["rows"].values()) - 1e-6
    )
    assert len(summary["ordering"]) == 9
    assert record.with_suffix(".png").stat().st_size > 10_000
