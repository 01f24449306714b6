"""Shorter starts and ends of a process that imports torch. Imports little itself."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def imports_without_gc() -> Iterator[None]:
    """A block that imports large libraries: the garbage collector does not search their objects, now or later.

    Imports make hundreds of thousands of objects that live as long as the process. The collector would go through all
    of them several times during the imports, and again in each full collection afterwards. A block that finds all
    its modules imported changes nothing.
    """
    modules = len(sys.modules)
    with without_garbage_collection():
        try:
            yield
        finally:
            if len(sys.modules) > modules:
                gc.freeze()  # not each time: it keeps garbage, too


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """A block that makes many objects and no garbage: the collector does not search them meanwhile."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def run_and_exit(main: Callable[[], None]) -> None:
    """Calls a command's `main`, and ends the process with its exit code, without the interpreter's own end.

    Exit handlers run and the output is complete. The interpreter does not clear modules or unload libraries: that takes
    0.3 s for torch. An exception other than SystemExit passes through.
    """
    code: object = None
    try:
        main()
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        raise SystemExit(code)  # a message, which the interpreter prints
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the reader has closed the pipe: the interpreter says so
        raise SystemExit(code) from None
    os._exit(code or 0)
