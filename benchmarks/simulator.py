"""Speed and memory of the simulator: nanoseconds a token, compile time, two processes.

    python benchmarks/simulator.py --record benchmarks/records/simulator.jsonl

Each speed is the median of `--repeats` runs, the kernels compiled before; a run of one process
and one of two follow each other, so their ratio is of one state of the machine. Compile times
are of a fresh interpreter with an empty numba cache, and take the import of cscalc off. Memory is
what the run adds to a fresh interpreter that has run ten cycles, at its peak (Linux only). Give
the machine nothing else to do.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cscalc.acceptance import BetaMixture, Markov, Mixture, Trace
from cscalc.cascade import Cascade, Draft, Review
from cscalc.profile import Profile
from cscalc.records import provenance
from cscalc.simulate import simulate, simulate_batch, simulate_reply

ALPHAS = [[1, 0.8, 0.5], [0, 1, 0.7], [0, 0, 1]]
HARD = [[1, 0.5, 0.2], [0, 1, 0.4], [0, 0, 1]]
COSTS = [0.2, 0.02]
PROFILE = Profile(ALPHAS, COSTS)
CASCADES = {
    "speculative": Cascade((Draft(1, 5),)),
    "nested": Cascade((Review(1, (Draft(2, 4),), rounds=2), Draft(2, 3))),
}
LIMITS = {"speculative": 4.0, "nested": 30.0}  # ns an emitted token
WORK = {"speculative": 20_000_000, "nested": 1_000_000}  # cycles a timed run, about 0.1 s
MODELS = {
    "mixture": Mixture([0.5, 0.5], [ALPHAS, HARD]),
    "beta mixture": BetaMixture(4.0),
    "markov": Markov(ALPHAS, HARD, to_easy=0.1, to_hard=0.1),
    "trace": Trace([{(0, 1): np.linspace(0.5, 1, 200), (1, 2): np.linspace(1, 0.3, 200)}] * 3),
}
COMPILE = """
import sys, time
sys.path.insert(0, {root!r})
from benchmarks.simulator import CASCADES, PROFILE, Profile, Markov, simulate, np
began = time.perf_counter()
for cascade in CASCADES.values():
    simulate(cascade, PROFILE, 10, rng=np.random.default_rng(1))
tables = time.perf_counter() - began
began = time.perf_counter()
profile = Profile([0.8], [0.1], acceptance=Markov([0.9], [0.5], 0.1, 0.1))
simulate(CASCADES["speculative"], profile, 10, rng=np.random.default_rng(1))
print(tables, time.perf_counter() - began)
"""
MEMORY = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from benchmarks.simulator import CASCADES, PROFILE, simulate, np
simulate(CASCADES[{name!r}], PROFILE, 10, rng=np.random.default_rng(1))
def resident(field):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
    return int(status[field].split()[0])
Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
before = resident("VmRSS")
simulate(CASCADES[{name!r}], PROFILE, {cycles}, rng=np.random.default_rng(1))
print(before, resident("VmHWM"))
"""
ROOT = str(Path(__file__).resolve().parents[1])


def fresh(code: str, cache: str | None = None, **values: Any) -> list[float]:
    """Numbers that a fresh interpreter prints."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    done = subprocess.run(
        [sys.executable, "-c", code.format(root=ROOT, **values)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return [float(word) for word in done.stdout.split()]


def nanoseconds(run: Callable[[int], tuple[float, float]], repeats: int) -> dict[str, float]:
    """Median and best of (seconds, tokens) runs, in ns an emitted token."""
    found = [1e9 * seconds / tokens for seconds, tokens in map(run, range(repeats))]
    return {"median": statistics.median(found), "best": min(found)}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and the tokens of the tally that came out."""
    began = time.perf_counter()
    tally = work()
    return time.perf_counter() - began, float(tally.tokens)


def worker(name: str, seed: int, cycles: int) -> tuple[float, float, float]:
    """Begin and end of a run in this process, on the clock that all share, and its CPU seconds."""
    began, spent = time.monotonic(), time.process_time()
    simulate(CASCADES[name], PROFILE, cycles, rng=np.random.default_rng(seed))
    return began, time.monotonic(), time.process_time() - spent


def two_against_one(name: str, repeats: int) -> dict[str, float]:
    """Cycles a second of two processes over those of one; also a CPU-second.

    By CPU seconds the ratio leaves out what other programs take from this machine, so it tells
    a slow simulator from a busy machine.
    """
    cycles = 10 * WORK[name]  # a second or so
    ratios, by_cpu = [], []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(worker, [name] * 8, range(8), [1000] * 8))  # both are up and compiled
        for repeat in range(repeats):
            began, ended, spent = pool.submit(worker, name, repeat, cycles).result()
            parts = [pool.submit(worker, name, 100 + 2 * repeat + i, cycles) for i in range(2)]
            spans = [part.result() for part in parts]
            together = max(end for _, end, _ in spans) - min(begin for begin, _, _ in spans)
            ratios.append(2.0 * (ended - began) / together)
            by_cpu.append(2.0 * spent / max(cpu for _, _, cpu in spans))
    return {"median": statistics.median(ratios), "best": max(ratios),
            "by_cpu": statistics.median(by_cpu)}  # fmt: skip


