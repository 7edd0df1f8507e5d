"""Commands that measure, run and report: what they say of wrong files, sizes and drafts."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import cscalc.cli  # noqa: E402
import validate.cli  # noqa: E402
import validate.cli_options  # noqa: E402
import validate.load  # noqa: E402
import validate.run  # noqa: E402
from cscalc.profile import Profile  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from tests.test_cli import call  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.measure import measure  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.report_files import kind_of  # noqa: E402
from validate.report_notes import profile_notes  # noqa: E402
from validate.report_summary import run_summary, summary_line  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

TEXTS = ["tell about the sea", "why is the sun ?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two checkpoints, prompts, and the files of one measurement and one run."""
    folder = tmp_path_factory.mktemp("files")
    save_checkpoint(folder / "target", seed=0)
    save_checkpoint(folder / "draft", seed=1, layers=1)
    (folder / "prompts.txt").write_text("\n\n".join(TEXTS * 2) + "\n")
    return folder


def models(folder, drafts="max-gram"):
    return [
        "--target", folder / "target", "--drafts", drafts, "--device", "cpu",
        "--prompts", folder / "prompts.txt",
    ]  # fmt: skip


@pytest.fixture
def files(folder, capsys, monkeypatch):
    """The same folder with profile.json, plan.json and run.jsonl of other reply lengths."""
    if (folder / "run.jsonl").exists():
        return folder
    command = ["measure", *models(folder), "--max-tokens", "6", "--positions", "12", "--repeats",
               "1", "-o", folder / "profile.json"]  # fmt: skip
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0
    assert "Measured on 2 prompts: an interval from fewer than 5 says nothing" in " ".join(
        err.split()
    )
    command = ["optimal", "--profile", folder / "profile.json", "-o", folder / "plan.json"]
    assert call(cscalc.cli, command, capsys, monkeypatch)[0] == 0
    (folder / "cascade.json").write_text('[{"draft": 1, "length": 2}]')
    command = ["run", *models(folder), "--max-tokens", "10", "--plan", folder / "plan.json",
               "-o", folder / "run.jsonl"]  # fmt: skip
    assert call(validate.cli, command, capsys, monkeypatch)[0] == 0
    return folder


def test_a_run_ends_with_its_speed_and_prints_json(files, capsys, monkeypatch):
    command = ["run", *models(files), "--max-tokens", "10", "--plan", files / "plan.json",
               "-o", files / "run.jsonl"]  # fmt: skip
    status, out, err = call(validate.cli, command, capsys, monkeypatch)  # nothing left to run
    found = json.loads(out)
    assert (status, found["output"], found["prompts"]) == (0, str(files / "run.jsonl"), 4)
    assert found["same_tokens"] == 4
    assert found["speedup_interval_95"] is None  # 4 prompts
    assert f"{found['speedup']:.2f} times plain decoding (too few prompts" in err
    assert "4 of 4 texts are the same" in err


def test_the_summary_is_that_of_the_sums():
    rng = np.random.default_rng(0)
    records = [
        {
            "plain": {"emitted": [1] * 12, "decode_seconds": 3.0 + n},
            "cascade": {"emitted": [3] * 4, "decode_seconds": 1.5 + rng.random()},
            "same_tokens": n > 0,
        }
        for n in range(6)
    ]
    found = run_summary(records)
    seconds = [sum(r[side]["decode_seconds"] for r in records) for side in ("plain", "cascade")]
    assert found["speedup"] == pytest.approx(seconds[0] / seconds[1])
    assert found["tokens_per_cycle"] == 3.0
    assert found["same_tokens"] == 5
    low, high = found["speedup_interval_95"]
    assert low < found["speedup"] < high
    assert "5 of 6 texts are the same" in summary_line(found, greedy=True)
    assert "as they may" in summary_line(found, greedy=False)
    with pytest.raises(ValueError, match="no run records"):
        run_summary([])


