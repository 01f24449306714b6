"""Records which process runs a trial, detects dead processes, and requeues their trials."""

import platform
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import optuna
import psutil
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from housenumbers.runtime.threads import call_periodically
from housenumbers.sweeps.trial import FINISHED_EPOCHS

HOST = f"{platform.node()}-{uuid.getnode():x}"
MISSED_HEARTBEATS = 4  # after which a trial's process counts as dead
DATABASE_ERRORS = (StorageInternalError, SQLAlchemyError)  # SQLAlchemyError: Optuna fails to close a lost connection
_MAX_DEATHS = 3  # of one configuration without a finished epoch in between, for example when memory is short


def record_owner(trial: optuna.Trial) -> None:
    """Records this process as the trial's owner, and a first heartbeat, the only sign of life for other machines."""
    storage: Any = trial.study._storage
    storage.record_heartbeat(trial._trial_id)
    process = psutil.Process()
    trial.set_user_attr("owner", [HOST, process.pid, _began(process)])


def requeue_dead_trials(study: optuna.Study) -> list[int]:
    """Ends RUNNING trials whose process is dead, and enqueues their parameters again. Returns these trials' numbers.

    Looks up processes of this machine. A process of another machine counts as dead when its heartbeats stop.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not running:
        return []
    storage: Any = study._storage
    stale = set(storage._get_stale_trial_ids(study._study_id))
    grace = timedelta(seconds=storage.get_heartbeat_interval() * MISSED_HEARTBEATS)
    orphans = [trial for trial in running if trial._trial_id in stale or _is_dead(trial, grace)]
    return [trial.number for trial in orphans if requeue_trial(study, trial, died=True)]


def requeue_trial(study: optuna.Study, trial: FrozenTrial, died: bool = False) -> bool:
    """Enqueues a trial that will continue an interrupted one, then ends the interrupted trial as FAIL.

    If this process is killed in between, the trial is still RUNNING, and the next process ends it. If the trial's
    process `died` _MAX_DEATHS times without a finished epoch in between, nothing is enqueued and the trial counts as
    failed. Returns False if another process ended the trial first.
    """
    trials = study.get_trials(deepcopy=False)
    if trials[trial.number].state.is_finished():
        return False
    has_successor = bool(successors(trials, trial.number))
    started_after = trial.user_attrs.get("continues_after", 0)
    epochs = max(started_after, len(trial.intermediate_values), trial.user_attrs.get(FINISHED_EPOCHS, 0))
    progressed = epochs > started_after
    deaths = int(died) + (0 if progressed else trial.user_attrs.get("deaths", 0))
    gives_up = deaths >= _MAX_DEATHS and not has_successor
    if not (gives_up or has_successor):
        attributes = {"continues": trial.number, "continues_after": epochs, "deaths": deaths}
        params = trial.system_attrs.get("fixed_params", {}) | trial.params  # these are empty before the draw
        # As `enqueue_trial`, but with what sampler and pruner know of the trial: its generation, its place in the grid,
        # its values at rungs. Without the state of CMA-ES, which would count as the newest one.
        known = {key: value for key, value in trial.system_attrs.items() if ":optimizer" not in key}
        attributes_of_optuna = known | {"fixed_params": params}
        study.add_trial(
            create_trial(state=TrialState.WAITING, user_attrs=attributes, system_attrs=attributes_of_optuna)
        )
    try:
        if gives_up:
            reason = f"its process died {deaths} times at the same point: too little memory? lower data.batch_size"
            study._storage.set_trial_user_attr(trial._trial_id, "error", reason)
        else:
            study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:  # another machine has already enqueued the same parameters
        for duplicate in successors(study.get_trials(deepcopy=False), trial.number)[1:]:
            if duplicate.state is TrialState.WAITING and study._storage.set_trial_state_values(
                duplicate._trial_id,
                TrialState.RUNNING,  # returns True if no other process has claimed it
            ):
                discard_trial(study, duplicate._trial_id)
        return False
    return True


def discard_trial(study: optuna.Study, trial_id: int) -> None:
    """Ends a claimed trial that is not needed."""
    if "search_space" in study._storage.get_trial_system_attrs(trial_id):  # else its place in the grid counts as tried
        study._storage.set_trial_system_attr(trial_id, "search_space", {})
    study._storage.set_trial_user_attr(trial_id, "interrupted", True)
    study._storage.set_trial_state_values(trial_id, TrialState.FAIL)


def successors(trials: Sequence[FrozenTrial], number: int) -> list[FrozenTrial]:
    """The trials that continue trial `number`."""
    return [trial for trial in trials if trial.user_attrs.get("continues") == number]


def heartbeats(study: optuna.Study, trial_id: int) -> AbstractContextManager[None]:
    """Records heartbeats of this process from a thread until the block ends."""
    storage: Any = study._storage
    return query_periodically(partial(storage.record_heartbeat, trial_id), storage.get_heartbeat_interval())


def query_periodically(query: Callable[[], None], seconds: float) -> AbstractContextManager[None]:
    """`call_periodically` for a database query; ignores database errors, which may be temporary."""

    def attempt() -> None:
        with suppress(*DATABASE_ERRORS):
            query()

    return call_periodically(attempt, seconds)


def _is_dead(trial: FrozenTrial, grace: timedelta) -> bool:
    """Whether the trial's process ran on this machine and is gone, or died before it recorded itself as owner."""
    owner = trial.user_attrs.get("owner")
    if owner is None:
        return trial.datetime_start is not None and datetime.now() - trial.datetime_start > grace
    host, pid, created = owner
    if host != HOST:
        return False
    try:
        process = psutil.Process(pid)
        return created not in (_began(process), process.create_time()) or process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return True


def _began(process: Any) -> float:
    """The start time of the process in seconds since boot, which does not change when the clock is set."""
    boot = psutil.boot_time()  # first: psutil computes create_time from this reading of the clock
    return round(process.create_time() - boot, 2)
