"""Files of a report: a run read back, and one sentence where another kind of file was given."""

import json
from pathlib import Path
from typing import Any

from cscalc.plan import Plan
from cscalc.profile import Profile
from cscalc.records import read_lines

RECORDS = "cscalc/records"
KINDS = {
    "cscalc/plan": "a plan",
    "cscalc/profile": "a profile",
    "cscalc/cascade": "a cascade",
    "validate/report": "a report",
    "run": "a run",
    "measure": "the records of a measurement",
    "deferral": "the records of deferral rules",
}
REMEDIES = {
    "cscalc/profile": "profile.json, made by  python -m validate measure -o profile.json",
    "cscalc/plan": "plan.json, made by  python -m cscalc optimal -o plan.json",
    "run": "run.jsonl, made by  python -m validate run -o run.jsonl",
}
OUTPUTS = (".html", ".json")


def read_run(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Settings and records of a run.

    Parameters
    ----------
    path : Path
        What ``python -m validate run`` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        One sentence: what the file is, and which one is wanted.

    Returns
    -------
    dict, list of dict
        The experiment in its header, and one record a prompt.
    """
    _check_kind(path, "run")
    head, *lines = read_lines(path)
    if not lines:
        raise ValueError(f"{path} holds no record yet: let  python -m validate run  finish")
    return head["experiment"], [line["record"] for line in lines]


def read_profile(path: Path) -> Profile:
    """A profile; the error says what the file is if it is something else."""
    _check_kind(path, "cscalc/profile")
    return Profile.load(path)


def read_plan(path: Path) -> Plan:
    """A plan; the error says what the file is if it is something else."""
    _check_kind(path, "cscalc/plan")
    return Plan.load(path)


def check_report_output(path: Path) -> None:
    """Raise ValueError if a report is not written under such a name.

    Examples
    --------
    >>> check_report_output(Path("r.txt"))
    Traceback (most recent call last):
    ValueError: --output must end in .html or .json, got r.txt: name the form that you want
    """
    if path.suffix not in OUTPUTS:
        wanted = " or ".join(OUTPUTS)
        raise ValueError(f"--output must end in {wanted}, got {path}: name the form that you want")


def _check_kind(path: Path, wanted: str) -> None:
    """Raise if the file is known to be another kind; a broken one is left to its reader."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}: check the path, or give {REMEDIES[wanted]}")
    found = kind_of(path)
    if found == wanted or (found is None and wanted != "run"):
        return
    is_what = f"is {KINDS[found]}, not {KINDS[wanted]}" if found else f"is not {KINDS[wanted]}"
    raise ValueError(f"{path} {is_what}: give {REMEDIES[wanted]}")


def kind_of(path: Path) -> str | None:
    """Key of `KINDS` that a file is, or None: unknown, broken, or not text."""
    try:
        text = path.read_text(encoding="utf-8")
        try:
            data = json.loads(text)
        except json.JSONDecodeError:
            data = json.loads(text.partition("\n")[0])  # JSON Lines begin with their header
    except ValueError:  # also of bytes that are not UTF-8
        return None
    if not isinstance(data, dict):
        return None
    kind = data.get("schema")
    if kind == RECORDS:
        experiment = data.get("experiment")
        kind = experiment.get("what") if isinstance(experiment, dict) else None
    return kind if kind in KINDS else None
