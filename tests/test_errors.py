"""What the operating system refuses, told in one line with what to do."""

import errno
import os

import pytest

from housenumbers.errors import one_line_errors

NAMES = [
    "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "EFBIG", "ENOLCK", "EOPNOTSUPP", "EIO",
    "ESTALE", "ENAMETOOLONG", "ELOOP", "EEXIST", "ENOTDIR", "EISDIR",
]  # fmt: skip


def told(error: OSError, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_names_the_file_the_reason_and_what_to_do(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = getattr(errno, name)
    line = told(OSError(number, os.strerror(number), "/some/file"), capsys)
    assert line.startswith(f"error: /some/file: {os.strerror(number)}: ")
    assert "delete" not in line


def test_a_full_disk_needs_no_name_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "make room" in told(OSError(errno.ENOSPC, "No space left on device"), capsys)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "x"), OSError(errno.EIO, "no file")])
def test_what_may_be_a_bug_keeps_its_traceback(error: OSError) -> None:
    with pytest.raises(OSError, match="file"), one_line_errors():
        raise error
