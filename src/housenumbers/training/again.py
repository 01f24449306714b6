"""A run once more: going on with an interrupted one, or repeating one to see whether the bits are the same."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from housenumbers.config import TrainConfig, depends_on_length
from housenumbers.errors import UserError
from housenumbers.interrupts import undisturbed
from housenumbers.tracking.index import newest_run
from housenumbers.tracking.run_folder import ENDED_WELL, RunFolder

log = logging.getLogger(__name__)

OVERRIDABLE = ("device", "threads", "data.root")
# What may differ between two runs, and what it is called in their records.
_CONDITIONS = {
    "threads": "thread count",
    "world_size": "number of processes",
    "device": "device",
    "cpu": "CPU",
    "versions": "versions",
    "git_commit": "commits of this code",
    "data_sha256": "data",
    "pretrained_sha256": "pretrained weights",
}


def folder_of(verb: str, where: str) -> Path:
    """The run's folder that VERB=WHERE means: a folder, or `last`. Raises UserError where it is a file."""
    if where == "last" and not Path(where).exists():
        return newest_run(f"{verb}=last")
    path = Path(where)
    if path.is_file():
        within = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        raise UserError(f"{verb}={where}: a file: name the folder of the run: {verb}={within}")
    return path


def resume(path: Path, overrides: Sequence[str]) -> int:
    """Goes on with the run in `path`, in that folder and with its configuration. Gives the exit code.

    A larger number of `epochs` among the `overrides` makes the run longer.
    Raises UserError where there is no such run, it cannot be made longer, or `overrides` names another key.
    """
    _check(overrides, (*OVERRIDABLE, "epochs"))
    folder = RunFolder(path)
    before = folder.config([word for word in overrides if not word.startswith("epochs=")])
    config = folder.config(overrides)
    status = folder.status()
    if (trial := folder.record().get("trial")) is not None:
        raise UserError(f"{path}: a trial of the study {trial['study']}: the sweep's own command goes on with it")
    if config.epochs != before.epochs:
        _check_longer(folder, before, config)
    elif status in ENDED_WELL:
        print(f"{path}: this run is {status} already: there is nothing to resume (epochs=N makes it longer)")
        return 0
    with undisturbed():  # as in train.py
        from housenumbers.training.run import run

    run(config, path, resuming=True)
    return 0


def _check_longer(folder: RunFolder, before: TrainConfig, config: TrainConfig) -> None:
    """Raises UserError where the run, with so many epochs from the start, would have had another beginning."""
    word = f"epochs={config.epochs}"
    if config.epochs < before.epochs:
        raise UserError(f"{word}: this run has {before.epochs}: give more, or train anew")
    if (reason := depends_on_length(before)) is not None:
        raise UserError(f"{word}: {reason} is spread over all {before.epochs} epochs: train anew with {word}")
    done = folder.record().get("epochs", before.epochs)  # of a completed run
    if done < before.epochs:
        raise UserError(f"{word}: this run stopped early, after {done} epochs: train anew without early_stopping")


def repeat(path: Path, overrides: Sequence[str]) -> int:
    """Runs the configuration of `path` again, into a new folder under outputs/, and compares the last weights.

    Gives exit code 0 where they are bit-identical, or need not be as conditions differ, and 1 where they should be.
    """
    _check(overrides, OVERRIDABLE)
    first = RunFolder(path)
    config = first.config(overrides)
    if first.status() != "completed":
        raise UserError(f"{path}: this run is {first.status()}: only a completed run can be compared with")
    with undisturbed():  # as in train.py
        from housenumbers.training.run import run

    now = datetime.now()
    second = RunFolder(Path("outputs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}_{config.name}")
    second.save_config(config)
    run(config, second.path)
    return _compare(first, second)


def _compare(first: RunFolder, second: RunFolder) -> int:
    old, new = first.record(), second.record()
    differing = [name for key, name in _CONDITIONS.items() if old.get(key) != new.get(key)]
    of_old, of_new = old.get("arithmetic"), new["arithmetic"]
    if isinstance(of_old, Mapping):
        differing += [key for key in of_old | of_new if of_old.get(key) != of_new.get(key)]
    elif "arithmetic" not in old:
        differing.append("settings of the arithmetic, perhaps, which the older record does not hold")
    if old.get("conditions_mixed"):
        differing.append("conditions before and after it was resumed")
    if old["weights_sha256"] == new["weights_sha256"]:
        print(f"bit-identical: the weights of {second.path} equal those of {first.path}")
        return 0
    if differing:
        print(f"the weights differ, and need not be equal: different {', '.join(differing)}")
        return 0
    print(f"the weights differ, though nothing else does: {first.path} and {second.path}: please report this")
    return 1


def _check(overrides: Sequence[str], allowed: Sequence[str]) -> None:
    for word in overrides:
        if word.partition("=")[0] not in allowed:
            raise UserError(f"{word}: a saved run keeps its configuration: only {', '.join(allowed)} can be given")
