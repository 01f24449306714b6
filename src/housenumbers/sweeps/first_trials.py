"""What a new study begins with: trials of earlier ones that fit, and the settings that are drawn at random."""

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

_START = "start"  # of a study: how many trials were enqueued at its start; of such a trial: which one it is
_TAKEN = "taken_over"  # of a study: how many trials of earlier ones it began with


def enqueue_first_trials(
    study: optuna.Study,
    space: Space,
    folder: Path,
    sampler: Mapping[str, Any],
    make_sampler: Callable[[], BaseSampler],
    n_trials: int,
    may_wait: bool,
    earlier: Callable[[], list[FrozenTrial]] | None,
) -> None:
    """Writes down what the study begins with. A process does it that finds it undone, so a kill does not matter.

    That are the trials that `earlier` gives, if it is given, and what the sampler draws at random before it learns:
    equal for any number of workers. Where it `may_wait`, another machine may be at it, which `turn` cannot see.
    """
    count = min(sampler.get("n_startup_trials") or 0, n_trials) if sampler.get("seed") is not None else 0
    wanted = {_TAKEN} if earlier is not None else set()
    wanted |= {_START} if count else set()

    def is_done() -> bool:
        return wanted <= study.user_attrs.keys()

    patience = time.monotonic() + random.uniform(5, 10)  # and a third process should not wake with this one
    while may_wait and not is_done() and time.monotonic() < patience:
        time.sleep(0.2)
    if is_done():
        return
    with deferred_signals(), trial_lock(folder):
        if is_done():
            return
        trials = study.get_trials(deepcopy=False)
        taken = [trial for trial in trials if COPIED_FROM in trial.user_attrs and "owner" not in trial.user_attrs]
        # A study that has begun without these marks is older than they are, or had another sampler.
        has_begun = len(taken) + sum(_START in trial.user_attrs for trial in trials) < len(trials)
        number = len(taken)
        if earlier is not None and _TAKEN not in study.user_attrs:
            number = len(taken) if has_begun else _take_over(study, earlier(), taken)
            study.set_user_attr(_TAKEN, number)
        if count and _START not in study.user_attrs:
            there = [trial.user_attrs.get(_START) for trial in trials]
            count = 0 if has_begun else max(0, count - number)
            _enqueue(study, space, make_sampler(), [index for index in range(count) if index not in there])
            study.set_user_attr(_START, count)


def _take_over(study: optuna.Study, trials: list[FrozenTrial], taken: list[FrozenTrial]) -> int:
    there = [trial.user_attrs[COPIED_FROM] for trial in taken]
    for trial in trials:
        if trial.user_attrs[COPIED_FROM] not in there:
            study.add_trial(trial)
    return len(trials)


def _enqueue(study: optuna.Study, space: Space, sampler: BaseSampler, numbers: list[int]) -> None:
    alone = optuna.create_study(directions=study.directions, sampler=sampler)
    for number in range(max(numbers, default=-1) + 1):
        trial = alone.ask()
        space.draw(trial)
        if number in numbers:
            study.enqueue_trial(trial.params, user_attrs={_START: number})
