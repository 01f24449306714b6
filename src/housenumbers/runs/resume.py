"""`resume=RUN`: continues an interrupted run, or a completed one with more epochs, in its own folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from housenumbers.config.schema import TrainConfig, setting_tied_to_epochs
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import expand_user
from housenumbers.runtime.signals import deferred_signals
from housenumbers.tracking.run_folder import FINISHED, RunFolder, enclosing_run
from housenumbers.tracking.run_list import newest_run

_REFERS_TO_EPOCHS = re.compile(r"\$\{[^}]*\bepochs\b")
OVERRIDABLE = ("device", "threads", "data.root")


def folder_of(verb: str, where: str) -> Path:
    """The run's folder for VERB=WHERE, where WHERE is a folder or `last`. Raises UserError where it is a file."""
    if where == "last" and not Path(where).exists():
        return newest_run(f"{verb}=last")
    path = expand_user(where)
    if path.is_file():
        within = enclosing_run(path) or path.parent
        raise UserError(f"{verb}={where}: a file: name the folder of the run: {verb}={within}")
    return path


def resume(path: Path, overrides: Sequence[str]) -> int:
    """Continues the run in `path` with its saved configuration. Returns the exit code.

    A larger number of `epochs` in `overrides` makes the run longer.
    Raises UserError where there is no such run, it cannot be made longer, or `overrides` has another key.
    """
    check_overridable(overrides, (*OVERRIDABLE, "epochs"))
    folder = RunFolder(path)
    before = folder.config([override for override in overrides if not override.startswith("epochs=")])
    config = folder.config(overrides)
    status = folder.status()
    if (trial := folder.record().get("trial")) is not None:
        raise UserError(f"{path}: a trial of the study {trial['study']}: the sweep's own command goes on with it")
    if config.epochs != before.epochs:
        _check_longer(folder, before, config)
    elif status in FINISHED:
        print(f"{path}: this run is {status} already: there is nothing to resume (epochs=N makes it longer)")
        return 0
    with deferred_signals():  # as in train.py
        from housenumbers.runs.run import run

    run(config, path, resuming=True)
    return 0


def _check_longer(folder: RunFolder, before: TrainConfig, config: TrainConfig) -> None:
    """Raises UserError if the run stopped early, or the new number is smaller, or a setting depends on the number."""
    override = f"epochs={config.epochs}"
    if config.epochs < before.epochs:
        raise UserError(f"{override}: this run has {before.epochs}: give more, or train anew")
    if (reason := setting_tied_to_epochs(before)) is not None:
        raise UserError(f"{override}: {reason} is spread over all {before.epochs} epochs: train anew with {override}")
    for key, value in folder.unresolved().items():
        if isinstance(value, str) and _REFERS_TO_EPOCHS.search(value):
            raise UserError(f"{override}: {key}={value} would be another value: train anew with {override}")
    done = folder.record().get("epochs", before.epochs)  # of a completed run
    if done < before.epochs:
        raise UserError(f"{override}: this run stopped early, after {done} epochs: train anew without early_stopping")


def check_overridable(overrides: Sequence[str], allowed: Sequence[str]) -> None:
    for override in overrides:
        if override.partition("=")[0] not in allowed:
            raise UserError(f"{override}: a saved run keeps its configuration: only {', '.join(allowed)} can be given")
