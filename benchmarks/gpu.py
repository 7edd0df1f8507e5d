r"""Decoding on a GPU in one run: is it right, what does a pass cost, how fast is it.

    python benchmarks/gpu.py

Steps, each written to the record as soon as it is done: correctness (float32: greedy text of every
cascade with CUDA graphs is that of growing caches; the same random numbers give the same sampled
text), engines (a target pass with and without torch.compile and shared kernels), measure (rates
and costs with the fastest engine), choose (the cascade), ties (that cascade in bfloat16 against
plain greedy text), speed (plain, cascades, transformers' generate and assisted generation,
interleaved, with prompt-level bootstrap intervals of paired ratios), memory, goals.

A command on a lent machine may be limited to some minutes: run ``--steps correctness,engines``
first, then ``--steps measure,ties,speed,memory`` with the ``--engine`` that it printed.

Without CUDA it says so and ends; ``--small`` runs the same steps on a CPU on few tokens.
"""

import argparse
import gc
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cscalc.cascade import Cascade, Draft
from cscalc.choose import optimal_for_prompts
from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.records import provenance
from validate.decode import generate
from validate.engine import COMPILED_WIDTHS, Engine, with_engine
from validate.load import load_models, pick_device
from validate.measure import encode, end_tokens, measure, seeded
from validate.models import Models
from validate.prompts import Prompt, load_prompts
from validate.sampling import Sampling
from validate.ties import compare_greedy
from validate.timing import measure_passes

GREEDY = Sampling(0.0)
REACH = 1024  # positions that a compiled pass reads: one compilation for prompt and reply
GOALS = {  # name -> least value; figures of SmolLM2-135M and its drafts on one H200
    "plain, tokens/s": 600.0,
    "best cascade, tokens/s": 1200.0,
    "best cascade / plain": 1.8,
    "best cascade / assisted generation": 25.0,
    "measured / predicted speedup": 0.95,
}
MEGABYTE = 1 << 20


