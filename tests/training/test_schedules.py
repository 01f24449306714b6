"""What a scheduler makes of the learning rate: a number that is not negative, or one line."""

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, ReduceLROnPlateau, StepLR

from housenumbers.runtime.errors import UserError
from housenumbers.training.schedules import step_scheduler


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


@pytest.mark.parametrize(
    ("gamma", "said"),
    [
        (-0.5, "ExponentialLR: sets the learning rate to -0.05: must be 0 or more"),
        (float("nan"), "sets the learning rate to nan"),
        ("abc", "scheduler: ExponentialLR: can't multiply"),
    ],
)
def test_an_option_that_does_not_suit_is_one_line(gamma: float, said: str) -> None:
    scheduler = ExponentialLR(optimizer(), gamma)
    with pytest.raises(UserError, match=said):
        step_scheduler(scheduler)


def test_a_bug_in_a_custom_scheduler_keeps_its_traceback() -> None:
    class Wrong(LRScheduler):
        def get_lr(self) -> list[float]:
            return [0.1 if self.last_epoch == 0 else "x" * 0.5]  # type: ignore[operator,list-item]

    with pytest.raises(TypeError):
        step_scheduler(Wrong(optimizer()))
