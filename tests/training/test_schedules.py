"""What a scheduler makes of the learning rate: a number that is not negative, or one line."""

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from housenumbers.runtime.errors import UserError
from housenumbers.training.schedules import epochs_before_first_drop, scaled_learning_rates, step_scheduler


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


def test_schedulers_step_as_torch_steps_them() -> None:
    ours, torchs = StepLR(optimizer(), 2, 0.5), StepLR(optimizer(), 2, 0.5)
    for _ in range(5):
        step_scheduler(ours)
        torchs.step()
        assert ours.get_last_lr() == torchs.get_last_lr()
    plateau = ReduceLROnPlateau(optimizer(), patience=0)
    for loss in (1.0, 2.0):
        step_scheduler(plateau, loss)
    assert plateau.optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("gamma", [-0.5, float("nan"), float("inf")])
def test_a_learning_rate_that_no_step_can_use_is_one_line(gamma: float) -> None:
    scheduler = ExponentialLR(optimizer(), gamma)
    with scaled_learning_rates(scheduler.optimizer, 1.0):
        scheduler.optimizer.step()
    step_scheduler(scheduler)
    said = r"scheduler: sets the learning rate to .*: must be 0 or more"
    with pytest.raises(UserError, match=said), scaled_learning_rates(scheduler.optimizer, 1.0):
        pass


def test_the_learning_rate_after_the_last_step_may_be_anything() -> None:
    """torch's linear one-cycle schedule ends below 0, after its last step."""
    scheduler = OneCycleLR(optimizer(), 0.1, total_steps=5, anneal_strategy="linear")
    for _ in range(5):
        with scaled_learning_rates(scheduler.optimizer, 1.0):
            scheduler.optimizer.step()
        step_scheduler(scheduler)
    assert scheduler.get_last_lr()[0] < 0


def test_an_option_of_another_type_is_one_line() -> None:
    scheduler = ExponentialLR(optimizer(), "abc")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="scheduler: ExponentialLR: can't multiply"):
        step_scheduler(scheduler)


def test_a_bug_in_a_custom_scheduler_keeps_its_traceback() -> None:
    class Wrong(LRScheduler):
        def get_lr(self) -> list[float]:
            return [0.1 if self.last_epoch == 0 else "x" * 0.5]  # type: ignore[operator,list-item]

    with pytest.raises(TypeError):
        step_scheduler(Wrong(optimizer()))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 5, "interval": "epoch"}, 5),
        ({"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 5, "interval": "batch"}, 0),
        ({"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 20, "interval": "epoch"}, 0),
        ({"_target_": "torch.optim.lr_scheduler.MultiStepLR", "milestones": [12, 7]}, 7),
        ({"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 5}, 0),
        ({"_target_": "torch.optim.lr_scheduler.LambdaLR"}, 0),
    ],
)
def test_the_first_learning_rate_is_kept_until_a_step_lowers_it(options: dict[str, Any], expected: int) -> None:
    assert epochs_before_first_drop(options, epochs=20) == expected
