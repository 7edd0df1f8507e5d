"""Costs by context length: what is timed, how a profile is carried there, what is refused."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import validate.cli  # noqa: E402
from cscalc.profile import Profile  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from tests.test_cli import call  # noqa: E402
from validate.contexts import at_context, measure_contexts, measure_sampling, parameters  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.measure import measure  # noqa: E402
from validate.models import Models, TableModel  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.sampling import Sampling  # noqa: E402

PROMPTS = [Prompt(i, "a", (text,), "measure") for i, text in enumerate(["tell of sea", "why ?"])]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    target = save_checkpoint(folder / "target", seed=0)
    draft = save_checkpoint(folder / "draft", seed=1, layers=1)
    return load_models(target, [draft, "max-gram"], device="cpu", dtype="float32")


def facts(target, draft, *, here=100, widths=(1, 8)):
    return {
        "contexts": [here],
        "by_context": {
            "lengths": [100, 300], "widths": list(widths), "seconds": {"0": target, "1": draft},
        },
    }  # fmt: skip


def test_passes_are_timed_at_every_length_that_a_model_holds(models):
    found = measure_contexts(models, [2, 3, 4], [200, 16, 200], repeats=2)
    assert found["lengths"] == [16, 200]
    assert set(found["seconds"]) == {"0", "1"}
    for rows in found["seconds"].values():
        assert all(x > 0.0 for row in rows for x in row)


def test_a_draft_with_a_shorter_context_is_left_out_where_it_ends():
    long, short = TableModel(torch.zeros(2, 2)), TableModel(torch.zeros(2, 2), max_positions=20)
    found = measure_contexts(Models.of(long, short), [0], [8, 40], repeats=1)
    assert found["seconds"]["1"][1] is None
    assert found["seconds"]["0"][1] is not None
    measured = {"contexts": [8], "by_context": found}
    base = Profile([0.5], [0.1], measurement=measured)
    assert at_context(base, 8).costs[0] == pytest.approx(0.1)
    with pytest.raises(ValueError, match="model 1 does not hold a context of 40 tokens"):
        at_context(base, 40)


def test_costs_and_curves_follow_the_measured_ratios():
    measured = facts([[1.0, 1.5], [2.0, 4.0]], [[0.1, 0.1], [0.2, 0.3]])
    curve = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.5, 1.5]
    base = Profile([0.8], [0.1], verify={0: curve, 1: [1.0, 1.0]}, measurement=measured)
    assert at_context(base, 100) == Profile(
        [0.8], [0.1], verify={0: curve, 1: [1.0, 1.0]}, measurement={**measured, "context": 100}
    )
    far = at_context(base, 300)
    assert far.cost(1) == pytest.approx(0.1)  # 0.2 of 2.0, as 0.1 of 1.0
    assert far.verify_costs(0, 8)[8] == pytest.approx(2.0)  # 4.0 over 2.0
    assert far.verify_costs(0, 8)[2] == pytest.approx(1.2)  # its extra doubles as well
    assert far.verify_costs(1, 2)[2] == pytest.approx(1.5)  # was free, costs half a pass more
    middle = at_context(base, 200)  # seconds 1.5 and 2.75; 0.15
    assert middle.cost(1) == pytest.approx(0.1)
    assert middle.verify_costs(0, 8)[8] == pytest.approx(2.75 / 1.5)


def test_a_one_shot_draft_gets_cheaper_beside_a_slower_target():
    measured = facts([[1.0, 1.5], [2.0, 4.0]], [[0.1, 0.1], [0.2, 0.3]])
    base = Profile([0.8, 0.4], [0.1, 0.01], one_shot=[2], measurement=measured)
    assert at_context(base, 300).cost(2) == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("profile", "length", "message"),
    [
        (Profile([0.5], [0.1]), 100, "no context lengths were measured"),
        (Profile([0.5], [0.1], measurement=facts([[1, 1], [1, 1]], [[1, 1], [1, 1]])), 99,
         "length must lie within the measured contexts 100 to 300, got 99"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_said(profile, length, message):
    with pytest.raises(ValueError, match=message):
        at_context(profile, length)


def test_measure_records_contexts_sampling_and_sizes_and_goes_on_after_a_kill(models, tmp_path):
    log = tmp_path / "log.jsonl"
    settings = {"max_tokens": 6, "positions": 4, "repeats": 1, "contexts": (16, 64), "log": log}

    def stop(stage, done, of):
        if stage == "contexts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(models, PROMPTS, progress=stop, **settings)
    profile = measure(models, PROMPTS, **settings)
    known = profile.measurement["by_context"]
    assert known["lengths"] == [16, 64]
    assert set(profile.measurement["sampling_seconds"]) == {"1", "8"}
    sizes = profile.measurement["parameters"]
    assert sizes["0"] > sizes["1"] > 0
    again = measure(models, PROMPTS, **settings)
    assert again.measurement["by_context"] == known  # read from the log, not timed again
    profile.save(tmp_path / "profile.json")
    assert at_context(Profile.load(tmp_path / "profile.json"), 40).n_drafts == 2


def test_a_context_that_does_not_fit_is_refused_before_any_work(models):
    with pytest.raises(ValueError, match="a context of 250 tokens with a pass over 8 does not"):
        measure(models, PROMPTS, contexts=[250])
    with pytest.raises(ValueError, match="contexts must be >= 1"):
        measure_contexts(models, [1], [0])
    with pytest.raises(ValueError, match="no text"):
        measure_contexts(models, [], [8])


def test_sampling_grows_with_the_positions(models):
    found = measure_sampling(models, Sampling(0.7, top_p=0.9), widths=(1, 64), repeats=9)
    assert 0.0 < found["1"] < found["64"]


def test_parameters_are_those_of_the_checkpoint(models):
    plain = {n: m.module for n, m in models.language.items()}
    vocabulary = plain[0].config.vocab_size * plain[0].config.hidden_size
    assert parameters(models)["0"] > 2 * vocabulary
    assert np.isfinite(parameters(models)["1"])


def test_the_command_times_contexts_and_shows_them(models, tmp_path, capsys, monkeypatch):
    target = save_checkpoint(tmp_path / "target", seed=0)
    draft = save_checkpoint(tmp_path / "draft", seed=1, layers=1)
    (tmp_path / "prompts.txt").write_text("tell of the sea\n")
    command = [
        "measure", "--target", target, "--drafts", draft, "--device", "cpu", "--prompts",
        tmp_path / "prompts.txt", "--max-tokens", "6", "--positions", "4", "--repeats", "1",
        "-o", tmp_path / "profile.json",
    ]  # fmt: skip
    status, _, err = call(validate.cli, [*command, "--contexts", "16,64"], capsys, monkeypatch)
    assert status == 0, err
    assert "by length of the context" in err
    assert json.loads((tmp_path / "profile.json").read_text())
    status, _, err = call(validate.cli, [*command, "--contexts", "16,x"], capsys, monkeypatch)
    assert status == 2
    assert "context lengths must be whole numbers >= 1, got 'x'" in err
