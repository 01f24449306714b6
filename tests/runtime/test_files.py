"""Files that are whole or not there; what a killed write left is removed, what another process writes is not."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, environment

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import expand_user, read_text, remove_temporary_files, write_text

WRITING = """import sys, time
from pathlib import Path
from housenumbers.runtime.files import write_atomically
def write(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(100)
write_atomically(Path(sys.argv[1]), write)
"""


def begin(file: Path) -> subprocess.Popen[str]:
    """A process in the middle of writing the file."""
    command = [sys.executable, "-c", WRITING, str(file)]
    source = str(ROOT / "src")
    process = subprocess.Popen(command, env=environment(PYTHONPATH=source), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def temporaries(folder: Path) -> list[Path]:
    return list(folder.glob(".*.tmp"))


def test_the_next_write_removes_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("housenumbers.runtime.files._JUST_MADE", 0.0)
    process = begin(tmp_path / "model.onnx")
    (left,) = temporaries(tmp_path)
    write_text(tmp_path / "model.onnx", "another's")
    assert temporaries(tmp_path) == [left]  # it may still come to its end
    remove_temporary_files(tmp_path)
    assert temporaries(tmp_path) == [left]
    process.kill()
    process.communicate()
    write_text(tmp_path / "other.onnx", "of another name")
    assert temporaries(tmp_path) == [left]
    write_text(tmp_path / "model.onnx", "whole")
    assert temporaries(tmp_path) == []
    assert (tmp_path / "model.onnx").read_text() == "whole"


def test_what_was_made_just_now_stays(tmp_path: Path) -> None:
    left = tmp_path / f".model.onnx.{'0' * 32}.tmp"
    left.touch()
    for age, there in ((0, True), (10, False)):
        os.utime(left, (time.time() - age,) * 2)
        write_text(tmp_path / "model.onnx", "whole")
        assert left.exists() == there


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EIO])
def test_a_refusal_names_the_file_that_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "another file")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)  # as on a read-only disk, where there is nothing to remove either
    with pytest.raises(OSError, match="file") as raised:
        write_text(tmp_path / "file", "text")
    assert raised.value.errno == number
    assert raised.value.filename == str(tmp_path / "file")


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="not an ordinary file"):
            read_text(place)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_the_home_of_an_unknown_user_is_one_line() -> None:
    assert expand_user("~/data") == Path.home() / "data"
    with pytest.raises(UserError, match=r"~nobody-of-that-name/data: .* name the folder in full"):
        expand_user("~nobody-of-that-name/data")
