"""Decoded arrays on disk: a second start maps them into memory instead of decoding a file again.

An entry is validated by its content, not by its name: each start compares the data with a checksum.
"""

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import PIL
import torch
import xxhash
from PIL import features

from housenumbers.data.cache_entry import entry_and_key, source_key
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.runtime.file_lock import exclusive_lock
from housenumbers.runtime.files import write_atomically

log = logging.getLogger(__name__)


class _DamagedError(Exception):
    """The entry does not hold the data that were written."""


def pillow_build() -> list[str | None]:
    """The versions of Pillow and of its libraries, which determine the decoded and drawn pixels with our code."""
    return [PIL.__version__, *(features.version(name) for name in ("jpg", "webp", "libtiff", "freetype2"))]


def decoded(
    path: Path, folder: str | None, variant: str, decode: Callable[[Path], LabeledImages]
) -> tuple[LabeledImages, str]:
    """`decode(path)` and its SHA-256, `cached` under the file's path, its state and `variant`."""
    return cached(path.stem, source_key(path, variant), folder, lambda: decode(path))


def cached(name: str, key: str, folder: str | None, make: Callable[[], LabeledImages]) -> tuple[LabeledImages, str]:
    """The data from `make` and their SHA-256, read from the cache if it holds them under `key`.

    `name` makes the file's name readable. `folder` null is the user's cache folder. A read-only folder and a damaged
    entry lead to a warning. A damaged entry is made again.
    """
    entry, key = entry_and_key(name, key, folder)
    if (stored := _stored(entry, key)) is not None:
        return stored
    with exclusive_lock(entry.with_name(f"{entry.name}.lock"), f"it makes {entry}"):
        # Another process may have made the entry while this one waited.
        if (stored := _stored(entry, key, log_fault=True)) is not None:
            return stored
        data = make()
        sha256 = data.sha256()
        content: dict[str, object] = {"sha256": sha256, "key": key}
        content |= {"images": data.images.contiguous(), "labels": data.labels.contiguous()}
        content["checksum"] = _checksum(content)
        try:
            write_atomically(entry, lambda file: torch.save(content, file))
        except (OSError, RuntimeError) as error:  # torch.save raises the latter on a full disk
            log.warning("%s: %s: going on without a cache (data.cache=FOLDER chooses another)", entry.parent, error)
        return data, sha256


def _stored(entry: Path, key: str, log_fault: bool = False) -> tuple[LabeledImages, str] | None:
    """The entry's data under `key`. None where it does not exist or cannot be read, which `log_fault` logs."""
    try:
        return _read(entry, key)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    except _DamagedError as error:
        fault = f"damaged ({error})"
    if log_fault:
        log.warning("%s: %s: it is made again", entry, fault)
    return None


def _read(entry: Path, key: str) -> tuple[LabeledImages, str]:
    """The data written under `key`. Raises OSError where the entry cannot be read, _DamagedError for other faults."""
    if not entry.is_file() and entry.exists():  # opening a pipe would block
        raise OSError(errno.EINVAL, "no ordinary file")
    try:
        # Memory-mapped: processes that train at the same time share the pages.
        stored = torch.load(entry, weights_only=True, mmap=True)
        intact = stored["checksum"] == _checksum(stored) and stored["key"] == key
    except OSError:
        raise
    except Exception as error:  # the parsers of zip and pickle raise many types on damaged bytes
        raise _DamagedError(type(error).__name__) from None
    if not intact:
        raise _DamagedError("its checksum differs")
    return LabeledImages(stored["images"], stored["labels"]), stored["sha256"]


def _checksum(content: dict[str, object]) -> str:
    """XXH3, 128 bits, of an entry's content. Detects accidental damage at the speed of memory (xxhash.com)."""
    digest = xxhash.xxh3_128()
    for name in ("images", "labels"):
        tensor = content[name]
        assert isinstance(tensor, torch.Tensor)
        assert tensor.is_contiguous()
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().data)
    digest.update(f"{content['sha256']} {content['key']}".encode())
    return digest.hexdigest()
