"""What a run goes on from: its last checkpoint and its best weights, if they are its own and whole."""

import os
from typing import Any

import torch

from housenumbers.config import TrainConfig
from housenumbers.errors import UserError
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint
from housenumbers.training.history import best_record
from housenumbers.training.loop import TrainingState

# What every checkpoint says of the run that wrote it.
ORIGIN = ("config", "data_sha256", "conditions", "conditions_mixed")


def last_checkpoint(folder: RunFolder, device: torch.device) -> dict[str, Any]:
    """What the run left after its last whole epoch; nothing where it has none."""
    if not os.path.lexists(folder.last):  # a link to a volume that is not mounted is no reason to begin anew
        return {}
    try:
        return load_checkpoint(folder.last, device)
    except UserError as error:
        raise UserError(f"{error}; or delete it, and the run begins anew") from None


def restore_state(state: TrainingState, last: dict[str, Any], folder: RunFolder) -> None:
    """Puts what the last checkpoint holds into the state. Raises UserError where it does not fit."""
    try:
        state.load_state_dict(last)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{folder.last}: does not fit this run ({error}): delete it to begin anew") from None


def restore_best(config: TrainConfig, state: TrainingState, last: dict[str, Any], folder: RunFolder) -> None:
    """Makes sure, before any training, that best.pt holds the best epoch of the history.

    Where that is the last epoch, a kill may have come before best.pt was written: it is written from the state.
    Raises UserError where it is an earlier one, whose weights nothing else holds, and best.pt does not.
    """
    best = best_record(state.history, config.best_by) or state.history[-1]
    if best is state.history[-1]:
        origin = {key: last[key] for key in ORIGIN if key in last}
        save_checkpoint(folder.best, {**origin, "model": state.weights(), "record": best})
        return
    begin_anew = f"restore it from a backup, or delete {folder.last}, and the run begins anew"
    if not os.path.lexists(folder.best):
        raise UserError(
            f"{folder.best}: is missing, and nothing else holds the weights of epoch {best['epoch']}: {begin_anew}"
        )
    if load_checkpoint(folder.best).get("record") != best:
        raise UserError(f"{folder.best}: is not of epoch {best['epoch']}, the best so far: {begin_anew}")