class Bench:
    """Options, console and record of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.console = options, Console(width=110)
        self.device = pick_device(options.device)
        self.on_gpu = self.device.type == "cuda"
        self.prompts = load_prompts(options.prompts, limit=options.limit)
        self.began = time.perf_counter()

    def write(self, step: str, found: dict[str, Any]) -> None:
        """Append a step to the record, with the seconds since the start."""
        elapsed = round(time.perf_counter() - self.began, 1)
        line = {"benchmark": "gpu", "step": step, "elapsed": elapsed, **found}
        self.console.print(f"-- {step}: done after {elapsed:g} s")
        if self.options.record:
            with Path(self.options.record).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def models(self, dtype: str, engine: Engine | None) -> Models:
        """Target and drafts, freshly loaded: an engine may change modules in place."""
        made = load_models(
            self.options.target, self.options.drafts.split(","), device=str(self.device),
            dtype=dtype, pack=False,
        )  # fmt: skip
        return made if engine is None else with_engine(made, engine)

    def decode(self, models: Models, cascade: Cascade, prompt: Prompt, **options: Any) -> Any:
        settings = {"sampling": GREEDY, "max_tokens": self.options.tokens} | options
        return generate(
            cascade, models, encode(models, prompt), eos=end_tokens(models),
            generator=seeded(1, prompt.question_id), **settings,
        )  # fmt: skip

    def free(self) -> None:
        """Give back what is no longer referenced."""
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()


def candidates(models: Models) -> list[Cascade]:
    """A few cascades over the models that are there."""
    found = [Cascade(()), Cascade((Draft(1, 4),))]
    if len(models) > 2:
        found.append(Cascade((Draft(1, 2), Draft(len(models) - 1, 4))))
    if len(models.language) > 2:
        found.append(Cascade((Draft(1, 3), Draft(2, 2))))
    return found


def correctness(bench: Bench) -> None:
    """Growing caches against static ones (graphs on CUDA), token by token, in float32."""
    engine = Engine(graphs=bench.on_gpu)
    growing, static = bench.models("float32", None), bench.models("float32", engine)
    few = bench.prompts[: bench.options.checked]
    rows = []
    for temperature in (0.0, 0.8):
        for cascade in candidates(growing):
            same, tokens = 0, 0
            for prompt in few:
                runs = [
                    bench.decode(
                        models, cascade, prompt, sampling=Sampling(temperature), max_tokens=32
                    ).tokens
                    for models in (growing, static)
                ]  # fmt: skip
                same += runs[0] == runs[1]
                tokens += len(runs[0])
            rows.append({
                "temperature": temperature, "cascade": str(cascade), "prompts": len(few),
                "same": same, "tokens": tokens,
            })  # fmt: skip
            bench.console.print(
                f"float32, T = {temperature:g}, {cascade}: same text on {same} of {len(few)}"
            )
    bench.write("correctness", {"rows": rows, "graphs": bench.on_gpu})


def engines(bench: Bench) -> Engine:
    """Time a target pass with every engine; return the fastest at one position."""
    shared = {"graphs": bench.on_gpu, "first_reach": REACH, "widths": COMPILED_WIDTHS}
    choices = {
        "static": Engine(**shared),
        "static, shared products": Engine(**shared, fuse=True),
        "static, shared products, grouped attention": Engine(**shared, fuse=True, grouped=True),
    }
    if bench.on_gpu or bench.options.compile:
        compiled = {**shared, "compile": bench.options.compile or "default", "fuse": True}
        choices["compiled, shared products"] = Engine(**compiled)
        choices["compiled, shared products, grouped"] = Engine(**compiled, grouped=True)
    times: dict[str, dict[int, float]] = {}
    for name, engine in choices.items():
        began = time.perf_counter()
        models = bench.models(bench.options.dtype, engine)
        text = encode(models, bench.prompts[0])
        alone = Models.of(models.target)
        found = measure_passes(
            alone, text, positions=(1, 4), repeats=bench.options.repeats, seed=0
        )
        times[name] = {
            m: float(np.median([x for one in found["0"][str(m)] for x in one])) for m in (1, 4)
        }
        bench.console.print(
            f"{name}: {times[name][1] * 1e3:.3f} ms at 1 position, {times[name][4] * 1e3:.3f} at 4"
            f" ({time.perf_counter() - began:.0f} s to load, compile and time)"
        )
        del models, alone
        bench.free()
    best = min(times, key=lambda name: times[name][1])
    settings = asdict(choices[best])
    bench.console.print(f"fastest: --engine '{json.dumps(settings)}'", soft_wrap=True)
    bench.write("engines", {"seconds": times, "best": best, "engine": settings})
    return choices[best]


def costs(bench: Bench, models: Models) -> tuple[Profile, Plan]:
    """Rates and costs of all passes with the engine that decodes; the cascade to run."""
    few = bench.prompts[: bench.options.measured]
    profile = measure(
        models, few, sampling=GREEDY, max_tokens=bench.options.tokens,
        positions=bench.options.positions, repeats=bench.options.repeats,
    )  # fmt: skip
    seconds = profile.measurement["pass_seconds"]
    ratios = profile.measurement["passes"]
    table = Table(title="milliseconds of a pass over m positions")
    widths = [m for m in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if m <= bench.options.positions]
    for column in ("model", *map(str, widths)):
        table.add_column(column)
    for number in models.language:
        unit = seconds * ratios["costs"][str(number)] * 1e3
        curve = ratios["verify"][str(number)]
        table.add_row(models.names[number], *(f"{unit * curve[m - 1]:.3f}" for m in widths))
    bench.console.print(table)
    plan = optimal_for_prompts(profile, max_length=min(24, bench.options.positions - 2))
    bench.console.print(f"chosen: {plan.cascade}, predicted {predicted(plan):.2f}x plain")
    bench.write("measure", {
        "pass_seconds": seconds, "passes": ratios, "alphas": profile.to_dict()["alphas"],
        "contexts": profile.measurement["contexts"],
    })  # fmt: skip
    bench.write("choose", {
        "cascade": plan.cascade.to_dict(), "text": str(plan.cascade), "ewif": plan.ewif,
        "predicted": predicted(plan), "tokens_per_cycle": plan.tokens_per_cycle,
    })  # fmt: skip
    return profile, plan


def predicted(plan: Plan) -> float:
    """Predicted speed-up over the measured prompts, each with its own rates."""
    own = plan.limits.get("own_rates") or {}
    return float(own.get("ewif", plan.ewif))


def ties(bench: Bench, models: Models, cascade: Cascade) -> None:
    """The chosen cascade's greedy text against plain greedy text, in the dtype that is timed."""
    checks = []
    for prompt in bench.prompts[: bench.options.checked]:
        check = compare_greedy(cascade, models, encode(models, prompt), max_tokens=32)
        checks.append(check.to_dict())
    passed = sum(check["passed"] for check in checks)
    equal = sum(check["position"] is None for check in checks)
    bench.console.print(
        f"{bench.options.dtype}: {equal} of {len(checks)} texts equal, {passed - equal} part at a "
        f"tie within rounding, {len(checks) - passed} are not explained"
    )
    bench.write("ties", {"dtype": bench.options.dtype, "checks": checks})


