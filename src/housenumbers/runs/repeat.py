"""`repeat=RUN`: runs the configuration of a completed run again, and compares the weights bit for bit."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from housenumbers.preflight import check_before_run
from housenumbers.runs.resume import OVERRIDABLE, check_overridable
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.signals import deferred_signals
from housenumbers.runtime.versions import how_to_install
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.tags import copy_tags

# Conditions that may differ between two runs: keys of the record, and their names in messages.
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


def repeat(path: Path, overrides: Sequence[str]) -> tuple[Path, int]:
    """Runs the configuration of `path` again in a new folder under outputs/, and compares the final weights.

    The new run gets the tags and the note of the first.

    Returns the new folder, and exit code 0 where they are bit-identical or the conditions differ, and 1 where they
    differ unexpectedly.
    """
    check_overridable(overrides, OVERRIDABLE)
    first = RunFolder(path)
    config = first.config(overrides)
    if first.status() != "completed":
        raise UserError(f"{path}: this run is {first.status()}: only a completed run can be repeated")
    check_before_run(config)
    with deferred_signals():  # as in train.py
        from housenumbers.runs.run import run

    now = datetime.now()
    second = RunFolder(Path("outputs") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}_{config.name}")
    given = {override.partition("=")[0] for override in overrides}
    # Unresolved, so that a repeated run with a setting that refers to ${epochs} cannot be made longer either.
    second.save_config(config, {key: text for key, text in first.interpolations().items() if key not in given})
    copy_tags(path, second.path)
    run(config, second.path)
    return second.path, _compare(first, second)


def _compare(first: RunFolder, second: RunFolder) -> int:
    old, new = first.record(), second.record()
    commit = old.get("git_commit")
    differing = [name for key, name in _CONDITIONS.items() if old.get(key) != new.get(key)]
    before, after = old.get("arithmetic"), new["arithmetic"]
    if isinstance(before, Mapping):
        differing += [key for key in before | after if before.get(key) != after.get(key)]
    elif "arithmetic" not in old:
        differing.append("perhaps arithmetic settings, which the older record does not hold")
    if old.get("conditions_mixed"):
        differing.append("conditions before and after it was resumed")
    if old["weights_sha256"] == new["weights_sha256"]:
        print(f"bit-identical: the weights of {second.path} equal those of {first.path}")
        return 0
    if differing:
        print(f"the weights differ, and need not be equal: different {', '.join(differing)}")
        if old.get("versions") != new["versions"] and (advice := how_to_install(old.get("lock_sha256"), commit)):
            print(advice)
        return 0
    print(f"the weights differ, though nothing else does: {first.path} and {second.path}: please report this")
    return 1
