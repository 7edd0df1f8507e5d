"""Engines as users meet them: by name, in commands and measurements, and with bad settings."""

import json
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from typer.testing import CliRunner  # noqa: E402

from cscalc.cascade import Cascade, Draft, Review  # noqa: E402
from tests.checkpoints import save_checkpoint  # noqa: E402
from tests.dsia_targets import tiny_target  # noqa: E402
from tests.engines import CASCADES, LLAMAS, STATIC, WIDTHS, static_models  # noqa: E402
from tests.test_decode import tiny_llama  # noqa: E402
from validate.batch import generate_many  # noqa: E402
from validate.cli import app  # noqa: E402
from validate.decode import generate  # noqa: E402
from validate.device_state import DeviceState  # noqa: E402
from validate.dsia_models import self_draft  # noqa: E402
from validate.engine import CompiledModel, Engine, check_engine, engine_settings, with_engine  # noqa: E402
from validate.load import load_models  # noqa: E402
from validate.measure import measure  # noqa: E402
from validate.models import Models, TableModel, TransformersModel  # noqa: E402
from validate.packing import pack_linears  # noqa: E402
from validate.pass_timer import PassTimer  # noqa: E402
from validate.prompts import Prompt  # noqa: E402
from validate.ties import compare_greedy  # noqa: E402


def test_max_length_is_the_context_that_users_see():
    short = static_models(LLAMAS, max_length=20, widths=WIDTHS)
    run = generate(CASCADES[1], short, [1, 2], generator=torch.Generator(), max_tokens=40)
    assert run.finish == "context"
    assert len(run.tokens) == 18
    with pytest.raises(ValueError, match="21 tokens, but tiny0 holds 20: shorten it, or raise"):
        short.target.start().extend([1] * 21, 1)
    with pytest.raises(ValueError, match="holds 20: shorten the prompt"):
        generate(CASCADES[1], short, [1] * 20, generator=torch.Generator())


def test_a_profile_is_measured_with_the_engine_that_decodes(tmp_path, monkeypatch):
    target, draft = (save_checkpoint(tmp_path / str(i), seed=i) for i in range(2))
    models = load_models(
        target, [draft, "max-gram"], device="cpu", dtype="float64", engine="static"
    )
    assert isinstance(models.target, CompiledModel)
    passes = set()
    ready = DeviceState.ready

    def watched(state, model, kind, sampling, width, *rest, **more):
        passes.add((kind, model, width))
        return ready(state, model, kind, sampling, width, *rest, **more)

    monkeypatch.setattr(DeviceState, "ready", watched)
    prompts = [Prompt(i, "a", (text,), "measure") for i, text in enumerate(["the sea", "why"])]
    log = tmp_path / "records.jsonl"
    settings = {"max_tokens": 6, "positions": 4, "repeats": 1, "log": log}
    profile = measure(models, prompts, **settings)
    assert passes == {  # every width of every model was timed as the decoder runs it
        ("step", 1, 1), *(("look", m, w) for m in (0, 1) for w in (1, 2, 3, 4))
    } - {("look", 1, 1)}  # fmt: skip
    assert profile.measurement["experiment"]["engine"]["graphs"] is False
    passes.clear()
    assert measure(models, prompts, **settings).to_dict()["alphas"] == profile.to_dict()["alphas"]
    assert not passes  # resumed: nothing is measured again
    eager = load_models(target, [draft, "max-gram"], device="cpu", dtype="float64")
    assert engine_settings(eager) == {}
    with pytest.raises(ValueError, match=r"records\.jsonl"):
        measure(eager, prompts, **settings)  # another engine is another experiment
    assert json.dumps(engine_settings(models))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Engine.named("fast"), "engine must be one of eager, static, graphs, compiled"),
        (lambda: Engine(widths=(2, 4)), r"widths must ascend from 1, got \(2, 4\)"),
        (lambda: Engine(widths=(1, 4, 2)), "widths must ascend"),
        (lambda: Engine(widths=()), "widths must ascend"),
        (lambda: Engine(widths=[1, 5, 2]), r"widths must ascend from 1, got \(1, 5, 2\)"),
        (lambda: Engine(compile="most"), "compile must be one of default"),
        (lambda: Engine(max_length=0), "max_length must be >= 1, got 0"),
        (lambda: Engine(slack=0), "slack must be >= 1, got 0"),
        (lambda: Engine(first_reach=300), "first_reach must be a multiple of 256, got 300"),
        (lambda: check_engine("graphs", torch.device("cpu")), "graphs needs CUDA.*use static"),
        (
            lambda: CompiledModel(tiny_llama(0).module, name="m", engine=Engine(graphs=True)),
            'm is on cpu, and CUDA graphs need CUDA: use engine="static"',
        ),
        (
            lambda: with_engine(Models.of(TableModel(torch.zeros(2, 2), name="t")), "static"),
            "t shows no transformers module",
        ),
        (lambda: load_models("nothing", [], device="cpu", engine="graphs"), "graphs needs CUDA"),
    ],
)
def test_bad_engines_are_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_widths_may_be_any_sequence_of_int():
    for widths in ([1, 2], np.array([1, 2]), range(1, 3)):
        assert Engine(widths=widths) == Engine(widths=(1, 2))
        assert hash(Engine(widths=widths)) == hash(Engine(widths=(1, 2)))
    model = CompiledModel(tiny_llama(0).module, name="m", engine=Engine(widths=[1, 2, 5]))
    assert model.start().extend([1, 2, 3], 3).shape[0] == 3
    for bad in (4, None, "12", [1, 2.5]):
        with pytest.raises(TypeError, match="widths must be"):
            Engine(widths=bad)


