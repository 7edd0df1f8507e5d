"""Speed and memory of the calculus: laws, closed forms, the optimiser, the optimal tree.

    python benchmarks/theory.py --record benchmarks/records/theory.jsonl

Each time is the median of `--repeats` runs in one process, everything compiled before; the best
run stands beside it, for other work on the machine only ever adds. A ratio is to a plain program
for the same numbers, run in turn with it. Memory is the peak of a fresh interpreter that runs
both searches (Linux). ``--cold`` adds the first call with an empty numba cache. Give the machine
nothing else to do.
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
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cscalc.cascade import Cascade, Draft, Review
from cscalc.optimize import optimal_config
from cscalc.profile import Profile
from cscalc.records import provenance
from cscalc.theory.cs_drafting import vertical_ewif
from cscalc.theory.horizontal import horizontal_ewif
from cscalc.theory.law import cycle_law_slow, ewif
from cscalc.theory.speculative import expected_tokens_iid, speculative_ewif
from cscalc.theory.tree_search import optimal_tree
from cscalc.theory.trees import tree_tokens

TWO_LEVELS = Cascade((Review(1, (Draft(2, 4),), rounds=3), Draft(2, 5)))
THREE = Profile(
    [[1, 0.8, 0.55, 0.25], [0, 1, 0.6, 0.3], [0, 0, 1, 0.35], [0, 0, 0, 1]],
    [0.2, 0.05, 0.0005],
    one_shot=(3,),
)
RANKS = 0.7732 * np.arange(1, 34) ** -2.2  # about Llama-3-70B's, arXiv:2402.12374; sums to < 1.2
RANKS = RANKS / max(1.0, RANKS.sum())
POINTS = 1_000_000
CHILD = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from cscalc import Profile, optimal_config
wall, cpu = time.perf_counter(), time.process_time()
for data, depth in json.load(sys.stdin):
    optimal_config(Profile.from_dict(data), max_depth=depth)
print(time.perf_counter() - wall, time.process_time() - cpu)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
print(int(status["VmHWM"].split()[0]) / 1024)  # getrusage would count the parent's, before exec
"""
ROOT = Path(__file__).resolve().parents[1]


def five() -> Profile:
    """Four autoregressive drafts and a one-shot one, of random rates and costs."""
    rng = np.random.default_rng(0)
    alphas = np.eye(6)
    for i in range(5):
        alphas[i, i + 1 :] = np.sort(rng.uniform(0.2, 0.95, 5 - i))[::-1]
    costs = np.sort(rng.uniform(0, 1, 5) ** 3 * 0.5)[::-1] * np.array([1, 1, 1, 1, 0.01])
    return Profile(alphas, costs, one_shot=(5,))


def plain_tree_tokens(ranks: Any, size: int, depth: int) -> float:
    """Sequoia's dynamic program as one writes it in NumPy: most tokens of a tree."""
    below = np.full(size + 1, -np.inf)  # best tree of m nodes, by m, without children
    below[1] = 1.0
    for _ in range(depth):
        best = np.full(size + 1, -np.inf)
        best[1] = 1.0
        found = best.copy()
        for rank in ranks:
            wider = best.copy()
            for n in range(2, size + 1):
                wider[n] = max(best[n], np.max(best[n - 1 : 0 : -1] + rank * below[1:n]))
            best = wider
            found = np.maximum(found, best)
        below = found
    return float(below.max())


def seconds(
    repeats: int, work: Callable[[], Any], rival: Callable[[], Any] | None = None
) -> dict[str, Any]:
    """Median and best seconds of `work`; the median ratio of `rival` to it."""
    work()
    own, other = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        own.append(time.perf_counter() - began)
        if rival is not None:
            began = time.perf_counter()
            rival()
            other.append(time.perf_counter() - began)
    found: dict[str, Any] = {"median": statistics.median(own), "best": min(own)}
    if other:
        found["ratio"] = statistics.median(b / a for a, b in zip(own, other, strict=True))
    return found


def many(count: int, work: Callable[[], Any]) -> Callable[[], None]:
    """`work`, `count` times."""

    def run() -> None:
        for _ in range(count):
            work()

    return run


def one_by_one(alphas: Any) -> Callable[[], list[float]]:
    """Theorem 3.8 of speculative decoding in plain Python, a point at a time."""
    points = [float(alpha) for alpha in alphas]
    return lambda: [(1.0 - a**6) / ((1.0 - a) * (5 * 0.1 + 1.0)) for a in points]


