"""Imports without the garbage collector, and the end of a process without the interpreter's own end."""

import csv  # noqa: F401  # so that it is imported already
import gc
import subprocess
import sys

import pytest
from support import ROOT

from housenumbers.runtime import fast_process

SCRIPT = """
import atexit, sys
sys.path.insert(0, "src")
from housenumbers.runtime import fast_process

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
atexit.register(print, "exit handler")

def main():
    print("answer")
    {end}

fast_process.run_and_exit(main)
"""


def ended(end: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT.format(end=end)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("end", "code"), [("return", 0), ("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(1)", 1), ("sys.exit(2)", 2)]
)
def test_the_output_is_complete_and_the_exit_code_is_mains(end: str, code: int) -> None:
    done = ended(end)
    assert done.returncode == code
    assert done.stdout.splitlines() == ["answer", "exit handler"]  # and nothing is taken apart
    assert done.stderr == ""


def test_a_bug_keeps_its_traceback_and_a_message_is_printed() -> None:
    failed = ended("1 / 0")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Traceback")
    assert failed.stderr.splitlines()[-1].startswith("ZeroDivisionError")
    said = ended("sys.exit('a message')")
    assert said.returncode == 1
    assert said.stderr == "a message\n"


def test_imports_leave_the_garbage_collector_as_it_was() -> None:
    command = (
        "import gc; from housenumbers.runtime import fast_process\n"
        "with fast_process.imports_without_gc():\n    assert not gc.isenabled()\n    import csv\n    kept = [[]]\n"
        "assert gc.isenabled()\nassert gc.get_freeze_count() > 0\n"
        "assert all(one is not kept for one in gc.get_objects())"
    )
    subprocess.run([sys.executable, "-c", command], cwd=ROOT / "src", check=True, timeout=60)


def test_a_block_that_imports_nothing_keeps_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    def freeze() -> None:
        raise AssertionError("nothing was imported")

    monkeypatch.setattr("gc.freeze", freeze)
    with fast_process.imports_without_gc():
        import csv  # noqa: F401

    assert gc.isenabled()


def test_a_stopped_garbage_collector_stays_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("enable", "disable", "freeze"):
        monkeypatch.setattr(f"gc.{name}", lambda name=name: called.append(name))
    monkeypatch.setattr("gc.isenabled", lambda: False)
    with fast_process.imports_without_gc():
        pass
    assert "enable" not in called
