"""Signals end a process in order, also where Python would drop the exception."""

import signal
import subprocess
import sys

import pytest
from support import ROOT, environment


def run(code: str) -> subprocess.CompletedProcess[str]:
    program = f"import os, signal\nfrom housenumbers.runtime import signals\nsignals.install_handlers()\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program], env=environment(PYTHONPATH=str(ROOT / "src")),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


KILL = "os.kill(os.getpid(), signal.{name})"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_process_and_its_cleanup_is_run(name: str) -> None:
    done = run(f"try:\n    {KILL.format(name=name)}\n    print('went on')\nfinally:\n    print('cleaned up')")
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stdout == "cleaned up\n"


def test_a_second_signal_does_not_disturb_the_cleanup() -> None:
    kill = KILL.format(name="SIGTERM")
    done = run(f"try:\n    {kill}\nfinally:\n    {kill}\n    print('cleaned up')")
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")


def test_what_is_undisturbed_is_finished_first() -> None:
    kill = KILL.format(name="SIGTERM")
    done = run(f"with signals.deferred_signals():\n    {kill}\n    print('finished')\nprint('went on')")
    assert (done.returncode, done.stdout) == (143, "finished\n")


def test_an_exception_that_python_drops_is_raised_at_the_next_check() -> None:
    """What is raised while an object is finalised is forgotten."""
    kill = KILL.format(name="SIGTERM")
    dying = f"class Dying:\n    def __del__(self):\n        {kill}\nDying()\n"
    done = run(f"{dying}print('went on')\nsignals.exit_if_received()\nprint('too far')")
    assert (done.returncode, done.stdout, done.stderr) == (143, "went on\n", "")


def test_two_signals_at_once_end_it_as_quietly_as_one() -> None:
    """A terminal's Ctrl-C reaches a worker twice: from the terminal, and from the process that started it."""
    kills = f"{KILL.format(name='SIGINT')}\n{KILL.format(name='SIGTERM')}"
    both = "{signal.SIGINT, signal.SIGTERM}"
    done = run(
        f"signal.pthread_sigmask(signal.SIG_BLOCK, {both})\n{kills}\nsignal.pthread_sigmask(signal.SIG_UNBLOCK, {both})"
    )
    assert (done.returncode, done.stderr) == (130, "")
