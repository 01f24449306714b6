"""What a run goes on from: its last checkpoint and its best weights, if they are its own and whole."""

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from housenumbers.config.schema import TrainConfig, setting_tied_to_epochs
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.record_validation import checked_history, is_number
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint
from housenumbers.training.checkpoint_owner import check_same_run
from housenumbers.training.history import Record, best_record
from housenumbers.training.loop import TrainingState

# What every checkpoint says of the run that wrote it.
ORIGIN = ("config", "run_id", "data_sha256", "conditions", "conditions_mixed")


def last_checkpoint(folder: RunFolder, config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """What the run left after its last whole epoch; nothing where it has none.

    Raises UserError where it is damaged or of another run, or the best weights so far are not in best.pt, and OSError
    where it cannot be read.
    """
    if not os.path.lexists(folder.last):
        return {}
    if not folder.last.exists():  # the link of a volume that is not mounted, say: no reason to begin anew
        raise UserError(f"{folder.last}: a link to {folder.last.readlink()}, where nothing is: bring that back")
    begin_anew = f"or delete {folder.last}, and the run begins anew"
    run_id = folder.record().get("run_id")
    try:
        last = load_checkpoint(folder.last, device)
        history = checked_history(last.get("history"), str(folder.last))
        if len(history) > config.epochs:
            raise UserError(f"{folder.last}: holds {len(history)} epochs, the run has {config.epochs}: use its own")
        check_same_run(last, folder.last, run_id, config, aside=[] if setting_tied_to_epochs(config) else ["epochs"])
        if (best := _best(config, history)) is not history[-1]:
            _check_best(folder.best, best, last)
    except UserError as error:
        raise UserError(f"{error}; {begin_anew}") from None
    return last


def restore(config: TrainConfig, state: TrainingState, last: dict[str, Any], folder: RunFolder, steps: int) -> None:
    """Puts what the last checkpoint holds into the fresh state, of a run of so many `steps` an epoch.

    Raises UserError where it does not fit. Where the last epoch is the best, a kill may have come before best.pt was
    written: it is written from the state.
    """
    misfit = f"{folder.last}: does not fit this run"
    begin_anew = "restore it from a backup, or delete it, and the run begins anew"
    try:
        state.load_state_dict(last)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{misfit} ({error}): {begin_anew}") from None
    wanted = _after_a_step(config, state, steps)
    for name, loaded in state.state_dict().items():
        if not _fits(loaded, wanted[name]):
            raise UserError(f"{misfit} (its {name} has another form): {begin_anew}")
    if (best := _best(config, state.history)) is state.history[-1]:
        origin = {key: last[key] for key in ORIGIN if key in last}
        save_checkpoint(folder.best, {**origin, "model": state.weights(), "record": best})


def _after_a_step(config: TrainConfig, state: TrainingState, steps: int) -> dict[str, Any]:
    """What another state of the run holds after a step with gradients of 0.

    Optimizers do not look at the form of what they load: fused ones would compute with memory that is not theirs.
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


def _best(config: TrainConfig, history: list[Record]) -> Record:
    return best_record(history, config.selection_metric) or history[-1]  # without validation the last is the best


def _check_best(file: Path, best: Record, last: dict[str, Any]) -> None:
    """Raises UserError where best.pt is not of this epoch, whose weights nothing else holds."""
    where = f"nothing else holds the weights of epoch {best['epoch']}, the best so far: restore it from a backup"
    if not os.path.lexists(file):
        raise UserError(f"{file}: is missing, and {where}")
    content = load_checkpoint(file)
    if None not in (content.get("run_id"), last.get("run_id")) and content["run_id"] != last["run_id"]:
        raise UserError(f"{file}: is of another run, and {where}")
    if content.get("record") != best:
        raise UserError(f"{file}: is of another epoch or run, and {where}")


def _fits(loaded: Any, wanted: Any) -> bool:
    """Whether values have the types and shapes of the `wanted` ones, where both have them."""
    if loaded is None or wanted is None:
        return True
    if isinstance(wanted, dict):
        both = isinstance(loaded, dict) and loaded.keys() & wanted.keys()
        return isinstance(loaded, dict) and all(_fits(loaded[key], wanted[key]) for key in both or ())
    if isinstance(wanted, list | tuple):
        return isinstance(loaded, list | tuple) and len(loaded) == len(wanted) and all(map(_fits, loaded, wanted))
    if isinstance(wanted, Tensor):
        return isinstance(loaded, Tensor) and loaded.shape == wanted.shape and loaded.dtype == wanted.dtype
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return isinstance(loaded, type(wanted))
    return is_number(loaded) or loaded in (math.inf, -math.inf)  # a plateau's best loss before the first
