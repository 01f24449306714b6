"""A worker: asks the study for trial after trial, runs each in its own folder, and tells the study how it went."""

import errno
import math
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf.errors import OmegaConfBaseException
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from housenumbers.config.messages import one_line
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.signals import deferred_signals
from housenumbers.sweeps.heartbeat import (
    DATABASE_ERRORS,
    discard_trial,
    heartbeats,
    record_owner,
    requeue_dead_trials,
    requeue_trial,
)
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study import COPIED_FROM, assignments, counts_as_trial, ended_line, quote_value, trial_folder
from housenumbers.sweeps.trial import Trial, set_current_trial
from housenumbers.tracking.run_folder import RunFolder

_JUDGED_FROM = 4  # trials: before that a failure rate says little
_LOOK_EVERY = 0.5  # seconds, while the last trials are with other workers
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Worker:
    """Any number of them, in processes and on machines of their own, complete a study together."""

    study: optuna.Study
    space: Space
    overrides: Sequence[str]  # what all trials share
    objectives: Sequence[str]
    folder: Path  # of the sweep
    launcher: Launcher  # runs one trial in this process
    n_trials: int
    max_failure_rate: float
    earlier: Sequence[FrozenTrial]  # of other studies: what they have need not be trained
    say: Callable[[str], None]

    def work(self) -> None:
        """Runs trials until `n_trials` are there, those of other workers included, or too many have failed."""
        while True:
            signals.exit_if_received()
            with deferred_signals(), trial_lock(self.folder):
                for number in requeue_dead_trials(self.study):
                    self.say(f"trial {number} was interrupted: another one goes on from its checkpoint")
                trials = self.study.get_trials(deepcopy=False)
            done = [trial for trial in trials if counts_as_trial(trial)]
            if len(done) >= self.n_trials or too_many_failed(done, self.max_failure_rate):
                return
            if any(trial.state is TrialState.WAITING for trial in trials) or _places_taken(trials) < self.n_trials:
                self._run_trial()
            else:
                time.sleep(_LOOK_EVERY)  # rather than leave: one of the others may die

    def _run_trial(self) -> None:
        live = None
        try:
            with deferred_signals(), trial_lock(self.folder):
                live = self._ask()
            if live is None:
                return
            if (equal := self._equal_to(live)) is not None:
                with deferred_signals():
                    self._take_over(live, equal)
                    self.say(ended_line(self._frozen(live), self.objectives))
                return
            folder = self._folder_for(live)
            place = [f"hydra.sweep.dir={quote_value(self.folder)}", f"hydra.sweep.subdir={folder.name}"]
            trial_overrides = [*self.overrides, *assignments(live.params), *place]
            trial = Trial(live, len(self.objectives))
            with set_current_trial(trial), heartbeats(self.study, live._trial_id):
                returned = self._launch(trial_overrides, live.number)
            if returned.status is JobStatus.FAILED:
                signals.exit_if_received()  # C code may have made another error of the interruption
            if _no_fault_of_its_own(returned):
                raise returned._return_value
        except BaseException:  # the sweep itself is being stopped
            if live is not None:
                with suppress(*DATABASE_ERRORS):  # the database's disk may be the full one
                    requeue_trial(self.study, self._frozen(live))
            raise
        with deferred_signals():
            self._tell(trial, returned, folder)
            self.say(ended_line(self._frozen(live), self.objectives))

    def _equal_to(self, live: optuna.Trial) -> FrozenTrial | None:
        """A complete trial of the same setting, if there is one: its results are these to the bit, but for the time."""
        if "train_seconds" in self.objectives:
            return None
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return next((trial for trial in [*complete, *self.earlier] if trial.params == live.params), None)

    def _take_over(self, live: optuna.Trial, equal: FrozenTrial) -> None:
        """Tells the study the equal trial's results."""
        for epoch, value in equal.intermediate_values.items():
            live.report(value, epoch)
        live.set_user_attr(COPIED_FROM, equal.user_attrs.get(COPIED_FROM, [self.study.study_name, equal.number]))
        self._tell_values(live, equal.values)

    def _launch(self, trial_overrides: list[str], number: int) -> JobReturn:
        """Runs the trial. A configuration that cannot be composed is a failure of the trial too."""
        try:
            (returned,) = self.launcher.launch([trial_overrides], initial_job_idx=number)
        except (HydraException, OmegaConfBaseException) as error:
            returned = JobReturn(status=JobStatus.FAILED)
            returned.return_value = UserError(one_line(error))
        return returned

    def _ask(self) -> optuna.Trial | None:
        """The next trial; none where another worker took the last place just before."""
        live = self.study.ask()
        continued = live.user_attrs.get("continues")  # still RUNNING, if what gave it back was killed at that
        trials = self.study.get_trials(deepcopy=False)
        before = [trial for trial in trials if trial.number < live.number and trial.number != continued]
        if _places_taken(before) >= self.n_trials:
            discard_trial(self.study, live._trial_id)
            return None
        record_owner(live)
        self.space.draw(live)
        return live

    def _folder_for(self, live: optuna.Trial) -> Path:
        """The trial's folder, with the checkpoints of the interrupted trial that it goes on with, if it does."""
        folder = trial_folder(self.folder, live.number)
        move_aside(folder)
        trials = self.study.get_trials(deepcopy=False)
        stopped = live.user_attrs.get("continues")
        while stopped is not None:
            checkpoints = trial_folder(self.folder, stopped) / "checkpoints"
            if checkpoints.exists() and trials[stopped].params == live.params:
                half = folder / "checkpoints.half"  # a kill may come here, too
                shutil.copytree(checkpoints, half)
                half.rename(folder / "checkpoints")
                break
            stopped = trials[stopped].user_attrs.get("continues")  # it was killed before it had any itself
        return folder

    def _frozen(self, live: optuna.Trial) -> FrozenTrial:
        return self.study._storage.get_trial(live._trial_id)

    def _tell(self, trial: Trial, returned: JobReturn, folder: Path) -> None:
        """Tells the study how the trial ended."""
        try:
            if returned.status is JobStatus.FAILED:
                self._fail(trial, _reason(returned._return_value, folder))
            elif trial.pruned:
                self.study.tell(trial.live, state=TrialState.PRUNED)
            else:
                values = returned.return_value if len(self.objectives) > 1 else [returned.return_value]
                if all(value is not None and math.isfinite(value) for value in values):
                    self._tell_values(trial.live, values)
                else:
                    self._fail(trial, f"the objective is {values}, not a finite number")
        except UpdateFinishedTrialError:  # this machine slept, and another one has taken the trial over
            pass

    def _tell_values(self, live: optuna.Trial, values: Sequence[float]) -> None:
        try:
            self.study.tell(live, values)
        except UpdateFinishedTrialError:  # as above
            pass
        except RuntimeError as error:
            if "Study.stop" not in str(error):  # the grid is complete, and says so where no `optimize` hears it
                raise

    def _fail(self, trial: Trial, reason: str) -> None:
        trial.live.set_user_attr("error", " ".join(reason.split()))
        self.study.tell(trial.live, state=TrialState.FAIL)


