"""Files from the network: whole or not at all, fetched by one process at a time, and no wait without an end."""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from housenumbers.runtime.file_lock import exclusive_lock

_STALLED = 60.0  # seconds without a byte after which a download is given up


def download(path: Path, fetch: Callable[[Path], object]) -> None:
    """Has `fetch(temporary)` download a file, then renames it to `path`; does nothing where `path` is there by then.

    `fetch` checks what it has downloaded. The temporary file has the same name, in a folder beside `path`, so that a
    download that was cut off never passes for the file itself; what a killed download left there is removed.
    Raises what `fetch` does, and OSError for all that goes wrong on the network: TimeoutError (perhaps within an
    URLError) where the server stops sending.
    """
    with exclusive_lock(path.with_name(f".{path.name}.lock"), f"it downloads {path}"):
        if path.is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}.download-"
        for leftover in path.parent.iterdir():
            if leftover.name.startswith(prefix):
                shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder, _time_out():
            temporary = Path(folder) / path.name
            try:
                fetch(temporary)
            except HTTPException as error:  # which is no OSError, unlike all else that a connection may meet
                raise ConnectionError(f"not an answer in HTTP: {type(error).__name__} {error}") from None
            temporary.replace(path)


@contextmanager
def _time_out() -> Iterator[None]:
    """Meanwhile a new connection that stalls raises TimeoutError: torchvision and torch.hub set no limit themselves."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
