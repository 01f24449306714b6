"""Downloads of files: atomic, by one process at a time, and with a timeout."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from housenumbers.runtime import signals
from housenumbers.runtime.file_lock import exclusive_lock

_STALLED = 60.0  # seconds without data after which a download fails
_PIECE = 1 << 18  # bytes, at most, that are written at once


def download(path: Path, fetch: Callable[[Path], object]) -> None:
    """Downloads a file or folder by `fetch(temporary)`, then renames it to `path`. Does nothing where `path` exists.

    `fetch` verifies the download. `temporary` has the same name, in a folder beside `path`, so that a partial download
    is never taken for the whole one. Removes what killed downloads left. If the download fails, also removes the lock
    and the folders that it made.
    Raises the errors of `fetch`, and OSError for all network errors: TimeoutError (possibly within a URLError) where
    the server stops sending.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    lock = path.with_name(f".{path.name}.lock")
    try:
        with exclusive_lock(lock, f"it downloads {path}"), _removed_on_failure(lock):
            if not path.exists():
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
            raise ConnectionError(_not_http(error)) from None
        temporary.replace(path)


def download_resumably(url: str, path: Path, size: int) -> None:
    """Downloads a file of `size` bytes to `path`. What is there already is kept, and not sent again.

    The caller verifies the file, also what an earlier download left. Two processes that write it at once, as without a
    lock, do no harm: both write the same bytes to the same places. Shows a progress bar.
    Raises ConnectionError for all network errors, and OSError where the file cannot be written.
    """
    path.touch()
    with path.open("r+b") as file:
        if (place := file.seek(0, os.SEEK_END)) > size:  # of another file
            place = file.truncate(0)
        if place == size:
            return
        name = url.rpartition("/")[2]
        with tqdm(
            desc=f"downloading {name}", total=size, initial=place, unit="B", unit_scale=True, leave=False, disable=None
        ) as bar:
            for start, piece in _received(url, place, size):
                signals.exit_if_received()
                file.seek(start)
                file.write(piece)
                place = start + len(piece)
                bar.update(place - bar.n)
    if place < size:
        raise ConnectionError(f"it ended after {place:,} of {size:,} bytes")


def _received(url: str, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """The bytes from `start` to `size` and their places. Begins at 0 if the server sends whole files only.

    Raises ConnectionError for all network errors.
    """
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urlopen(request, timeout=_STALLED) as response:
            place = start if response.status == 206 else 0
            while piece := response.read1(min(_PIECE, size - place)):
                yield place, piece
                place += len(piece)
    except HTTPException as error:
        raise ConnectionError(_not_http(error)) from None
    except OSError as error:
        raise ConnectionError(network_reason(error)) from None


def network_reason(error: Exception) -> str:
    """Why a download failed, in one line."""
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__


def _not_http(error: HTTPException) -> str:
    return f"not an answer in HTTP: {type(error).__name__} {error}"


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
