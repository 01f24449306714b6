"""The schemas of the options in the groups `model`, `optimizer` and `scheduler`: types, ranges and meaning.

A custom option needs no schema. COMMON holds the keys that the code reads from any option.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, MaxLen, MinLen, Unit
from omegaconf import MISSING

from housenumbers.config.constraints import (
    AboveZeroUpToOne,
    BelowOne,
    BetweenZeroAndOne,
    Count,
    NonNegative,
    Positive,
    Predicate,
    Rules,
    UpToOne,
)
from housenumbers.config.sections import is_folder_path
from housenumbers.runtime.text import plural

Channels = Annotated[int, Ge(1), Unit("channel")]


def _is_pretrained(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and is_folder_path(value))


def _is_freeze(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


@dataclass
class ModelConfig:
    _target_: str = MISSING
    name: str = MISSING
    input_size: Annotated[int, Ge(8), Unit("pixels")] = 32
    # false | true: the published weights | a file | run:DIR
    pretrained: Annotated[Any, Predicate(_is_pretrained, "false, true, a file or run:DIR")] = False
    # false | true: all but the head | how many stages
    freeze: Annotated[Any, Predicate(_is_freeze, "false, true or a number of stages")] = False


@dataclass
class ResNetConfig(ModelConfig):
    width: Channels = MISSING
    blocks: Annotated[list[Count], MinLen(1)] = MISSING  # per stage
    preactivation: bool = False
    stem_width: Channels | None = None

    def rules(self) -> Rules:
        remedy = "false, a file or run:DIR: nobody has published weights of this model"
        yield self.pretrained is not True, "pretrained", remedy
        last_size = self.input_size / 2 ** (len(self.blocks) - 1)  # batch norm needs two or more values, in any batch
        max_stages = plural(int(math.log2(self.input_size)), "stage")
        yield last_size > 1, "blocks", f"at most {max_stages} for images of {self.input_size} pixels"


@dataclass
class TorchvisionConfig(ModelConfig):
    architecture: str = MISSING
    stem: Literal["small", "original"] = "small"


@dataclass
class EfficientNetLiteConfig(ModelConfig):
    features: Literal["last", "all"] = "last"  # all: the last layer also receives the features of earlier blocks


@dataclass
class FastNetConfig(ModelConfig):
    channels: Annotated[list[Count], MinLen(1)] = MISSING  # per stage
    convolutions: Annotated[list[Count], MinLen(1)] = MISSING
    activation: Literal["gelu", "relu", "silu"] = "gelu"

    def rules(self) -> Rules:
        return _rules_of_stages(self, least=2)


@dataclass
class NumberReaderConfig(ModelConfig):
    channels: Annotated[list[Count], MinLen(2)] = MISSING  # per stage
    convolutions: Annotated[list[Count], MinLen(2)] = MISSING
    # The last convolution's width, in places of 4 pixels.
    context: Annotated[int, Interval(ge=1, le=99), Predicate(lambda value: value % 2 == 1, "odd")] = 5
    activation: Literal["gelu", "relu", "silu"] = "gelu"

    def rules(self) -> Rules:
        return _rules_of_stages(self, least=1)


def _rules_of_stages(model: FastNetConfig | NumberReaderConfig, least: int) -> Rules:
    """The rules for networks whose last stage has a height of `least` pixels or more."""
    stages = len(model.channels)
    yield len(model.convolutions) == stages, "convolutions", f"as long as model.channels, {stages}"
    last_size = model.input_size // 2**stages  # whitening and every stage but the first halve the height
    max_stages = plural(int(math.log2(model.input_size / least)), "stage")
    yield last_size >= least, "channels", f"at most {max_stages} for images of {model.input_size} pixels"


@dataclass
class OptimizerConfig:
    _target_: str = MISSING
    lr: Positive = MISSING
    weight_decay: NonNegative = 0.0
    backbone_lr_ratio: Positive = 1.0  # the learning rate of all layers except the head, as a fraction of lr


@dataclass
class AdamConfig(OptimizerConfig):
    betas: Annotated[list[BelowOne], MinLen(2), MaxLen(2)] = field(default_factory=lambda: [0.9, 0.999])
    eps: Positive = 1e-8


@dataclass
class SGDConfig(OptimizerConfig):
    momentum: BelowOne = 0.9
    nesterov: bool = True

    def rules(self) -> Rules:
        yield self.momentum > 0 or not self.nesterov, "nesterov", "false where momentum is 0"


@dataclass
class MuonConfig(AdamConfig):
    momentum: BelowOne = 0.9
    ns_steps: Annotated[int, Interval(ge=1, le=99)] = 3


@dataclass
class SchedulerConfig:
    _target_: str = MISSING
    interval: str = "epoch"  # the scheduler steps after each epoch or each batch

    def rules(self) -> Rules:
        allowed = "batch, which is what Lightning calls step" if self.interval == "step" else "epoch or batch"
        yield self.interval in ("epoch", "batch"), "interval", allowed


@dataclass
class WarmupConfig(SchedulerConfig):
    warmup_epochs: NonNegative = 0.0  # the learning rate rises linearly from almost 0, at every step


@dataclass
class StepConfig(WarmupConfig):
    step_size: Annotated[int, Ge(1), Unit("epoch")] = MISSING
    gamma: AboveZeroUpToOne = MISSING


@dataclass
class ConstantConfig(WarmupConfig):
    factor: AboveZeroUpToOne = 1.0


@dataclass
class CosineConfig(WarmupConfig):
    T_max: Count | None = None  # null: the whole run
    eta_min: NonNegative = 0.0


@dataclass
class PlateauConfig(WarmupConfig):
    mode: Literal["min"] = "min"  # the monitored value is val_loss
    factor: BetweenZeroAndOne = 0.1
    patience: Annotated[int, Ge(0), Unit("epochs")] = 10
    threshold: NonNegative = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: Annotated[int, Ge(0), Unit("epochs")] = 0
    min_lr: NonNegative = 0.0
    eps: NonNegative = 1e-8

    def rules(self) -> Rules:
        yield self.interval == "epoch", "interval", "epoch: val_loss, which it monitors, is computed after each epoch"


@dataclass
class OneCycleConfig(SchedulerConfig):
    max_lr: Positive = MISSING
    total_steps: Count | None = None  # null: the whole run
    pct_start: BetweenZeroAndOne = 0.3
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    anneal_strategy: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = True  # from 0.95 down to 0.85 while the learning rate rises, and back


@dataclass
class TrapezoidalConfig(SchedulerConfig):
    total_steps: Count | None = None  # null: the whole run
    warmup: UpToOne = 0.1
    decay: NonNegative = 0.3

    def rules(self) -> Rules:
        yield from super().rules()
        fits = round(self.warmup + self.decay, 9) <= 1  # in floating point, 1 - 0.8 < 0.2
        yield fits, "decay", "a fraction of what warmup leaves"


# The schemas of each group by their names in conf/, each with the targets that it describes.
SCHEMAS: dict[str, dict[str, tuple[type, tuple[str, ...]]]] = {
    "model": {
        "resnet": (ResNetConfig, ("housenumbers.models.resnet.ResNet",)),
        "torchvision": (TorchvisionConfig, ("housenumbers.models.torchvision_classifier.TorchvisionClassifier",)),
        "fastnet": (FastNetConfig, ("housenumbers.models.fastnet.FastNet",)),
        "number_reader": (NumberReaderConfig, ("housenumbers.models.number_reader.NumberReader",)),
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


@dataclass
class CommonModelConfig(ModelConfig):
    _target_: str = ""
    name: str = "model"
    classes: Annotated[int, Predicate(lambda value: value == 10, "left out: there are 10 digits")] = 10


@dataclass
class CommonOptimizerConfig(OptimizerConfig):
    _target_: str = ""
    lr: Positive = 1.0
    fused: bool | None = None
    foreach: bool | None = None
    differentiable: Annotated[
        bool, Predicate(lambda value: not value, "left out: it is for gradients through a step, which nothing asks for")
    ] = False


@dataclass
class CommonSchedulerConfig(WarmupConfig):
    _target_: str = ""
    T_max: Count | None = None
    max_lr: Positive = 1.0
    total_steps: Count | None = None


# The keys that the code reads from any option, whether or not the option's schema declares them.
COMMON: dict[str, type] = {
    "model": CommonModelConfig,
    "optimizer": CommonOptimizerConfig,
    "scheduler": CommonSchedulerConfig,
}
