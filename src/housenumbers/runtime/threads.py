"""Calls a function periodically in the background."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def call_periodically(function: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls `function` from a thread, at once and then every `seconds` seconds, until the block ends.

    The function has to catch its exceptions: an exception ends the thread.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.is_set():
            function()
            ended.wait(seconds)

    thread = threading.Thread(target=repeat, name=f"call_periodically {function}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
