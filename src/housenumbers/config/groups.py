"""The schemas of the options in the groups `model`, `optimizer` and `scheduler`: types, and what the values may be.

An option of your own need have none: what the code itself reads of it is checked all the same (common.py).
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from housenumbers.config.messages import as_typed
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural


def require(condition: bool, key: str, value: Any, want: str) -> None:
    if not condition:
        raise UserError(f"{key}={as_typed(value)}: must be {want}")


def require_named_targets(key: str, named: dict[str, Any]) -> None:
    """Raises UserError where one of them is not NAME: {_target_: ..., option: value}."""
    for name, option in named.items():
        good = isinstance(name, str) and name.isidentifier()
        require(good, f"{key}.{name}", option, "called by letters, digits and underscores")
        good = isinstance(option, dict) and isinstance(option.get("_target_"), str)
        require(good, f"{key}.{name}", option, "{_target_: the full name of a class or a function, option: value}")


def is_folder_path(path: str) -> bool:
    """Whether a path is more than a word for nothing, which would become a folder of that name."""
    return path.strip().lower() not in ("", "none", "null", "false", "true", "no", "yes")


def absolute_path(path: str) -> str:
    return str(Path(path).expanduser().absolute())


@dataclass
class ModelConfig:
    _target_: str = MISSING
    name: str = MISSING
    input_size: int = 32
    pretrained: Any = False  # false | true: the published weights | a file | run:DIR
    freeze: Any = False  # false | true: all but the head | how many stages

    def __post_init__(self) -> None:
        require(self.input_size >= 8, "model.input_size", self.input_size, "8 pixels or more")
        good = isinstance(self.pretrained, bool) or (
            isinstance(self.pretrained, str) and is_folder_path(self.pretrained)
        )
        require(good, "model.pretrained", self.pretrained, "false, true, a file or run:DIR")
        if isinstance(self.pretrained, str):  # a run outlives its working folder
            prefix = "run:" if self.pretrained.startswith("run:") else ""
            self.pretrained = prefix + absolute_path(self.pretrained.removeprefix(prefix))
        good = isinstance(self.freeze, int) and self.freeze >= 0
        require(good, "model.freeze", self.freeze, "false, true or a number of stages")


@dataclass
class ResNetConfig(ModelConfig):
    width: int = MISSING
    blocks: list[int] = MISSING
    preactivation: bool = False
    stem_width: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.width >= 1, "model.width", self.width, "1 or more channels")
        good = len(self.blocks) >= 1 and all(count >= 1 for count in self.blocks)
        require(good, "model.blocks", self.blocks, "a list with 1 or more blocks for each stage")
        good = self.stem_width is None or self.stem_width >= 1
        require(good, "model.stem_width", self.stem_width, "1 or more channels, or null")
        smallest = self.input_size / 2 ** (len(self.blocks) - 1)  # batch norm needs two values or more, in any batch
        want = f"at most {plural(int(math.log2(self.input_size)), 'stage')} for pictures of {self.input_size} pixels"
        require(smallest > 1, "model.blocks", self.blocks, want)


@dataclass
class TorchvisionConfig(ModelConfig):
    architecture: str = MISSING
    stem: str = "small"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.stem in ("small", "original"), "model.stem", self.stem, "small or original")


@dataclass
class EfficientNetLiteConfig(ModelConfig):
    features: str = "last"  # what the last layer sees: all takes those of the layers before, too

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.features in ("last", "all"), "model.features", self.features, "last or all")


@dataclass
class FastNetConfig(ModelConfig):
    channels: list[int] = MISSING
    convolutions: list[int] = MISSING
    activation: str = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        good = len(self.channels) >= 1 and all(count >= 1 for count in self.channels)
        require(good, "model.channels", self.channels, "a list with 1 or more channels for each stage")
        good = len(self.convolutions) == len(self.channels) and all(count >= 1 for count in self.convolutions)
        want = f"1 or more for each of the stages of model.channels, {len(self.channels)}"
        require(good, "model.convolutions", self.convolutions, want)
        good = self.activation in ("gelu", "relu", "silu")
        require(good, "model.activation", self.activation, "gelu, relu or silu")
        smallest = self.input_size // 2 ** len(self.channels)  # whitening halves it, as each stage but the first does
        most = int(math.log2(self.input_size)) - 1
        want = f"at most {plural(most, 'stage')} for pictures of {self.input_size} pixels"
        require(smallest >= 2, "model.channels", self.channels, want)


@dataclass
class OptimizerConfig:
    _target_: str = MISSING
    lr: float = MISSING
    weight_decay: float = 0.0
    backbone_lr_ratio: float = 1.0  # the learning rate of all but the model's head, as a part of lr

    def __post_init__(self) -> None:
        good = 0 < self.backbone_lr_ratio < math.inf
        require(good, "optimizer.backbone_lr_ratio", self.backbone_lr_ratio, "above 0")
        require(0 < self.lr < math.inf, "optimizer.lr", self.lr, "above 0")
        require(0 <= self.weight_decay < math.inf, "optimizer.weight_decay", self.weight_decay, "0 or more")


@dataclass
class AdamConfig(OptimizerConfig):
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        good = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require(good, "optimizer.betas", self.betas, "two numbers from 0 up to, not including, 1")
        require(self.eps > 0, "optimizer.eps", self.eps, "above 0")


@dataclass
class SGDConfig(OptimizerConfig):
    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "from 0 up to, not including, 1")
        require(self.momentum > 0 or not self.nesterov, "optimizer.nesterov", True, "false where momentum is 0")


@dataclass
class MuonConfig(AdamConfig):
    momentum: float = 0.9
    ns_steps: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "from 0 up to, not including, 1")
        require(1 <= self.ns_steps < 100, "optimizer.ns_steps", self.ns_steps, "from 1 to 99")


@dataclass
class SchedulerConfig:
    _target_: str = MISSING
    interval: str = "epoch"  # when it steps: after each epoch or after each batch

    def __post_init__(self) -> None:
        want = "batch, which is what Lightning calls step" if self.interval == "step" else "epoch or batch"
        require(self.interval in ("epoch", "batch"), "scheduler.interval", self.interval, want)


@dataclass
class WarmupConfig(SchedulerConfig):
    warmup_epochs: float = 0.0  # the learning rate rises in a straight line from almost nothing, at every step

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.warmup_epochs < math.inf, "scheduler.warmup_epochs", self.warmup_epochs, "0 or more")


@dataclass
class StepConfig(WarmupConfig):
    step_size: int = MISSING
    gamma: float = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.step_size >= 1, "scheduler.step_size", self.step_size, "1 epoch or more")
        require(0 < self.gamma <= 1, "scheduler.gamma", self.gamma, "above 0 and at most 1")


@dataclass
class ConstantConfig(WarmupConfig):
    factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.factor <= 1, "scheduler.factor", self.factor, "above 0 and at most 1")


@dataclass
class CosineConfig(WarmupConfig):
    T_max: int | None = None  # null: the whole run
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.T_max is None or self.T_max >= 1, "scheduler.T_max", self.T_max, "1 or more, or null")
        require(0 <= self.eta_min < math.inf, "scheduler.eta_min", self.eta_min, "0 or more")


@dataclass
class PlateauConfig(WarmupConfig):
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        want = "epoch: val_loss, which it is told, is computed after each epoch"
        require(self.interval == "epoch", "scheduler.interval", self.interval, want)
        require(self.mode == "min", "scheduler.mode", self.mode, "min: it is told val_loss")
        require(0 < self.factor < 1, "scheduler.factor", self.factor, "between 0 and 1")
        require(self.patience >= 0, "scheduler.patience", self.patience, "0 epochs or more")
        require(0 <= self.threshold < math.inf, "scheduler.threshold", self.threshold, "0 or more")
        good = self.threshold_mode in ("rel", "abs")
        require(good, "scheduler.threshold_mode", self.threshold_mode, "rel or abs")
        require(self.cooldown >= 0, "scheduler.cooldown", self.cooldown, "0 epochs or more")
        require(0 <= self.min_lr < math.inf, "scheduler.min_lr", self.min_lr, "0 or more")
        require(0 <= self.eps < math.inf, "scheduler.eps", self.eps, "0 or more")


@dataclass
class OneCycleConfig(SchedulerConfig):
    max_lr: float = MISSING
    total_steps: int | None = None  # null: the whole run
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal_strategy: str = "cos"
    cycle_momentum: bool = True  # from 0.95 down to 0.85 while the learning rate rises, and back

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.max_lr < math.inf, "scheduler.max_lr", self.max_lr, "above 0")
        good = self.total_steps is None or self.total_steps >= 1
        require(good, "scheduler.total_steps", self.total_steps, "1 or more, or null")
        require(0 < self.pct_start < 1, "scheduler.pct_start", self.pct_start, "between 0 and 1")
        require(self.div_factor > 0, "scheduler.div_factor", self.div_factor, "above 0")
        require(self.final_div_factor > 0, "scheduler.final_div_factor", self.final_div_factor, "above 0")
        good = self.anneal_strategy in ("cos", "linear")
        require(good, "scheduler.anneal_strategy", self.anneal_strategy, "cos or linear")


@dataclass
class TrapezoidalConfig(SchedulerConfig):
    total_steps: int | None = None  # null: the whole run
    warmup: float = 0.1
    decay: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        good = self.total_steps is None or self.total_steps >= 1
        require(good, "scheduler.total_steps", self.total_steps, "1 or more, or null")
        require(0 <= self.warmup <= 1, "scheduler.warmup", self.warmup, "a fraction from 0 to 1")
        good = self.decay >= 0 and round(self.warmup + self.decay, 9) <= 1  # 1 - 0.8 is a little less than 0.2
        require(good, "scheduler.decay", self.decay, "a fraction of what warmup leaves")


# The schemas of each group, by the name that files in conf/ call them, each with the targets that it describes.
SCHEMAS: dict[str, dict[str, tuple[type, tuple[str, ...]]]] = {
    "model": {
        "resnet": (ResNetConfig, ("housenumbers.models.resnet.ResNet",)),
        "torchvision": (
            TorchvisionConfig,
            ("housenumbers.models.torchvision_classifier.TorchvisionClassifier",),
        ),
        "fastnet": (FastNetConfig, ("housenumbers.models.fastnet.FastNet",)),
        "efficientnet_lite": (EfficientNetLiteConfig, ("housenumbers.models.efficientnet_lite.EfficientNetLite0",)),
    },
    "optimizer": {
        "adam": (AdamConfig, ("torch.optim.Adam", "torch.optim.AdamW")),
        "sgd": (SGDConfig, ("torch.optim.SGD",)),
        "muon": (MuonConfig, ("housenumbers.training.muon.MuonAdamW",)),
    },
    "scheduler": {
        "step": (StepConfig, ("torch.optim.lr_scheduler.StepLR",)),
        "cosine": (CosineConfig, ("torch.optim.lr_scheduler.CosineAnnealingLR",)),
        "plateau": (PlateauConfig, ("torch.optim.lr_scheduler.ReduceLROnPlateau",)),
        "onecycle": (OneCycleConfig, ("torch.optim.lr_scheduler.OneCycleLR",)),
        "trapezoidal": (TrapezoidalConfig, ("housenumbers.training.schedules.Trapezoidal",)),
        "none": (ConstantConfig, ("torch.optim.lr_scheduler.ConstantLR",)),
    },
}
