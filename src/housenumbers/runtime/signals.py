"""Ending in order: SIGINT and SIGTERM raise SystemExit, but not in the middle of what must not be torn."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_received: int | None = None  # the signal that has come
_protected = 0  # how many `deferred_signals` blocks are open
_postponed = False  # it came inside one of them


def install_handlers() -> None:
    """Makes both signals end this process with exit code 128 + number. A second one must not disturb the ending."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)
    sys.unraisablehook = _report_unraisable


def received() -> bool:
    """Whether a signal has come: for an event loop, which has its own way to end."""
    return _received is not None


def exit_if_received() -> None:
    """Raises SystemExit if a signal has come: a loop's safe place to end, in a `deferred_signals` block too.

    Outside of one the first SystemExit may have been lost: Python drops what a weak reference's callback raises, say.
    """
    if _received is not None:
        raise SystemExit(128 + _received)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """A signal that comes meanwhile is obeyed afterwards, or at the next `exit_if_received`.

    For what an exception at any line would tear: a database's transaction stays open, a queue loses count.
    """
    global _protected, _postponed
    _protected += 1
    try:
        yield
    finally:
        _protected -= 1
        if _postponed and not _protected:
            _postponed = False
            exit_if_received()


@contextmanager
def one_line_exit() -> Iterator[None]:
    """Prints one line where a signal ends what is inside, for a command that has nothing more to say about it."""
    try:
        yield
    except SystemExit:
        if received():
            print("interrupted", file=sys.stderr)
        raise


def _handle(number: int, _: Any) -> None:
    global _received, _postponed
    if _received is not None:  # not SIG_IGN: Python complains of a signal that was on its way when that was set
        return
    _received = number
    if _protected:
        _postponed = True
    else:
        exit_if_received()


def _report_unraisable(lost: Any) -> None:
    """Reports what Python has to drop, but not our own SystemExit: `exit_if_received` raises it again."""
    if not (_received is not None and issubclass(lost.exc_type, SystemExit)):
        sys.__unraisablehook__(lost)