def test_replies_of_another_length_are_said_to_be_so(files, capsys, monkeypatch):
    page = files / "report.html"
    command = ["report", "--profile", files / "profile.json", "--plan", files / "plan.json",
               "--run", files / "run.jsonl"]  # fmt: skip
    status, out, err = call(validate.cli, command, capsys, monkeypatch)
    said = "measured on replies of up to 6 tokens, but this run's have up to 10"
    assert status == 0
    assert any(said in note for note in json.loads(out)["notes"])
    assert said in " ".join(err.split())
    assert call(validate.cli, [*command, "-o", page], capsys, monkeypatch)[0] == 0
    assert said in page.read_text().replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("profile", "plan", "run", "message"),
    [
        ("profile.json", "plan.json", "profile.records.jsonl",
         "profile.records.jsonl is the records of a measurement, not a run: give run.jsonl"),
        ("profile.json", "plan.json", "profile.json", "is a profile, not a run: give run.jsonl"),
        ("profile.json", "plan.json", "prompts.txt", "prompts.txt is not a run: give run.jsonl"),
        ("profile.json", "plan.json", "nowhere.jsonl", "does not exist: check the path"),
        ("run.jsonl", "plan.json", "run.jsonl", "is a run, not a profile: give profile.json"),
        ("plan.json", "plan.json", "run.jsonl", "is a plan, not a profile: give profile.json"),
        ("profile.json", "run.jsonl", "run.jsonl", "is a run, not a plan: give plan.json"),
        ("profile.json", "target", "run.jsonl", "target is a folder: check the path"),
        ("prompts.txt", "plan.json", "run.jsonl", "prompts.txt is not valid JSON"),
    ],
)  # fmt: skip
def test_the_wrong_file_is_named_with_the_one_that_is_wanted(
    profile, plan, run, message, files, capsys, monkeypatch
):
    command = ["report", "--profile", files / profile, "--plan", files / plan, "--run",
               files / run]  # fmt: skip
    status, out, err = call(validate.cli, command, capsys, monkeypatch)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_run_without_records_and_a_file_of_bytes_are_one_sentence(
    files, tmp_path, capsys, monkeypatch
):
    empty = tmp_path / "empty.jsonl"
    empty.write_text((files / "run.jsonl").read_text().splitlines()[0] + "\n")
    command = ["report", "--profile", files / "profile.json", "--plan", files / "plan.json",
               "--run"]  # fmt: skip
    status, _, err = call(validate.cli, [*command, empty], capsys, monkeypatch)
    assert (status, "holds no record yet" in err) == (2, True)
    empty.write_bytes(b"\xff\xfe")
    assert kind_of(empty) is None
    status, _, err = call(validate.cli, [*command, empty], capsys, monkeypatch)
    assert (status, "is not a run" in err) == (2, True)


