"""Restores a run from its last checkpoint and its best weights, after checks that both belong to it and are intact."""

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from housenumbers.config.schema import TrainConfig, setting_tied_to_epochs
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.record_validation import checked_history, is_number
from housenumbers.tracking.removed_checkpoints import removal_message
from housenumbers.tracking.run_folder import FINISHED, RunFolder
from housenumbers.training.checkpoint import check_weights, load_checkpoint, save_checkpoint, weights_sha256
from housenumbers.training.checkpoint_owner import check_same_run
from housenumbers.training.history import Record, best_or_last
from housenumbers.training.loop import TrainingState

# The keys of a checkpoint that describe the run that wrote it.
ORIGIN = ("config", "run_id", "data_sha256", "conditions", "conditions_mixed")


def last_checkpoint(folder: RunFolder, config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """The checkpoint of the run's last complete epoch; empty where there is none.

    Raises UserError where it is damaged or of another run, or best.pt lacks the best weights so far, or a finished run
    has none, and OSError where it cannot be read.
    """
    if not os.path.lexists(folder.last):
        if _is_finished(folder):  # a new start would replace its results
            lost = f"{folder.last}: is missing: restore it from a backup, {_remedy(folder)}"
            raise UserError(removal_message(folder.last) or lost)
        return {}
    if not folder.last.exists():  # for example an unmounted volume: the run must not restart
        raise UserError(f"{folder.last}: a link to {folder.last.readlink()}, which does not exist: restore it")
    run_id = folder.record().get("run_id")
    try:
        last = load_checkpoint(folder.last, device)
        history = checked_history(last.get("history"), str(folder.last))
        if len(history) > config.epochs:
            raise UserError(f"{folder.last}: holds {len(history)} epochs, the run has {config.epochs}: use its own")
        check_same_run(last, folder.last, run_id, config, ignored=[] if setting_tied_to_epochs(config) else ["epochs"])
        if (best := best_or_last(history, config.selected_by)) is not history[-1]:
            _check_best(folder.best, best, last)
    except UserError as error:
        raise UserError(f"{error}; {_remedy(folder)}") from None
    return last


def restore(config: TrainConfig, state: TrainingState, last: dict[str, Any], folder: RunFolder, steps: int) -> None:
    """Loads the last checkpoint into the fresh state of a run with `steps` steps per epoch.

    Raises UserError where it does not fit. Writes nothing.
    """
    misfit = f"{folder.last}: does not fit this run"
    try:
        state.load_state_dict(last)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{misfit} ({error}): restore it from a backup, {_remedy(folder)}") from None
    expected = _state_after_step(config, state, steps)
    for name, loaded in state.state_dict().items():
        if not _fits(loaded, expected[name]):
            raise UserError(f"{misfit} (its {name} has another form): restore it from a backup, {_remedy(folder)}")


def rewrite_best_checkpoint(config: TrainConfig, state: TrainingState, last: dict[str, Any], folder: RunFolder) -> None:
    """Writes best.pt from a restored state whose last epoch is the best, since a kill may have prevented that."""
    if state.history and (best := best_or_last(state.history, config.selected_by)) is state.history[-1]:
        origin = {key: last[key] for key in ORIGIN if key in last}
        save_checkpoint(folder.best, {**origin, "model": state.weights(), "record": best})


def best_weights_sha256(config: TrainConfig, state: TrainingState, last: dict[str, Any]) -> str | None:
    """The `weights_sha256` of the best weights so far. None where there are none, or an earlier version saved them."""
    if state.history and best_or_last(state.history, config.selected_by) is state.history[-1]:
        return weights_sha256(state.weights())
    return last.get("best_weights_sha256")


def _remedy(folder: RunFolder) -> str:
    """Part of a message: what to do without the run's last checkpoint."""
    if _is_finished(folder):
        return "or train anew in another folder"
    return f"or delete {folder.last}, and the run begins anew"


def _is_finished(folder: RunFolder) -> bool:
    return folder.record().get("status") in FINISHED


def _state_after_step(config: TrainConfig, state: TrainingState, steps: int) -> dict[str, Any]:
    """The state dict of a fresh state of the run after one step with zero gradients.

    Optimizers do not check the tensors that they load. With wrong shapes a fused optimizer accesses foreign memory, and
    with another memory format it gives each weight the averages of another one (findings/torch-fused-memory-format).
    """
    device = next(state.model.parameters()).device
    probe = TrainingState.initial(config, steps, device, pretrained=False)
    for parameter in probe.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    probe.optimizer.step()
    weights = probe.model.state_dict()
    average = None if probe.average is None else {"count": 0, "tensors": weights}
    return probe.state_dict() | {"average": average, "history": None, "pretrained_sha256": ""}


def _check_best(file: Path, best: Record, last: dict[str, Any]) -> None:
    """Raises UserError where best.pt is not of the epoch of `best`, whose weights no other file holds."""
    where = f"nothing else holds the weights of epoch {best['epoch']}, the best so far: restore it from a backup"
    if not os.path.lexists(file):
        raise UserError(f"{file}: is missing, and {where}")
    content = load_checkpoint(file)
    if None not in (content.get("run_id"), last.get("run_id")) and content["run_id"] != last["run_id"]:
        raise UserError(f"{file}: is of another run, and {where}")
    if content.get("record") != best:
        raise UserError(f"{file}: is of another epoch or run, and {where}")
    check_weights(content, last.get("best_weights_sha256"), file)


def _fits(loaded: Any, wanted: Any) -> bool:
    """Whether loaded values have the types and forms of the `wanted` values; compares common keys only."""
    if loaded is None or wanted is None:
        return True
    if isinstance(wanted, dict):
        both = isinstance(loaded, dict) and loaded.keys() & wanted.keys()
        return isinstance(loaded, dict) and all(_fits(loaded[key], wanted[key]) for key in both or ())
    if isinstance(wanted, list | tuple):
        return isinstance(loaded, list | tuple) and len(loaded) == len(wanted) and all(map(_fits, loaded, wanted))
    if isinstance(wanted, Tensor):
        return isinstance(loaded, Tensor) and _form(loaded) == _form(wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return isinstance(loaded, type(wanted))
    return is_number(loaded) or loaded in (math.inf, -math.inf)  # ReduceLROnPlateau starts at inf


def _form(tensor: Tensor) -> tuple[Any, ...]:
    """Shape, dtype and, for dimensions of more than one value, the order in memory."""
    strides = [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]
    return tensor.shape, tensor.dtype, strides
