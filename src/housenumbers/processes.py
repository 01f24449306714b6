"""Which of how many processes this one is, as torchrun told it, or else the only one; and the cores they share."""

import os
from pathlib import Path


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


def cores() -> int:
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


def _told(name: str, otherwise: int) -> int:
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise
