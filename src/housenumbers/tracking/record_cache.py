"""The records of many runs, kept in one file beside the runs, so that later calls need not read each `run.json`.

The file is a copy that nothing depends on: a record in it counts only while the `run.json` that it was read from is
unchanged, and without the file, or with a damaged one, every `run.json` is read.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import open_file, write_atomically
from housenumbers.tracking import record_validation

INDEX_FILE = ".run_index"
_WORTHWHILE = 200  # new records for which the file is written; fewer are read as fast as they are written
_SETTLED = 2.0  # seconds; a file may change twice within one step of its time stamp
_TO_SKIP = (FileNotFoundError, NotADirectoryError, PermissionError)  # vanished, not a folder, or not permitted

Stamp = list[int]


class RecordCache:
    """The records of the runs below the folder `root`, as they were when the file was written."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._file = root / INDEX_FILE
        self._old = _read(self._file)
        self._entries: dict[str, Any] = {}  # found or added by this object
        self._new = 0

    def get(self, folder: str, stamp: Stamp) -> dict[str, Any] | None:
        """The record of a run's folder, or None where it was not kept with this stamp."""
        name = self._name(folder)
        kept = self._old.get(name)
        if kept is None or kept[0] != stamp:
            return None
        self._entries[name] = kept
        return dict(kept[1])

    def add(self, folder: str, stamp: Stamp, record: Mapping[str, Any]) -> None:
        """Keeps the record of a run's folder, which was read after the stamp was taken."""
        if _is_settled(stamp):
            self._entries[self._name(folder)] = [stamp, dict(record)]
            self._new += 1

    def save(self) -> None:
        """Writes the records of this call if enough of them are new. Does nothing in a read-only folder."""
        if self._new >= _WORTHWHILE:
            with suppress(OSError):
                write_atomically(self._file, self._write)

    def _name(self, folder: str) -> str:
        return folder[len(self._root) :]  # so that the runs can be moved with their cache

    def _write(self, file: BinaryIO) -> None:
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), 0o600)  # others may not be permitted to read each run.json
        body = json.dumps(self._entries).encode()
        file.write(_head(body) + body)


def folders_with_record(root: Path) -> Iterator[tuple[str, Stamp, set[str]]]:
    """The folders at and below `root` with a file `run.json`, its stamp, and the names of all that is in the folder.

    Follows no links to folders. The folders are strings, since a `Path` for each of many runs takes long.
    """
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except _TO_SKIP:
            continue
        folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        for record in entries:
            if record.name == "run.json":
                try:
                    stamp = _stamp(record.stat())
                except FileNotFoundError:  # deleted since, or a link that leads nowhere
                    continue
                except OSError:
                    stamp = []  # whoever reads it says why it cannot be read
                yield folder, stamp, {entry.name for entry in entries}


def _stamp(status: os.stat_result) -> Stamp:
    # Not even `touch` or `cp --preserve` sets st_ctime back.
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino]


def _is_settled(stamp: Stamp) -> bool:
    return bool(stamp) and max(stamp[:2]) < (time.time() - _SETTLED) * 1e9


def _read(file: Path) -> dict[str, Any]:
    """The entries of a cache; empty where it is missing or damaged, or another version checked its records."""
    try:
        with open_file(file) as opened:
            content = opened.read()
        head, body = content[: len(_head(b""))], content[len(_head(b"")) :]
        if head != _head(body):
            return {}
        entries: dict[str, Any] = json.loads(body)
        return entries
    except (OSError, UserError, ValueError, RecursionError):
        return {}


def _head(body: bytes) -> bytes:
    """The first line of a cache: a checksum of its body, and of the checks that the records have passed."""
    checks = Path(record_validation.__file__).read_bytes()
    return hashlib.sha256(checks + body).hexdigest().encode() + b"\n"
