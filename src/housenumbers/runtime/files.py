"""Atomic writes: a kill at any moment leaves the old file or the new one, never a partial one."""

import errno
import hashlib
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from housenumbers.runtime.errors import UserError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

_JUST_MADE = 1.0  # seconds within which a process locks a file that it has made


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls `write` with a temporary file beside `path`, then renames it to `path`.

    Removes leftovers of killed calls for the same `path`.
    Raises OSError, and removes the temporary file, where the disk is full or the folder read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_temporary_files(path.parent, path.name, older_than=_JUST_MADE)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            _lock(file)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # for example on a read-only disk, which would name the temporary file
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # not the temporary file, or None as on a full disk
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text` (UTF-8), atomically."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Replaces the file at `path` by `value` as JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def remove_temporary_files(folder: Path, name: str | None = None, older_than: float = 0.0) -> None:
    """Deletes the temporary files that a killed `write_atomically` left directly in `folder`, and no other files.

    With `name`, only temporary files of that file, since other processes may write the others. Keeps files that a
    process is still writing, if the file system has locks, and files younger than `older_than` seconds.
    """
    pattern = ".+" if name is None else re.escape(name)
    for temporary in folder.glob(".*.tmp"):
        if re.fullmatch(rf"\.{pattern}\.[0-9a-f]{{32}}\.tmp", temporary.name) and _abandoned(temporary, older_than):
            with suppress(OSError):  # the next write reports a read-only folder
                temporary.unlink(missing_ok=True)


def _abandoned(temporary: Path, older_than: float) -> bool:
    """Whether no process is writing the file any more: its lock ends with the process that holds it."""
    try:
        if older_than and time.time() - temporary.stat().st_mtime < older_than:
            return False
        with temporary.open("rb") as file:
            return _lock(file)
    except OSError:  # deleted, or not readable
        return False


def _lock(file: BinaryIO) -> bool:
    """Locks the open file until it is closed. False where another process holds the lock. True without locks."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        pass
    return True


def expand_user(path: str) -> Path:
    """The path, with `~` and `~NAME` at its beginning replaced. Raises UserError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: no user of that name has a home folder: name the folder in full") from None


def open_file(path: Path) -> BufferedReader:
    """Opens a file to read its bytes, without blocking on a writer.

    Raises UserError for a pipe, socket or device, and OSError as `open` does, also for a folder.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: not an ordinary file but a pipe or a device: remove it, or name another file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises what `open_file` raises."""
    with open_file(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_dict(path: Path) -> dict[str, Any] | None:
    """The dictionary in a JSON file. None where the file is missing, cannot be read or holds something else."""
    try:
        content = json.loads(read_text(path))
    except (OSError, UserError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_text(path: Path) -> str:
    """The text (UTF-8) of a file. Raises as `open_file` does, and ValueError where it is not UTF-8."""
    with open_file(path) as file:
        return file.read().decode()
