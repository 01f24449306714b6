"""Processes end with those that started them, however early these are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from support import ROOT, environment

# A process that begins another one, says its number, and waits.
STARTER = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"
# One that ends with its parents as soon as it is told to look, and would go on for a minute without.
STARTED = """
import os, sys, time
from housenumbers.runtime import processes
time.sleep(float(sys.argv[1]))
processes.terminate_with([int(os.environ["STARTERS"])] if len(sys.argv) < 3 else [os.getppid(), int(sys.argv[2])])
time.sleep(60)
"""


def begin(*arguments: str, **more: str) -> subprocess.Popen[str]:
    known = environment(PYTHONPATH=str(ROOT / "src"), **more)
    return subprocess.Popen([sys.executable, "-c", *arguments], env=known, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def is_gone(process: int) -> bool:
    return not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("before_it_looks", [True, False])
def test_a_process_ends_with_the_one_that_started_it(before_it_looks: bool) -> None:
    """Also where that was killed before the process could note who it was: the number was handed over."""
    handed_over = "import os; os.environ['STARTERS'] = str(os.getpid())\n"
    delay = "2" if before_it_looks else "0"
    starter = begin(handed_over + STARTER, sys.executable, "-c", STARTED, delay)
    assert starter.stdout is not None
    started = int(starter.stdout.readline())
    if not before_it_looks:
        wait_for(lambda: psutil.Process(started).num_threads() > 1)
    starter.kill()
    starter.wait()
    wait_for(lambda: is_gone(started))


def test_it_goes_on_while_all_of_them_live_and_ends_with_any_of_them() -> None:
    other = begin("import time; time.sleep(60)")
    time.sleep(0.1)  # the system counts in hundredths of seconds
    started = begin(STARTED, "0", str(other.pid))
    time.sleep(2)
    assert started.poll() is None
    other.kill()  # not waited for: a process that has ended is gone
    assert started.wait(30) == -signal.SIGTERM
    other.wait()


def test_a_number_that_a_later_process_has_is_not_the_starters() -> None:
    """As the system gives it again."""
    from housenumbers.runtime import processes

    later = begin("import time; time.sleep(60)")
    assert processes._started_before(later.pid) is False
    assert processes._started_before(os.getppid()) is True
    later.kill()
    later.wait()
    assert processes._started_before(later.pid) is False
