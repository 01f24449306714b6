"""Who is at work on a trial, whether they still live, and what becomes of a trial whose process died."""

import platform
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import optuna
import psutil
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from housenumbers.runtime.threads import call_periodically

HOST = f"{platform.node()}-{uuid.getnode():x}"
MISSED_HEARTBEATS = 4  # after which a trial's process counts as dead
DATABASE_ERRORS = (StorageInternalError, SQLAlchemyError)  # the second where Optuna fails to close a lost connection
_MAX_DEATHS = 3  # of one configuration without a finished epoch in between: too little memory, say


def record_owner(trial: optuna.Trial) -> None:
    """Writes down which process is at work on the trial, and that it lives: other machines know it by that alone."""
    storage: Any = trial.study._storage
    storage.record_heartbeat(trial._trial_id)
    process = psutil.Process()
    trial.set_user_attr("owner", [HOST, process.pid, _began(process)])


def requeue_dead_trials(study: optuna.Study) -> list[int]:
    """Ends trials that say RUNNING though their process is dead, and enqueues their parameters again.

    A process of this machine is looked up; one of another machine is dead when its heartbeats stay away. Returns the
    numbers of the trials that were given back.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if not running:
        return []
    storage: Any = study._storage
    silent = set(storage._get_stale_trial_ids(study._study_id))
    grace = timedelta(seconds=storage.get_heartbeat_interval() * MISSED_HEARTBEATS)
    orphans = [trial for trial in running if trial._trial_id in silent or _is_dead(trial, grace)]
    return [trial.number for trial in orphans if requeue_trial(study, trial, died=True)]


def requeue_trial(study: optuna.Study, trial: FrozenTrial, died: bool = False) -> bool:
    """Enqueues a trial that will go on where an interrupted one stopped, and ends that as FAIL.

    In this order: after a kill in between it still says RUNNING, and the next process that looks ends it.
    Where its process `died` again and again, the trial counts as failed instead. Returns whether this process did it:
    False where another one was quicker.
    """
    trials = study.get_trials(deepcopy=False)
    if trials[trial.number].state.is_finished():
        return False
    has_heir = bool(_heirs(trials, trial.number))
    started_after = trial.user_attrs.get("continues_after", 0)
    progressed = len(trial.intermediate_values) > started_after
    deaths = int(died) + (0 if progressed else trial.user_attrs.get("deaths", 0))
    given_up = deaths >= _MAX_DEATHS and not has_heir
    if not (given_up or has_heir):
        reached = max(started_after, len(trial.intermediate_values))
        attributes = {"continues": trial.number, "continues_after": reached, "deaths": deaths}
        enqueued = trial.system_attrs.get("fixed_params", {})  # all that there is where it died before it drew
        study.enqueue_trial(enqueued | trial.params, user_attrs=attributes)
    try:
        if given_up:
            reason = f"its process died {deaths} times at the same point: too little memory?"
            study._storage.set_trial_user_attr(trial._trial_id, "error", reason)
        else:
            study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:  # another machine was quicker, and has enqueued the same
        for twin in _heirs(study.get_trials(deepcopy=False), trial.number)[1:]:
            if twin.state is TrialState.WAITING and study._storage.set_trial_state_values(
                twin._trial_id,
                TrialState.RUNNING,  # gives whether nobody else has claimed it
            ):
                discard_trial(study, twin._trial_id)
        return False
    return True


def discard_trial(study: optuna.Study, trial_id: int) -> None:
    """Ends a trial that was claimed, but is not needed."""
    study._storage.set_trial_user_attr(trial_id, "interrupted", True)
    study._storage.set_trial_state_values(trial_id, TrialState.FAIL)


def _heirs(trials: Sequence[FrozenTrial], number: int) -> list[FrozenTrial]:
    """The trials that go on where that one stopped."""
    return [trial for trial in trials if trial.user_attrs.get("continues") == number]


@contextmanager
def heartbeats(study: optuna.Study, trial_id: int) -> Iterator[None]:
    """Records from a thread, until the block ends, that this process is alive."""
    storage: Any = study._storage
    with query_periodically(partial(storage.record_heartbeat, trial_id), storage.get_heartbeat_interval()):
        yield


def query_periodically(query: Callable[[], None], seconds: float) -> AbstractContextManager[None]:
    """`call_periodically` for a query to the study's database, which may be away for a moment."""

    def attempt() -> None:
        with suppress(*DATABASE_ERRORS):
            query()

    return call_periodically(attempt, seconds)


def _is_dead(trial: FrozenTrial, grace: timedelta) -> bool:
    """Whether the trial's process was one of this machine and is no more, or died before it could say who it is."""
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
    """When it began, in seconds since the machine did: the time of day changes when the clock is set."""
    boot = psutil.boot_time()  # first: what psutil says next counts from this reading of the clock
    return round(process.create_time() - boot, 2)
