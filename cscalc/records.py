"""Records that outlive a run: JSON Lines that resume, and the provenance to repeat it."""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cscalc._files import write_text
from cscalc._version import __version__

PACKAGES = ("numpy", "scipy", "numba", "torch", "transformers")


def run_id(experiment: Mapping[str, Any]) -> str:
    """Hash of all that shapes a result, so that unlike runs are never merged.

    Examples
    --------
    >>> run_id({"a": 1, "b": 2}) == run_id({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(experiment, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def provenance() -> dict[str, Any]:
    """Versions, machine and command: recorded, not hashed."""
    versions = {"python": platform.python_version(), "cscalc": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class RecordLog:
    """A JSON Lines file with one record a key; append-only, safe to kill, made to resume.

    Parameters
    ----------
    path : path
        Created with a header line if missing. If it exists, its header must name the same
        experiment; a last line cut off by a kill is dropped.
    experiment : mapping
        Plain JSON: all that shapes the records. Its hash is the run id.

    Raises
    ------
    ValueError
        If the file belongs to another experiment, or is not a record log.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> log = RecordLog(Path(folder.name) / "log.jsonl", {"seed": 1})
    >>> log.append("a", {"value": 1})
    >>> RecordLog(log.path, {"seed": 1}).records
    {'a': {'value': 1}}
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], experiment: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.run_id = run_id(experiment)
        self.records: dict[str, dict[str, Any]] = {}
        header = {"schema": "cscalc/records", "version": 1, "run_id": self.run_id,
                  "experiment": dict(experiment), "provenance": provenance()}  # fmt: skip
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a folder: give the path of a file")
        if self.path.is_file() and self.path.stat().st_size:
            self._resume()
        else:  # whole or not at all: a log without its header could not be resumed
            write_text(self.path, json.dumps(header, allow_nan=False) + "\n")

    def _resume(self) -> None:
        lines = list(read_lines(self.path))
        head = lines[0] if lines else None
        if not isinstance(head, dict) or head.get("schema") != "cscalc/records":
            raise ValueError(f"{self.path} is not a record log: give another path or delete it")
        if head.get("version") != 1:
            found = head.get("version")
            raise ValueError(f"{self.path}: version {found!r} is unknown: update cscalc")
        if head.get("run_id") != self.run_id:
            raise ValueError(
                f"{self.path} belongs to another run (other models, prompts or settings): "
                "delete it or give another path"
            )
        for number, line in enumerate(lines[1:], start=2):
            if not isinstance(line, dict) or set(line) != {"key", "record"}:
                raise ValueError(f"{self.path}, line {number}: not a record: delete the line")
            self.records[line["key"]] = line["record"]
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end != len(whole):  # a line cut off by a kill
            with self.path.open("r+b") as file:
                file.truncate(end)

    def append(self, key: str, record: Mapping[str, Any]) -> None:
        """Add one record; it is on disk when this returns."""
        if key in self.records:
            raise ValueError(f"{self.path} already holds a record for {key!r}")
        self._write({"key": key, "record": dict(record)})
        self.records[key] = dict(record)

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a JSON Lines file; a last line without an end is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text, so not JSON Lines") from None
    for number, line in enumerate(text[: text.rfind("\n") + 1].split("\n")[:-1], start=1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error.msg})") from None
