"""A worker: takes trials from the study, runs each in its own folder, and reports the results to the study."""

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

from housenumbers.config.compose import quote_value
from housenumbers.config.messages import one_line
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError, error_text
from housenumbers.runtime.signals import deferred_signals
from housenumbers.sweeps.deadline import DeadlineReached, is_over
from housenumbers.sweeps.heartbeat import (
    DATABASE_ERRORS,
    discard_trial,
    heartbeats,
    record_owner,
    requeue_dead_trials,
    requeue_trial,
)
from housenumbers.sweeps.keep_checkpoints import remove_unneeded_checkpoints
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study import COPIED_FROM, assignments, counts_as_trial, ended_line, trial_folder
from housenumbers.sweeps.trial import Trial, set_current_trial
from housenumbers.tracking.removed_checkpoints import NOTE_FILE
from housenumbers.tracking.run_folder import RunFolder

_MIN_JUDGED_TRIALS = 4  # trials from which the failure rate is checked
_POLL_INTERVAL = 0.5  # seconds between checks while other workers run the last trials
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Worker:
    """Any number of workers, in separate processes and on separate machines, complete a study together."""

    study: optuna.Study
    space: Space
    overrides: Sequence[str]  # shared by all trials
    objectives: Sequence[str]
    folder: Path  # of the sweep
    launcher: Launcher  # runs one trial in this process
    n_trials: int
    max_failure_rate: float
    earlier: Sequence[FrozenTrial]  # trials of other studies, reused instead of trained again
    print_line: Callable[[str], None]
    keep_checkpoints: str = "all"  # one of KEEP_CHOICES in keep_checkpoints.py
    deadline: float = math.inf  # in seconds since 1970: then no trial starts, and a running one ends after its epoch

    def work(self) -> None:
        """Runs trials until the study, with other workers' trials, has `n_trials`, or too many have failed.

        Ends earlier at the deadline.
        """
        while True:
            signals.exit_if_received()
            with deferred_signals(), trial_lock(self.folder):
                for number in requeue_dead_trials(self.study):
                    self.print_line(f"trial {number} was interrupted: another one goes on from its checkpoint")
                trials = self.study.get_trials(deepcopy=False)
            done = [trial for trial in trials if counts_as_trial(trial)]
            if len(done) >= self.n_trials or too_many_failed(done, self.max_failure_rate) or is_over(self.deadline):
                return
            if any(trial.state is TrialState.WAITING for trial in trials) or _places_taken(trials) < self.n_trials:
                with suppress(DeadlineReached):  # it has requeued its trial
                    self._run_trial()
            else:
                time.sleep(_POLL_INTERVAL)  # does not exit, since another worker may die

    def _run_trial(self) -> None:
        optuna_trial = None
        try:
            with deferred_signals(), trial_lock(self.folder):
                optuna_trial = self._ask()
            if optuna_trial is None:
                return
            if (equal := self._equal_to(optuna_trial)) is not None:
                with deferred_signals():
                    self._copy_results(optuna_trial, equal)
                    self.print_line(ended_line(self._frozen(optuna_trial), self.objectives))
                return
            folder = self._folder_for(optuna_trial)
            place = [f"hydra.sweep.dir={quote_value(self.folder)}", f"hydra.sweep.subdir={folder.name}"]
            trial_overrides = [*self.overrides, *assignments(optuna_trial.params), *place]
            trial = Trial(optuna_trial, len(self.objectives), self.deadline)
            with set_current_trial(trial), heartbeats(self.study, optuna_trial._trial_id):
                returned = self._launch(trial_overrides, optuna_trial.number)
            if returned.status is JobStatus.FAILED:
                signals.exit_if_received()  # C code may have converted the interruption to another error
            if _would_fail_every_trial(returned):
                raise returned._return_value
        except BaseException:  # the sweep is being stopped
            if optuna_trial is not None:
                with suppress(*DATABASE_ERRORS):  # the full disk may hold the database
                    requeue_trial(self.study, self._frozen(optuna_trial))
            raise
        with deferred_signals():
            self._tell(trial, returned, folder)
            remove_unneeded_checkpoints(self.study, self.folder, self.keep_checkpoints)
            self.print_line(ended_line(self._frozen(optuna_trial), self.objectives))

    def _equal_to(self, optuna_trial: optuna.Trial) -> FrozenTrial | None:
        """A complete trial with the same setting, or None. Its results are bit-identical, except for the time."""
        if "train_seconds" in self.objectives:
            return None
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return next((trial for trial in [*trials, *self.earlier] if trial.params == optuna_trial.params), None)

    def _copy_results(self, optuna_trial: optuna.Trial, equal: FrozenTrial) -> None:
        """Reports the results of the `equal` trial to the study."""
        for epoch, value in equal.intermediate_values.items():
            optuna_trial.report(value, epoch)
        optuna_trial.set_user_attr(
            COPIED_FROM, equal.user_attrs.get(COPIED_FROM, [self.study.study_name, equal.number])
        )
        with suppress(UpdateFinishedTrialError):  # as in _tell
            self.study.tell(optuna_trial, equal.values)

    def _launch(self, trial_overrides: list[str], number: int) -> JobReturn:
        """Runs the trial. A composition error counts as a failure of the trial."""
        try:
            (returned,) = self.launcher.launch([trial_overrides], initial_job_idx=number)
        except (HydraException, OmegaConfBaseException) as error:
            returned = JobReturn(status=JobStatus.FAILED)
            returned.return_value = UserError(one_line(error))
        return returned

    def _ask(self) -> optuna.Trial | None:
        """The next trial; None where another worker has just taken the last one."""
        optuna_trial = self._claim_requeued() or self.study.ask()
        trials = self.study.get_trials(deepcopy=False)
        own = _first_number(trials[optuna_trial.number], trials)
        before = [trial for trial in trials if _first_number(trial, trials) < own]
        if _places_taken(before) >= self.n_trials:
            discard_trial(self.study, optuna_trial._trial_id)
            return None
        record_owner(optuna_trial)
        self.space.draw(optuna_trial)
        return optuna_trial

    def _claim_requeued(self) -> optuna.Trial | None:
        """Claims a requeued trial before other waiting trials. None if no trial is requeued.

        `Study.ask` takes the oldest waiting trial, so it would run all start trials before the requeued one.
        """
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            is_continued = "continues" in trial.user_attrs
            if is_continued and self.study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return optuna.Trial(self.study, trial._trial_id)
        return None

    def _folder_for(self, optuna_trial: optuna.Trial) -> Path:
        """The trial's folder, with the checkpoints of the interrupted trial that it continues, if any."""
        folder = trial_folder(self.folder, optuna_trial.number)
        move_aside(folder)
        trials = self.study.get_trials(deepcopy=False)
        number = optuna_trial.user_attrs.get("continues")
        while number is not None:
            checkpoints = trial_folder(self.folder, number) / "checkpoints"
            if checkpoints.exists() and trials[number].params == optuna_trial.params:
                _copy_checkpoints(checkpoints, folder / "checkpoints")
                break
            number = trials[number].user_attrs.get("continues")  # it was killed before its first checkpoint
        return folder

    def _frozen(self, optuna_trial: optuna.Trial) -> FrozenTrial:
        return self.study._storage.get_trial(optuna_trial._trial_id)

    def _tell(self, trial: Trial, returned: JobReturn, folder: Path) -> None:
        """Reports the trial's outcome to the study."""
        try:
            if returned.status is JobStatus.FAILED:
                self._fail(trial, _reason(returned._return_value, folder))
            elif trial.pruned:
                self.study.tell(trial.live, state=TrialState.PRUNED)
            else:
                value = returned.return_value
                values = value if isinstance(value, list) else [value]
                if all(value is not None and math.isfinite(value) for value in values):
                    self.study.tell(trial.live, values)
                else:
                    self._fail(trial, f"the objective is {values}, not a finite number")
        except UpdateFinishedTrialError:  # this machine slept, and another machine has requeued the trial
            pass

    def _fail(self, trial: Trial, reason: str) -> None:
        trial.live.set_user_attr("error", " ".join(reason.split()))
        self.study.tell(trial.live, state=TrialState.FAIL)


