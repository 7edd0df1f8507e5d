"""States of the explorer page, and the same in Python: shared by the tests of both."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np

from cscalc.cascade import SCHEMA, Cascade
from cscalc.explore import __file__ as explore_file
from cscalc.optimize import optimal_config
from cscalc.profile import Profile

FOLDER = Path(explore_file).parent / "explorer"
NODE = shutil.which("node")
DEFAULT = {
    "on": [True, True, True],
    "alphas": [0.8, 0.55, 0.25, 0.6, 0.3, 0.35],
    "costs": [0.2, 0.05, 0.0005],
    "oneShot": [False, False, True],
    "step": 0.0,
    "slope": 0.0,
    "draftsPay": False,
    "tables": {"0": [], "1": [], "2": []},
    "longest": 32,
    "depth": 2,
    "pair": [1, 3],
    "names": ["target", "draft 1", "draft 2", "draft 3"],
}


def node(script, data):
    """Run an ES module under node with `data` as JSON; what it passes to `reply` comes back."""
    start = (
        "import fs from 'node:fs';"
        "const data = JSON.parse(fs.readFileSync(0, 'utf8'));"
        "const reply = (value) => process.stdout.write(JSON.stringify(value));"
    )
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", start + script],
        input=json.dumps(data),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def module(name):
    """Address of a module of the page, for `import`."""
    return (FOLDER / name).as_uri()


def states(n, seed):
    """Random states: subsets of drafts, edges of every range, each kind of verification cost."""
    rng = np.random.default_rng(seed)
    return [_state(rng) for _ in range(n)]


def _state(rng):
    def rate(low, high):
        return float(rng.choice([0.0, 1.0]) if rng.random() < 0.02 else rng.uniform(low, high))

    a02, a03 = rate(0.2, 0.85), rate(0.05, 0.5)
    costs = [10 ** rng.uniform(low, high) for low, high in ((-1.5, 0), (-2.2, -0.6), (-4, -1.5))]
    costs = [0.0 if rng.random() < 0.02 else float(cost) for cost in costs]
    step, slope = rng.choice([0.0, 0.4]), rng.choice([0.0, 0.01, 0.05])
    tables = {"0": [], "1": [], "2": []}
    for model in tables:
        if rng.random() < 0.1:
            rises = rng.uniform(0.0, 0.2, size=int(rng.integers(0, 14)))
            tables[model] = [1.0, *(1.0 + np.cumsum(rises)).tolist()]
    on = [bool(rng.random() < 0.85) for _ in range(3)]
    return {
        "on": on,
        "alphas": [rate(0.4, 0.97), a02, a03, rate(0.3, 0.9), rate(0.05, 0.5), rate(0.05, 0.5)],
        "costs": costs,
        "oneShot": [bool(rng.random() < p) for p in (0.03, 0.08, 0.7)],
        "step": float(step),
        "slope": float(slope),
        "draftsPay": bool(rng.random() < 0.3),
        "tables": tables,
        "longest": int(rng.choice([1, 4, 8, 12])),
        "depth": int(rng.choice([0, 1, 2, 2, 2])),
        "pair": [[1, 2], [1, 3], [2, 3]][int(rng.integers(3))],
        "names": DEFAULT["names"],
    }


def models_of(state):
    """Drafts in use."""
    return [model for model in (1, 2, 3) if state["on"][model - 1]]


def profile_of(state):
    """The profile of the drafts in use."""
    models = models_of(state)
    a01, a02, a03, a12, a13, a23 = state["alphas"]
    alphas = np.array([[1, a01, a02, a03], [0, 1, a12, a13], [0, 0, 1, a23], [0, 0, 0, 1]])
    both = [0, *models]
    shots = [i for i, model in enumerate(both) if model and state["oneShot"][model - 1]]
    verify = {}
    for i, model in enumerate(both):
        table = state["tables"].get(str(model))
        if i in shots or model == 3:
            continue
        if table:
            verify[i] = table
        elif (state["step"] or state["slope"]) and (model == 0 or state["draftsPay"]):
            verify[i] = _formula(state["step"], state["slope"])
    return Profile(
        alphas[np.ix_(both, both)],
        [state["costs"][model - 1] for model in models],
        one_shot=shots,
        verify=verify,
        names=[state["names"][model] for model in both],
    )


def _formula(step, slope):
    return lambda m: 1.0 if m < 2 else 1.0 + step + slope * (m - 2)


def best_plan(state):
    """What the page must find: the proved optimum of the same grammar, nothing left to spare."""
    plan = optimal_config(
        profile_of(state), max_length=state["longest"], max_depth=state["depth"],
        tolerance=0.0, proof_steps=20_000_000,
    )  # fmt: skip
    assert plan.limits["proved"] or not models_of(state), state
    return plan


def cascade_of(drafts, state):
    """A cascade of the page as `Cascade`, its models numbered as in `profile_of`."""
    place = {model: i + 1 for i, model in enumerate(models_of(state))}

    def renumbered(segment):
        key = "draft" if "draft" in segment else "review"
        inner = [renumbered(one) for one in segment.get("drafts", [])]
        return {**segment, key: place[segment[key]], **({"drafts": inner} if inner else {})}

    drafts = [renumbered(one) for one in drafts]
    return Cascade.from_dict({"schema": SCHEMA, "version": 1, "drafts": drafts})
