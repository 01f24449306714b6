"""Exact points at which a process kills itself: calls and returns of chosen functions, and of the system's own.

A profile function sees every call of a function of `WATCHED` code, and those of `SYSTEM` functions that write, rename
or remove. A point is such an event and how often it has come before; a dry run writes down all of them.
"""

import os
import signal
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

# Code whose functions are watched, by parts of its files' paths: all that writes or decides what is written.
WATCHED = (
    "/housenumbers/runtime/files.py", "/housenumbers/tracking/", "/housenumbers/training/", "/housenumbers/runs/",
    "/housenumbers/evaluation/score.py", "/housenumbers/data/cache.py",
    "/housenumbers/reports/after_training.py", "/torch/utils/tensorboard/writer.py", "/tensorboard/summary/writer/",
    "/filelock/_unix.py",
)  # fmt: skip
# Built-in functions that are watched wherever they are called from.
SYSTEM = (
    os.fsync, os.ftruncate, os.link, os.mkdir, os.open, os.remove, os.rename, os.replace, os.rmdir, os.unlink, open,
)  # fmt: skip
_IN = " in "  # between the name of one of these and that of the function that calls it


def is_of_the_system(point: str) -> bool:
    """Whether a point is before or after a function of the system, not one of the watched code."""
    return _IN in point


@dataclass(frozen=True)
class Recorder:
    """In the process that is to be watched: appends the names of all points to a file."""

    file: Path

    def __call__(self) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _watch(lambda name, number: os.write(descriptor, f"{name}#{number}\n".encode()))


@dataclass(frozen=True)
class Killer:
    """In the process that is to be killed: ends it by SIGKILL at the point."""

    point: str

    def __call__(self) -> None:
        wanted, _, which = self.point.rpartition("#")
        number = int(which)

        def kill(name: str, count: int) -> None:
            if name == wanted and count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        _watch(kill)


def _watch(act: Any) -> None:
    """Calls `act(name, number)` at each point of this process, in all its threads."""
    watched: dict[Any, str | None] = {}
    counts: Counter[str] = Counter()

    def name_of(frame: FrameType) -> str | None:
        code = frame.f_code
        if code not in watched:
            known = next((part for part in WATCHED if part in code.co_filename), None)
            named = known is not None and "<" not in code.co_qualname  # no module, lambda or comprehension
            watched[code] = f"{Path(code.co_filename).stem}.{code.co_qualname}" if named else None
        return watched[code]

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" or event == "return":
            name = name_of(frame)
        elif argument in SYSTEM:
            name = f"{argument.__name__}{_IN}{frame.f_code.co_qualname}"
        else:
            return
        if name is not None:
            place = f"{'before' if event.endswith('call') else 'after'} {name}"
            counts[place] += 1
            act(place, counts[place])

    threading.setprofile(profile)
    sys.setprofile(profile)
