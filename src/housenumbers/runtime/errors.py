"""Errors that a user can cause. All commands report them in one line, with exit code 2."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from housenumbers.runtime import processes

# Errors of the operating system with causes outside this program, and what to do about them.
_ADVICE = {
    ("ENOSPC", "EDQUOT"): "make room",
    ("EACCES", "EPERM"): "permit access to it",
    ("EROFS",): "permit writing there, or choose another folder",
    ("EMFILE", "ENFILE"): "too many files are open at once: raise the limit (ulimit -n)",
    ("EFBIG",): "raise the limit on the size of files (ulimit -f), or choose another disk",
    ("ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EINVAL"): "its file system cannot do this: choose another folder",
    ("EIO", "ENXIO", "ENODEV", "EREMOTEIO"): "the disk or its connection fails: check it, and back up its files",
    ("ESTALE", "ENOTCONN", "ENOLINK", "EHOSTDOWN", "ETIMEDOUT"): "the network folder is gone: mount it again",
    ("ENAMETOOLONG",): "choose a shorter name",
    ("ELOOP",): "a link refers to itself: correct it",
    ("EBUSY", "ETXTBSY"): "another program uses it: end that program first",
    ("ENOMEM",): "free some memory",
    ("EEXIST", "ENOTDIR"): "a file or a broken link is where a folder has to be: move it away",
    ("EISDIR",): "a folder is where a file has to be: move it away",
}
_ADVICE_BY_NUMBER = {
    getattr(errno, name): advice for names, advice in _ADVICE.items() for name in names if hasattr(errno, name)
}
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a terminal would obey some of them
_NO_FILE_NEEDED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EFBIG)


class UserError(Exception):
    """An error that a user can fix. The message names the key or file, the fault and what to do, in one line."""

    def __str__(self) -> str:
        line = " ".join(super().__str__().split())  # names of files and other programs' messages may have line breaks
        return _CONTROL_CHARACTER.sub(lambda found: ascii(found[0])[1:-1], line)


class InputError(UserError, ValueError):
    """The arguments of a Python call are not as documented."""


class DivergedError(UserError):
    """The loss is no longer a finite number."""


def os_error_message(error: OSError) -> str | None:
    """The error of the operating system and what to do, in one line. None where it may be a bug in this program.

    An error without a file name may concern other things than files, unless its number excludes that.
    """
    place = error.filename2 or error.filename
    if error.errno == errno.ENOENT and not _working_folder_exists():
        return "the working folder no longer exists: change into one that does"
    if error.errno == errno.ENOENT and _creates(error) and Path(str(place)).parent.is_dir():  # such as in /proc
        return f"{place}: {error.strerror}: this file system allows no new files: choose another place"
    advice = _ADVICE_BY_NUMBER.get(error.errno or 0)
    if advice is None or (place is None and error.errno not in _NO_FILE_NEEDED):
        return None
    return f"{'writing' if place is None else place}: {error.strerror}: {advice}"


def _creates(error: OSError) -> bool:
    """Whether a folder or a file was to be made."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return names[-1:] in (["mkdir"], ["makedirs"]) or "write_atomically" in names


def _working_folder_exists() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def error_text(error: BaseException) -> str:
    """An error in one line: the message of a user's error; of a bug also its type and the notes added to it."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return " ".join((str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}{notes}").split())


@contextmanager
def os_errors_as_user_errors() -> Iterator[None]:
    """Raises UserError where the operating system refuses something that a user can mend. Bugs stay as they are."""
    try:
        yield
    except OSError as error:
        if (explanation := os_error_message(error)) is None:
            raise
        raise UserError(explanation) from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Reports user errors in one line, once if torchrun started several processes, and exits with code 2.

    Bugs keep their traceback.
    """
    try:
        with os_errors_as_user_errors():
            yield
    except UserError as error:
        sys.stdout.flush()
        if processes.is_first_to_fail():
            print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
