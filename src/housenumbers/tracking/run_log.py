"""The log of a run: plain lines on the terminal, above the progress bar, and in the run's folder."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from housenumbers.runtime.errors import UserError


@contextmanager
def run_log(file: Path) -> Iterator[None]:
    """Sends log records of this package to standard output and, with timestamps, to `file` until the block ends.

    Errors go only to the file: the command prints them on standard error. Handlers of the caller get them too.
    Raises UserError where `file` is a pipe or a device, and OSError where it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not file.is_dir() and not file.is_file():
        raise UserError(f"{file}: not an ordinary file but a pipe or a device: remove it, or name another file")
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("%(message)s"))
    console.addFilter(lambda record: record.levelno < logging.ERROR)
    to_file = logging.FileHandler(file, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_file.handleError = _lost  # type: ignore[method-assign,assignment]
    package = logging.getLogger("housenumbers")
    level, propagate, handlers = package.level, package.propagate, package.handlers
    package.setLevel(logging.INFO)
    package.propagate = False
    package.handlers = [console, to_file]
    try:
        with logging_redirect_tqdm([package]):  # which takes away all handlers of the terminal
            package.handlers = [*package.handlers, *handlers]
            yield
    finally:
        package.setLevel(level)
        package.propagate, package.handlers = propagate, handlers
        to_file.close()


def _lost(_: logging.LogRecord) -> None:
    """Drops a line that does not fit on a full disk, where logging would print a traceback over the original error."""
