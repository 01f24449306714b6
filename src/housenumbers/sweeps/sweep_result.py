"""The lines that a sweep prints at its end, and about trials copied from other studies."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.sweeps.study import (
    COPIED_FROM,
    best_trials,
    counted_trials,
    describe_trial,
    is_copied_trial,
    repeat_command,
    trial_folder,
)
from housenumbers.sweeps.worker import too_many_failed

_ENDED = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def print_result(
    study: optuna.Study,
    objectives: Sequence[str],
    folder: Path,
    options: Mapping[str, Any],
    time_is_over: bool,
    started_before: int,
) -> None:
    """Prints the result. `started_before` is the number of trials that had started before this call.

    Raises UserError where too many trials failed, SystemExit(1) where none completed.
    """
    trials = counted_trials(study)
    if too_many_failed(trials, options["max_failure_rate"]):
        failed = [trial for trial in trials if trial.state is TrialState.FAIL]
        raise UserError(
            f"{len(failed)} of {plural(len(trials), 'trial')} failed, more than hydra.sweeper.max_failure_rate="
            f"{options['max_failure_rate']} allows; the last one {describe_trial(failed[-1], objectives)}"
        )
    if len(trials) < options["n_trials"] and time_is_over:
        remedy = "the same command goes on"
        if count_started(study) == started_before:
            remedy = "no trial has started: give more time than the start of the program takes"
        print(
            f"hydra.sweeper.timeout={options['timeout']}: the time is over: {len(trials)} of "
            f"{plural(options['n_trials'], 'trial')} done: {remedy}"
        )
        return
    if len(trials) < options["n_trials"]:
        raise UserError(
            f"the workers ended with {len(trials)} of {plural(options['n_trials'], 'trial')}: "
            "see what they said above; the same command goes on"
        )
    states = [trial.state for trial in trials]
    count = {state: states.count(state) for state in _ENDED}
    if not count[TrialState.COMPLETE]:
        print(f"error: no trial of {study.study_name} completed: see {folder}", file=sys.stderr)
        raise SystemExit(1)
    print(", ".join(f"{number} {_ENDED[state]}" for state, number in count.items() if number))
    for best in best_trials(study):
        place = "" if is_copied_trial(best) else f": {trial_folder(folder, best.number)}"
        print(f"best: trial {best.number}, {describe_trial(best, objectives)}{place}")
        print(f"  {repeat_command(study, best.params)}", flush=True)


def count_started(study: optuna.Study) -> int:
    """The number of trials that have ever started."""
    return sum(trial.state is not TrialState.WAITING for trial in study.get_trials(deepcopy=False))


def copied_line(study: optuna.Study, n_trials: int) -> str | None:
    """The number of trials that the study copied, and the studies they are from; None where it copied none."""
    names = [trial.user_attrs[COPIED_FROM][0] for trial in counted_trials(study) if is_copied_trial(trial)]
    others = sorted(set(names) - {study.study_name})
    if not others:
        return None
    number = sum(name in others for name in names)
    more = "" if number < n_trials else ": raise hydra.sweeper.n_trials to search on"
    return f"{plural(number, 'trial')} taken over from {', '.join(others)}, with the same settings{more}"
