"""The end of a sweep's budget of time, `hydra.sweeper.timeout`, which its worker processes share.

Imports little: single runs import this module too.
"""

import math
import os
import time

_DEADLINE = "HOUSENUMBERS_DEADLINE"  # environment variable of a worker: seconds since 1970


class DeadlineReached(SystemExit):
    """Ends a trial like a signal: its run is recorded as interrupted, and its trial is requeued."""

    def __init__(self) -> None:
        super().__init__(0)


def deadline_after(timeout: float | None) -> float:
    """The time, in seconds since 1970, `timeout` seconds from now; infinite for None."""
    return math.inf if timeout is None else time.time() + timeout


def inherited_deadline() -> float:
    """In a worker: the deadline of the command that started it. The machines' clocks have to agree."""
    return float(os.environ.get(_DEADLINE, "inf"))


def deadline_variable(deadline: float) -> dict[str, str]:
    """The environment variable from which a worker reads the deadline."""
    return {_DEADLINE: str(deadline)}


def is_over(deadline: float) -> bool:
    return time.time() >= deadline
