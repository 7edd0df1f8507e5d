r"""DyTC's router beside the best fixed configuration in hindsight, on texts that change or not.

    python benchmarks/routing.py --record benchmarks/records/routing.jsonl
    python benchmarks/routing.py --real --record benchmarks/records/routing.jsonl

Without --real: simulated texts (`validate.routing`), 8 draws each, an untaught router for every
draw; regret is the share of the best fixed configuration's speed that is lost, negative where
the router gains, with its standard error. "ratio" and "printed" are the objectives; "ema" is
Eq. 4's estimate of acceptance, "adaptive" ours.

With --real: SmolLM2-135M and its bundled drafts on real prompts that switch task in blocks, and
on one task alone. One router runs through all of them; every fixed configuration of a list runs
on every prompt too, in turns, and the best of them is taken in hindsight. Times are measured, so
nothing else may run on the machine.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cscalc.cascade import Cascade, Draft, Review
from cscalc.records import provenance
from validate.dytc import DyTC, candidates_of
from validate.dytc_learning import RouterSettings
from validate.load import load_models
from validate.measure import encode, end_tokens, seeded
from validate.prompts import load_prompts
from validate.routing import COSTS, STATIONARY, SWITCHING, Phase, Stream, try_router
from validate.sampling import Sampling
from validate.tree_decode import generate_tree
from validate.tree_shape import Comb

STREAMS = {
    "stationary, mixed": STATIONARY,
    "stationary, lookup good": Stream((Phase(3000, (0.8, 0.6, 0.8)),), COSTS),
    "stationary, lookup poor": Stream((Phase(3000, (0.9, 0.7, 0.1)),), COSTS),
    "stationary, CAS-Spec": Stream((Phase(3000, (0.75, 0.5, 0.3)),), (0.59, 0.4, 0.01)),
    "switching, 400": SWITCHING,
    "switching, 150": Stream(
        (Phase(150, (0.85, 0.5, 0.2)), Phase(150, (0.5, 0.4, 0.9))) * 8, COSTS
    ),
    "switching, three ways": Stream(
        (Phase(500, (0.9, 0.5, 0.1)), Phase(500, (0.6, 0.6, 0.9)), Phase(500, (0.4, 0.7, 0.2)))
        * 2, COSTS,
    ),
}  # fmt: skip
ROUTERS: dict[str, dict[str, Any]] = {
    "ratio, adaptive": {},
    "ratio, ema": {"estimate": "ema"},
    "printed, adaptive": {"objective": "printed"},
    "printed, ema": {"objective": "printed", "estimate": "ema"},
    "ratio, no looks at idle drafts": {"audit": 0.0},
}


def simulated(draws: int, console: Console) -> list[dict[str, Any]]:
    """Rows of stream by router."""
    table = Table(title=f"regret against the best fixed configuration, {draws} draws (%)")
    for name in ("stream", "best fixed", "oracle", *ROUTERS):
        table.add_column(name)
    rows = []
    for name, stream in STREAMS.items():
        cells = []
        for router, options in ROUTERS.items():
            candidates = candidates_of(stream.models(0))
            fresh = [DyTC(candidates, RouterSettings(**options)) for _ in range(draws)]
            trial = try_router(stream, fresh)
            rows.append({
                "stream": name, "router": router, "ewif": trial.ewif, "sigma": trial.sigma,
                "best_fixed": trial.fixed, "configuration": str(trial.best),
                "oracle": trial.oracle, "regret": trial.regret,
                "regret_sigma": trial.regret_sigma, "draws": draws, "tokens": stream.tokens,
                "phases": [[p.tokens, list(p.alphas)] for p in stream.phases],
                "costs": list(stream.costs), "switches": stream.switches,
            })  # fmt: skip
            cells.append(f"{100 * trial.regret:.1f} ± {100 * trial.regret_sigma:.1f}")
        table.add_row(name, f"{trial.fixed:.3f}", f"{trial.oracle:.3f}", *cells)
    console.print(table)
    return rows


FIXED = {
    "plain": Comb(Cascade(())),
    "mid x3": Comb(Cascade((Draft(1, 3),))),
    "tiny x3": Comb(Cascade((Draft(2, 3),))),
    "max-gram x8": Comb(Cascade((Draft(3, 8),))),
    "mid x2, max-gram x6": Comb(Cascade((Draft(1, 2), Draft(3, 6)))),
    "mid(max-gram x4) x2, max-gram x6": Comb(
        Cascade((Review(1, (Draft(3, 4),), rounds=2), Draft(3, 6)))
    ),
    "mid x2 w2, max-gram x6": Comb(Cascade((Draft(1, 2), Draft(3, 6))), 2),
}


def interval(times: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of the ratio of the sums of two columns, prompts drawn with replacement."""
    rng = np.random.default_rng(26)
    picks = rng.integers(len(times), size=(resamples, len(times)))
    sums = times[picks].sum(axis=1)  # (resamples, 2)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)


