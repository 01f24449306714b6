"""Orderly exit: SIGINT and SIGTERM raise SystemExit, but not inside blocks that must not be interrupted."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_received: int | None = None  # the received signal
_deferred_blocks = 0  # how many `deferred_signals` blocks are open
_pending = False  # whether it came inside one of them


def install_handlers() -> None:
    """Makes both signals end this process with exit code 128 + number. A second signal does not disturb the exit."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)
    sys.unraisablehook = _report_unraisable


def received() -> bool:
    """Whether a signal was received: for an event loop, which ends differently."""
    return _received is not None


def exit_if_received() -> None:
    """Raises SystemExit if a signal was received: a safe place to leave a loop, also in a `deferred_signals` block.

    Outside of one, the first SystemExit may be lost, for example in the callback of a weak reference: Python drops it.
    """
    if _received is not None:
        raise SystemExit(128 + _received)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Defers a signal to the end of the block, or to the next `exit_if_received`.

    For code that an exception at any line would break: a database's transaction stays open, a queue loses count.
    """
    global _deferred_blocks, _pending
    _deferred_blocks += 1
    try:
        yield
    finally:
        _deferred_blocks -= 1
        if _pending and not _deferred_blocks:
            _pending = False
            exit_if_received()


@contextmanager
def one_line_exit() -> Iterator[None]:
    """Prints one line where a signal ends the block, for a command without another message about it."""
    try:
        yield
    except SystemExit:
        if received():
            print("interrupted", file=sys.stderr)
        raise


@contextmanager
def sigint_as_keyboard_interrupt() -> Iterator[None]:
    """Within the block SIGINT waits for the end of blocks that must not be interrupted, then raises KeyboardInterrupt.

    For code that another program calls: its own handlers are in place again afterwards. In other threads than the main
    one, which receive no signals, does nothing.
    """
    global _received, _pending
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    signal.signal(signal.SIGINT, _handle)
    sys.unraisablehook = _report_unraisable
    try:
        yield
    except SystemExit:
        if not received():
            raise
        raise KeyboardInterrupt from None
    finally:
        _received, _pending = None, False
        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = hook


def _handle(number: int, _: Any) -> None:
    global _received, _pending
    if _received is not None:  # not SIG_IGN: Python reports an error for a signal that was already pending
        return
    _received = number
    if _deferred_blocks:
        _pending = True
    else:
        exit_if_received()


def _report_unraisable(lost: Any) -> None:
    """Reports exceptions that Python drops, except our SystemExit, which `exit_if_received` raises again."""
    if not (_received is not None and issubclass(lost.exc_type, SystemExit)):
        sys.__unraisablehook__(lost)