def fresh(profiles: list[tuple[Profile, int]], cache: str | None = None) -> tuple[float, ...]:
    """Seconds, CPU seconds and peak MB of a fresh interpreter that optimises these profiles."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    data = json.dumps([[profile.to_dict(), depth] for profile, depth in profiles])
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(root=str(ROOT))],
        input=data, capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return tuple(float(word) for word in done.stdout.split())


def measure(repeats: int, cold: bool) -> list[dict[str, Any]]:
    """All rows: what, median, best, unit, limit, and the ratio to a plain program."""
    rows: list[dict[str, Any]] = []

    def add(what: str, found: dict[str, Any], unit: str, scale: float, limit: float) -> None:
        values = {key: found[key] * scale for key in ("median", "best")}
        rows.append({"what": what, **values, "unit": unit, "most": limit,
                     "ratio": found.get("ratio")})  # fmt: skip

    def add_speed(what: str, found: dict[str, Any], points: int) -> None:
        values = {key: points / found[key] for key in ("median", "best")}
        rows.append({"what": what, **values, "unit": "points/s", "least": 1e7,
                     "ratio": found.get("ratio")})  # fmt: skip

    law = seconds(
        repeats, many(1000, lambda: ewif(TWO_LEVELS, THREE)),
        many(1000 // 50, lambda: cycle_law_slow(TWO_LEVELS, THREE)),
    )  # fmt: skip
    law["ratio"] *= 50.0
    add("exact EWIF, cascade of two levels", law, "us", 1e3, 20.0)
    rng = np.random.default_rng(1)
    alphas = rng.uniform(0.0, 0.99, POINTS)
    add_speed(
        "closed form: speculative EWIF",
        seconds(repeats, lambda: speculative_ewif(alphas, 0.1, 5), one_by_one(alphas)), POINTS,
    )  # fmt: skip
    few = alphas[: POINTS // 64, None]
    add_speed(
        "closed form: tokens, lengths to 64",
        seconds(repeats, lambda: expected_tokens_iid(few, np.arange(1, 65))), few.size * 64,
    )  # fmt: skip
    inner = rng.uniform(0.0, 0.99, POINTS)
    add_speed(
        "closed form: vertical EWIF",
        seconds(repeats, lambda: vertical_ewif(alphas, 0.1, inner, 0.01, 3, 4)), POINTS,
    )  # fmt: skip
    pairs = np.stack([alphas, inner], axis=-1)  # (points, 2)
    add_speed(
        "closed form: horizontal EWIF, two segments",
        seconds(repeats, lambda: horizontal_ewif(pairs, [0.3, 0.02], [3, 8])), POINTS,
    )  # fmt: skip
    plan = optimal_config(THREE)
    add(
        "optimal_config, 2 + 1 drafts to 64" + ("" if plan.limits["proved"] else " (no proof!)"),
        seconds(repeats, lambda: optimal_config(THREE)), "ms", 1e3, 50.0,
    )  # fmt: skip
    add(
        "the same without its proof",
        seconds(repeats, lambda: optimal_config(THREE, proof_steps=0)), "ms", 1e3, 50.0,
    )  # fmt: skip
    profile = five()
    add(
        "optimal_config, 5 drafts, depth 3",
        seconds(max(1, repeats // 3), lambda: optimal_config(profile, max_depth=3)), "s", 1.0, 2.0,
    )  # fmt: skip
    tree = optimal_tree(RANKS, 128, 10)
    if abs(tree_tokens(tree, RANKS) - plain_tree_tokens(RANKS, 128, 10)) > 1e-9:
        raise RuntimeError("the optimal tree and the plain program disagree: run the tests")
    add(
        "optimal tree: 128 nodes, depth 10, 33 ranks",
        seconds(
            repeats, lambda: optimal_tree(RANKS, 128, 10),
            lambda: plain_tree_tokens(RANKS, 128, 10),
        ),
        "ms", 1e3, 10.0,
    )  # fmt: skip
    peak = fresh([(THREE, 2), (profile, 3)])[2]
    rows.append({"what": "both searches, peak memory", "median": peak, "best": peak,
                 "unit": "MB", "most": 300.0, "ratio": None})  # fmt: skip
    if cold:
        with tempfile.TemporaryDirectory() as cache:
            wall, cpu, _ = fresh([(THREE, 2)], cache)
        rows.append({"what": "first optimal_config, cold numba cache", "median": wall,
                     "best": cpu, "unit": "s (best: CPU)", "ratio": None})  # fmt: skip
    return rows


def verdict(row: dict[str, Any]) -> str:
    """Whether the median, or only the best run, keeps the limit."""
    if "most" in row:
        limit = f"<= {row['most']:g}"
        median, best = row["median"] <= row["most"], row["best"] <= row["most"]
    elif "least" in row:
        limit = f">= {row['least']:.0e}"
        median, best = row["median"] >= row["least"], row["best"] >= row["least"]
    else:
        return ""
    return limit + (" yes" if median else " best run only" if best else " NO")


def main() -> None:
    """Measure, print a table, append a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--cold", action="store_true", help="also with an empty numba cache")
    parser.add_argument("--record", type=Path, help="JSON Lines to append to")
    arguments = parser.parse_args()
    rows = measure(arguments.repeats, arguments.cold)
    table = Table(title="cscalc.theory and optimal_config")
    for column in ("what", "median", "best", "unit", "limit", "x plain program"):
        table.add_column(column)
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.0f}"
        numbers = (f"{row['median']:.3g}", f"{row['best']:.3g}")
        table.add_row(row["what"], *numbers, row["unit"], verdict(row), ratio)
    Console(width=110).print(table)
    if arguments.record:
        record = {"benchmark": "theory", "repeats": arguments.repeats, "rows": rows,
                  "provenance": provenance()}  # fmt: skip
        with arguments.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
