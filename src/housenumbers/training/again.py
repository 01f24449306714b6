"""A run once more: going on with an interrupted one, or repeating one to see whether the bits are the same."""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from housenumbers.errors import UserError
from housenumbers.interrupts import undisturbed
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


def resume(path: Path, overrides: Sequence[str]) -> int:
    """Goes on with the run in `path`, in that folder and with its configuration. Gives the exit code.

    Raises UserError where there is no such run, or `overrides` names more than the device, threads or data.root.
    """
    _check(overrides)
    folder = RunFolder(path)
    config = folder.config(overrides)
    status = folder.status()
    if status in ENDED_WELL:
        print(f"{path}: this run is {status} already: there is nothing to resume")
        return 0
    if (trial := folder.record().get("trial")) is not None:
        raise UserError(f"{path}: a trial of the study {trial['study']}: the sweep's own command goes on with it")
    with undisturbed():  # as in train.py
        from housenumbers.training.run import run

    run(config, path, resuming=True)
    return 0


def repeat(path: Path, overrides: Sequence[str]) -> int:
    """Runs the configuration of `path` again, into a new folder under outputs/, and compares the last weights.

    Gives exit code 0 where they are bit-identical, or need not be as conditions differ, and 1 where they should be.
    """
    _check(overrides)
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


def _check(overrides: Sequence[str]) -> None:
    for word in overrides:
        if word.partition("=")[0] not in OVERRIDABLE:
            raise UserError(f"{word}: a saved run keeps its configuration: only {', '.join(OVERRIDABLE)} can be given")
