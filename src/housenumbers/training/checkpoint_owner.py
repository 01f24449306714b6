"""Checks which run wrote a checkpoint. In another run's folder it would lead to wrong results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from housenumbers.config.schema import TrainConfig
from housenumbers.config.validate import load_saved_config
from housenumbers.config.values import config_to_dict, differing_keys
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import FINISHED, RunFolder, enclosing_run
from housenumbers.training.checkpoint import check_weights


def check_owner(content: Mapping[str, Any], file: Path) -> None:
    """Raises UserError where the checkpoint lies in another run's folder, or under another checkpoint's name."""
    folder = enclosing_run(file)
    record = RunFolder(folder).record() if folder else {}
    if folder is not None:
        _check_place(content, file, record)
    if folder is None or not isinstance(record.get("config"), dict):  # the run was killed before it wrote a record
        return
    _check_run_id(content, file, record.get("run_id"))
    if repr(record["config"]) != repr(content["config"]):  # equal ones need no check, which is slow
        # The best weights of an extended run may be from the time when it had fewer epochs.
        _check_config(content, file, load_saved_config(record["config"], str(folder)), ignored=["epochs"])


def _check_place(content: Mapping[str, Any], file: Path, record: Mapping[str, Any]) -> None:
    """Raises UserError where best.pt and last.pt of one run are swapped, or best.pt is not as the run left it."""
    key = {"best.pt": "record", "last.pt": "history"}.get(file.name)
    if key is not None and key not in content:
        raise UserError(f"{file}: is not a run's {file.name} (it has no {key}): put the run's own file there")
    if file.name == "best.pt" and record.get("status") in FINISHED:
        if isinstance(record.get("best"), dict):  # there is none without a validation part
            best = record["best"].get("epoch")
            if not isinstance(content["record"], dict) or content["record"].get("epoch") != best:
                raise UserError(
                    f"{file}: is not of epoch {best}, the best one of this run: put the run's own file there"
                )
        check_weights(content, record.get("best_weights_sha256"), file)


def check_same_run(
    content: Mapping[str, Any], file: Path, run_id: str | None, config: TrainConfig, ignored: Sequence[str] = ()
) -> None:
    """Raises UserError where another run wrote the checkpoint, or a run with other settings.

    Checkpoints of earlier versions have no `run_id`. Keys in `ignored` may differ.
    """
    _check_run_id(content, file, run_id)
    if repr(content["config"]) != repr(config_to_dict(config)):  # it may hold tensors, which cannot be compared by ==
        _check_config(content, file, config, ignored)


def _check_run_id(content: Mapping[str, Any], file: Path, run_id: str | None) -> None:
    saved_id = content.get("run_id")
    if None not in (saved_id, run_id) and saved_id != run_id:
        raise UserError(f"{file}: is of another run (run_id {saved_id}, not {run_id}): put the run's own file there")


def _check_config(content: Mapping[str, Any], file: Path, config: TrainConfig, ignored: Sequence[str]) -> None:
    if keys := differing_keys(load_saved_config(content["config"], str(file)), config, ignored):
        raise UserError(f"{file}: is of another run: {', '.join(keys[:3])} differ: put the run's own file there")
