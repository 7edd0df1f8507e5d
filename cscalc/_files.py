"""Files: JSON read with clear errors, and written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def check_folder(path: Path) -> None:
    """Raise ValueError if the folder that is to hold `path` is not there."""
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}: create it first")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to a temporary neighbour, then rename it over `path`."""
    target = Path(path)
    check_folder(target)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write `data` as JSON, whole or not at all; nan and infinity are refused."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON; ValueError names the file, the place and the remedy."""
    source = Path(path)
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{source} does not exist: check the path") from None
    except IsADirectoryError:
        raise ValueError(f"{source} is a folder, not a JSON file") from None
    except UnicodeDecodeError:
        raise ValueError(f"{source} is not UTF-8 text, so not a JSON file") from None
    except OSError as error:
        raise ValueError(f"{source} cannot be read ({error.strerror}): check the path") from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{source} is not valid JSON (line {error.lineno}: {error.msg}): write it again"
        ) from None
