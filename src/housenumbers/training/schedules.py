"""Schedules of the learning rate that torch does not have."""

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Trapezoidal(LRScheduler):
    """Rises in a straight line over the first `warmup` of `total_steps`, stays, and falls to 0 over the last `decay`.

    Both are fractions. Xing et al. 2018, arXiv:1802.08770; Hägele et al. 2024, arXiv:2405.18392, who find that it does
    as well as a cosine, and that a longer run can go on from the middle of a shorter one.
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
