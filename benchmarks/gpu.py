r"""Decoding on a GPU in one run: is it right, what does a pass cost, how fast is it.

    python benchmarks/gpu.py

Steps: correctness (float32: text of cascades with CUDA graphs is that of growing caches, greedy
and on the same random numbers), engines (a target pass with and without torch.compile and shared
kernels), measure (rates and costs with the fastest engine), choose (the cascade), ties (that
cascade in bfloat16 against plain greedy text), speed (plain, cascades, transformers' generate and
assisted generation, interleaved, with prompt-level bootstrap intervals of paired ratios), memory,
goals. Everything is written to the record as soon as it is known, so nothing is lost when a run
is cut; a step that fails is written with its error, and the next one runs.

Where a command may last some minutes only, run the steps one after another; what one leaves for
the next (engine, records of the measurement, profile, plan) lies in ``--keep``:

    python benchmarks/gpu.py --steps correctness,engines --keep build/gpu
    python benchmarks/gpu.py --steps measure,choose --keep build/gpu
    python benchmarks/gpu.py --steps ties,speed,memory --keep build/gpu --seconds 480

Without CUDA it says so and ends; ``--small`` runs the same steps on a CPU on few tokens.
"""

import argparse
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _gpu_checks import correctness, default_engine, engine_of, engines, ties
from _gpu_speed import GOALS, GREEDY, choose, costs, memory, speed
from rich.console import Console

from cscalc.cascade import Cascade
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.records import provenance
from validate.decode import generate
from validate.engine import Engine, with_engine
from validate.load import load_models, pick_device
from validate.measure import encode, end_tokens, seeded
from validate.models import Models
from validate.prompts import Prompt, load_prompts

STEPS = "correctness,engines,measure,choose,ties,speed,memory"


