"""One process at a time makes a file that several want; the others wait, say so, and do not wait for ever."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from housenumbers.runtime.threads import call_periodically

log = logging.getLogger(__name__)

_SAID_AFTER = 3.0  # seconds of waiting before it is said
_HEARTBEAT = 2.0  # seconds between two signs of life of the process that holds a lock
_PATIENCE = 30.0  # seconds without one after which the others go on without the lock


@contextmanager
def exclusive_lock(lock: Path, task: str) -> Iterator[None]:
    """Holds the file `lock` meanwhile. While another process holds it, waits, and says that it waits for `task`.

    The holder shows that it is alive. If it does not, since it was stopped, say, this process goes on without the lock;
    so it does where the file system has no locks, or is read-only. What is made has to be written atomically, then.
    """
    heartbeat = lock.with_name(f"{lock.name}.heartbeat")
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            if _acquired(found := FileLock(lock), heartbeat, task):
                held.callback(found.release)
                held.enter_context(_heartbeat(heartbeat))
        yield


def _acquired(lock: FileLock, heartbeat: Path, task: str) -> bool:
    """Waits for the lock; false where its holder shows no sign of life."""
    begin = changed = time.monotonic()
    said, last = False, _time_of(heartbeat)
    while True:
        try:
            lock.acquire(timeout=0.5, poll_interval=0.05)
            return True
        except Timeout:
            now, beat = time.monotonic(), _time_of(heartbeat)
        if beat != last:
            changed, last = now, beat
        if not said and now - begin > _SAID_AFTER:
            log.info("waiting for another process: %s", task)
            said = True
        if now - changed > _PATIENCE:
            log.warning(
                "%s: the process that holds this lock has shown no sign of life for %.0f s: going on without it",
                lock.lock_file, _PATIENCE,
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


def _time_of(file: Path) -> int | None:
    # Compared with its own earlier value alone: another machine's clock may differ.
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None