@contextmanager
def trial_lock(sweep_folder: Path) -> Iterator[None]:
    """A lock to claim or requeue trials, since SQLite lets two processes claim the same trial.

    Processes on other machines share a database server, which locks rows.
    """
    lock = FileLock(sweep_folder / ".lock")
    while not lock.is_locked:
        signals.exit_if_received()  # the lock's holder may be suspended while this process receives a signal
        with suppress(Timeout):
            lock.acquire(timeout=1)
    try:
        yield
    finally:
        lock.release()


def _copy_checkpoints(source: Path, target: Path) -> None:
    """Copies the files of one folder into a new one, which gets its name when it is complete. Raises OSError."""
    half = target.with_name(f"{target.name}.half")
    try:
        half.mkdir(parents=True)
        for file in source.iterdir():
            if file.name != NOTE_FILE:
                shutil.copy2(file, half)
        half.rename(target)
    except OSError:
        shutil.rmtree(half, ignore_errors=True)  # it may be what fills the disk
        raise


def move_aside(folder: Path) -> None:
    """Renames a trial's folder that holds a trial unknown to the study, for example after a restored backup.

    Raises UserError where another process uses the folder.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if RunFolder(folder).status() == "running":
        raise UserError(f"{folder}: another process uses it: end that process, or wait")
    aside = next(path for index in count(1) if not (path := folder.with_name(f"{folder.name}_old{index}")).exists())
    folder.rename(aside)
    message = f"{folder}: held a trial that the study does not know, as after study.db was restored: now {aside}"
    print(message, file=sys.stderr)


def _reason(error: Any, folder: Path) -> str:
    """The reason why a trial failed. Writes the traceback of a bug to train.log where the run did not."""
    if not isinstance(error, UserError) and not (folder / "train.log").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "train.log").open("a", encoding="utf-8") as log:
            log.writelines(traceback.format_exception(error))
    return f"{type(error).__name__}: {error}" if isinstance(error, UserError) else error_text(error)


def _first_number(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """The number of the trial that began what this one continues: its place in the order of the `n_trials`."""
    while (number := trial.user_attrs.get("continues")) is not None:
        trial = trials[number]
    return trial.number


def _places_taken(trials: Sequence[FrozenTrial]) -> int:
    """The number of these trials that count, are running, or are waiting for a worker."""
    return sum(counts_as_trial(trial) or not trial.state.is_finished() for trial in trials)


def too_many_failed(trials: Sequence[FrozenTrial], max_failure_rate: float) -> bool:
    """Whether more than `max_failure_rate` of the counted `trials` failed."""
    failed = sum(trial.state is TrialState.FAIL for trial in trials)
    return len(trials) >= _MIN_JUDGED_TRIALS and failed > max_failure_rate * len(trials)


def _would_fail_every_trial(returned: JobReturn) -> bool:
    """Whether a trial ended because of a full disk or an unreachable database, which would stop any other trial too."""
    error = returned._return_value
    disk_full = isinstance(error, OSError) and error.errno in _DISK_FULL
    return returned.status is JobStatus.FAILED and (disk_full or isinstance(error, DATABASE_ERRORS))
