"""benchmarks/prediction.py on tiny models: resumes, shares one plain reply, and its figure."""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from figures import load

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

from cscalc.cascade import Cascade, Draft  # noqa: E402
from cscalc.own_rates import own_profiles  # noqa: E402
from cscalc.simulate.replay import replay_prompts  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from validate.gap import paired_gap  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.measure import measure  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.run import run  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ["tell about the sea", "why is the sun ?", "write of land and moon", "the sea is the sea"]
PROMPTS = [Prompt(i, "ab"[i % 2], (text,), "measure") for i, text in enumerate(TEXTS)]
HELD_OUT = [Prompt(10 + p.question_id, p.category, p.turns, "held-out") for p in PROMPTS]
CHOSEN = Cascade((Draft(1, 1), Draft(3, 2)))
GREEDY = Sampling(0.0)


@pytest.fixture(scope="module")
def script():
    folder = str(ROOT / "benchmarks")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module("prediction")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    names = [save_checkpoint(folder / str(i), seed=i, layers=2 - (i > 0)) for i in range(3)]
    return load_models(names[0], [*names[1:], "max-gram"], device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def profile(models):
    return measure(models, PROMPTS, sampling=GREEDY, max_tokens=10, positions=16, repeats=1)


@pytest.fixture(scope="module")
def record(script, models, tmp_path_factory):
    """Path of a record of a whole run."""
    folder = tmp_path_factory.mktemp("prediction")

    def prompts(split, limit):
        return (PROMPTS if split == "measure" else HELD_OUT)[:limit]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(script, "load_models", lambda: models)
        patched.setattr(script, "load_prompts", prompts)
        chosen = SimpleNamespace(cascade=CHOSEN)
        patched.setattr(script, "optimal_for_prompts", lambda profile: chosen)
        patched.setattr("validate.gap.SIMULATED_CYCLES", 2000)
        path = folder / "prediction.jsonl"
        arguments = ["--prompts", "4", "--held-out", "2", "--tokens", "8", "--folder", str(folder)]
        script.main([*arguments, "--record", str(path)])
    return path


def decode(script, models, log, **options):
    quiet = {"progress": lambda *_: None, "sampling": GREEDY, "tokens": 10, "seed": 1}
    cascades = [CHOSEN, Cascade((Draft(2, 3),))]
    return script.decode_all(cascades, models, PROMPTS, log=log, **{**quiet, **options})


def test_an_interrupted_run_goes_on_where_it_stopped(script, models, tmp_path):
    log = tmp_path / "run.jsonl"

    def stop(stage, done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(script, models, log, progress=stop)
    with log.open("a", encoding="utf-8") as file:
        file.write('{"key": "2", "record": {"question')  # killed while it wrote
    kept = log.read_text(encoding="utf-8").splitlines()[1:3]
    found = decode(script, models, log)
    lines = log.read_text(encoding="utf-8").splitlines()[1:]
    assert lines[:2] == kept
    assert [json.loads(line)["key"] for line in lines] == ["0", "1", "2", "3"]
    assert decode(script, models, log) == found
    with pytest.raises(ValueError, match="belongs to another run"):
        decode(script, models, log, tokens=9)


def test_every_side_decodes_what_validate_run_decodes(script, models, tmp_path):
    found = decode(script, models, tmp_path / "run.jsonl")
    one = run(CHOSEN, models, PROMPTS, sampling=GREEDY, max_tokens=10, seed=1)
    for mine, theirs in zip(found, one, strict=True):
        assert mine["same_tokens"][str(CHOSEN)]
        assert mine["sides"][str(CHOSEN)]["emitted"] == theirs["cascade"]["emitted"]
        assert mine["sides"][str(Cascade(()))]["emitted"] == theirs["plain"]["emitted"]


def test_a_replay_of_the_measured_text_is_the_greedy_run(script, models, profile, tmp_path):
    """Every kind of cascade: the same cycles, but for what is cut off at the end of a text."""
    cascades = [cascade for group in script.CASCADES.values() for cascade in group]
    replies = script.decode_all(
        cascades, models, PROMPTS, sampling=GREEDY, tokens=10, seed=1,
        log=tmp_path / "run.jsonl", progress=lambda *_: None,
    )  # fmt: skip
    for cascade in cascades:
        own = replay_prompts(cascade, profile, rng=np.random.default_rng(0))
        for reply in replies:
            cycles = len(reply["sides"][str(cascade)]["emitted"])
            assert own[reply["question_id"]][1] == cycles, cascade


def test_the_paired_gap_is_that_of_the_sums_and_ignores_other_prompts(models, profile):
    records = run(CHOSEN, models, [*PROMPTS, *HELD_OUT], sampling=GREEDY, max_tokens=10)
    own = replay_prompts(CHOSEN, profile, rng=np.random.default_rng(0))
    gap = paired_gap(own, records, np.random.default_rng(1))
    mine = [r for r in records if r["question_id"] in own_profiles(profile)]
    tokens = sum(sum(r["cascade"]["emitted"]) for r in mine)
    cycles = sum(len(r["cascade"]["emitted"]) for r in mine)
    sums = np.sum(list(own.values()), axis=0)
    want = tokens / cycles / (sums[0] / sums[1]) - 1.0
    assert gap["tokens_per_cycle"].value == pytest.approx(want, abs=1e-12)
    assert all(one.low <= one.value <= one.high for one in gap.values())
    with pytest.raises(ValueError, match="no record is of a prompt that the rates were measured"):
        paired_gap(own, records[len(PROMPTS) :], np.random.default_rng(1))


def test_a_prediction_that_is_twice_the_truth_on_every_prompt_has_a_gap_without_width():
    own = {i: np.array([2.0 * n, 5.0, 4.0, 1.0]) for i, n in enumerate((10.0, 20.0, 40.0))}
    side = {"emitted": [], "decode_seconds": 1.0}
    records = [
        {"question_id": i, "cascade": {**side, "emitted": [n / 5] * 5},
         "plain": {**side, "emitted": [1] * 10}}
        for i, n in enumerate((10, 20, 40))
    ]  # fmt: skip
    gap = paired_gap(own, records, np.random.default_rng(0))["tokens_per_cycle"]
    assert gap.to_list() == pytest.approx([-0.5, -0.5, -0.5])


def test_shares_count_what_lies_inside_and_near(script):
    def row(predicted, measured):
        parts = {"pooled": {"speedup": predicted}, "measured": {"speedup": measured}}
        return {"groups": [{"name": "same", **parts}]}

    rows = [
        row([1.0, 1.0, 1.0], [1.04, 0.9, 1.2]),  # inside, near
        row([1.0, 1.0, 1.0], [0.9, 0.8, 0.99]),  # outside, low
        row([1.0, 1.0, 1.0], [1.2, 1.1, 1.3]),  # outside, high
        row([1.0, 0.7, 1.4], [1.3, 1.25, 1.35]),  # a prediction with an interval: inside it
    ]
    found = script.shares(rows, "same", "pooled", "speedup")
    assert (found["inside"], found["within_5_percent"], found["at_least_95_percent"]) == (2, 1, 3)
    assert found["median_gap"] == pytest.approx(0.12)
    assert found["largest_gap"] == pytest.approx(0.3)


def test_the_list_holds_every_kind_of_the_grammar(script):
    cascades = [cascade for group in script.CASCADES.values() for cascade in group]
    assert len(set(map(str, cascades))) == len(cascades) >= 12
    assert {c.kind for c in cascades} == {"speculative", "horizontal", "vertical", "nested"}
    assert script.CASCADES["K matrix"][0].to_k_matrix() == script.K_MATRIX
    assert set(script.CASCADES) | {script.CHOSEN} == set(load("fig_every_cascade").KINDS)


def test_the_record_holds_both_temperatures_and_every_cascade(script, record):
    (line,) = record.read_text(encoding="utf-8").splitlines()
    read = json.loads(line)
    assert read["schema"] == script.SCHEMA
    assert {"versions", "machine"} <= set(read["provenance"])
    assert [one["temperature"] for one in read["runs"]] == [0.0, 1.0]
    for one in read["runs"]:
        assert [row["kind"] for row in one["cascades"]].count(script.CHOSEN) == 1
        assert {row["kind"] for row in one["cascades"]} == {*script.CASCADES, script.CHOSEN}
        assert [group["name"] for group in one["cascades"][0]["groups"]] == ["same", "held-out"]
    for row in read["runs"][0]["cascades"]:
        assert row["same_tokens"] == 6
        assert row["cycles"]["measured"] == row["cycles"]["replayed"]
        same = row["groups"][0]
        ratio = same["measured"]["speedup"][0] / same["own"]["speedup"][0] - 1.0
        assert row["gap"]["speedup"][0] == pytest.approx(ratio, abs=1e-4)


def test_the_figure_shows_what_the_record_holds(record, monkeypatch, tmp_path):
    module = load("fig_every_cascade")
    monkeypatch.setattr(module, "RECORD", record)
    read, shown = module.record(), module.data()
    rows = [row for one in read["runs"] for row in one["cascades"]]
    assert module.labels() == [row["label"] for row in rows]
    for quantity in module.QUANTITIES:
        one, own, measured, low, high = shown[quantity].T
        assert (low <= measured).all()
        assert (measured <= high).all()
        found = [row["groups"][0] for row in rows]
        assert one.tolist() == [group["pooled"][quantity][0] for group in found]
        assert own.tolist() == [group["own"][quantity][0] for group in found]
    ratio = shown["speedup"][:, 2] / shown["speedup"][:, 1] - 1.0
    np.testing.assert_allclose(shown["gap"][:, 0], ratio, atol=1e-4)
    assert len(shown["tasks"]) == 2 * len(rows)
    assert shown["run"].sum() == len(rows) / 2
    assert all(claim.holds for claim in module.claims() if "within 5 %" in claim.what)
    module.main(tmp_path)
    assert (tmp_path / "fig_every_cascade.png").stat().st_size > 10_000


def test_a_record_of_another_kind_is_refused_by_the_figure(tmp_path, monkeypatch):
    module = load("fig_every_cascade")
    other = tmp_path / "prediction.jsonl"
    other.write_text('{"schema": "validate/report"}\n', encoding="utf-8")
    monkeypatch.setattr(module, "RECORD", other)
    with pytest.raises(ValueError, match="must have schema benchmarks/prediction, got validate"):
        module.data()


def test_without_a_record_nothing_is_drawn(tmp_path, monkeypatch):
    module = load("fig_every_cascade")
    monkeypatch.setattr(module, "RECORD", tmp_path / "none.jsonl")
    module.main(tmp_path)
    assert list(tmp_path.iterdir()) == []
