"""Exported settings run what they say, and say what an engine cannot run."""

import json
import shlex
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cscalc.cascade import Cascade, Draft, Review
from cscalc.cli import app
from cscalc.export import ENGINES, BatchLength, export, per_batch_lengths
from cscalc.optimize import optimal_config
from cscalc.plan import Alternative, make_plan
from cscalc.profile import Profile
from cscalc.theory.batch import ModelSize, RooflineCurve, draft_cost
from cscalc.theory.batch_lengths import batch_ranges
from cscalc.theory.gpus import GPUS
from cscalc.theory.law import ewif
from cscalc.theory.serving import best_lengths

ALPHAS = [[1, 0.8, 0.55, 0.25], [0, 1, 0.6, 0.3], [0, 0, 1, 0.35], [0, 0, 0, 1]]
PROFILE = Profile(
    ALPHAS, [0.2, 0.05, 0.0005], one_shot=(3,), names=("big", "mid", "small", "lookup")
)
NESTED = Cascade((Review(1, (Draft(3, 5),), rounds=3), Draft(3, 10)))


def plan_of(cascade, *others):
    return make_plan(PROFILE, cascade, [Alternative.of(one, PROFILE) for one in others], {})


def options(text):
    """Command line arguments as a dictionary."""
    words = shlex.split(text)
    return dict(zip(words[::2], words[1::2], strict=True))


def length_run(engine, found):
    """Tokens drafted a cycle, read back from what is to be typed."""
    typed = options(found.text) if engine in ("sglang", "llama.cpp") else found.settings
    if not typed:
        return 0
    if engine == "vllm":
        return json.loads(shlex.split(found.text)[1])["num_speculative_tokens"]
    if engine == "sglang":
        return int(typed["--speculative-num-draft-tokens"]) - 1
    if engine == "llama.cpp":
        return int(typed["--spec-draft-n-max"])
    return typed.get("num_assistant_tokens", typed.get("prompt_lookup_num_tokens"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cascade", [Cascade(()), *(Cascade((Draft(m, 4),)) for m in (1, 2, 3))])
def test_one_draft_is_exported_as_it_is(engine, cascade):
    found = plan_of(cascade, NESTED).export(engine)
    assert found.cascade == cascade
    assert found.ewif == ewif(cascade, PROFILE)
    assert length_run(engine, found) == cascade.max_length
    assert not any("cannot run" in note for note in found.notes)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_cannot_run_is_said_and_the_best_alternative_exported(engine):
    plan = optimal_config(PROFILE, max_length=16)
    assert plan.kind == "nested"
    found = plan.export(engine)
    single = [one for one in plan.alternatives if one.kind in ("plain", "speculative")]
    assert found.cascade == max(single, key=lambda one: one.ewif).cascade
    (said,) = [note for note in found.notes if "cannot run" in note]
    assert str(found.cascade).replace("1:", "mid:") in said
    assert f"{plan.ewif:.4g}" in said
    assert f"{found.ewif:.4g}" in said
    assert length_run(engine, found) == found.cascade.max_length


def test_a_plan_without_alternatives_is_searched_for_its_best_single_draft():
    found = plan_of(NESTED).export("vllm")
    best = max(ewif(Cascade((Draft(m, k),)), PROFILE) for m in (1, 2, 3) for k in range(1, 65))
    assert found.ewif == pytest.approx(best, rel=1e-12)


def test_a_measured_curve_limits_what_is_exported():
    profile = Profile([0.9, 0.3], [0.01, 0.001], verify=[1, 1.1, 1.2, 1.3])
    plan = make_plan(profile, Cascade((Review(1, (Draft(2, 1),), rounds=1),)), [], {})
    assert plan.export("sglang").cascade == Cascade((Draft(1, 3),))


def test_calls_until_a_threshold_are_one_draft_only_if_not_one_shot():
    many = plan_of(Cascade((Draft(1, 3, until=7),)))
    assert many.export("vllm").settings["num_speculative_tokens"] == 9
    looked_up = plan_of(Cascade((Draft(3, 3, until=7),)), Cascade((Draft(3, 8),)))
    assert any("cannot run" in note for note in looked_up.export("vllm").notes)
    once = plan_of(Cascade((Draft(3, 8, until=7),)))
    assert once.export("vllm").settings["num_speculative_tokens"] == 8


@pytest.mark.parametrize("engine", ENGINES)
def test_a_name_that_is_no_checkpoint_is_said_to_be_a_placeholder(engine):
    plan = optimal_config([0.8], [0.1])
    assert '"draft 1" is a placeholder' in str(export(plan, engine))
    assert "placeholder" not in str(export(plan, engine, checkpoints={np.int64(1): "small"}))
    assert "placeholder" not in str(export(optimal_config([0.8], [0.1], one_shot=(1,)), engine))


def test_engines_are_known_in_any_case():
    plan = optimal_config([0.8], [0.1])
    assert export(plan, "vLLM") == export(plan, "vllm")
    assert export(plan, "SGLang") == export(plan, "sglang")


def test_nothing_that_adapts_the_length_is_left_on():
    plan = plan_of(Cascade((Draft(1, 5),)))
    assert plan.export("transformers").settings == {
        "num_assistant_tokens": 5,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    }
    typed = options(plan.export("llama.cpp", checkpoints={1: "a b.gguf"}).text)
    assert typed == {
        "--spec-type": "draft-simple", "-md": "a b.gguf", "--spec-draft-n-max": "5",
        "--spec-draft-n-min": "0", "--spec-draft-p-min": "0",
    }  # fmt: skip
    (older,) = plan.export("llama.cpp").notes
    assert "-md mid --draft-max 5 --draft-min 0 --draft-p-min 0" in older


def test_transformers_knows_the_settings():
    transformers = pytest.importorskip("transformers")
    for model in (1, 3):
        settings = plan_of(Cascade((Draft(model, 5),))).export("transformers").settings
        config = transformers.GenerationConfig(**settings)
        known = transformers.GenerationConfig().to_dict()
        assert all(getattr(config, name) == value for name, value in settings.items())
        assert set(settings) <= set(known)


def test_a_looked_up_draft_says_what_stands_in_for_it():
    plan = plan_of(Cascade((Draft(3, 10),)))
    for engine in ENGINES:
        found = plan.export(engine, lookup=(2, 4))
        assert any("lookup is exported as" in note for note in found.notes)
    assert plan.export("vllm", lookup=(2, 4)).settings == {
        "method": "ngram", "num_speculative_tokens": 10,
        "prompt_lookup_max": 4, "prompt_lookup_min": 2,
    }  # fmt: skip
    assert plan.export("transformers").settings == {
        "prompt_lookup_num_tokens": 10,
        "max_matching_ngram_size": 3,
    }


# ---- draft lengths by batch size


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.05, 0.98), st.floats(0.0, 0.3), st.sampled_from(sorted(GPUS)),
    st.sets(st.integers(1, 2000), min_size=1, max_size=4).map(sorted),
)  # fmt: skip
def test_lengths_by_batch_size_equal_the_formula_for_one_rate(alpha, cost, gpu, sizes):
    size = ModelSize(parameters=8e9)
    curves = {batch: RooflineCurve(size, GPUS[gpu], batch=batch) for batch in sizes}
    found = per_batch_lengths(Profile([alpha], [cost]), sizes, curves.__getitem__)
    same = best_lengths(
        alpha, sizes, target_time=lambda b, m: curves[int(b)](m), draft_time=lambda b, m: cost
    )
    for one, other in zip(found, same, strict=True):
        assert one.ewif == pytest.approx(other.speedup, rel=1e-9)
        assert one.ewif >= 1.0


