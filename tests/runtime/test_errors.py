"""What the operating system refuses, told in one line with what to do."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.files import write_text

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


def test_control_characters_in_a_name_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors():
        raise UserError("run=a\x00b\x1b[31m\nc: no such run: name one")
    assert capsys.readouterr().err == "error: run=a\\x00b\\x1b[31m c: no such run: name one\n"


def test_a_full_disk_needs_no_name_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "make room" in told(OSError(errno.ENOSPC, "No space left on device"), capsys)


def test_a_working_folder_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    words = [sys.executable, str(ROOT / "src/train.py"), "data=digits"]
    remove_and_run = f"import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, {words!r})"
    done = subprocess.run([sys.executable, "-c", remove_and_run], cwd=tmp_path / "gone", capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: the working folder no longer exists: change into one that does\n"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "x"), OSError(errno.EIO, "no file")])
def test_what_may_be_a_bug_keeps_its_traceback(error: OSError) -> None:
    with pytest.raises(OSError, match="file"), one_line_errors():
        raise error


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no folders")
def test_a_file_system_that_takes_no_files_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("/proc/housenumbers")
    for make in (path.mkdir, lambda: os.makedirs(path), lambda: write_text(path, "")):  # noqa: PTH103
        with pytest.raises(SystemExit), one_line_errors():
            make()
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: /proc/housenumbers: ")
        assert line.endswith(": choose another place")


def test_a_missing_parent_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), one_line_errors():
        (tmp_path / "missing" / "folder").mkdir()
