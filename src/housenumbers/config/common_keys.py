"""What the code itself reads of any option of the groups `model`, `optimizer` and `scheduler`, one of your own too."""

import math
from dataclasses import dataclass

from housenumbers.config.groups import ModelConfig, OptimizerConfig, WarmupConfig, require


@dataclass
class CommonModelConfig(ModelConfig):
    _target_: str = ""
    name: str = "model"
    classes: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.classes == 10, "model.classes", self.classes, "left out: there are 10 digits")


@dataclass
class CommonOptimizerConfig(OptimizerConfig):
    _target_: str = ""
    lr: float = 1.0
    fused: bool | None = None
    foreach: bool | None = None
    differentiable: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        want = "left out: it is for gradients through a step, which nothing asks for"
        require(not self.differentiable, "optimizer.differentiable", self.differentiable, want)


@dataclass
class CommonSchedulerConfig(WarmupConfig):
    _target_: str = ""
    T_max: int | None = None
    max_lr: float = 1.0
    total_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.T_max is None or self.T_max >= 1, "scheduler.T_max", self.T_max, "1 or more, or null")
        require(0 < self.max_lr < math.inf, "scheduler.max_lr", self.max_lr, "above 0")
        good = self.total_steps is None or self.total_steps >= 1
        require(good, "scheduler.total_steps", self.total_steps, "1 or more, or null")


# What the code itself reads of an option, whether the option's own schema knows of it or not.
COMMON: dict[str, type] = {
    "model": CommonModelConfig,
    "optimizer": CommonOptimizerConfig,
    "scheduler": CommonSchedulerConfig,
}
