"""Files that a kill at any moment leaves whole: the old one or the new one, never half."""

import json
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls `write` with a temporary file beside `path`, then renames it to `path`.

    Raises OSError, and removes the temporary file, where the disk is full or the folder read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # not the temporary one, nor none, as for a full disk
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text` (UTF-8), atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Replaces the file at `path` by `value` as JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Deletes the temporary files that a killed `write_atomically` left in `folder` itself, and no other files.

    Those of the file `name` alone where it is given: others may be at work on the rest.
    """
    own = ".+" if name is None else re.escape(name)
    for temporary in folder.glob(".*.tmp"):
        if re.fullmatch(rf"\.{own}\.[0-9a-f]{{32}}\.tmp", temporary.name):
            temporary.unlink(missing_ok=True)