def test_exact_ties_go_to_the_shorter_draft():
    (found,) = per_batch_lengths(Profile([0.5], [0.5]), [1], {1: None}, max_length=1)
    assert (found.length, found.ewif) == (0, 1.0)
    (found,) = per_batch_lengths(Profile([0.5], [0.25]), [1], {1: [1.0, 1.0, 1.0]})
    assert (found.length, found.ewif) == (1, 1.2)


def test_draft_costs_may_change_with_the_batch():
    small, large, gpu = ModelSize(parameters=1e9), ModelSize(parameters=8e9), GPUS["H100 SXM"]
    found = per_batch_lengths(
        Profile([0.8], [1.0]), [1, 4096],
        lambda batch: RooflineCurve(large, gpu, batch=batch),
        cost_of_batch=lambda batch: float(draft_cost(small, large, gpu, batch=batch)),
    )  # fmt: skip
    assert [one.length for one in found] == [5, 0]
    assert found[1].ewif == 1.0


def test_a_measured_curve_by_batch_size_ends_where_it_ends():
    measured = {1: [1.0, 1.01, 1.02], 8: [1.0, 1.9, 2.9]}
    found = per_batch_lengths(Profile([0.9], [0.01]), [1, 8], measured)
    assert [one.length for one in found] == [2, 0]


def test_without_a_model_the_best_at_the_smallest_batch_is_taken():
    profile = Profile([0.9, 0.5], [0.4, 0.01])
    found = per_batch_lengths(profile, [1, 2], lambda batch: None, model=None)
    values = [max(ewif(Cascade((Draft(m, k),)), profile) for k in range(1, 17)) for m in (1, 2)]
    assert {one.model for one in found} == {1 + int(np.argmax(values))}
    assert found[0].ewif == max(values)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=8))
