"""The loop itself, called as a run calls it."""

import io

import pytest
import torch
from support import composed

from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import steps_per_epoch
from housenumbers.data.load import Splits, load_splits
from housenumbers.runtime.errors import UserError
from housenumbers.training.checkpoint import weights_sha256
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.reproducibility import seed_everything

SMALL = ("data=digits", "data.reduce=0.2", "data.batch_size=64", "model.width=2", "model.blocks=[1]", "epochs=5")
# After the first epoch none is better by so much, whatever the network learns: the rate falls after each.
FALLING = ("scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=1000", "scheduler.threshold_mode=abs")


def begun(config: TrainConfig, splits: Splits) -> TrainingState:
    seed_everything(config.seed)
    return TrainingState.initial(config, steps_per_epoch(splits.train, config.data.batch_size), torch.device("cpu"))


def trained(config: TrainConfig, state: TrainingState, splits: Splits, epochs: int = 9) -> TrainingState:
    for record in fit(config, state, splits.stages, splits.validation, lambda _: None):
        if record["epoch"] == epochs:
            break
    return state


def test_a_plateau_is_told_the_validation_loss_and_goes_on_from_a_checkpoint_to_the_same_bits() -> None:
    config = composed(*SMALL, *FALLING, "optimizer.lr=0.01")
    splits = load_splits(config.data)
    whole = trained(config, begun(config, splits), splits)
    assert [record["lr"] for record in whole.history] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-5])
    buffer = io.BytesIO()
    torch.save(trained(config, begun(config, splits), splits, epochs=3).state_dict(), buffer)
    buffer.seek(0)
    resumed = begun(config, splits)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    trained(config, resumed, splits)
    assert weights_sha256(resumed.weights()) == weights_sha256(whole.weights())
    assert [record["lr"] for record in resumed.history] == [record["lr"] for record in whole.history]


def test_a_plateau_of_ones_own_needs_a_validation_part_too() -> None:
    config = composed(*SMALL, "data.val_fraction=0")
    config.scheduler = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}
    with pytest.raises(UserError, match=r"scheduler: .*data\.val_fraction"):
        begun(config, load_splits(config.data))