def theirs(models: Models, prompt: Prompt, tokens: int, assisted: int | None) -> Any:
    """Tokens and seconds after the prompt of transformers' own generation."""
    module = models.target.module
    ids = torch.tensor([encode(models, prompt)], device=models.device)
    options: dict[str, Any] = {
        "attention_mask": torch.ones_like(ids), "do_sample": False, "pad_token_id": 0,
        "eos_token_id": list(end_tokens(models)),
    }  # fmt: skip
    if assisted is not None:
        assistant = models.language[1].module
        settings = assistant.generation_config
        settings.num_assistant_tokens = assisted
        settings.num_assistant_tokens_schedule = "constant"
        settings.assistant_confidence_threshold = 0.0
        options["assistant_model"] = assistant
    seconds = []
    for most in (1, tokens):
        models.synchronize()
        began = time.perf_counter()
        with torch.inference_mode():
            out = module.generate(ids, max_new_tokens=most, **options)
        models.synchronize()
        seconds.append(time.perf_counter() - began)
    return out.shape[1] - ids.shape[1] - 1, seconds[1] - seconds[0]  # the first is taken off


def speed(bench: Bench, models: Models, plan: Plan) -> dict[str, float]:
    """All decoders in turns, prompt by prompt; ratios with intervals, and the goals' values."""
    most = bench.options.tokens
    library = bench.models(bench.options.dtype, None)
    lengths = (2, 4, 6, 8)

    def ours(cascade: Cascade) -> Callable[[Prompt], tuple[int, float]]:
        def run(prompt: Prompt) -> tuple[int, float]:
            done = bench.decode(models, cascade, prompt)
            return len(done.tokens), done.decode_seconds

        return run

    sides = {"plain": ours(Cascade(())), "best cascade": ours(plan.cascade)}
    sides |= {f"1:{length}": ours(Cascade((Draft(1, length),))) for length in lengths}
    sides["transformers generate"] = lambda prompt: theirs(library, prompt, most, None)
    sides["transformers assisted"] = lambda prompt: theirs(library, prompt, most, 4)
    names = list(sides)
    for side in sides.values():
        side(bench.prompts[0])  # graphs are recorded, kernels chosen
    shape = (bench.options.rounds, len(bench.prompts), len(names))
    tokens, seconds = np.zeros(shape), np.zeros(shape)
    for again in range(shape[0]):
        for i, prompt in enumerate(bench.prompts):
            for j in range(len(names)):
                column = (again + i + j) % len(names)
                tokens[again, i, column], seconds[again, i, column] = sides[names[column]](prompt)
    tokens, seconds = tokens.sum(axis=0), seconds.sum(axis=0)  # (prompts, sides)
    picks = np.random.default_rng(0).integers(len(tokens), size=(2000, len(tokens)))
    per_second = tokens.sum(axis=0) / seconds.sum(axis=0)
    resampled = tokens[picks].sum(axis=1) / seconds[picks].sum(axis=1)  # (2000, sides)
    table = Table(title=f"{len(tokens)} prompts, {most} tokens, greedy, {bench.device}")
    for column in ("decoder", "tokens/s", "x plain [95 %]", "x assisted [95 %]"):
        table.add_column(column)
    rows = []
    for j, name in enumerate(names):
        row: dict[str, Any] = {"decoder": name, "tokens_per_second": float(per_second[j])}
        for other in ("plain", "transformers assisted"):
            k = names.index(other)
            low, high = np.quantile(resampled[:, j] / resampled[:, k], [0.025, 0.975])
            row[f"to {other}"] = [float(x) for x in (per_second[j] / per_second[k], low, high)]
        rows.append(row)
        shown = [
            "{:.2f} [{:.2f}, {:.2f}]".format(*row[f"to {other}"])
            for other in ("plain", "transformers assisted")
        ]
        table.add_row(name, f"{per_second[j]:.1f}", *shown)
    bench.console.print(table)
    bench.write("speed", {
        "rows": rows, "cascade": str(plan.cascade), "tokens": tokens.tolist(),
        "seconds": seconds.tolist(), "names": names,
    })  # fmt: skip
    plain, best = rows[0], rows[1]
    return {
        "plain, tokens/s": plain["tokens_per_second"],
        "best cascade, tokens/s": best["tokens_per_second"],
        "best cascade / plain": best["to plain"][0],
        "best cascade / assisted generation": best["to transformers assisted"][0],
        "measured / predicted speedup": best["to plain"][0] / predicted(plan),
    }


