"""The interface between a run and its Optuna trial. Does not import Optuna: single runs import this module too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

from housenumbers.sweeps.deadline import DeadlineReached, is_over

FINISHED_EPOCHS = "finished_epochs"  # attribute of a trial with several objectives


@dataclass
class Trial:
    """A trial of a study. With several objectives no value is reported, since Optuna cannot prune such a trial."""

    live: Any  # the optuna.trial.Trial
    objectives: int
    deadline: float = inf  # in seconds since 1970
    pruned: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """The study's name and the trial's number in it."""
        return {"study": self.live.study.study_name, "number": self.live.number}

    def report(self, value: float, epoch: int) -> None:
        """Reports the objective's value at an epoch to the study. With several objectives, only the epoch."""
        if self.objectives == 1:
            self.live.report(value, epoch)
        else:
            self.live.set_user_attr(FINISHED_EPOCHS, epoch)

    def should_prune(self) -> bool:
        """Whether the pruner stops the trial. Called once per epoch."""
        self.pruned = self.objectives == 1 and self.live.should_prune()
        return self.pruned

    def exit_after_deadline(self) -> None:
        """Raises DeadlineReached, a SystemExit, after the deadline. Called after each epoch but the last."""
        if is_over(self.deadline):
            raise DeadlineReached


_current: Trial | None = None


def current_trial() -> Trial | None:
    """The trial that this process is running, or None."""
    return _current


@contextmanager
def set_current_trial(trial: Trial) -> Iterator[None]:
    """Makes `trial` the current one."""
    global _current
    _current = trial
    try:
        yield
    finally:
        _current = None