class Bench:
    """Options, console and record of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.console = options, Console(width=110)
        self.device = pick_device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.prompts = load_prompts(options.prompts, limit=options.limit)
        self.began = time.perf_counter()
        self.failed: list[str] = []

    def write(self, step: str, found: dict[str, Any]) -> None:
        """Append a step to the record, with the seconds since the start."""
        elapsed = round(time.perf_counter() - self.began, 1)
        line = {"benchmark": "gpu", "step": step, "elapsed": elapsed, **found}
        if step not in ("turn", "same", "engine"):
            self.console.print(f"-- {step}: done after {elapsed:g} s")
        if self.options.record:
            with Path(self.options.record).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def late(self) -> bool:
        """Whether the time that was given is over."""
        given = self.options.seconds
        return given is not None and time.perf_counter() - self.began > given

    def kept(self, name: str) -> Path | None:
        """Path of what one call leaves for the next; None if nothing is kept."""
        if self.options.keep is None:
            return None
        folder = Path(self.options.keep)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def keep(self, name: str, data: dict[str, Any]) -> None:
        """Leave `data` for a later call."""
        path = self.kept(name)
        if path is not None:
            path.write_text(json.dumps(data), encoding="utf-8")

    def found(self, name: str) -> dict[str, Any] | None:
        """What an earlier call left."""
        path = self.kept(name)
        if path is None or not path.is_file():
            return None
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def models(self, dtype: str, engine: Engine | None, drafts: str | None = None) -> Models:
        """Target and drafts, freshly loaded: an engine may change modules in place."""
        named = self.options.drafts if drafts is None else drafts
        made = load_models(
            self.options.target, [name for name in named.split(",") if name],
            device=str(self.device), dtype=dtype, pack=False,
        )  # fmt: skip
        return made if engine is None else with_engine(made, engine)

    def decode(self, models: Models, cascade: Cascade, prompt: Prompt, **options: Any) -> Any:
        settings = {"sampling": GREEDY, "max_tokens": self.options.tokens} | options
        return generate(
            cascade, models, encode(models, prompt), eos=end_tokens(models),
            generator=seeded(1, prompt.question_id), **settings,
        )  # fmt: skip

    def run(self, step: str, work: Callable[[], Any]) -> Any:
        """Result of a step that is asked for and has time; None of another, or if it fails."""
        if step not in self.options.steps.split(","):
            return None
        if self.late():
            self.console.print(f"-- {step}: left out, the time is over")
            return None
        try:
            return work()
        except Exception as error:  # written down; other steps may still tell something
            self.failed.append(step)
            self.write("error", {"of": step, "error": f"{type(error).__name__}: {error}"})
            self.console.print(traceback.format_exc(), markup=False, highlight=False)
            return None
        finally:
            self.free()

    def free(self) -> None:
        """Give back what is no longer referenced."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="smollm2-135m")
    parser.add_argument("--drafts", default="mid,tiny,max-gram")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default=None, help="bfloat16; float32 with --small")
    parser.add_argument("--prompts", help="as in python -m validate; default: the bundled ones")
    parser.add_argument("--limit", type=int, default=16, help="prompts to time")
    parser.add_argument("--checked", type=int, default=6, help="prompts to compare texts on")
    parser.add_argument("--measured", type=int, default=16, help="prompts to measure on")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--positions", type=int, default=24, help="widths to time, at most 32")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2, help="times that each prompt is timed")
    parser.add_argument("--compile", help="mode of torch.compile; default on CUDA: default")
    parser.add_argument("--steps", default=STEPS)
    parser.add_argument("--keep", help="folder in which one call leaves what the next one needs")
    parser.add_argument("--seconds", type=float, help="begin nothing more after so many seconds")
    parser.add_argument("--engine", help="JSON of an Engine, instead of the step engines")
    parser.add_argument("--small", action="store_true", help="few tokens, also on a CPU")
    parser.add_argument("--record", help="default: gpu.jsonl in $OUT, else in records/")
    options = parser.parse_args()
    if options.small:
        options.limit, options.checked, options.measured = 2, 1, 2
        options.tokens, options.positions, options.repeats, options.rounds = 8, 6, 2, 1
    options.dtype = options.dtype or ("float32" if options.small else "bfloat16")
    if options.record is None and os.environ.get("OUT"):
        options.record = str(Path(os.environ["OUT"]) / "gpu.jsonl")
    elif options.record is None and not options.small:
        options.record = str(Path(__file__).parent / "records" / "gpu.jsonl")
    bench = Bench(options)
    if not bench.on_gpu and not options.small:
        bench.console.print("gpu: no CUDA here, nothing is timed (--small runs the steps anyway)")
        return
    facts: dict[str, Any] = {"provenance": provenance(), "device": str(bench.device)}
    if bench.on_gpu:
        facts["gpu"] = torch.cuda.get_device_name(bench.device)
    bench.write("start", facts | {"options": vars(options)})
    bench.run("correctness", lambda: correctness(bench))
    engine = bench.run("engines", lambda: engines(bench))
    if options.engine or engine is None:
        told = json.loads(options.engine) if options.engine else bench.found("engine.json")
        engine = default_engine(bench.on_gpu) if told is None else engine_of(told)
    if set(options.steps.split(",")) - {"correctness", "engines"}:
        decode(bench, engine)
    if bench.failed:
        sys.exit(f"failed: {', '.join(bench.failed)}")


def decode(bench: Bench, engine: Engine) -> None:
    """The steps that need the models as they will run."""
    models = bench.models(bench.options.dtype, engine)
    bench.console.print(f"running with {models.target!r}")
    measured = bench.run("measure", lambda: costs(bench, models))
    kept = bench.found("profile.json")
    profile = Profile.from_dict(kept) if measured is None and kept is not None else measured
    plan = None if profile is None else bench.run("choose", lambda: choose(bench, profile))
    chosen = bench.found("plan.json")
    if plan is None and chosen is not None:
        plan = Plan.from_dict(chosen)
    if plan is None:
        bench.console.print("no plan: run measure and choose first, with the same --keep")
        return
    bench.run("ties", lambda: ties(bench, models, plan.cascade))
    bench.run("speed", lambda: met(bench, models, plan))
    bench.run("memory", lambda: memory(bench, models, plan.cascade))


def met(bench: Bench, models: Models, plan: Plan) -> None:
    """Time all decoders, and compare with the goals."""
    values = speed(bench, models, plan)
    goals = {
        name: {"value": values[name], "goal": goal, "met": values[name] >= goal}
        for name, goal in GOALS.items()
    }
    for name, goal in goals.items():
        word = "met" if goal["met"] else "not met"
        bench.console.print(f"{name}: {goal['value']:.2f}, goal {goal['goal']:g}: {word}")
    bench.write("goals", {"goals": goals})


if __name__ == "__main__":
    main()
