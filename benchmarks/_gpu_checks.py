"""Steps of benchmarks/gpu.py that need no profile: is it right, which engine is fastest."""

import json
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from cscalc.cascade import Cascade, Draft
from validate.engine import COMPILED_WIDTHS, Engine
from validate.measure import encode
from validate.models import Models
from validate.sampling import Sampling
from validate.ties import compare_greedy
from validate.timing import measure_passes

REACH = 1024  # positions that a compiled pass reads: one compilation for prompt and reply
LAWS = (Sampling(0.0), Sampling(0.8), Sampling(0.8, top_p=0.9))


def candidates(models: Models) -> list[Cascade]:
    """A few cascades over the models that are there."""
    found = [Cascade(()), Cascade((Draft(1, 4),))]
    if len(models) > 2:
        found.append(Cascade((Draft(1, 2), Draft(len(models) - 1, 4))))
    if len(models.language) > 2:
        found.append(Cascade((Draft(1, 3), Draft(2, 2))))
    return found


def correctness(bench: Any) -> None:
    """Growing caches against static ones (graphs on CUDA), token by token, in float32."""
    engine = Engine(graphs=bench.on_gpu)
    growing, static = bench.models("float32", None), bench.models("float32", engine)
    few = bench.prompts[: bench.options.checked]
    rows = []
    for sampling in LAWS:
        for cascade in candidates(growing):
            same, tokens = 0, 0
            for prompt in few:
                runs = [
                    bench.decode(
                        models, cascade, prompt, sampling=sampling, max_tokens=32
                    ).tokens
                    for models in (growing, static)
                ]  # fmt: skip
                same += runs[0] == runs[1]
                tokens += len(runs[0])
            rows.append({
                "sampling": sampling.to_dict(), "cascade": str(cascade), "prompts": len(few),
                "same": same, "tokens": tokens,
            })  # fmt: skip
            bench.console.print(
                f"float32, T = {sampling.temperature:g}, top_p {sampling.top_p}, {cascade}: same "
                f"text on {same} of {len(few)}"
            )
            bench.write("same", rows[-1])
    bench.write("correctness", {"rows": rows, "graphs": bench.on_gpu})


def engines(bench: Any) -> Engine:
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
        try:
            found = _time(bench, engine)
        except Exception as error:  # one that does not run here must not take the others along
            bench.write("engine", {"name": name, "error": f"{type(error).__name__}: {error}"})
            bench.console.print(f"{name}: does not run: {error}", markup=False)
            continue
        finally:
            bench.free()
        times[name] = found
        took = round(time.perf_counter() - began, 1)
        bench.console.print(
            f"{name}: {found[1] * 1e3:.3f} ms at 1 position, {found[4] * 1e3:.3f} at 4 "
            f"({took:g} s to load, compile and time)"
        )
        bench.write("engine", {
            "name": name, "seconds": found, "took": took, "engine": asdict(engine)
        })  # fmt: skip
    best = min(times, key=lambda name: times[name][1])
    settings = asdict(choices[best])
    bench.console.print(f"fastest: {best}: --engine '{json.dumps(settings)}'", soft_wrap=True)
    bench.write("engines", {"seconds": times, "best": best, "engine": settings})
    bench.keep("engine.json", settings)
    return choices[best]


def _time(bench: Any, engine: Engine) -> dict[int, float]:
    """Median seconds of the target's pass over 1 and over 4 positions."""
    models = bench.models(bench.options.dtype, engine, drafts="")
    text = encode(models, bench.prompts[0])
    found = measure_passes(models, text, positions=(1, 4), repeats=bench.options.repeats, seed=0)
    return {m: float(np.median([x for one in found["0"][str(m)] for x in one])) for m in (1, 4)}


def engine_of(settings: dict[str, Any]) -> Engine:
    """The engine that a record or an option describes."""
    return Engine(**settings | {"widths": tuple(settings.get("widths", COMPILED_WIDTHS))})


def default_engine(on_gpu: bool) -> Engine:
    """What is taken where none was timed."""
    engine = Engine(fuse=True, grouped=True, first_reach=REACH, widths=COMPILED_WIDTHS)
    return replace(engine, graphs=on_gpu, compile="default" if on_gpu else None)


def ties(bench: Any, models: Models, cascade: Cascade) -> None:
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
