"""The script for the GPU runs on a CPU too, on tiny models, and says so where there is no CUDA."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.checkpoints import save_checkpoint  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        check=True, timeout=280,
    ).stdout  # fmt: skip


def test_all_steps_run_on_tiny_models(tmp_path):
    target = save_checkpoint(tmp_path / "target", seed=0)
    drafts = [save_checkpoint(tmp_path / f"draft{i}", seed=i, layers=1) for i in (1, 2)]
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("tell about the sea\n\nwhy is the sun ?\n")
    common = [
        "--small", "--device", "cpu", "--target", target, "--drafts",
        ",".join([*drafts, "max-gram"]), "--prompts", prompts, "--keep", tmp_path / "keep",
    ]  # fmt: skip
    out = ""
    for steps in ("correctness,engines", "measure,choose", "ties,speed,memory"):
        out += run(*common, "--steps", steps, OUT=str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in lines}
    names = [line["step"] for line in lines if line["step"] not in ("same", "engine", "turn")]
    assert names == [
        "start", "correctness", "engines", "start", "measure", "choose", "start", "ties", "speed",
        "goals",
    ]  # fmt: skip
    assert all(row["same"] == row["prompts"] for row in steps["correctness"]["rows"])
    assert steps["engine"]["engine"]["fuse"]
    assert all(check["passed"] for check in steps["ties"]["checks"])
    assert {"plain", "best cascade", "transformers assisted"} <= set(steps["turn"]["found"])
    assert len(steps["goals"]["goals"]) == 5
    assert "0 are not explained" in out
    assert "no peak of the device" in out
    late = run(*common, "--steps", "ties,speed", "--seconds", "0", OUT=str(tmp_path))
    assert "-- speed: left out, the time is over" in late


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_without_cuda_it_says_so_and_ends():
    assert run().strip() == "gpu: no CUDA here, nothing is timed (--small runs the steps anyway)"
