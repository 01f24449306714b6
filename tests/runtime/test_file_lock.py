"""Processes that want the same file: one makes it, the others wait, but not for ever."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from support import ROOT, environment

from housenumbers.runtime import file_lock
from housenumbers.runtime.file_lock import exclusive_lock


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "_LOGGED_AFTER", 0.1)
    monkeypatch.setattr(file_lock, "_HEARTBEAT", 0.1)
    monkeypatch.setattr(file_lock, "_TIMEOUT", 2.0)


def test_a_stopped_process_is_waited_for_with_a_word_and_an_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "entry.lock"
    code = (
        "import sys, time; from pathlib import Path; from housenumbers.runtime.file_lock import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1]), 'it works'):\n    print('has it', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], env=environment(PYTHONPATH=str(ROOT / "src")), stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        os.kill(holder.pid, signal.SIGSTOP)
        with caplog.at_level("INFO"), exclusive_lock(lock, "it makes the entry"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert "waiting for another process: it makes the entry" in caplog.text
    assert f"{lock}: the process that holds this lock has sent no heartbeat" in caplog.text


def test_a_holder_that_is_alive_is_waited_for_however_long_it_takes(tmp_path: Path) -> None:
    order = []

    def slow() -> None:
        with exclusive_lock(tmp_path / "lock", "it works"):
            order.append("has it")
            time.sleep(4)
            order.append("is done")

    thread = threading.Thread(target=slow)
    thread.start()
    while not order:
        time.sleep(0.01)
    with exclusive_lock(tmp_path / "lock", "it works"):
        order.append("the next")
    thread.join()
    assert order == ["has it", "is done", "the next"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == []


def test_a_lock_held_by_something_else_ends_too(tmp_path: Path) -> None:
    begin = time.monotonic()
    with FileLock(tmp_path / "lock"), exclusive_lock(tmp_path / "lock", "it works"):
        pass
    assert time.monotonic() - begin < 20


def test_where_no_lock_can_be_made_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with exclusive_lock(tmp_path / "file" / "lock", "it works"):
        pass