def test_ranges_cover_every_batch_size_once_in_order(steps):
    sizes = np.cumsum([step for step, _ in steps]).tolist()
    ranges = batch_ranges(
        [BatchLength(size, 1, length, 1.0) for size, (_, length) in zip(sizes, steps, strict=True)]
    )
    assert ranges[0][0] == 1
    assert ranges[-1][1] == sizes[-1]
    assert all(a[1] + 1 == b[0] and a[2] != b[2] for a, b in pairwise(ranges))
    length_at = {b: k for first, last, k in ranges for b in range(first, last + 1)}
    assert [length_at[size] for size in sizes] == [length for _, length in steps]


def test_the_table_goes_into_vllms_settings():
    plan = plan_of(Cascade((Draft(1, 4),)))
    table = [BatchLength(32, 1, 5, 2.0), BatchLength(128, 1, 1, 1.2), BatchLength(512, 1, 0, 1.0)]
    found = plan.export("vllm", batch_lengths=table).settings
    assert found["num_speculative_tokens"] == 5  # the longest of the table
    ranges = [[1, 32, 5], [33, 128, 1], [129, 512, 0]]
    assert found["num_speculative_tokens_per_batch_size"] == ranges
    assert plan.export("vllm", batch_lengths=[BatchLength(1, 1, 0, 1.0)]).settings == {}


# ---- the command, and bad input


def test_the_command_prints_json_and_says_what_to_type(tmp_path):
    path = tmp_path / "plan.json"
    plan_of(NESTED, Cascade((Draft(1, 4),))).save(path)
    run = CliRunner().invoke(
        app, ["export", "--plan", str(path), "--engine", "vllm", "--checkpoint", "1=small"]
    )
    assert run.exit_code == 0
    assert json.loads(run.stdout)["settings"] == {
        "method": "draft_model", "model": "small", "num_speculative_tokens": 4
    }  # fmt: skip
    assert "cannot run" in run.stderr
    wrong = ["export", "--plan", str(path), "--engine", "vllm", "--checkpoint", "small"]
    run = CliRunner().invoke(app, wrong)
    assert isinstance(run.exception, ValueError)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda p: p.export("trt"), ValueError, "engine must be one of 'transformers', 'vllm'"),
        (lambda p: p.export(3), ValueError, "engine must be one of"),
        (
            lambda p: p.export("vllm", checkpoints={"1": "x"}),
            TypeError, "checkpoints model must be an int, got '1'",
        ),
        (
            lambda p: p.export("vllm", checkpoints={9: "x"}),
            ValueError, "checkpoints name model 9, but the plan has drafts 1..3",
        ),
        (lambda p: p.export("vllm", checkpoints={1: None}), TypeError, "checkpoint of model 1"),
        (lambda p: p.export("vllm", checkpoints=["x"]), TypeError, "checkpoints must map models"),
        (lambda p: p.export("vllm", lookup=(3, 1)), ValueError, "lookup must be"),
        (lambda p: p.export("vllm", lookup=(0, 1)), ValueError, "lookup must be >= 1"),
        (
            lambda p: export(p, "sglang", batch_lengths=[BatchLength(1, 1, 4, 2.0)]),
            ValueError, "sglang takes no table",
        ),
        (
            lambda p: export(p, "vllm", batch_lengths=[BatchLength(1, 2, 4, 2.0)]),
            ValueError, "batch_lengths are of model 2, but these settings run model 1",
        ),
        (lambda p: per_batch_lengths(PROFILE, [], {}), ValueError, "batch_sizes must be incr"),
        (lambda p: per_batch_lengths(PROFILE, [4, 4], {}), ValueError, "batch_sizes must be incr"),
        (lambda p: per_batch_lengths(PROFILE, [4], {}), ValueError, "no curve for batch size 4"),
        (lambda p: per_batch_lengths(PROFILE, [0.5], {}), TypeError, "batch_sizes must be an int"),
        (
            lambda p: per_batch_lengths(PROFILE, [1], {1: None}, model=4),
            ValueError, "model must be a draft 1..3, got 4",
        ),
        (
            lambda p: per_batch_lengths(Profile([], []), [1], {1: None}),
            ValueError, "profile must have a draft",
        ),
        (
            lambda p: per_batch_lengths(PROFILE, [1], {1: None}, cost_of_batch=lambda b: -1.0),
            ValueError, "cost_of_batch must be a finite number",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(call, error, text):
    with pytest.raises(error, match=text):
        call(plan_of(Cascade((Draft(1, 4),))))