def test_diagnose_says_the_same_of_wrong_files(files, capsys, monkeypatch):
    command = ["diagnose", files / "run.jsonl", files / "profile.records.jsonl"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert (status, "is a run, not a profile" in err) == (2, True)
    command[1] = files / "profile.json"
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert (status, "records of a measurement, not a run" in err) == (2, True)


def test_a_report_of_another_form_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    command = ["report", "--profile", "none.json", "--plan", "none.json", "--run", "none.jsonl",
               "-o", tmp_path / "r.txt"]  # fmt: skip
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert "--output must end in .html or .json" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--positions", "100000"], "lower positions (--positions)"),
        (["--positions", "0"], "positions must be >= 1, got 0"),
        (["--repeats", "1000000"], "repeats must be <= 1000, got 1000000"),
        (["--repeats", "0"], "repeats must be >= 1, got 0"),
        (["--max-tokens", "1000000"], "lower max_tokens (--max-tokens)"),
        (["--max-tokens", "0"], "max_tokens must be >= 1, got 0"),
        (["--drafts", ""], "--drafts must name at least one draft, got ''"),
        (["--drafts", " , "], "--drafts must name at least one draft, got ' , '"),
        (["--drafts", "exit:1,exit:1"], "drafts must differ, got 'exit:1' as draft 1 and again"),
        (["--min-p", "2"], "min_p must be a finite number in [0, 1], got 2"),
        (["--repetition-penalty", "0"], "repetition_penalty must be > 0, got 0"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused_before_any_pass(
    more, message, folder, tmp_path, capsys, monkeypatch
):
    def no_pass(*_, **__):
        raise AssertionError("a pass was made")

    monkeypatch.setattr("validate.measure.generate", no_pass)
    monkeypatch.setattr("validate.measure.measure_passes", no_pass)
    command = ["measure", *models(folder), *more, "-o", tmp_path / "p.json"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert message in err
    assert not (tmp_path / "p.records.jsonl").exists()


def test_the_widest_pass_must_fit_behind_the_longest_text(folder):
    loaded = load_models(str(folder / "target"), ["max-gram"], device="cpu", dtype="float32")
    prompt = Prompt(1, "a", ("tell about the sea",), "measure")  # 4 tokens; the target holds 256
    with pytest.raises(ValueError, match=r"a pass over 249 positions .* \(4 and 4 tokens\)"):
        measure(loaded, [prompt], max_tokens=4, positions=249)
    profile = measure(
        loaded, [prompt], max_tokens=4, positions=2, repeats=1, sampling=Sampling(0.0)
    )
    assert profile.verify_costs(0, 2).size == 3


@pytest.mark.parametrize("command", ["measure", "run"])
def test_all_of_sampling_can_be_chosen(command, folder, tmp_path, capsys, monkeypatch):
    seen = []

    def see(*_, sampling, **__):
        seen.append(sampling)
        raise ValueError("enough")

    monkeypatch.setattr("validate.measure.measure", see)
    monkeypatch.setattr(validate.run, "run", see, raising=False)
    (tmp_path / "cascade.json").write_text('[{"draft": 1, "length": 2}]')
    plan = ["--plan", tmp_path / "cascade.json"] if command == "run" else []
    options = ["--temperature", "0.7", "--top-k", "9", "--top-p", "0.9", "--min-p", "0.1",
               "--repetition-penalty", "1.2"]  # fmt: skip
    arguments = [command, *models(folder), *plan, *options, "-o", tmp_path / "out.json"]
    status, _, err = call(validate.cli, arguments, capsys, monkeypatch)
    assert (status, "enough" in err) == (2, True)
    assert seen == [Sampling(0.7, top_k=9, top_p=0.9, min_p=0.1, repetition_penalty=1.2)]


def test_a_certificate_is_of_the_sampling_that_is_asked_for(folder, tmp_path, capsys, monkeypatch):
    command = ["lossless", *models(folder, f"{folder / 'draft'},max-gram"), "--dtype", "float64",
               "--samples", "40", "--max-tokens", "4", "--greedy-tokens", "8", "--min-p", "0.1",
               "--repetition-penalty", "1.3", "-o", tmp_path / "c.json"]  # fmt: skip
    status, _, _ = call(validate.cli, command, capsys, monkeypatch)
    assert status in (0, 3)  # nothing fails
    sampling = json.loads((tmp_path / "c.json").read_text())["experiment"]["sampling"]
    assert (sampling["min_p"], sampling["repetition_penalty"]) == (0.1, 1.3)


@pytest.mark.parametrize(
    ("command", "log"), [("measure", "out.records.jsonl"), ("run", "out.json")]
)
def test_an_interrupt_says_that_the_same_command_goes_on(
    command, log, folder, tmp_path, capsys, monkeypatch
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("validate.measure.measure", interrupt)
    monkeypatch.setattr(validate.run, "run", interrupt, raising=False)
    (tmp_path / "cascade.json").write_text('[{"draft": 1, "length": 2}]')
    plan = ["--plan", tmp_path / "cascade.json"] if command == "run" else []
    arguments = [command, *models(folder), *plan, "-o", tmp_path / "out.json"]
    status, _, err = call(validate.cli, arguments, capsys, monkeypatch)
    assert status == 130
    assert err.splitlines()[-1] == (f"interrupted: the same command goes on from {tmp_path / log}")


def test_an_unknown_model_is_one_sentence_at_once(folder, tmp_path, capsys, monkeypatch):
    import huggingface_hub as hub

    asked = []

    def unreachable(name, **_):
        asked.append(name)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(hub, "model_info", unreachable)
    command = ["measure", *models(folder, "nope"), "-o", tmp_path / "p.json"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert (status, asked) == (2, ["nope"])  # once: the loaders' five tries are never begun
    assert len(err.strip().splitlines()) == 1
    for part in ("'nope'", "smollm2-135m", "layer-drop", "mid", "tiny", "max-gram", "skip:0.4",
                 "cannot be reached"):  # fmt: skip
        assert part in err


def test_a_model_in_the_hubs_cache_is_loaded_without_the_hub(folder, monkeypatch):
    import huggingface_hub as hub

    def unreachable(name, **_):
        raise ConnectionError

    monkeypatch.setattr(hub, "model_info", unreachable)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: "config.json")
    found = validate.load._from_hub("gpt2")
    assert found == {"pretrained_model_name_or_path": "gpt2", "local_files_only": True}
    monkeypatch.setattr(hub, "model_info", lambda *_, **__: SimpleNamespace())
    assert "local_files_only" not in validate.load._from_hub("gpt2")


def test_a_long_reason_of_a_loader_ends_at_a_word(folder, tmp_path):
    shutil.copytree(folder / "draft", tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "' + "no such " * 90 + '"}')
    with pytest.raises(ValueError, match="cannot load") as caught:
        load_models(str(tmp_path / "broken"), [], device="cpu")
    assert not str(caught.value).endswith(("n", "suc", "su"))
    assert len(str(caught.value)) < 450


def test_drafts_out_of_order_are_said_to_be():
    found = profile_notes(Profile([0.5, 0.6, 0.2], [0.1, 0.3, 0.001], names=["t", "a", "b", "c"]))
    assert found == [
        "b costs 0.3, more than a before it (0.1); a draft reviews only those after it, so order "
        "them from dear to cheap: b, a, c."
    ]
    assert profile_notes(Profile([0.5, 0.6], [0.1, 0.103])) == []  # within chance
    assert profile_notes(Profile([0.5, 0.6], [0.001, 0.01], one_shot=[1, 2])) == []
