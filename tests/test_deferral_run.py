"""Deferral rules on models: records, tasks, the report and the command, on tiny checkpoints."""

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from cscalc.theory.deferral_rates import make_rule  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from validate.cli import app  # noqa: E402
from validate.deferral_report import Finding, _gain, deferral_report  # noqa: E402
from validate.deferral_run import jobs_of, law_pairs, run_deferral  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.sampling import Sampling  # noqa: E402
from validate.tasks import KINDS, Task, load_gsm8k, make_tasks  # noqa: E402

JOBS = jobs_of(["chow", "opt", "token-v3"], [0.2, 0.7])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [save_checkpoint(root / str(seed), seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def models(folders):
    return load_models(folders[0], (folders[1],), dtype="float64")


@pytest.fixture(scope="module")
def prompts():
    texts = ["the sea is", "tell about the moon", "why is the sun"]
    plain = [Prompt(i, "text", (text,), "held-out") for i, text in enumerate(texts)]
    return [*plain[:2], Task(plain[2], "sun", "copying")]


@pytest.fixture(scope="module")
def records(models, prompts):
    return run_deferral(models, prompts, JOBS, max_tokens=12, length=3)


def test_every_side_of_every_prompt_is_recorded(records):
    names = {"plain", "lossless", *(f"{r}:{t:g}:speculative" for r, t in JOBS)}
    names |= {"chow:0.2:sequential", "chow:0.7:sequential"}
    for record in records:
        assert set(record["sides"]) == names
        assert len(record["sums"]) == 1 + len(JOBS)
        for side in record["sides"].values():
            assert 1 <= side["tokens"] <= 12  # an end token may come first
            assert side["nats"] > 0.0
            assert 0 <= side["agreed"] <= side["tokens"]
    assert [r["sides"]["plain"]["right"] is None for r in records] == [True, True, False]


def test_sums_are_those_of_laws_computed_afresh(models, prompts, records):
    """From plain forward passes without a cache, context by context."""
    from cscalc.cascade import Cascade
    from validate.decode import generate
    from validate.measure import encode, seeded

    prompt = prompts[0]
    ids = encode(models, prompt)
    reply = generate(
        Cascade(()), models, ids, generator=seeded(0, prompt.question_id), max_tokens=12
    ).tokens
    acceptance = 0.0
    for place in range(len(reply)):
        text = torch.tensor([[*ids, *reply[:place]]])
        p, q = (
            models.language[m].module(input_ids=text).logits[0, -1].double().softmax(-1)
            for m in (0, 1)
        )
        pi = make_rule("opt", 0.2).law(p.detach().numpy(), q.detach().numpy()).law
        acceptance += float(np.minimum(pi, q.detach().numpy()).sum())
    at = 1 + JOBS.index(("opt", 0.2))
    assert records[0]["sums"][at]["acceptance"] == pytest.approx(acceptance, abs=1e-6)
    assert len(law_pairs(models, ids, reply, Sampling(0.5))) == 4
    assert len(law_pairs(models, ids, reply, Sampling())) == 2


def test_a_run_goes_on_where_it_was_killed(models, prompts, tmp_path):
    log = tmp_path / "log.jsonl"
    whole = run_deferral(models, prompts, JOBS[:1], max_tokens=6, log=log)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2]) + lines[2][:40])  # killed while writing the second record
    again = run_deferral(models, prompts, JOBS[:1], max_tokens=6, log=log)
    assert [r["question_id"] for r in again] == [0, 1, 2]
    assert again[0] == whole[0]
    for a, b in zip(again, whole, strict=True):
        for side in a["sides"]:
            assert a["sides"][side]["nats"] == b["sides"][side]["nats"]
    with pytest.raises(ValueError, match="belongs to another run"):
        run_deferral(models, prompts, JOBS[1:2], max_tokens=6, log=log)


def test_the_report_sets_promise_beside_deed(records):
    report = deferral_report(records, JOBS, length=3, rng=np.random.default_rng(0))
    rows = {row.side: row for row in report.rows}
    assert rows["plain"].speed_up == 1.0
    assert rows["plain"].tokens_per_cycle == 1.0
    assert rows["chow:0.7:sequential"].tokens_per_cycle == 1.0
    for row in report.rows:
        assert 1.0 <= row.tokens_per_cycle <= 4.0
        assert row.low <= row.speed_up <= row.high
        assert row.perplexity >= 1.0
        assert row.accuracy in (0.0, 1.0)
    assert {f.claim for f in report.findings} == {
        "token-specific rules beat Chow's",
        "speculative cascades beat sequential ones of the same rule",
    }
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_rule_that_runs_slower_loses_what_was_measured_and_nothing_that_is_expected(records):
    """All sides of the token rules twice as slow: at worst the lossless one is their fastest."""
    slow = copy.deepcopy(records)
    for record in slow:
        for name, side in record["sides"].items():
            if name.startswith("token"):
                side["seconds"] *= 2.0
    before, after = (
        deferral_report(r, JOBS, length=3, rng=np.random.default_rng(0)).findings[0]
        for r in (records, slow)
    )
    assert (before.gain, before.low, before.high) == (after.gain, after.low, after.high)
    assert after.measured <= before.measured
    slowest = copy.deepcopy(records)
    for record in slowest:
        for name, side in record["sides"].items():
            if name != "plain":
                side["seconds"] = 1.0 if name == "lossless" else 1e6
            if name.startswith("chow") and name.endswith("speculative"):
                side["seconds"] = 0.5
    found = deferral_report(slowest, JOBS, length=3, rng=np.random.default_rng(0)).findings[0]
    assert found.measured < 0.0  # only Chow's rule was faster than lossless decoding


