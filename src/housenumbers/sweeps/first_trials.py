"""The first trials of a new study: reusable ones of earlier studies, the configuration itself, random settings."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from housenumbers.runtime.signals import deferred_signals
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study import COPIED_FROM
from housenumbers.sweeps.worker import trial_lock

_START = "start"  # attribute of a study: the number of its start trials; attribute of a start trial: its index
_COPIED = "taken_over"  # attribute of a study: the number of trials copied from earlier studies


def enqueue_first_trials(
    study: optuna.Study,
    space: Space,
    folder: Path,
    sampler: Mapping[str, Any],
    make_sampler: Callable[[], BaseSampler],
    n_trials: int,
    may_wait: bool,
    earlier: Callable[[], list[FrozenTrial]] | None,
    default: Mapping[str, Any] | None = None,
) -> None:
    """Adds the first trials to the study. Any process does this if it is not yet done, so a kill loses nothing.

    The first trials are the ones that `earlier` returns, and the sampler's random startup draws: equal for any number
    of workers. The setting `default` replaces the first of the draws, if there is one. With `may_wait` another machine,
    which the file lock does not cover, may be adding them: waits for it.
    """
    count = min(sampler.get("n_startup_trials") or 0, n_trials) if sampler.get("seed") is not None else 0
    required = {_COPIED} if earlier is not None else set()
    required |= {_START} if count else set()

    def is_done() -> bool:
        return required <= study.user_attrs.keys()

    deadline = time.monotonic() + random.uniform(5, 10)  # random: two waiting processes should not wake together
    while may_wait and not is_done() and time.monotonic() < deadline:
        time.sleep(0.2)
    if is_done():
        return
    with deferred_signals(), trial_lock(folder):
        if is_done():
            return
        trials = study.get_trials(deepcopy=False)
        copied = [trial for trial in trials if COPIED_FROM in trial.user_attrs and "owner" not in trial.user_attrs]
        # A study with trials but without these attributes predates the attributes, or had another sampler.
        has_begun = len(copied) + sum(_START in trial.user_attrs for trial in trials) < len(trials)
        number = len(copied)
        if earlier is not None and _COPIED not in study.user_attrs:
            number = len(copied) if has_begun else _add_copies(study, earlier(), copied)
            study.set_user_attr(_COPIED, number)
        if count and _START not in study.user_attrs:
            enqueued = [trial.user_attrs.get(_START) for trial in trials]
            count = 0 if has_begun else max(0, count - number)
            _enqueue(study, space, make_sampler(), [index for index in range(count) if index not in enqueued], default)
            study.set_user_attr(_START, count)


def _add_copies(study: optuna.Study, trials: list[FrozenTrial], copied: list[FrozenTrial]) -> int:
    """Adds the trials that are not among those `copied` before. Returns the number of all."""
    copied_from = [trial.user_attrs[COPIED_FROM] for trial in copied]
    for trial in trials:
        if trial.user_attrs[COPIED_FROM] not in copied_from:
            study.add_trial(trial)
    return len(trials)


def _enqueue(
    study: optuna.Study, space: Space, sampler: BaseSampler, numbers: list[int], default: Mapping[str, Any] | None
) -> None:
    scratch_study = optuna.create_study(directions=study.directions, sampler=sampler)
    for number in range(max(numbers, default=-1) + 1):
        trial = scratch_study.ask()
        space.draw(trial)
        if number in numbers:
            params = trial.params if number > 0 or default is None else dict(default)
            study.enqueue_trial(params, user_attrs={_START: number})
