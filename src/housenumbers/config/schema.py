"""The typed schema of the whole configuration; `conf/` holds the values. Does not import torch."""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Interval, Unit
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from housenumbers.config.constraints import BelowOne, Count, Positive, Predicate, Rules, Seed
from housenumbers.config.groups import SCHEMAS, NumberReaderConfig, PlateauConfig
from housenumbers.config.messages import expected_types
from housenumbers.config.sections import (
    AugmentConfig,
    AveragingConfig,
    DataConfig,
    EarlyStoppingConfig,
    NamedTargets,
    ProgressiveConfig,
)
from housenumbers.config.values import option_dict
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError

OBJECTIVES = {"val_accuracy": "maximize", "val_loss": "minimize", "train_seconds": "minimize"}

# The keys of all scores, and of what stands beside them in a file of scores.
SCORES = {
    "accuracy", "loss", "n", "per_class_accuracy", "confusion", "temperature", "calibration_error", "digit_error_rate",
    "accuracy_by_length", "digits_missed", "digits_added", "numbers", "parameters", "split", "checkpoint",
}  # fmt: skip
VALID_NAME = "usable as a part of a folder's name, and at most 100 characters long"


def is_valid_name(text: str) -> bool:
    """Whether the text can be the label of a run or the name of a study."""
    fits = 1 <= len(text) <= 100 and len(text.encode()) <= 200
    return fits and text.isprintable() and not set(text) & set('/\\:*?"<>|') and text not in (".", "..")


def _is_option(option: Any) -> bool:
    return isinstance(option_dict(option).get("_target_"), str)


DEVICES, MAX_THREADS = "auto, cpu, cuda, cuda:N or mps", 1024


def is_device(device: str) -> bool:
    """Whether the text is one of DEVICES."""
    return re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", device) is not None


def _are_objectives(objective: Any) -> bool:
    names = [objective] if isinstance(objective, str) else objective
    are_known = isinstance(names, list) and bool(names) and all(name in OBJECTIVES for name in names)
    return are_known and len(set(names)) == len(names)