def memory(bench: Bench, models: Models, cascade: Cascade) -> None:
    """Peak of one run beyond weights and caches."""
    if not bench.on_gpu:
        bench.console.print("memory: no CUDA here, so no peak of the device")
        return
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    bench.decode(models, cascade, bench.prompts[0])
    weights = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for model in models.language.values()
        for tensor in (*model.module.parameters(), *model.module.buffers())
    }
    lanes = [model.start().lane for model in models.language.values()]
    found = {
        "weights": sum(weights.values()), "caches": sum(lane.cache.bytes() for lane in lanes),
        "peak_allocated": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.memory_reserved(),
    }  # fmt: skip
    beyond = found["peak_allocated"] - found["weights"] - found["caches"]
    bench.console.print(
        f"memory: weights {found['weights'] / MEGABYTE:.0f} MB, caches "
        f"{found['caches'] / MEGABYTE:.0f} MB, peak {beyond / MEGABYTE:.0f} MB beyond them (goal "
        f"200), reserved {found['reserved'] / MEGABYTE:.0f} MB"
    )
    bench.write("memory", found)


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
    parser.add_argument("--steps", default="correctness,engines,measure,ties,speed,memory")
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
    steps = options.steps.split(",")
    facts: dict[str, Any] = {"provenance": provenance(), "device": str(bench.device)}
    if bench.on_gpu:
        facts["gpu"] = torch.cuda.get_device_name(bench.device)
    bench.write("start", facts | {"options": vars(options)})
    if "correctness" in steps:
        correctness(bench)
        bench.free()
    engine = Engine(
        graphs=bench.on_gpu, fuse=True, grouped=True, first_reach=REACH, widths=COMPILED_WIDTHS,
        compile="default" if bench.on_gpu else None,
    )  # fmt: skip
    if options.engine:
        given = json.loads(options.engine)
        engine = Engine(**given | {"widths": tuple(given.get("widths", COMPILED_WIDTHS))})
    elif "engines" in steps:
        engine = engines(bench)
    if "measure" not in steps:
        return
    models = bench.models(options.dtype, engine)
    bench.console.print(f"running with {models.target!r}")
    _, plan = costs(bench, models)
    if "ties" in steps:
        ties(bench, models, plan.cascade)
    if "speed" in steps:
        values = speed(bench, models, plan)
        goals = {
            name: {"value": values[name], "goal": goal, "met": values[name] >= goal}
            for name, goal in GOALS.items()
        }
        for name, goal in goals.items():
            word = "met" if goal["met"] else "not met"
            bench.console.print(f"{name}: {goal['value']:.2f}, goal {goal['goal']:g}: {word}")
        bench.write("goals", {"goals": goals})
    if "memory" in steps:
        memory(bench, models, plan.cascade)


if __name__ == "__main__":
    main()
