"""Runs that cannot work end in one clear sentence, or in a correct result."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import validate.cli  # noqa: E402
import validate.load  # noqa: E402
import validate.measure  # noqa: E402
from cscalc.cascade import Cascade, Draft  # noqa: E402
from tests.checkpoints import WORDS, save_checkpoint  # noqa: E402
from tests.test_cli import call  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.load import load_models, pick_device  # noqa: E402
from validate.models import Models, TableModel  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

TWO = Cascade((Draft(1, 2),))
HOLDS = 256  # positions of the tiny checkpoints


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_checkpoint(folder / "target", seed=0)
    save_checkpoint(folder / "draft", seed=1, layers=1)
    save_checkpoint(folder / "other", seed=2, words=[*WORDS, "elephant"])
    (folder / "prompts.txt").write_text("tell about the sea\n\nwhy is the sun ?\n")
    return folder


@pytest.fixture(scope="module")
def models(checkpoints):
    target, draft = (str(checkpoints / name) for name in ("target", "draft"))
    return load_models(target, [draft], device="cpu", dtype="float32")


def greedy(models, prompt, cascade=TWO, **options):
    return generate(
        cascade, models, prompt, generator=torch.Generator(), sampling=Sampling(0.0), **options
    )


def lossless(checkpoints, *more):
    return [
        "lossless", "--target", checkpoints / "target", "--drafts",
        f"{checkpoints / 'draft'},max-gram", "--device", "cpu", "--dtype", "float64", "--prompts",
        checkpoints / "prompts.txt", "--samples", "40", "--max-tokens", "4", "--greedy-tokens",
        "8", *more,
    ]  # fmt: skip


def test_a_device_that_is_not_there_is_one_sentence(checkpoints, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    command = [*lossless(checkpoints), "--device", "cuda:3"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert "error: device cuda:3 is not there (this torch sees no CUDA): use cpu" in err
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda"):
        pick_device("abacus")


def test_a_gpu_beyond_the_last_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="device cuda:3 is not there: 1 GPUs"):
        pick_device("cuda:3")


def test_a_draft_of_another_vocabulary_is_one_sentence(checkpoints, capsys, monkeypatch):
    command = [*lossless(checkpoints), "--drafts", checkpoints / "other"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert "other" in err
    assert "tokenizer" in err
    tables = TableModel(torch.zeros(3, 3)), TableModel(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="draft and target must share one tokenizer"):
        Models.of(*tables)


def test_a_stop_string_that_is_never_reached_changes_nothing(models):
    free = greedy(models, [2, 3], max_tokens=20)
    held = greedy(models, [2, 3], max_tokens=20, stop=("elephant",))
    assert held.tokens == free.tokens
    assert held.finish == "length"


@pytest.mark.parametrize("cascade", [Cascade(()), TWO], ids=str)
def test_an_empty_prompt_is_one_sentence(models, cascade):
    with pytest.raises(ValueError, match="the prompt is empty: give at least one token"):
        greedy(models, [], cascade)


def test_a_file_without_prompts_is_one_sentence(checkpoints, tmp_path, capsys, monkeypatch):
    (tmp_path / "blank.txt").write_text("\n\n")
    command = [*lossless(checkpoints), "--prompts", tmp_path / "blank.txt"]
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert "holds no prompts" in err


def test_a_prompt_that_fills_the_context_is_one_sentence(models):
    for size in (HOLDS, HOLDS + 5):
        with pytest.raises(ValueError, match=f"the prompt has {size} tokens.*shorten the prompt"):
            greedy(models, [2] * size)


@pytest.mark.parametrize("left", [1, 2, 3, 4, 5])
def test_next_to_the_limit_the_text_is_that_of_plain_decoding(models, left):
    prompt = [2 + i % 5 for i in range(HOLDS - left)]
    plain = greedy(models, prompt, Cascade(()))
    ours = greedy(models, prompt)
    assert ours.tokens == plain.tokens
    assert len(ours.tokens) == left
    assert ours.finish == plain.finish == "context"


def full(*args, **kwargs):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")


def full_cpu(*args, **kwargs):
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 99 bytes."
    )


def no_memory(*args, **kwargs):
    raise MemoryError


@pytest.mark.parametrize("failure", [full, full_cpu, no_memory])
def test_a_full_device_while_loading_is_one_sentence(failure, checkpoints, capsys, monkeypatch):
    monkeypatch.setattr(validate.load, "load_models", failure)
    status, out, err = call(validate.cli, lossless(checkpoints), capsys, monkeypatch)
    assert status == 2
    assert out == ""
    assert "error: the device ran out of memory: use smaller or fewer models" in err
    assert "Traceback" not in err


def test_a_device_that_fills_up_in_a_measurement_keeps_what_was_measured(
    checkpoints, tmp_path, capsys, monkeypatch
):
    command = [
        "measure", "--target", checkpoints / "target", "--drafts", checkpoints / "draft",
        "--device", "cpu", "--prompts", checkpoints / "prompts.txt", "--max-tokens", "4",
        "--positions", "2", "--repeats", "1", "-o", tmp_path / "profile.json",
    ]  # fmt: skip
    (tmp_path / "two.txt").write_text("tell about the sea\n\nwhy ?\n\nwrite of land\n")
    command[command.index("--prompts") + 1] = tmp_path / "two.txt"
    inner, calls = validate.measure.generate, []

    def fills_up(*args, **kwargs):
        calls.append(1)
        return full() if len(calls) == 2 else inner(*args, **kwargs)

    monkeypatch.setattr(validate.measure, "generate", fills_up)
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert "ran out of memory" in err
    lines = (tmp_path / "profile.records.jsonl").read_text().splitlines()
    assert [json.loads(line).get("key") for line in lines[1:]] == ["1"]
    monkeypatch.setattr(validate.measure, "generate", inner)
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0, err


def test_another_failure_is_not_hidden(checkpoints, capsys, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(validate.load, "load_models", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        call(validate.cli, lossless(checkpoints), capsys, monkeypatch)


def test_the_command_writes_a_certificate(checkpoints, tmp_path, capsys, monkeypatch):
    many = ["--samples", "300"]
    command = [*lossless(checkpoints, *many), "--out", tmp_path / "certificate.json"]
    status, out, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0, err
    assert out == ""
    assert "No sign of loss" in err
    assert "eager engine, float64 on cpu" in err
    data = json.loads((tmp_path / "certificate.json").read_text())
    assert data["passed"] is True
    assert data["experiment"]["cascade"]["drafts"][1]["length"] == 2
    status, out, _ = call(validate.cli, lossless(checkpoints, *many), capsys, monkeypatch)
    assert json.loads(out)["run_id"] == data["run_id"]


def test_the_command_ends_with_status_3_where_there_were_too_few_tokens(
    checkpoints, capsys, monkeypatch
):
    status, out, err = call(validate.cli, lossless(checkpoints), capsys, monkeypatch)
    assert status == 3, err
    assert "too few, needs 100" in err
    assert "No sign of loss in what could be tested" in " ".join(err.split())
    data = json.loads(out)
    assert (data["passed"], data["outcome"]) == (False, "passed in part")


def test_the_command_runs_with_the_engine_that_it_is_told(checkpoints, capsys, monkeypatch):
    command = lossless(checkpoints, "--samples", "300", "--engine", "static")
    status, out, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 0, err
    assert "static engine, float64 on cpu" in err
    data = json.loads(out)
    assert data["engine"] == "static"
    assert data["experiment"]["engine"]["widths"][0] == 1
    assert data["passed"] is True
    command = lossless(checkpoints, "--engine", "graphs")
    status, _, err = call(validate.cli, command, capsys, monkeypatch)
    assert status == 2
    assert "engine graphs needs CUDA, and the device is cpu: use static" in err


def test_the_command_fails_with_status_1_where_the_text_is_not_the_targets(
    checkpoints, capsys, monkeypatch
):
    import validate.certificate

    def wrong(cascade, models, prompt, *, max_tokens, **options):
        run = generate(cascade, models, prompt, max_tokens=max_tokens, **options)
        if cascade.drafts:
            run.tokens[-1] = (run.tokens[-1] + 1) % models.vocab_size
        return run

    inner = validate.certificate.certify
    monkeypatch.setattr(
        validate.certificate, "certify", lambda *args, **kw: inner(*args, decode=wrong, **kw)
    )
    status, out, err = call(validate.cli, lossless(checkpoints), capsys, monkeypatch)
    assert status == 1, err
    assert "NOT lossless" in err
    assert json.loads(out)["passed"] is False


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--limit", "0"], "--limit must be >= 1, got 0"),
        (["--samples", "1"], "samples must be >= 2, got 1"),
        (["--max-tokens", "1"], "max_tokens must be >= 2, got 1"),
        (["--false-alarm", "2"], "false_alarm must lie between 0 and 1, got 2.0"),
        (["--temperature", "-1"], "temperature must be a finite number"),
        (["--cascade", "[{"], "cascade is not valid JSON"),
        (["--max-tokens", "400"], "shorten the prompt or the reply"),
        (["--out", "/nowhere/certificate.json"], "/nowhere"),
    ],
)
def test_bad_options_of_lossless_are_one_sentence(more, message, checkpoints, capsys, monkeypatch):
    status, _, err = call(validate.cli, lossless(checkpoints, *more), capsys, monkeypatch)
    assert status == 2
    assert message in err
