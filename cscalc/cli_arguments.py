"""What the commands take as text: a profile or rates and costs, a cascade, numbers, grids."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

PLAN = "cscalc/plan"
ProfilePath = Annotated[
    Path | None,
    typer.Option("--profile", help="A profile.json (python -m validate measure), or a plan.json."),
]
Alphas = Annotated[
    str | None,
    typer.Option(help="Rates: '.8,.5' (by the target) or rows '1,.8,.5;0,1,.6;0,0,1'."),
]
Costs = Annotated[str | None, typer.Option(help="Cost of each draft in target passes: '.2,.01'.")]
OneShot = Annotated[str, typer.Option(help="One-shot drafts by number: '2' or '2,3'.")]
Verify = Annotated[
    str | None, typer.Option(help="Cost of verifying m = 1, 2, ... positions: '1,1.4,1.5'.")
]


def read_cascade(text: str) -> Any:
    """A cascade from JSON text or a file: its own schema, a plan, or a bare list of segments."""
    from cscalc._files import read_json
    from cscalc.cascade import SCHEMA, Cascade

    if text.lstrip().startswith(("[", "{")):
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"cascade is not valid JSON: {error.msg}") from None
    else:
        data = read_json(text)
    if isinstance(data, list):
        data = {"schema": SCHEMA, "version": 1, "drafts": data}
    if isinstance(data, dict) and data.get("schema") == PLAN:
        data = data["cascade"]
    return Cascade.from_dict(data)


def read_both(
    text: str,
    path: Path | None,
    alphas: str | None,
    costs: str | None,
    one_shot: str,
    verify: str | None,
) -> tuple[Any, Any]:
    """A cascade and a profile; a file that holds a plan is both where nothing else is given."""
    cascade = read_cascade(text)
    given = path is not None or alphas is not None or costs is not None or one_shot or verify
    if not given and not text.lstrip().startswith(("[", "{")) and _is_plan(Path(text)):
        path = Path(text)
    return cascade, read_profile(path, alphas, costs, one_shot, verify)


def _is_plan(path: Path) -> bool:
    from cscalc._files import read_json

    data = read_json(path)
    return isinstance(data, dict) and data.get("schema") == PLAN


def read_profile(
    path: Path | None, alphas: str | None, costs: str | None, one_shot: str, verify: str | None
) -> Any:
    """A profile from a file (its own, or a plan's), or from rates and costs given as text."""
    from cscalc._files import read_json
    from cscalc.profile import Profile

    if path is not None:
        if alphas is not None or costs is not None or one_shot or verify is not None:
            raise ValueError("give either --profile or --alphas and --costs, not both")
        data = read_json(path)
        if isinstance(data, dict) and data.get("schema") == PLAN and "profile" in data:
            return Profile.from_dict(data["profile"], source=f"{path}, its profile")
        return Profile.from_dict(data, source=str(path))
    if alphas is None or costs is None:
        raise ValueError("give --profile, or both --alphas and --costs")
    rows = [numbers("--alphas", row) for row in alphas.split(";")]
    return Profile(
        rows[0] if len(rows) == 1 else rows,
        numbers("--costs", costs),
        one_shot=[int(x) for x in numbers("--one-shot", one_shot)] if one_shot else (),
        verify=None if verify is None else numbers("--verify", verify),
    )


def numbers(option: str, text: str) -> list[float]:
    """Read '1,.5,.2' as numbers; ValueError names the option."""
    try:
        found = [float(part) for part in text.replace(" ", ",").split(",") if part]
    except ValueError:
        raise ValueError(f"{option} must be numbers parted by commas, got {text!r}") from None
    if not found:
        raise ValueError(f"{option} holds no number, got {text!r}: give at least one, such as .5")
    return found


def grid(option: str, text: str) -> list[float]:
    """Read '.1,.5' or first:last:count, both ends included; ValueError names the option."""
    first, *rest = text.split(":")
    if not rest:
        return numbers(option, text)
    ends = numbers(option, ",".join([first, *rest]))
    if len(ends) != 3 or not ends[2].is_integer() or ends[2] < 2:
        raise ValueError(f"{option} must be numbers or first:last:count, got {text!r}")
    import numpy as np

    return [float(x) for x in np.linspace(ends[0], ends[1], int(ends[2]))]


def checkpoints_of(given: list[str]) -> dict[int, str]:
    """Read '1=Qwen/Qwen3-0.6B' as a checkpoint of a draft model."""
    names: dict[int, str] = {}
    for text in given:
        model, equals, name = text.partition("=")
        if not (equals and name and model.strip().isdecimal()):
            raise ValueError(f"--checkpoint must be such as 1=Qwen/Qwen3-0.6B, got {text!r}")
        names[int(model)] = name
    return names