def measure(repeats: int) -> list[dict[str, Any]]:
    """All rows: what, value, unit, and the limit where there is one."""
    rows: list[dict[str, Any]] = []

    def add(what: str, value: float, unit: str, limit: float | None = None, **more: Any) -> None:
        rows.append({"what": what, "value": value, "unit": unit, "limit": limit, **more})

    with tempfile.TemporaryDirectory() as cache:
        tables, worlds = fresh(COMPILE, cache)
        warm = fresh(COMPILE, cache)
    add("compile, cold cache: kernels of rate tables", tables, "s", 10.0)
    add("compile, cold cache: kernels of other models", worlds, "s", 10.0)
    add("first run, warm cache, both", sum(warm), "s")
    for name, cascade in CASCADES.items():
        simulate(cascade, PROFILE, 1000, rng=np.random.default_rng(0))

        def run(seed: int, cascade: Cascade = cascade, cycles: int = WORK[name]) -> Any:
            rng = np.random.default_rng(seed)
            return timed(lambda: simulate(cascade, PROFILE, cycles, rng=rng))

        found = nanoseconds(run, repeats)
        add(f"{name} ({cascade})", found["median"], "ns/token", LIMITS[name], best=found["best"])
    cascade = CASCADES["nested"]
    for name, model in MODELS.items():
        profile = Profile(ALPHAS, COSTS, acceptance=model)

        def run_model(seed: int, profile: Profile = profile) -> Any:
            rng = np.random.default_rng(seed)
            return timed(lambda: simulate(cascade, profile, 100_000, rng=rng))

        run_model(0)
        add(f"nested, {name}", nanoseconds(run_model, repeats)["median"], "ns/token")

    def run_batch(seed: int) -> Any:
        rng = np.random.default_rng(seed)
        return timed(lambda: simulate_batch(cascade, PROFILE, 8, 10_000, rng=rng, mode="ragged"))

    def run_replies(seed: int) -> tuple[float, float]:
        began = time.perf_counter()
        found = simulate_reply(cascade, PROFILE, 100, 3000, rng=np.random.default_rng(seed))
        return time.perf_counter() - began, 100.0 * found.replies

    run_batch(0), run_replies(0)
    add("nested, batch of 8, ragged", nanoseconds(run_batch, repeats)["median"], "ns/token")
    add("nested, replies of 100", nanoseconds(run_replies, repeats)["median"], "ns/token")
    for name in CASCADES:
        for cycles in (10**6, 10**8):
            before, peak = fresh(MEMORY, name=name, cycles=cycles)
            what = f"memory added by {cycles:.0e} cycles, {name}"
            add(what, max(0.0, peak - before) / 1024.0, "MiB", 1.0, peak=peak / 1024.0)
    for name in CASCADES:
        found = two_against_one(name, max(3, repeats // 2))
        limit = 1.8 if (os.cpu_count() or 1) >= 2 else None
        add(f"two processes over one, {name}", found["median"], "x", limit, best=found["best"])
        add(f"the same by CPU seconds, {name}", found["by_cpu"], "x")
    return rows


def holds(row: dict[str, Any]) -> bool | None:
    """Whether a row keeps its limit: at least, for a ratio, at most for all others."""
    if row["limit"] is None:
        return None
    return bool(
        row["value"] >= row["limit"] if row["unit"] == "x" else row["value"] <= row["limit"]
    )


def main() -> None:
    """Measure, print a table, append a record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--record", type=Path, help="JSON Lines to append to")
    arguments = parser.parse_args()
    rows = measure(arguments.repeats)
    table = Table(title="simulator")
    for column in ("what", "value", "limit", "holds", "best run"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        sign = ">=" if row["unit"] == "x" else "<="
        limit = "" if row["limit"] is None else f"{sign} {row['limit']:g}"
        verdict = {None: "", True: "yes", False: "NO"}[holds(row)]
        best = f"{row['best']:.2f}" if "best" in row else ""
        table.add_row(row["what"], f"{row['value']:.2f} {row['unit']}", limit, verdict, best)
    Console(width=100).print(table)
    if arguments.record:
        record = {
            "benchmark": "simulator", "repeats": arguments.repeats, "rows": rows,
            "load": os.getloadavg()[0], "provenance": provenance(),
        }  # fmt: skip
        with arguments.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
