"""Which run a checkpoint is of: beside another run's record it would give that run results that are not its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from housenumbers.config.schema import TrainConfig
from housenumbers.config.validate import load_saved_config
from housenumbers.config.values import differing_keys
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import FINISHED, RunFolder


def enclosing_run(file: Path) -> Path | None:
    """The folder of the run that a checkpoint lies in; none where it lies alone."""
    return file.parent.parent if file.parent.name == "checkpoints" else None


def check_owner(content: Mapping[str, Any], file: Path) -> None:
    """Raises UserError where the checkpoint lies in the folder of a run that did not write it, or not as that file."""
    around = enclosing_run(file)
    record = RunFolder(around).record() if around else {}
    if around is not None:
        _check_place(content, file, record)
    if around is None or not isinstance(record.get("config"), dict):  # of a run that was killed before it had any
        return
    # Older best weights of a run that was prolonged were written when it had fewer epochs.
    check_same_run(
        content, file, record.get("run_id"), load_saved_config(record["config"], str(around)), aside=["epochs"]
    )


def _check_place(content: Mapping[str, Any], file: Path, record: Mapping[str, Any]) -> None:
    """Raises UserError where best.pt and last.pt of one run changed places, or best.pt is of another epoch."""
    own = {"best.pt": "record", "last.pt": "history"}.get(file.name)
    if own is not None and own not in content:
        raise UserError(f"{file}: is not a run's {file.name} (it has no {own}): put the run's own file there")
    if file.name == "best.pt" and record.get("status") in FINISHED and isinstance(record.get("best"), dict):
        best = record["best"].get("epoch")
        if not isinstance(content["record"], dict) or content["record"].get("epoch") != best:
            raise UserError(f"{file}: is not of epoch {best}, the best one of this run: put the run's own file there")


def check_same_run(
    content: Mapping[str, Any], file: Path, run_id: str | None, config: TrainConfig, aside: Sequence[str] = ()
) -> None:
    """Raises UserError where the checkpoint says that another run wrote it, or one with other settings.

    Checkpoints of earlier versions have no `run_id`. Keys in `aside` may differ.
    """
    own = content.get("run_id")
    if None not in (own, run_id) and own != run_id:
        raise UserError(f"{file}: is of another run (run_id {own}, not {run_id}): put the run's own file there")
    if keys := differing_keys(load_saved_config(content["config"], str(file)), config, aside):
        raise UserError(f"{file}: is of another run: {', '.join(keys[:3])} differ: put the run's own file there")
