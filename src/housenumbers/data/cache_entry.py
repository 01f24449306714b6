"""The file of the cache that belongs to a source file and its state. Does not import torch."""

import hashlib
from pathlib import Path

from platformdirs import user_cache_dir

_FORMAT = 2  # increment when the stored content or the decoding changes


def file_state(path: Path) -> tuple[int, int, int, int]:
    """Values that change with the file's content: size, modification time, change time and inode number.

    A program such as `cp -p` can set the modification time, but not the change time.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def source_key(path: Path, variant: str) -> str:
    """The key under which data that were decoded from a file in its present state are stored."""
    return f"{path.resolve()} {file_state(path)} {variant}"


def entry_and_key(name: str, key: str, folder: str | None) -> tuple[Path, str]:
    """The path of an entry, and the key that is stored in it. `name` makes the file's name readable.

    `folder` null is the user's cache folder.
    """
    key = hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()
    return Path(folder or user_cache_dir("housenumbers")).expanduser() / f"{name}-{key[:16]}.pt", key


def is_cached(path: Path, folder: str | None, variant: str) -> bool:
    """Whether there is an entry of data that were decoded from this file in its present state, intact or not."""
    entry, _ = entry_and_key(path.stem, source_key(path, variant), folder)
    return entry.is_file()
