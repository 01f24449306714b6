"""The schemas of the sections that every run has, `data` and `augment` say: types, and what the values may be."""

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from housenumbers.config.groups import is_folder_path, require, require_named_targets


@dataclass
class AugmentConfig:
    degrees: float = 0.0  # rotate by a uniform angle from -degrees to +degrees
    translate: float = 0.0  # shift by a uniform number of pixels from -translate to +translate, each axis its own
    padding: str = "zeros"  # what comes in at the border: zeros, border (the nearest pixel) or reflection
    scale: float = 0.0  # enlarge by up to a factor of 1 + scale, or shrink by it
    shear: float = 0.0  # slant by a uniform angle from -shear to +shear degrees
    color: float = 0.0  # brighten or darken by up to this fraction, and each channel by half of it
    invert: float = 0.0  # the probability that light and dark change places
    cutout: int = 0  # hide a square of so many pixels under grey
    mixup: float = 0.0  # alpha: mix pictures and labels of a batch by a share from Beta(alpha, alpha)
    transforms: dict[str, Any] = field(default_factory=dict)  # of one's own, which come first: NAME: {_target_: ...}

    def __post_init__(self) -> None:
        require(0 <= self.scale < 10, "augment.scale", self.scale, "from 0 up to, not including, 10")
        require(0 <= self.shear <= 60, "augment.shear", self.shear, "from 0 to 60 degrees")
        require(0 <= self.color <= 1, "augment.color", self.color, "from 0 to 1")
        require(0 <= self.invert <= 1, "augment.invert", self.invert, "a probability from 0 to 1")
        require(0 <= self.cutout < 10000, "augment.cutout", self.cutout, "0 pixels or more")
        require(0 <= self.mixup < math.inf, "augment.mixup", self.mixup, "0 or more")
        require(0 <= self.degrees <= 180, "augment.degrees", self.degrees, "from 0 to 180")
        require(0 <= self.translate < math.inf, "augment.translate", self.translate, "0 pixels or more")
        good = self.padding in ("zeros", "border", "reflection")
        require(good, "augment.padding", self.padding, "zeros, border or reflection")
        require_named_targets("augment.transforms", self.transforms)

    @property
    def does_nothing(self) -> bool:
        """Whether every picture stays as it is."""
        return not any((self.moves, self.color, self.invert, self.cutout, self.mixup, self.transforms))

    @property
    def moves(self) -> bool:
        """Whether pixels change places."""
        return any((self.degrees, self.translate, self.scale, self.shear))


@dataclass
class DataConfig:
    name: str = MISSING
    batch_size: int = MISSING
    reduce: float = MISSING  # the stratified fraction of the training and validation parts that is kept
    val_fraction: float = MISSING  # 0: train on all of it
    split: str = MISSING  # random (the study's; leaks, see docs/data.md) | blocks
    split_seed: int = MISSING
    root: str = MISSING  # the folder of train_32x32.mat, test_32x32.mat, extra_32x32.mat
    download: bool = MISSING
    verify: bool = MISSING  # false: accept files that are not the official ones
    use_extra: str = MISSING  # false | true | only: the training part is train, train and extra, or extra alone
    cache: str | None = MISSING  # null: the user's cache folder
    # Of data=synthetic alone; other sources leave these as they are here:
    size: int = 0  # crops to train on; a quarter as many test
    difficulty: float = 0.0  # from 0 (clean) to 1 (harder than SVHN)
    curriculum: list[float] = field(default_factory=list)  # of the training part, each for its share of the epochs
    fonts: str = ""  # matplotlib | system (those too) | a folder
    render_seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.batch_size < 2**31, "data.batch_size", self.batch_size, "1 or more")
        require(0 < self.reduce <= 1, "data.reduce", self.reduce, "a fraction above 0 and at most 1")
        require(0 <= self.val_fraction < 1, "data.val_fraction", self.val_fraction, "from 0 up to, not including, 1")
        require(self.split in ("random", "blocks"), "data.split", self.split, "random or blocks")
        self.use_extra = self.use_extra.lower()  # YAML's true arrives as "True"
        require(self.use_extra in ("false", "true", "only"), "data.use_extra", self.use_extra, "false, true or only")
        require(is_folder_path(self.root), "data.root", self.root, "a folder")
        good = self.cache is None or is_folder_path(self.cache)
        require(good, "data.cache", self.cache, "a folder, or null for the user's cache folder")
        self._check_synthetic()

    def _check_synthetic(self) -> None:
        if self.name != "synthetic":
            for key, nothing in {"size": 0, "difficulty": 0, "curriculum": [], "fonts": "", "render_seed": 0}.items():
                value = getattr(self, key)
                require(value == nothing, f"data.{key}", value, "left out: only data=synthetic has it")
            return
        require(10 <= self.size < 10**8, "data.size", self.size, "from 10 to 99999999 crops")
        require(0 <= self.difficulty <= 1, "data.difficulty", self.difficulty, "from 0 to 1")
        good = all(0 <= difficulty <= 1 for difficulty in self.curriculum)
        require(good, "data.curriculum", self.curriculum, "a list of difficulties from 0 to 1")
        require(self.fonts != "", "data.fonts", "''", "matplotlib, system or a folder")
        require(0 <= self.render_seed < 2**32, "data.render_seed", self.render_seed, "from 0 to 4294967295")


@dataclass
class EarlyStoppingConfig:
    enabled: bool = False
    monitor: str = "val_loss"  # val_loss | val_accuracy
    start_epoch: int = 1  # epochs before this one neither count nor set the mark
    patience: int = 3  # stop after so many epochs in a row without an improvement
    improvement: float = 5.0  # percent of the last mark by which an epoch must be better to count

    def __post_init__(self) -> None:
        good = self.monitor in ("val_loss", "val_accuracy")
        require(good, "early_stopping.monitor", self.monitor, "val_loss or val_accuracy")
        require(self.start_epoch >= 1, "early_stopping.start_epoch", self.start_epoch, "1 or more")
        require(self.patience >= 1, "early_stopping.patience", self.patience, "1 epoch or more")
        good = 0 <= self.improvement < 100
        require(good, "early_stopping.improvement", self.improvement, "a percentage from 0 up to, not including, 100")


@dataclass
class AveragingConfig:
    method: str = "none"  # none | ema: over the steps, exponentially | swa: over the epochs, evenly
    decay: float = 0.99  # of ema: what is left of the average after each step
    start: float = 0.0  # the fraction of the epochs that is over when it begins

    def __post_init__(self) -> None:
        good = self.method in ("none", "ema", "swa")
        require(good, "averaging.method", self.method, "none, ema or swa")
        require(0 <= self.decay < 1, "averaging.decay", self.decay, "from 0 up to, not including, 1")
        require(0 <= self.start < 1, "averaging.start", self.start, "from 0 up to, not including, 1")


@dataclass
class ProgressiveConfig:
    sizes: list[int] = field(default_factory=list)  # of the pictures in training, each for its share of the epochs
    freeze_after: list[float] = field(default_factory=list)  # the fraction of the epochs that each first stage learns

    def __post_init__(self) -> None:
        good = all(size >= 8 for size in self.sizes)
        require(good, "progressive.sizes", self.sizes, "a list of sizes of 8 pixels or more")
        shares = self.freeze_after
        good = all(0 < share < 1 for share in shares) and shares == sorted(shares)
        require(good, "progressive.freeze_after", shares, "a list of growing fractions between 0 and 1")

    @property
    def does_nothing(self) -> bool:
        """Whether every epoch is like the first."""
        return not self.sizes and not self.freeze_after