def test_packed_layers_are_not_compiled():
    model = TransformersModel(pack_linears(tiny_llama(0).module.float()), name="m")
    for name in ("compiled", Engine(compile="default")):
        with pytest.raises(
            ValueError, match=r"^m has packed layers, .*: load it with pack=False$"
        ):
            with_engine(Models.of(model), name)
    assert with_engine(Models.of(model), "static").target.start().extend([1], 1).shape[0] == 1


def test_drafts_of_the_targets_own_weights_have_static_caches_too():
    target = tiny_target("llama")
    growing = Models.of(target, self_draft(target, "skip:0.3"), self_draft(target, "exit:2"))
    static = with_engine(growing, "static")
    for cascade in (Cascade((Draft(1, 3),)), Cascade((Review(1, (Draft(2, 2),), rounds=1),))):
        runs = [
            generate(
                cascade, models, [1, 2, 3], generator=torch.Generator().manual_seed(2),
                max_tokens=20,
            )
            for models in (growing, static)
        ]  # fmt: skip
        assert runs[0].tokens == runs[1].tokens
        assert runs[0].positions == runs[1].positions
    windowed = Models.of(target, self_draft(target, "window:8"))
    with pytest.raises(ValueError, match="window:8 shows no transformers module"):
        with_engine(windowed, "static")


def test_a_timer_adds_up_by_model_and_forgets():
    timer = PassTimer(torch.device("cpu"))
    for model in (0, 1, 1):
        with timer.around(model):
            time.sleep(0.002)
    seconds = timer.settle({1: 1.0})
    assert 0.002 <= seconds[0] < 1.0 < 1.004 <= seconds[1]
    assert timer.settle({}) == {}
    with pytest.raises(KeyError), timer.around(0):
        raise KeyError
    assert timer.settle({}) == {}  # a pass that failed took no time


def test_a_command_runs_with_the_engine_that_it_is_told(tmp_path):
    target, draft = (save_checkpoint(tmp_path / str(i), seed=i) for i in range(2))
    prompts, plan = tmp_path / "prompts.txt", tmp_path / "plan.json"
    prompts.write_text("tell about the sea\n\nwhy is the sun ?\n")
    plan.write_text(json.dumps(Cascade((Draft(1, 2),)).to_dict()))
    common = ["--target", target, "--drafts", draft, "--prompts", str(prompts), "--device", "cpu"]

    def command(*arguments):
        return CliRunner().invoke(app, [*arguments, *common])

    for name in ("eager", "static"):
        output = tmp_path / f"{name}.jsonl"
        done = command("run", "-o", output, "--plan", plan, "--max-tokens", "8", "--engine", name)
        assert done.exit_code == 0, done.output
    lines = {
        name: (tmp_path / f"{name}.jsonl").read_text().splitlines() for name in ("eager", "static")
    }
    header = json.loads(lines["static"][0])["experiment"]
    assert header["engine"]["widths"][0] == 1
    records = {
        name: [json.loads(line)["record"]["cascade"]["emitted"] for line in found[1:]]
        for name, found in lines.items()
    }
    assert records["eager"] == records["static"]
    done = command("measure", "-o", str(tmp_path / "p.json"), "--engine", "graphs")
    assert isinstance(done.exception, ValueError)
    assert "engine graphs needs CUDA, and the device is cpu: use static" in str(done.exception)


def test_a_named_engine_and_what_it_shows():
    assert Engine.named("eager") is None
    assert not Engine.named("static").graphs
    assert Engine.named("compiled").compile == "default"
    assert (
        repr(CompiledModel(tiny_llama(0).module, name="m")) == "CompiledModel('m', static caches)"
    )
    assert with_engine(LLAMAS, "eager") is LLAMAS


def test_batches_and_ties_work_on_static_models():
    runs = [
        generate_many(
            CASCADES[1], models, [[1, 2], [3]], generator=torch.Generator().manual_seed(2),
            batch=2, max_tokens=8,
        )
        for models in (LLAMAS, STATIC)
    ]  # fmt: skip
    assert [run.tokens for run in runs[0]] == [run.tokens for run in runs[1]]
    assert compare_greedy(CASCADES[3], STATIC, [1, 2, 3], max_tokens=20).equal
