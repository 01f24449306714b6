"""The rank of this process and the number of processes, from torchrun. Also the available cores, and functions that
end this process together with its parent."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_POLL_INTERVAL = 0.5  # seconds


def rank() -> int:
    """This process's number among all processes of the run; 0 is the first."""
    return _torchrun_variable("RANK", 0)


def local_rank() -> int:
    """This process's number among the run's processes on this machine."""
    return _torchrun_variable("LOCAL_RANK", 0)


def world_size() -> int:
    """The number of processes of the run."""
    return _torchrun_variable("WORLD_SIZE", 1)


def local_world_size() -> int:
    """The number of processes of the run on this machine."""
    return _torchrun_variable("LOCAL_WORLD_SIZE", 1)


def available_cores() -> int:
    """The number of cores of this machine that its processes may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first_to_fail() -> bool:
    """Whether this is the first of this machine's processes to call this: its error is the cause of the others.

    They agree through a file in the folder that torchrun makes for the errors of each restart.
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


def terminate_with(parents: Sequence[int]) -> None:
    """Ends this process by SIGTERM when one of the processes `parents`, which began before it, has ended.

    Ends it at once if one has ended already. A new process with the same number is recognized by its later start. The
    system's signal (PR_SET_PDEATHSIG) would come too early: when the parent's thread that started this process ends.
    """

    def watch() -> None:
        asleep = threading.Event()
        while all(map(_started_before, parents)):
            asleep.wait(_POLL_INTERVAL)
        os.kill(os.getpid(), signal.SIGTERM)

    if all(map(_started_before, parents)):
        threading.Thread(target=watch, name="watch parents", daemon=True).start()
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def terminate_with_torchrun() -> None:
    """Ends this process with torchrun, if that started it. Call it early: an earlier end of torchrun is not noticed."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid()
    terminate_with([-1 if _is_subreaper(parent) else parent])


def _started_before(process: int) -> bool:
    """Whether a process with this number is running and began before this one."""
    import psutil

    try:
        other = psutil.Process(process)
        # Both times come from one reading of the clock, so that setting the clock does not matter.
        return other.status() != psutil.STATUS_ZOMBIE and other.create_time() <= psutil.Process().create_time()
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError):
        return False


def _is_subreaper(process: int) -> bool:
    """Whether the process is one that orphans get as their parent (init or systemd), and did not start this script."""
    import psutil

    try:
        parent = psutil.Process(process)
        adopts = process == 1 or parent.name() == "systemd"
        return adopts and Path(sys.argv[0]).name not in " ".join(parent.cmdline())
    except psutil.Error:
        return False


def _torchrun_variable(name: str, otherwise: int) -> int:
    """The value of a variable that torchrun sets; `otherwise` outside of torchrun."""
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise
