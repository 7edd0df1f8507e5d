"""The commands as a user meets them: the whole path on tiny checkpoints, and bad input."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import cscalc.cli
import validate.cli
from cscalc import Profile, ewif, optimal_config
from tests.checkpoints import WORDS, save_checkpoint

PROMPTS = [
    "tell about the sea",
    "why is the sun ?",
    "write of land and moon",
    "the sea is the sea",
]


def call(module, arguments, capsys, monkeypatch):
    """Run a command in this process; return its exit status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    try:
        module.main()
        status = 0
    except SystemExit as exit_:
        status = exit_.code or 0
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    lines = [
        json.dumps({"question_id": i, "category": "ab"[i % 2], "turns": [text]})
        for i, text in enumerate(PROMPTS)
    ]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    save_checkpoint(folder / "target", seed=0)
    save_checkpoint(folder / "draft", seed=1, layers=1)
    save_checkpoint(folder / "other", seed=2, words=[*WORDS[:-1], "elephant"])
    return folder


def options(checkpoints):
    return [
        "--target", checkpoints / "target", "--drafts", f"{checkpoints / 'draft'},max-gram",
        "--device", "cpu", "--prompts", checkpoints / "prompts.jsonl", "--max-tokens", "10",
    ]  # fmt: skip


def test_measure_choose_run_and_report(checkpoints, tmp_path, capsys, monkeypatch):
    profile, plan = tmp_path / "profile.json", tmp_path / "plan.json"
    runs, page = tmp_path / "run.jsonl", tmp_path / "report.html"
    common = options(checkpoints)
    more = ["--positions", "12", "--repeats", "1", "-o", profile]
    status, _, err = call(validate.cli, ["measure", *common, *more], capsys, monkeypatch)
    assert (status, "written" in err) == (0, True)
    command = ["optimal", "--profile", profile, "-o", plan]
    status, out, err = call(cscalc.cli, command, capsys, monkeypatch)
    assert (status, out) == (0, "")
    assert "Chosen on the own rates of 2 prompts" in err
    command = ["run", *common, "--plan", plan, "-o", runs]
    status, _, _ = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0
    assert len(runs.read_text().splitlines()) == 1 + len(PROMPTS)
    command = ["report", "--profile", profile, "--plan", plan, "--run", runs, "-o", page]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0
    assert "held out" in err
    assert page.read_text().startswith("<!DOCTYPE html>")
    command = ["report", "--profile", profile, "--plan", plan, "--run", runs]
    status, out, _ = call(validate.cli, command, capsys, monkeypatch)
    assert json.loads(out)["schema"] == "validate/report"


def test_the_demo_ends_by_saying_where_its_files_lie(checkpoints, tmp_path, capsys, monkeypatch):
    command = ["demo", *options(checkpoints), "--out", tmp_path / "demo"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0
    assert err.strip().splitlines()[-1].startswith("JSON files: profile.json, plan.json")
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"profile.json", "plan.json", "report.json", "report.html"} <= names


def test_optimal_prints_the_plan_as_json(capsys, monkeypatch):
    status, out, err = call(
        cscalc.cli, ["optimal", "--alphas", ".8", "--costs", ".1"], capsys, monkeypatch
    )
    assert status == 0
    assert json.loads(out)["ewif"] == pytest.approx(2.46964, abs=1e-5)
    assert "Best: draft 1:6" in err


def test_ewif_and_simulate_agree(capsys, monkeypatch):
    cascade = '[{"review": 1, "drafts": [{"draft": 2, "length": 3}], "until": 3}]'
    rates = ["--alphas", "1,.8,.5;0,1,.6;0,0,1", "--costs", ".1,.01"]
    _, exact, _ = call(cscalc.cli, ["ewif", cascade, *rates], capsys, monkeypatch)
    _, drawn, _ = call(cscalc.cli, ["simulate", cascade, *rates], capsys, monkeypatch)
    low, high = json.loads(drawn)["interval_95"]
    middle, half = (low + high) / 2, (high - low) / 2
    assert abs(json.loads(exact)["ewif"] - middle) < 2.6 * half  # 5 sigma; the seed is fixed


@pytest.fixture
def plan_file(tmp_path):
    plan = optimal_config([0.8], [0.1])
    plan.save(tmp_path / "plan.json")
    return plan, tmp_path / "plan.json"


@pytest.mark.parametrize("command", ["ewif", "simulate"])
def test_a_plan_is_cascade_and_profile(plan_file, command, capsys, monkeypatch):
    plan, path = plan_file
    for arguments in ([path], [path, "--profile", path], ["[]", "--profile", path]):
        status, out, _ = call(cscalc.cli, [command, *arguments], capsys, monkeypatch)
        assert status == 0
        want = plan.ewif if arguments[0] == path else 1.0
        assert json.loads(out)["ewif"] == pytest.approx(want, rel=0.02)


def test_rates_given_beside_a_plan_win(plan_file, capsys, monkeypatch):
    plan, path = plan_file
    arguments = ["ewif", path, "--alphas", ".5", "--costs", ".1"]
    _, out, _ = call(cscalc.cli, arguments, capsys, monkeypatch)
    assert json.loads(out)["ewif"] == ewif(plan.cascade, Profile([0.5], [0.1]))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder without room for files")
def test_a_path_that_cannot_be_written_is_named_as_it_was_given(capsys, monkeypatch):
    arguments = ["optimal", "--alphas", ".8", "--costs", ".1", "-o", "/proc/plan.json"]
    status, out, err = call(cscalc.cli, arguments, capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: cannot write /proc/plan.json (")


def test_a_sweep_checks_its_values_before_it_writes(tmp_path, capsys, monkeypatch):
    store = tmp_path / "e.nc"
    common = ["sweep", "--alpha", ".5", "--length", "1,2", "-o", store, "--cost"]
    status, out, err = call(cscalc.cli, [*common, ".01,-.1"], capsys, monkeypatch)
    assert (status, out, list(tmp_path.iterdir())) == (2, "", [])
    assert "--cost must be finite and >= 0" in err
    assert call(cscalc.cli, [*common, ".01,.1"], capsys, monkeypatch)[0] == 0
    (tmp_path / "folder.nc").mkdir()
    folder = ["sweep", "--alpha", ".5", "--length", "1", "--cost", "0", "-o"]
    _, _, err = call(cscalc.cli, [*folder, tmp_path / "folder.nc"], capsys, monkeypatch)
    assert "folder.nc: it is a folder" in err


def test_fewer_cycles_than_asked_for_are_told(capsys, monkeypatch):
    arguments = ["check", "--plant", "bonus", "--cycles", "6000", "--cascades", "1"]
    _, out, err = call(cscalc.cli, arguments, capsys, monkeypatch)
    assert json.loads(out)["cycles"] == 5000
    assert "5,000 cycles a cascade were simulated, not 6,000" in err


BAD_CSCALC = [
    (["optimal"], "give --profile"),
    (["optimal", "--alphas", "1.2", "--costs", ".1"], "alphas must lie in [0, 1], got 1.2"),
    (["optimal", "--alphas", "nan", "--costs", ".1"], "alphas must lie in [0, 1], got nan"),
    (["optimal", "--alphas", ".8,.5", "--costs", ".1"], "alphas must have shape"),
    (["optimal", "--alphas", ".8", "--costs", "-1"], "costs must be finite and >= 0"),
    (["optimal", "--alphas", ".8", "--costs", "inf"], "costs must be finite and >= 0"),
    (["optimal", "--alphas", "high", "--costs", ".1"], "--alphas must be numbers"),
    (["optimal", "--alphas", ".8", "--costs", ".1", "--one-shot", "2"], "one_shot names model 2"),
    (["optimal", "--alphas", ".8", "--costs", ".1", "--verify", "2,3"], "must start with 1"),
    (["optimal", "--profile", "nowhere.json"], "nowhere.json does not exist"),
    (["optimal", "--alphas", ".8", "--costs", ".1", "--max-length", "0"], "max_length must be"),
    (["ewif", "[{", "--alphas", ".8", "--costs", ".1"], "not valid JSON"),
    (["ewif", '[{"draft": 1, "length": 0}]', "--alphas", ".8", "--costs", ".1"], "length must be"),
    (["ewif", '[{"draft": 2, "length": 1}]', "--alphas", ".8", "--costs", ".1"], "uses model 2"),
    (
        ["ewif", '[{"review": 2, "drafts": [{"draft": 1, "length": 1}], "rounds": 1}]',
         "--alphas", ".8,.5", "--costs", ".1,.1"],
        "model 1 cannot draft for model 2",
    ),
    (["simulate", "[]", "--alphas", ".8", "--costs", ".1", "--cycles", "-1"], "--cycles must be"),
    (["simulate", "[]", "--alphas", ".8", "--costs", ".1", "--seed", "-1"],
     "--seed must be >= 0, got -1"),
    (["optimal", "--alphas", "", "--costs", ""], "--alphas holds no number, got ''"),
    (["optimal", "--alphas", "1,0;.8,1", "--costs", ".1"], "alphas looks transposed"),
    (["optimal", "--alphas", ".8", "--costs", ".1", "-o", "/"], "cannot write /: it is a folder"),
    (["ewif", '[{"draft": 1, "length": 1000000000}]', "--alphas", ".8", "--costs", ".1"],
     "1000000000 tokens in front of the target"),
    (["simulate", '[{"draft": 1, "length": 1000000000}]', "--alphas", ".8", "--costs", ".1"],
     "shorten its drafts"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD_CSCALC, ids=lambda x: str(x)[:40])
def test_bad_input_to_cscalc_is_one_sentence(arguments, message, capsys, monkeypatch):
    status, out, err = call(cscalc.cli, arguments, capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def bad_validate(checkpoints, tmp_path):
    (tmp_path / "garbage.json").write_text("{")
    (tmp_path / "foreign.json").write_text('{"schema": "somebody/else"}')
    (tmp_path / "long.txt").write_text("sea " * 300)
    common = options(checkpoints)
    draft = ["--drafts", checkpoints / "other"]
    output = ["-o", tmp_path / "profile.json"]
    plan = ["--plan", tmp_path / "foreign.json"]
    return [
        (["measure", *common, *draft, *output], "different tokenizers"),
        (["measure", *common, "--target", tmp_path / "nothing", *output], "there is no model at"),
        (["measure", *common, "--device", "cuda:9", *output], "device cuda:9 is not there"),
        (["measure", *common, "--prompts", tmp_path / "none.jsonl", *output], "none.jsonl"),
        (["measure", *common, "--prompts", tmp_path / "garbage.json", *output], "line 1"),
        (["measure", *common, "--prompts", tmp_path / "long.txt", *output], "shorten the prompt"),
        (["measure", *common, "-o", tmp_path / "no" / "profile.json"], "there is no folder"),
        (["measure", *common, "--temperature", "-1", *output], "temperature must be"),
        (["run", *common, "-o", tmp_path / "run.jsonl", *plan], "schema"),
        (
            ["run", *common, "-o", tmp_path / "run.jsonl", "--plan", tmp_path / "garbage.json"],
            "not valid JSON",
        ),
        (
            ["report", "--profile", tmp_path / "foreign.json", *plan, "--run", tmp_path / "x"],
            "does not exist",
        ),
    ]


def test_bad_input_to_validate_is_one_sentence(checkpoints, tmp_path, capsys, monkeypatch):
    for arguments, message in bad_validate(checkpoints, tmp_path):
        status, out, err = call(validate.cli, arguments, capsys, monkeypatch)
        assert (status, out) == (2, ""), (arguments, err)
        assert message in err, (arguments, err)
        assert sum(line.startswith("error: ") for line in err.splitlines()) == 1
        assert "Traceback" not in err
    assert not (tmp_path / "profile.json").exists()
    assert not (tmp_path / "run.jsonl").exists()
