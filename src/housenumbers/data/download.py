"""Downloads of files: atomic, by one process at a time, and with a timeout."""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from housenumbers.runtime.file_lock import exclusive_lock

_STALLED = 60.0  # seconds without data after which a download fails


def download(path: Path, fetch: Callable[[Path], object]) -> None:
    """Downloads a file by `fetch(temporary)`, then renames it to `path`. Does nothing where `path` exists by then.

    `fetch` verifies the download. The temporary file has the same name, in a folder beside `path`, so that a partial
    download is never taken for the file. Leftovers of killed downloads are removed, and so are the lock and the folders
    that were made where it fails.
    Raises the errors of `fetch`, and OSError for all network errors: TimeoutError (possibly within a URLError) where
    the server stops sending.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    lock = path.with_name(f".{path.name}.lock")
    try:
        with exclusive_lock(lock, f"it downloads {path}"), _removed_on_failure(lock):
            if not path.is_file():
                _download(path, fetch)
    finally:
        with suppress(OSError):  # a folder with files stays
            for folder in made:
                folder.rmdir()


def _download(path: Path, fetch: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.download-"
    for leftover in path.parent.iterdir():
        if leftover.name.startswith(prefix):
            shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder, _time_out():
        temporary = Path(folder) / path.name
        try:
            fetch(temporary)
        except HTTPException as error:  # unlike other network errors, not an OSError
            raise ConnectionError(f"not an answer in HTTP: {type(error).__name__} {error}") from None
        temporary.replace(path)


@contextmanager
def _removed_on_failure(lock: Path) -> Iterator[None]:
    """Removes the lock's file while it is held, so that a folder made for a failed download can go."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            lock.unlink()
        raise


@contextmanager
def _time_out() -> Iterator[None]:
    """Inside, a new connection that stalls raises TimeoutError. torchvision and torch.hub set no limit themselves."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
