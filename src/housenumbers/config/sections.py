"""The schemas of the sections that every run has, such as `data` and `augment`: types, ranges and meaning."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, Unit
from omegaconf import MISSING

from housenumbers.config.constraints import (
    AboveZeroUpToOne,
    BelowOne,
    BetweenZeroAndOne,
    Count,
    NonNegative,
    Predicate,
    Rules,
    Seed,
    UpToOne,
)


def is_target(option: Any) -> bool:
    return isinstance(option, dict) and isinstance(option.get("_target_"), str)


def is_folder_path(path: str) -> bool:
    """False for words such as null or true, which would otherwise become folders of that name."""
    return path.strip().lower() not in ("", "none", "null", "false", "true", "no", "yes")


# Custom objects, each NAME: {_target_: ..., option: value}.
NamedTargets = dict[
    Annotated[str, Predicate(str.isidentifier, "called by letters, digits and underscores")],
    Annotated[Any, Predicate(is_target, "{_target_: the full name of a class or a function, option: value}")],
]


@dataclass
class AugmentConfig:
    degrees: Annotated[float, Interval(ge=0, le=180)] = 0.0  # rotate by a uniform angle from -degrees to +degrees
    translate: NonNegative = 0.0  # shift each axis by a uniform number of pixels, -translate to +translate
    # The values of pixels beyond the border. border: those of the nearest pixel.
    padding: Literal["zeros", "border", "reflection"] = "zeros"
    scale: Annotated[float, Interval(ge=0, lt=10)] = 0.0  # enlarge or shrink by a factor of up to 1 + scale
    shear: Annotated[float, Interval(ge=0, le=60), Unit("degrees")] = 0.0  # slant by a uniform angle, -shear to +shear
    color: UpToOne = 0.0  # brighten or darken by up to this fraction, and each channel by half of it
    invert: UpToOne = 0.0  # the probability of swapping light and dark
    cutout: Annotated[int, Interval(ge=0, le=9999), Unit("pixels")] = 0  # cover a square of this side with grey
    mixup: NonNegative = 0.0  # alpha: mix images and labels of a batch by a share from Beta(alpha, alpha)
    transforms: NamedTargets = field(default_factory=dict)  # custom transforms, applied first

    @property
    def does_nothing(self) -> bool:
        """Whether every image stays as it is."""
        return not any((self.moves_pixels, self.color, self.invert, self.cutout, self.mixup, self.transforms))

    @property
    def moves_pixels(self) -> bool:
        """Whether pixels are moved."""
        return any((self.degrees, self.translate, self.scale, self.shear))


@dataclass
class DataConfig:
    name: str = MISSING
    batch_size: Annotated[int, Interval(ge=1, le=2**31 - 1)] = MISSING
    reduce: AboveZeroUpToOne = MISSING  # the stratified fraction of the training and validation parts that is kept
    val_fraction: BelowOne = MISSING  # 0: no validation part
    # random: the original study's split, which leaks | photos, blocks: no photo is on both sides (docs/data.md)
    split: Literal["random", "photos", "blocks"] = MISSING
    split_seed: int = MISSING
    # The folder of train_32x32.mat, test_32x32.mat, extra_32x32.mat.
    root: Annotated[str, Predicate(is_folder_path, "a folder")] = MISSING
    download: bool = MISSING
    verify: bool = MISSING  # false: accept files that are not the official ones
    use_extra: str = MISSING  # false | true | only: the training part is train, train and extra, or extra alone
    # null: the user's cache folder.
    cache: Annotated[str, Predicate(is_folder_path, "a folder")] | None = MISSING
    # Only for whole numbers. Other sources keep this default.
    width: int = 0  # of the images, in pixels: narrower numbers are padded, wider ones shrunk
    # Rendered images that join the training part of other data, as extra crops do.
    rendered: Annotated[int, Interval(ge=0, lt=10**8)] = 0
    # Only for rendered images. Where there are none, these defaults are kept.
    size: int = 0  # training crops; the test part is a quarter of this size
    difficulty: UpToOne = 0.0  # from 0 (clean) to 1 (harder than SVHN)
    curriculum: list[UpToOne] = field(default_factory=list)  # training difficulties, each for an equal share of epochs
    fonts: str = ""  # matplotlib | system (includes matplotlib's) | a folder
    render_seed: Seed = 0

    @property
    def has_numbers(self) -> bool:
        """Whether the labels are whole numbers instead of classes."""
        return self.name.endswith("_numbers")

    def __post_init__(self) -> None:
        self.use_extra = self.use_extra.lower()  # YAML's true arrives as "True"

    def rules(self) -> Rules:
        yield self.use_extra in ("false", "true", "only"), "use_extra", "false, true or only"
        if self.has_numbers:
            yield 32 <= self.width <= 1024 and self.width % 4 == 0, "width", "a multiple of 4 from 32 to 1024 pixels"
        else:
            yield not self.width, "width", "left out: only data of whole numbers have it"
        if self.name in ("synthetic", "synthetic_numbers"):
            yield 10 <= self.size < 10**8, "size", "from 10 to 99999999 crops"
            yield self.fonts != "", "fonts", "matplotlib, system or a folder"
            yield not self.rendered, "rendered", "left out: all images are rendered, data.size of them"
            return
        for key in ("size", "curriculum"):
            yield not getattr(self, key), key, "left out: only data=synthetic and data=synthetic_numbers have it"
        if not (self.rendered or self.has_numbers):
            for key in ("difficulty", "fonts", "render_seed"):
                yield not getattr(self, key), key, "left out, without rendered images (data.rendered=0)"


@dataclass
class EarlyStoppingConfig:
    enabled: bool = False
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    start_epoch: Count = 1  # earlier epochs are ignored
    patience: Annotated[int, Ge(1), Unit("epoch")] = 3  # stop after this many epochs in a row without an improvement
    # The smallest improvement over the reference value that counts.
    improvement: Annotated[float, Interval(ge=0, lt=100), Unit("percent")] = 5.0


@dataclass
class AveragingConfig:
    method: Literal["none", "ema", "swa"] = "none"  # ema: exponential, over steps | swa: uniform, over epochs
    decay: BelowOne = 0.99  # ema: the weight of the old average in each step
    start: BelowOne = 0.0  # the fraction of the epochs after which averaging starts


@dataclass
class ProgressiveConfig:
    # The sizes of the training images, each for an equal share of the epochs.
    sizes: list[Annotated[int, Ge(8), Unit("pixels")]] = field(default_factory=list)
    # The fractions of the epochs after which the first stage, the second stage and so on are frozen.
    freeze_after: list[BetweenZeroAndOne] = field(default_factory=list)

    def rules(self) -> Rules:
        is_sorted = self.freeze_after == sorted(self.freeze_after)
        yield is_sorted, "freeze_after", "a list of growing fractions between 0 and 1"

    @property
    def does_nothing(self) -> bool:
        """Whether every epoch is like the first."""
        return not self.sizes and not self.freeze_after
