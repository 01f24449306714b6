"""`hydra.sweeper.keep_checkpoints`: removes the checkpoints of trials that no longer need them."""

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.heartbeat import successors
from housenumbers.sweeps.study import counts_as_trial, repeat_command, trial_folder
from housenumbers.tracking.removed_checkpoints import has_checkpoints, remove_checkpoints
from housenumbers.tracking.run_folder import RunFolder

KEEP_CHOICES = ("all", "best", "none")


def remove_unneeded_checkpoints(study: optuna.Study, folder: Path, keep: str) -> None:
    """Removes the checkpoints that `keep`, one of KEEP_CHOICES, does not keep, of the trials in the sweep's `folder`.

    Several workers may call this at the same time, and with an older view of the study: a trial that is not among the
    best never becomes one of them, and a trial that has ended never continues.
    """
    if keep == "all":
        return
    trials = study.get_trials(deepcopy=False)
    kept = {trial.number for trial in study.best_trials} if keep == "best" else set()  # also all that are equally good
    for trial in trials:
        run = RunFolder(trial_folder(folder, trial.number))
        if trial.number not in kept and _has_ended(trial, trials) and has_checkpoints(run.path) and _is_free(run):
            setting = f"hydra.sweeper.keep_checkpoints={keep}"
            remove_checkpoints(run.path, setting, repeat_command(study, trial.params))


def _has_ended(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether no process trains the trial or will continue it."""
    if not trial.state.is_finished():
        return False
    if counts_as_trial(trial):
        return True
    following = successors(trials, trial.number)
    return bool(following) and all(_has_ended(successor, trials) for successor in following)


def _is_free(run: RunFolder) -> bool:
    """Whether no process uses the folder. A process that was taken for dead may still use it."""
    try:
        return run.status() != "running"
    except UserError:  # its record is damaged
        return False