def test_predicted_tokens_agree_with_the_decoder_on_many_prompts(models):
    """N = 60 replies of 24 tokens; |z| < 5 of the paired difference, false alarm 6e-7.

    The prediction takes acceptance as independent along a cycle, which one draft token is.
    """
    prompts = [
        Prompt(i, "text", (f"{a} {b} {c}",), "held-out")
        for i, (a, b, c) in enumerate(
            (a, b, c) for a in ("the", "why", "tell") for b in ("sea", "sun", "moon", "land")
            for c in ("is", "a", "of", "in", "to")
        )
    ]  # fmt: skip
    jobs = jobs_of(["opt"], [0.5])
    found = run_deferral(models, prompts, jobs, max_tokens=24, length=1)
    gaps = [
        r["sides"]["lossless"]["emitted"] / r["sides"]["lossless"]["cycles"]
        - (1.0 + r["sums"][0]["acceptance"] / r["sums"][0]["contexts"])
        for r in found
    ]  # of lossless decoding only: rules write other texts than their promises were made on
    z = np.mean(gaps) / (np.std(gaps, ddof=1) / np.sqrt(len(gaps)))
    assert abs(z) < 5.0, z


def test_a_gain_is_the_mean_ratio_of_the_best_speeds_at_equal_loss():
    loss = np.array([0.0, 1.0])
    assert _gain(loss, np.array([1.0, 2.0]), loss, np.array([1.0, 1.0])) == pytest.approx(1 / 21)
    assert _gain(loss, np.array([2.0, 2.0]), loss, np.array([1.0, 1.0])) == pytest.approx(1.0)
    assert Finding("", 0.1, 0.05, 0.2, 0.0, 0.0, 0.0).verdict == "found"
    assert Finding("", 0.1, -0.05, 0.2, 0.0, 0.0, 0.0).verdict == "not found"
    assert Finding("", -0.1, -0.2, -0.05, 0.0, 0.0, 0.0).verdict == "the contrary"


def test_tasks_are_repeatable_and_their_answers_right():
    for kind in KINDS:
        tasks = make_tasks(kind, 20, seed=3)
        assert tasks == make_tasks(kind, 20, seed=3) != make_tasks(kind, 20, seed=4)
        assert len({t.prompt.question_id for t in tasks}) == 20
        assert all(t.is_right(f" {t.answer}.\nin: more 7") for t in tasks)
        assert not any(t.is_right(f"no {t.answer}9") for t in tasks)
        assert not any(t.is_right("") for t in tasks)
    for task in make_tasks("sums", 20, seed=0):
        a, b = (int(x) for x in task.prompt.text.rsplit("\n", 1)[1].rstrip("= ").split("+"))
        assert int(task.answer) == a + b


def test_gsm8k_files_are_read_and_checked(tmp_path):
    file = tmp_path / "gsm.jsonl"
    file.write_text(json.dumps({"question": "How many?", "answer": "So 1,200\n#### 1,200"}) + "\n")
    (task,) = load_gsm8k(file)
    assert task.is_right("it is 7 + 1193 = 1200")
    assert not task.is_right("1200 or rather 5")
    for line, message in (
        ('{"question": "How many?", "answer": "five"}', "line 1: no label"),
        ('{"answer": "#### 5"}', "line 1: no question"),
        ("{", "line 1: not JSON"),
        ("", "holds no tasks"),
    ):
        file.write_text(line + "\n")
        with pytest.raises(ValueError, match=message):
            load_gsm8k(file)
    with pytest.raises(ValueError, match="does not exist"):
        load_gsm8k(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="last-word or a file"):
        make_tasks("magic", 1, seed=0)


def command(folders, out, *more):
    arguments = [
        "deferral", "--out", str(out), "--target", folders[0], "--draft", folders[1], "--tasks",
        "prompts", "--limit", "2", "--max-tokens", "6", "--rules", "chow,opt", "--thresholds",
        "0.3", *more,
    ]  # fmt: skip
    return CliRunner().invoke(app, arguments)


def test_the_command_writes_record_table_and_picture(folders, tmp_path):
    tmp_path = tmp_path / "new" / "folder"
    found = command(folders, tmp_path)
    assert found.exit_code == 0, found.stderr
    assert "front (expected)" in found.stderr
    data = json.loads(found.stdout)
    assert data == json.loads((tmp_path / "deferral.json").read_text())
    assert (tmp_path / "deferral.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "deferral.records.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--thresholds", "a"), "must be numbers"),
        (("--thresholds", "3"), "rule chow: threshold"),
        (("--rules", "magic"), "rule must be one of"),
        (("--draft", "max-gram"), "one autoregressive draft"),
        (("--tasks", ","), "names nothing"),
        (("--tasks", "none.jsonl"), "does not exist"),
    ],
)
def test_bad_options_end_in_one_sentence(folders, tmp_path, more, message):
    arguments = ["--draft", folders[1]] if "--draft" not in more else []
    line = [
        sys.executable, "-m", "validate", "deferral", "--out", str(tmp_path), "--target",
        folders[0], *arguments, "--tasks", "prompts", "--limit", "1", *more,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
