"""A lock for files that several processes need: one makes the file, the others wait, log that, and time out."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from housenumbers.runtime.threads import call_periodically

log = logging.getLogger(__name__)

_LOGGED_AFTER = 3.0  # seconds of waiting before it is logged
_HEARTBEAT = 2.0  # seconds between heartbeats of the process that holds a lock
_TIMEOUT = 30.0  # seconds without a heartbeat after which the others continue without the lock


@contextmanager
def exclusive_lock(lock: Path, task: str) -> Iterator[None]:
    """Holds the file `lock` inside the block. While another process holds it, waits, and logs that it waits for `task`.

    The holder sends heartbeats. If they stop, for example because the holder was stopped, this process continues
    without the lock, as on a file system without locks or a read-only one. So files have to be written atomically.
    """
    heartbeat = lock.with_name(f"{lock.name}.heartbeat")
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            if _acquire(file_lock := FileLock(lock), heartbeat, task):
                held.callback(file_lock.release)
                held.enter_context(_heartbeat(heartbeat))
        yield


def _acquire(lock: FileLock, heartbeat: Path, task: str) -> bool:
    """Waits for the lock. False where its holder sends no heartbeat."""
    begin = changed = time.monotonic()
    is_logged, last_beat = False, _mtime_ns(heartbeat)
    while True:
        try:
            lock.acquire(timeout=0.5, poll_interval=0.05)
            return True
        except Timeout:
            now, beat = time.monotonic(), _mtime_ns(heartbeat)
        if beat != last_beat:
            changed, last_beat = now, beat
        if not is_logged and now - begin > _LOGGED_AFTER:
            log.info("waiting for another process: %s", task)
            is_logged = True
        if now - changed > _TIMEOUT:
            log.warning(
                "%s: the process that holds this lock has sent no heartbeat for %.0f s: going on without the lock",
                lock.lock_file, _TIMEOUT,
            )  # fmt: skip
            return False


@contextmanager
def _heartbeat(file: Path) -> Iterator[None]:
    """Touches the file from a thread, which a stopped process does not run, and removes it at the end."""

    def touch() -> None:
        with suppress(OSError):
            file.touch()

    try:
        with call_periodically(touch, _HEARTBEAT):
            yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _mtime_ns(file: Path) -> int | None:
    # Compared only with its earlier value, since another machine's clock may differ.
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None
