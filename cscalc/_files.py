"""Files: JSON read with clear errors, and written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def check_folder(path: Path) -> None:
    """Raise ValueError if `path` is a folder, or the folder that is to hold it is not there."""
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder: give the name of a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}: create it first")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary neighbour to write, then rename it over `path`; no trace on failure.

    Raises
    ------
    ValueError
        If `path` is a folder, or its folder is not there.
    OSError
        Of the kind that went wrong, naming `path`.
    """
    target = Path(path)
    check_folder(target)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        yield Path(temporary)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as error:
        raise type(error)(
            f"cannot write {target} ({error.strerror or error}): choose a folder with room, where "
            f"files can be created"
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to a temporary neighbour, then rename it over `path`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


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