def real(most: int, limit: int | None, console: Console) -> list[dict[str, Any]]:
    """Rows of text by method: tokens a second, by prompt."""
    models = load_models()
    prompts = load_prompts(limit=limit)
    by_task = {c: [p for p in prompts if p.category == c] for c in {p.category for p in prompts}}
    order = [p for task in sorted(by_task) for p in by_task[task]]  # blocks of one task
    longest = max(sorted(by_task), key=lambda task: len(by_task[task]))
    texts = {"switching": order, f"stationary: {longest}": by_task[longest] * 3}
    rows = []
    for name, sequence in texts.items():
        methods: dict[str, Any] = {**FIXED, "DyTC": DyTC(candidates_of(models))}
        tokens = np.zeros((len(sequence), len(methods)))
        seconds = np.zeros_like(tokens)
        for i, prompt in enumerate(sequence):
            names = list(methods)
            for j in np.roll(np.arange(len(names)), i):
                run = generate_tree(
                    methods[names[j]], models, encode(models, prompt),
                    generator=seeded(1, prompt.question_id), max_tokens=most,
                    sampling=Sampling(0.0), eos=end_tokens(models),
                )  # fmt: skip
                tokens[i, j], seconds[i, j] = len(run.tokens), run.decode_seconds
        speed = tokens.sum(axis=0) / seconds.sum(axis=0)
        best = int(np.argmax(speed[:-1]))
        table = Table(title=f"{name}: {len(sequence)} prompts")
        for column in ("method", "tokens/s", "regret against the best fixed"):
            table.add_column(column)
        for j, method in enumerate(methods):
            ratio = speed[j] / speed[best]
            low, high = interval(seconds[:, [best, j]])  # all write the same greedy text
            table.add_row(
                method, f"{speed[j]:.1f}",
                f"{100 * (1 - ratio):.1f} % [{100 * (1 - high):.1f}, {100 * (1 - low):.1f}]",
            )  # fmt: skip
            rows.append({
                "text": name, "method": method, "tokens": tokens[:, j].tolist(),
                "seconds": seconds[:, j].tolist(), "tokens_per_second": float(speed[j]),
                "best_fixed": list(methods)[best], "ratio_low": low, "ratio_high": high,
            })  # fmt: skip
        console.print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", action="store_true", help="on SmolLM2 and real prompts")
    parser.add_argument("--draws", type=int, default=8, help="of every simulated text")
    parser.add_argument("--tokens", type=int, default=96, help="of every real prompt")
    parser.add_argument("--prompts", type=int, help="of the real ones; default: all")
    parser.add_argument("--record", type=Path, help="JSON Lines file to append to")
    arguments = parser.parse_args()
    console = Console(stderr=True, width=150)
    if arguments.real:
        rows = real(arguments.tokens, arguments.prompts, console)
    else:
        rows = simulated(arguments.draws, console)
    if arguments.record:
        record = {
            "benchmark": "routing", "kind": "real" if arguments.real else "simulated",
            "rows": rows, "provenance": provenance(),
        }  # fmt: skip
        with arguments.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
