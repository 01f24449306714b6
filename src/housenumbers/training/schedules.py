"""Learning-rate schedules that torch does not have."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from housenumbers.config.targets import module_that_raised
from housenumbers.config.values import option_dict
from housenumbers.runtime.errors import UserError

_GET_LR = "its get_lr must return a list, with a number for each group of parameters of the optimizer"


class Trapezoidal(LRScheduler):
    """Rises linearly over the first `warmup` of `total_steps`, stays constant, and falls to 0 over the last `decay`.

    Both are fractions. Xing et al. 2018, arXiv:1802.08770; Hägele et al. 2024, arXiv:2405.18392: it is
    as good as a cosine, and a longer run can continue from the middle of a shorter one.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup: float = 0.1, decay: float = 0.3, last_epoch: int = -1
    ) -> None:
        self._total = total_steps
        self._rising, self._falling = max(1.0, warmup * total_steps), max(1.0, decay * total_steps)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The learning rates of the next step, one for each group of parameters."""
        step = self.last_epoch
        factor = min(1.0, (step + 1) / self._rising, max(0, self._total - step) / self._falling)
        return [base * factor for base in self.base_lrs]


def step_scheduler(scheduler: LRScheduler, *metric: Any) -> None:
    """Steps the scheduler.

    Raises UserError if a scheduler of torch fails with its options, or a custom one returns no valid learning rates.
    """
    try:
        scheduler.step(*metric)
    except (TypeError, ValueError, ArithmeticError) as error:
        name = torch.typename(scheduler)
        if name.startswith("torch.optim."):
            raise UserError(f"scheduler: {type(scheduler).__name__}: {error}: give it other options") from None
        if module_that_raised(error).startswith("torch.optim."):
            raise UserError(f"scheduler: {name}: {error}: {_GET_LR}") from None
        raise


def warmup_factor(option: Any, step: int, steps_per_epoch: int) -> float:
    """The fraction of the scheduler's learning rate for a step of the run, counted from 0.

    It rises linearly to 1 over `warmup_epochs` (Goyal et al. 2017, arXiv:1706.02677).
    """
    return min(1.0, (step + 1) / (round(option_dict(option).get("warmup_epochs", 0) * steps_per_epoch) + 1))


def epochs_before_first_drop(option: Any, epochs: int) -> int:
    """The epochs for which StepLR or MultiStepLR keeps the first learning rate, if it lowers it within `epochs`.

    Else 0: for other schedules, and for those that step per batch.
    """
    options = option_dict(option)
    milestones = {"StepLR": [options.get("step_size")], "MultiStepLR": options.get("milestones")}
    first = min(milestones.get(str(options["_target_"]).rpartition(".")[2]) or [0])
    return first if options.get("interval", "epoch") == "epoch" and first < epochs else 0


@contextmanager
def scaled_learning_rates(optimizer: Optimizer, factor: float) -> Iterator[None]:
    """Multiplies the learning rates by `factor` inside the block, and restores them after it.

    Some schedulers compute the next rate from the last one, so they must not see the factor. torch's LinearLR changes
    the rate that they see: a cosine that ends above 0 would then lead to other rates.
    Raises UserError if a learning rate is negative or not finite, or not a number. This is checked here, not after the
    scheduler's step: the rate after the last step is not used and may be negative, as with OneCycleLR and
    anneal_strategy=linear.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for rate in rates:
        if not isinstance(rate, int | float) and not (isinstance(rate, Tensor) and rate.numel() == 1):
            raise UserError(f"scheduler: sets the learning rate to {rate!r}: {_GET_LR}")
        if not 0 <= float(rate) < math.inf:
            raise UserError(f"scheduler: sets the learning rate to {float(rate):.3g}: must be 0 or more")
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = factor * rate
    yield
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
