"""Errors a user can cause, and how every command line tells them: one line, exit code 2."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from housenumbers import processes

# What the operating system refuses for reasons outside this program: full disk, quota, no permission, read-only.
_ENVIRONMENT_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
# What lies in a place that is wanted for something else.
_IN_THE_WAY = {errno.EEXIST: "file", errno.ENOTDIR: "file", errno.EISDIR: "folder"}


class UserError(Exception):
    """What a user can mend. The message names the key or file, what was wrong and what to do, in one line."""


class InputError(UserError, ValueError):
    """What was handed over in Python is not what is documented."""


class DivergedError(UserError):
    """The loss is no longer a finite number."""


def fail(message: str) -> None:
    """Prints one line on standard error, once where torchrun started several processes, and exits with code 2."""
    sys.stdout.flush()
    if processes.is_first_to_fail():
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends user errors in one line and exit code 2. Bugs keep their traceback."""
    try:
        yield
    except UserError as error:
        fail(str(error))
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            what, place = _IN_THE_WAY[error.errno], error.filename2 or error.filename
            other = "folder" if what == "file" else "file"
            fail(f"{place}: {error.strerror}: move away the {what} that is in the place of a {other}")
        if error.errno not in _ENVIRONMENT_ERRNOS:
            raise
        fail(f"{error.filename or 'writing'}: {error.strerror}: make room, or permit writing there")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