@dataclass
class TrainConfig:
    model: Annotated[Any, Predicate(_is_option, "an option of conf/model/ with a _target_")] = MISSING
    optimizer: Annotated[Any, Predicate(_is_option, "an option of conf/optimizer/ with a _target_")] = MISSING
    scheduler: Annotated[Any, Predicate(_is_option, "an option of conf/scheduler/ with a _target_")] = MISSING
    data: DataConfig = MISSING
    augment: AugmentConfig = MISSING
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    progressive: ProgressiveConfig = field(default_factory=ProgressiveConfig)
    # Labels the folder, TensorBoard and the index of runs.
    name: Annotated[str, Predicate(is_valid_name, VALID_NAME)] = MISSING
    seed: Seed = MISSING
    epochs: Count = MISSING
    label_smoothing: BelowOne = MISSING
    clip_grad_norm: Positive | None = MISSING
    logger: NamedTargets = field(default_factory=dict)
    metrics: NamedTargets = field(default_factory=dict)
    callbacks: NamedTargets = field(default_factory=dict)
    # The epoch whose weights are kept, scored and used: the best by validation, or the last.
    keep_epoch: Literal["best", "last"] = "best"
    # The values that a sweep optimizes.
    objective: Annotated[Any, Predicate(_are_objectives, f"{', '.join(OBJECTIVES)} or a list of these, each once")] = (
        MISSING
    )
    device: Annotated[str, Predicate(is_device, DEVICES)] = MISSING
    threads: Annotated[int, Interval(ge=1, le=MAX_THREADS)] | None = MISSING  # null: torch's default
    # bfloat16: false (never) | cuda | true (on CUDA, and on CPUs with bfloat16 instructions)
    autocast: Literal[False, "cuda", True] = MISSING
    micro_batches: Count = 1  # the gradient is summed over this many parts of a batch, to save memory
    # Final scores are means over the image and its shifts by this many pixels. 0: the image only.
    tta: Annotated[int, Interval(ge=0, le=16), Unit("pixels")] = 0
    tta_invert: bool = False  # and over the same views with light and dark swapped

    def rules(self) -> Rules:
        if (world_size := processes.world_size()) > 1:
            allowed = "auto, cpu or cuda: each of torchrun's processes takes one of its own"
            yield self.device in ("auto", "cpu", "cuda"), "device", allowed
            allowed = f"{world_size} or more: torchrun's processes divide each batch"
            yield self.data.batch_size >= world_size, "data.batch_size", allowed
        allowed = f"from 1 to data.batch_size={self.data.batch_size}"
        yield self.micro_batches <= self.data.batch_size, "micro_batches", allowed
        # Not a constraint in DataConfig: split_seed defaults to seed, and an invalid seed is reported as seed.
        yield 0 <= self.data.split_seed < 2**32, "data.split_seed", "from 0 to 4294967295"
        warmup = option_dict(self.scheduler).get("warmup_epochs", 0)
        yield warmup <= self.epochs, "scheduler.warmup_epochs", f"at most epochs={self.epochs}"
        total_steps = option_dict(self.scheduler).get("total_steps")
        allowed = f"{self.epochs} or more, one step for each epoch; null means the whole run"
        yield total_steps is None or total_steps >= self.epochs, "scheduler.total_steps", allowed
        for name in SCORES & self.metrics.keys():
            raise UserError(f"metrics.{name}: is the name of a score that is always recorded: give yours another name")
        yield from self._rules_of_numbers()
        if self.early_stopping.enabled and self.data.val_fraction == 0:
            raise UserError("early_stopping.enabled=true: needs a validation part: set data.val_fraction above 0")
        if isinstance(self.scheduler, PlateauConfig) and self.data.val_fraction == 0:
            raise UserError("scheduler=plateau: needs a validation part: set data.val_fraction above 0")

    def _rules_of_numbers(self) -> Rules:
        reads_numbers = isinstance(self.model, NumberReaderConfig)
        is_ours = str(option_dict(self.model).get("_target_")).startswith("housenumbers.")
        if is_ours and reads_numbers != self.data.has_numbers:
            model = "model=number_reader" if self.data.has_numbers else "another model: this one reads whole numbers"
            raise UserError(f"data={self.data.name}: needs {model}")
        no_mixture = f"0: data={self.data.name} has whole numbers, which cannot be mixed as classes can"
        yield not (self.data.has_numbers and self.augment.mixup), "augment.mixup", no_mixture

    @property
    def objectives(self) -> list[str]:
        return [self.objective] if isinstance(self.objective, str) else list(self.objective)

    @property
    def selected_by(self) -> str:
        """What selects the epoch whose weights are kept: "last", or a metric, the first objective of each epoch."""
        if self.keep_epoch == "last":
            return "last"
        return next((name for name in self.objectives if name != "train_seconds"), "val_accuracy")


def setting_tied_to_epochs(config: TrainConfig) -> str | None:
    """The setting that makes the result of an epoch depend on `epochs`, the total number. None where there is none."""
    scheduler = option_dict(config.scheduler)
    for key in ("T_max", "total_steps"):
        if key in scheduler and scheduler[key] is None:
            return f"the learning rate of {str(scheduler['_target_']).rpartition('.')[2]} (scheduler.{key}=null)"
    if config.averaging.method != "none" and config.averaging.start > 0:
        return f"averaging.start={config.averaging.start}"
    for key in ("sizes", "freeze_after"):
        if values := getattr(config.progressive, key):
            return f"progressive.{key}={values}"
    return f"data.curriculum={config.data.curriculum}" if config.data.curriculum else None


@cache
def known_keys() -> dict[str, str]:
    """All dotted keys that a schema declares, including the groups' options, with their required types in words."""
    kinds: dict[str, str] = {}
    for group, schemas in SCHEMAS.items():
        for schema, _ in schemas.values():
            kinds = expected_types(schema, f"{group}.") | kinds
    return expected_types(TrainConfig) | kinds


def register_schemas() -> None:
    """Registers the schemas with Hydra. The files in `conf/` name them in their defaults lists."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig, replace=True)
    for group, schemas in SCHEMAS.items():
        for name, (schema, _) in schemas.items():
            store.store(group=f"schema/{group}", name=name, node=schema, replace=True)
