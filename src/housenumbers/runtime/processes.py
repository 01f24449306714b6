"""Which of how many processes this one is, as torchrun told it, or else the only one; and what they share: the cores,
and the process that started them, which they end with."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_LOOK_EVERY = 0.5  # seconds


def rank() -> int:
    """This process's number among all of the run; 0 is the first."""
    return _told("RANK", 0)


def local_rank() -> int:
    """Its number among those on this machine."""
    return _told("LOCAL_RANK", 0)


def world_size() -> int:
    """How many processes the run has."""
    return _told("WORLD_SIZE", 1)


def local_world_size() -> int:
    """How many of them are on this machine."""
    return _told("LOCAL_WORLD_SIZE", 1)


def available_cores() -> int:
    """How many cores of this machine its processes may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first_to_fail() -> bool:
    """Whether none of this machine's processes has asked this before. What ends one ends all: the first one knows why.

    They agree by a file in the folder that torchrun makes for the errors of each round of its processes.
    """
    if world_size() == 1:
        return True
    try:
        (Path(os.environ["TORCHELASTIC_ERROR_FILE"]).parents[1] / "failed").touch(exist_ok=False)
    except FileExistsError:
        return False
    except (KeyError, IndexError, OSError):  # torchrun keeps no logs, or the disk is full
        return local_rank() == 0
    return True


def terminate_with(starters: Sequence[int]) -> None:
    """Ends this process by SIGTERM once one of the processes `starters`, which began before it, is gone.

    At once, where one is gone already: its number may be another process's by now, but that began later. The system's
    own signal for it (PR_SET_PDEATHSIG) would come too early: when the parent's thread ends that started this process.
    """

    def watch() -> None:
        asleep = threading.Event()
        while all(map(_began_before, starters)):
            asleep.wait(_LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    if all(map(_began_before, starters)):
        threading.Thread(target=watch, name="watch starters", daemon=True).start()
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def terminate_with_torchrun() -> None:
    """Ends this process with torchrun, if that started it. To be called early: until then its end is not noticed."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid()
    terminate_with([-1 if _is_foster_parent(parent) else parent])


def _began_before(process: int) -> bool:
    """Whether there is a process of this number, not ended, that began before this one."""
    import psutil

    try:
        other = psutil.Process(process)
        # Both times come from one reading of the clock, so that setting the clock does not matter.
        return other.status() != psutil.STATUS_ZOMBIE and other.create_time() <= psutil.Process().create_time()
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError):
        return False


def _is_foster_parent(process: int) -> bool:
    """Whether it is the process that the system gives orphans to, rather than the one that started this script."""
    import psutil

    try:
        parent = psutil.Process(process)
        adopts = process == 1 or parent.name() == "systemd"
        return adopts and Path(sys.argv[0]).name not in " ".join(parent.cmdline())
    except psutil.Error:
        return False


def _told(name: str, otherwise: int) -> int:
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise
