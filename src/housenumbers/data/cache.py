"""Decoded arrays on disk, so that a second start maps them into memory instead of decoding a file again."""

import hashlib
import logging
import pickle
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
from filelock import FileLock
from platformdirs import user_cache_dir

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.files import write_atomically

log = logging.getLogger(__name__)

_FORMAT = 1  # raise when what is stored, or how it is decoded, changes


def decoded(
    path: Path, folder: str | None, variant: str, decode: Callable[[Path], LabeledImages]
) -> tuple[LabeledImages, str]:
    """`decode(path)` and its SHA-256, as `cached` under the file's path, size and modification time and `variant`."""
    status = path.stat()
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {variant}"
    return cached(path.stem, key, folder, lambda: decode(path))


def cached(name: str, key: str, folder: str | None, make: Callable[[], LabeledImages]) -> tuple[LabeledImages, str]:
    """What `make` makes and its SHA-256, from the cache where it holds them under `key`; `name` is for the reader.

    `folder` null is the user's cache folder. A folder that cannot be written to costs the cache alone, with a warning.
    """
    root = Path(folder).expanduser() if folder else Path(user_cache_dir("housenumbers"))
    entry = root / f"{name}-{hashlib.sha256(f'{_FORMAT} {key}'.encode()).hexdigest()[:16]}.pt"
    if (stored := _stored(entry)) is not None:
        return stored
    with ExitStack() as held:
        with suppress(OSError):  # without a place for the lock there is none for the entry either
            root.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(f"{entry}.lock"))
        if (stored := _stored(entry)) is not None:  # a process that began at the same time has made it meanwhile
            return stored
        data = make()
        sha256 = data.sha256()
        try:
            content = {"images": data.images, "labels": data.labels, "sha256": sha256}
            write_atomically(entry, lambda file: torch.save(content, file))
        except (OSError, RuntimeError) as error:  # torch.save raises the latter on a full disk
            log.warning("%s: %s: going on without a cache (data.cache=FOLDER chooses another)", root, error)
        return data, sha256


def _stored(entry: Path) -> tuple[LabeledImages, str] | None:
    """What the entry holds; none where there is none. A damaged one is removed."""
    try:
        # Mapped, not read: pages come when they are needed, and processes that train side by side share them.
        stored = torch.load(entry, weights_only=True, mmap=True)
        return LabeledImages(stored["images"], stored["labels"]), stored["sha256"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        log.warning("%s: unreadable (%s): decoding the file again", entry, type(error).__name__)
        with suppress(OSError):
            entry.unlink()
        return None
