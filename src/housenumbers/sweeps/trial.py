"""What a run needs to know of the trial that it is. Does not import Optuna, since single runs come here too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Trial:
    """One trial of a study with one objective, or with several: then nothing is reported, as Optuna cannot prune it."""

    live: Any  # the optuna.trial.Trial
    objectives: int
    pruned: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """The study's name and the trial's number in it."""
        return {"study": self.live.study.study_name, "number": self.live.number}

    def report(self, value: float, epoch: int) -> None:
        """Tells the study the objective's value at an epoch."""
        if self.objectives == 1:
            self.live.report(value, epoch)

    def should_stop(self) -> bool:
        """Whether the pruner has given the trial up. Asked once an epoch."""
        self.pruned = self.objectives == 1 and self.live.should_prune()
        return self.pruned


_current: Trial | None = None


def current_trial() -> Trial | None:
    """The trial that this process is at work on, if it is."""
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