@contextmanager
def trial_lock(sweep_folder: Path) -> Iterator[None]:
    """One process at a time claims trials or gives them back: SQLite itself would let two have the same one.

    The processes of other machines share a real database, which locks its rows.
    """
    lock = FileLock(sweep_folder / ".lock")
    while not lock.is_locked:
        signals.exit_if_received()  # the other process may have been stopped, and this one be told to end
        with suppress(Timeout):
            lock.acquire(timeout=1)
    try:
        yield
    finally:
        lock.release()


def move_aside(folder: Path) -> None:
    """Moves a trial's folder away that holds another trial: one that the study forgot when it was restored.

    Raises UserError where a process is at work there.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if RunFolder(folder).status() == "running":
        raise UserError(f"{folder}: another process is at work there: end it, or wait for its end")
    aside = next(path for index in count(1) if not (path := folder.with_name(f"{folder.name}_old{index}")).exists())
    folder.rename(aside)
    said = f"{folder}: held a trial that the study does not know, as after study.db was restored: now {aside}"
    print(said, file=sys.stderr)


def _reason(error: Any, folder: Path) -> str:
    """What a trial failed of. A bug's traceback goes where one looks for it, if the run did not come to write it."""
    if not isinstance(error, UserError) and not (folder / "train.log").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "train.log").open("a", encoding="utf-8") as log:
            log.writelines(traceback.format_exception(error))
    return f"{type(error).__name__}: {error}"


def _places_taken(trials: Sequence[FrozenTrial]) -> int:
    """How many of these count, are at work, or wait for a worker."""
    return sum(counts_as_trial(trial) or not trial.state.is_finished() for trial in trials)


def too_many_failed(trials: Sequence[FrozenTrial], max_failure_rate: float) -> bool:
    """Whether a larger share of the counted `trials` failed than may."""
    failed = sum(trial.state is TrialState.FAIL for trial in trials)
    return len(trials) >= _JUDGED_FROM and failed > max_failure_rate * len(trials)


def _no_fault_of_its_own(returned: JobReturn) -> bool:
    """Whether a trial ended because a disk was full or the database away: no other one would fare better."""
    error = returned._return_value
    full = isinstance(error, OSError) and error.errno in _NO_ROOM
    return returned.status is JobStatus.FAILED and (full or isinstance(error, DATABASE_ERRORS))
