"""Steps of benchmarks/gpu.py that time: costs of passes, all decoders side by side, memory."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from rich.table import Table

from cscalc.cascade import Cascade, Draft
from cscalc.choose import optimal_for_prompts
from cscalc.plan import Plan
from cscalc.profile import Profile
from validate.engine import KEPT_LANES
from validate.measure import encode, end_tokens, measure
from validate.models import Models
from validate.prompts import Prompt
from validate.sampling import Sampling

GREEDY = Sampling(0.0)
GOALS = {  # name -> least value; figures of SmolLM2-135M and its drafts on one H200
    "plain, tokens/s": 600.0,
    "best cascade, tokens/s": 1200.0,
    "best cascade / plain": 1.8,
    "best cascade / assisted generation": 25.0,
    "measured / predicted speedup": 0.95,
}
MEGABYTE = 1 << 20
LENGTHS = (2, 4, 6, 8)  # of the one-draft cascades beside the chosen one


def costs(bench: Any, models: Models) -> Profile:
    """Rates and costs of all passes with the engine that decodes; goes on where it was."""
    few = bench.prompts[: bench.options.measured]
    profile = measure(
        models, few, sampling=GREEDY, max_tokens=bench.options.tokens,
        positions=bench.options.positions, repeats=bench.options.repeats,
        log=bench.kept("measured.jsonl"),
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
    bench.write("measure", {
        "pass_seconds": seconds, "passes": ratios, "alphas": profile.to_dict()["alphas"],
        "contexts": profile.measurement["contexts"],
    })  # fmt: skip
    bench.keep("profile.json", profile.to_dict())
    return profile


def choose(bench: Any, profile: Profile) -> Plan:
    """The cascade to run."""
    longest = min(24, bench.options.positions - 2)
    plan = optimal_for_prompts(profile, max_length=longest)
    bench.console.print(f"chosen: {plan.cascade}, predicted {predicted(plan):.2f}x plain")
    bench.write("choose", {
        "cascade": plan.cascade.to_dict(), "text": str(plan.cascade), "ewif": plan.ewif,
        "predicted": predicted(plan), "tokens_per_cycle": plan.tokens_per_cycle,
    })  # fmt: skip
    bench.keep("plan.json", plan.to_dict())
    return plan


def predicted(plan: Plan) -> float:
    """Predicted speed-up over the measured prompts, each with its own rates."""
    own = plan.limits.get("own_rates") or {}
    return float(own.get("ewif", plan.ewif))


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


def speed(bench: Any, models: Models, plan: Plan) -> dict[str, float]:
    """All decoders in turns, prompt by prompt; ratios with intervals, and the goals' values."""
    most, prompts = bench.options.tokens, bench.prompts
    library = bench.models(bench.options.dtype, None)

    def ours(cascade: Cascade) -> Callable[[Prompt], tuple[int, float]]:
        def run(prompt: Prompt) -> tuple[int, float]:
            done = bench.decode(models, cascade, prompt)
            return len(done.tokens), done.decode_seconds

        return run

    sides = {"plain": ours(Cascade(())), "best cascade": ours(plan.cascade)}
    sides |= {f"1:{length}": ours(Cascade((Draft(1, length),))) for length in LENGTHS}
    sides["transformers generate"] = lambda prompt: theirs(library, prompt, most, None)
    sides["transformers assisted"] = lambda prompt: theirs(library, prompt, most, 4)
    own = [name for name in sides if not name.startswith("transformers")]
    for prompt in prompts:  # graphs are recorded, kernels chosen: at all widths that will be met
        for name in own:
            sides[name](prompt)
    for name in sides.keys() - own:
        sides[name](prompts[0])
    taken = take(bench, sides)
    rows = compared(bench, list(sides), *taken)
    bench.write("speed", {"rows": rows, "cascade": str(plan.cascade)})
    plain, best = rows[0], rows[1]
    return {
        "plain, tokens/s": plain["tokens_per_second"],
        "best cascade, tokens/s": best["tokens_per_second"],
        "best cascade / plain": best["to plain"][0],
        "best cascade / assisted generation": best["to transformers assisted"][0],
        "measured / predicted speedup": best["to plain"][0] / predicted(plan),
    }


def take(
    bench: Any, sides: Mapping[str, Callable[[Prompt], tuple[int, float]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and seconds, (prompts, sides); a prompt in its turn is written as it is done."""
    names, prompts, rounds = list(sides), bench.prompts, bench.options.rounds
    tokens, seconds = np.zeros((2, len(prompts), len(names)))
    done = 0
    for again in range(rounds):
        for i, prompt in enumerate(prompts):
            if bench.late() and done:
                bench.console.print(f"out of time after {done} of {rounds * len(prompts)} turns")
                timed = tokens.sum(axis=1) > 0.0
                return tokens[timed], seconds[timed]
            turn = {}
            for j in range(len(names)):
                column = (again + i + j) % len(names)
                found = sides[names[column]](prompt)
                turn[names[column]] = found
                tokens[i, column] += found[0]
                seconds[i, column] += found[1]
            bench.write("turn", {"round": again, "prompt": prompt.question_id, "found": turn})
            done += 1
    return tokens, seconds


def compared(
    bench: Any, names: list[str], tokens: np.ndarray, seconds: np.ndarray
) -> list[dict[str, Any]]:
    """Tokens per second of each side, and ratios with prompt-level bootstrap intervals."""
    picks = np.random.default_rng(0).integers(len(tokens), size=(2000, len(tokens)))
    per_second = tokens.sum(axis=0) / seconds.sum(axis=0)
    resampled = tokens[picks].sum(axis=1) / seconds[picks].sum(axis=1)  # (2000, sides)
    table = Table(
        title=f"{len(tokens)} prompts, {bench.options.tokens} tokens, greedy, {bench.device}"
    )
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
    return rows


def memory(bench: Any, models: Models, cascade: Cascade) -> None:
    """Peak of one run beyond weights and caches."""
    if not bench.on_gpu:
        bench.console.print("memory: no CUDA here, so no peak of the device")
        return
    bench.free()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    bench.decode(models, cascade, bench.prompts[0])
    weights = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for model in models.language.values()
        for tensor in (*model.module.parameters(), *model.module.buffers())
    }
    sessions = [model.start() for model in models.language.values() for _ in range(KEPT_LANES)]
    lanes = [session.lane for session in sessions]  # all that lie idle
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
