"""The typed schema of the whole configuration and its range checks. Does not import torch.

The values live in `conf/`; here stand their types, their meaning and what they may be. A group option that has no
schema of its own (a model that you add, say) works too: what the code reads of it is checked all the same, and the rest
is for what it calls.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from housenumbers.config.common_keys import COMMON
from housenumbers.config.groups import SCHEMAS, PlateauConfig, absolute_path, require, require_named_targets
from housenumbers.config.messages import expected_types, one_line, unknown_key_message
from housenumbers.config.sections import (
    AugmentConfig,
    AveragingConfig,
    DataConfig,
    EarlyStoppingConfig,
    ProgressiveConfig,
)
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError

# Keys that say where a run happens, and change nothing of what is computed.
MACHINE_KEYS = ("device", "threads", "data.root", "data.cache", "data.download", "data.verify")

OBJECTIVES = {"val_accuracy": "maximize", "val_loss": "minimize", "train_seconds": "minimize"}

# What all scores have.
SCORES = {"accuracy", "loss", "n", "per_class_accuracy", "confusion", "temperature", "calibration_error"}
VALID_NAME = "usable as a part of a folder's name, and at most 100 characters long"


def is_valid_name(text: str) -> bool:
    """Whether the text is a LABEL."""
    fits = 1 <= len(text) <= 100 and len(text.encode()) <= 200
    return fits and text.isprintable() and not set(text) & set('/\\:*?"<>|') and text not in (".", "..")


@dataclass
class TrainConfig:
    model: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    data: DataConfig = MISSING
    augment: AugmentConfig = MISSING
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    progressive: ProgressiveConfig = field(default_factory=ProgressiveConfig)
    name: str = MISSING  # labels the folder, TensorBoard and the index of runs
    seed: int = MISSING
    epochs: int = MISSING
    label_smoothing: float = MISSING
    clip_grad_norm: float | None = MISSING
    logger: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    objective: Any = MISSING  # one of OBJECTIVES, or a list of them: what a sweep is told
    device: str = MISSING  # auto | cpu | cuda | cuda:N | mps
    threads: int | None = MISSING  # null: as many as torch takes by itself
    autocast: Any = MISSING  # bfloat16: false (never) | cuda | true (there, and on CPUs with instructions for it)
    micro_batches: int = 1  # each batch's gradient is summed over so many parts of it, to save memory
    tta: int = 0  # final scores are means over the picture and its shifts by so many pixels; 0: the picture alone
    tta_invert: bool = False  # and over all these with light and dark swapped

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 4294967295")
        # Not checked in DataConfig: split_seed follows seed, and the message should name what was typed.
        require(0 <= self.data.split_seed < 2**32, "data.split_seed", self.data.split_seed, "from 0 to 4294967295")
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "from 0 up to 1")
        good = self.clip_grad_norm is None or self.clip_grad_norm > 0
        require(good, "clip_grad_norm", self.clip_grad_norm, "above 0, or null")
        good = self.threads is None or 1 <= self.threads <= 1024
        require(good, "threads", self.threads, "from 1 to 1024, or null")
        good = re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", self.device) is not None
        require(good, "device", self.device, "auto, cpu, cuda, cuda:N or mps")
        if (world_size := processes.world_size()) > 1:
            good = self.device in ("auto", "cpu", "cuda")
            require(good, "device", self.device, "auto, cpu or cuda: each of torchrun's processes takes one of its own")
            want = f"{world_size} or more: torchrun's processes divide each batch"
            require(self.data.batch_size >= world_size, "data.batch_size", self.data.batch_size, want)
        good = isinstance(self.autocast, bool) or self.autocast == "cuda"
        require(good, "autocast", self.autocast, "false, cuda or true")
        good = 1 <= self.micro_batches <= self.data.batch_size
        require(good, "micro_batches", self.micro_batches, f"from 1 to data.batch_size={self.data.batch_size}")
        require(0 <= self.tta <= 16, "tta", self.tta, "from 0 to 16 pixels")
        require(is_valid_name(self.name), "name", repr(self.name), VALID_NAME)
        given = isinstance(self.objective, str | list)
        good = given and bool(self.objectives) and all(objective in OBJECTIVES for objective in self.objectives)
        require(good, "objective", self.objective, f"{', '.join(OBJECTIVES)} or a list of these")
        for group in ("model", "optimizer", "scheduler"):
            chosen = isinstance(option_dict(getattr(self, group)).get("_target_"), str)
            require(chosen, group, getattr(self, group), f"an option of conf/{group}/ with a _target_")
        warmup = option_dict(self.scheduler).get("warmup_epochs", 0)
        require(warmup <= self.epochs, "scheduler.warmup_epochs", warmup, f"at most epochs={self.epochs}")
        for key in ("logger", "metrics", "callbacks"):
            require_named_targets(key, getattr(self, key))
        for name in SCORES & self.metrics.keys():
            raise UserError(f"metrics.{name}: is computed always: give yours another name")
        if self.early_stopping.enabled and self.data.val_fraction == 0:
            raise UserError("early_stopping.enabled=true: needs a validation part: set data.val_fraction above 0")
        if isinstance(self.scheduler, PlateauConfig) and self.data.val_fraction == 0:
            raise UserError("scheduler=plateau: needs a validation part: set data.val_fraction above 0")

    @property
    def objectives(self) -> list[str]:
        return [self.objective] if isinstance(self.objective, str) else list(self.objective)

    @property
    def selection_metric(self) -> str:
        """What decides which epoch's weights are the best ones: the first objective that an epoch has."""
        return next((name for name in self.objectives if name != "train_seconds"), "val_accuracy")


def option_dict(group: Any) -> dict[str, Any]:
    """The keys and values of a group's chosen option, those added with `+` included, with a schema or without."""
    return dict(group) if isinstance(group, dict) else dict(vars(group))


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain numbers, strings, lists and dictionaries."""

    def plain(value: Any) -> Any:
        return {key: plain(item) for key, item in option_dict(value).items()} if _is_group(value) else value

    return plain(config)


@cache
def known_keys() -> dict[str, str]:
    """All dotted keys that a schema declares, those of the groups' options too, and what each has to be, in words."""
    kinds: dict[str, str] = {}
    for group, schemas in SCHEMAS.items():
        for schema, _ in schemas.values():
            kinds = expected_types(schema, f"{group}.") | kinds
    return expected_types(TrainConfig) | kinds


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as one dictionary with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def differing_keys(one: TrainConfig, other: TrainConfig, aside: Sequence[str] = ()) -> list[str]:
    """The dotted keys that have other values, apart from MACHINE_KEYS and those named in `aside`."""
    first, second = flatten(config_to_dict(one)), flatten(config_to_dict(other))
    keys = [*first, *(key for key in second if key not in first)]
    ignored = {*MACHINE_KEYS, *aside}
    absent = object()
    return [key for key in keys if key not in ignored and first.get(key, absent) != second.get(key, absent)]


def setting_tied_to_epochs(config: TrainConfig) -> str | None:
    """What makes an epoch of the run another one where `epochs` is another number; None where nothing does."""
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


def without_machine_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration computes: its dotted keys without those that only say where it runs."""
    return {key: value for key, value in flatten(config).items() if key not in MACHINE_KEYS}


def validate_config(composed: Any) -> TrainConfig:
    """Resolves a composed configuration and checks every range.

    Raises UserError that names the key. Relative folders are made absolute, since a run outlives its working folder.
    """
    try:
        if OmegaConf.get_type(composed) is not TrainConfig:  # not from conf/train.yaml, but from a run's .hydra folder
            composed = OmegaConf.merge(OmegaConf.structured(TrainConfig), composed)
        for group in SCHEMAS:
            composed = _common_keys_checked(_typed(composed, group), group)
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys())) from None
    assert isinstance(config, TrainConfig)
    parts: dict[str, Any] = {
        "": config,
        "data.": config.data,
        "augment.": config.augment,
        "early_stopping.": config.early_stopping,
        "averaging.": config.averaging,
        "progressive.": config.progressive,
    }
    for prefix, part in parts.items():
        for key in vars(part).keys() - {item.name for item in fields(part)}:  # added with +
            raise UserError(unknown_key_message(prefix + key, known_keys()))
    config.data.root = absolute_path(config.data.root)
    config.data.cache = config.data.cache and absolute_path(config.data.cache)
    if config.data.fonts not in ("", "matplotlib", "system"):
        config.data.fonts = absolute_path(config.data.fonts)
    return config


def validate_composed(composed: DictConfig) -> TrainConfig:
    """`validate_config` of what Hydra composed and has not yet taken its own part out of. Changes nothing in it."""
    ours = copy.deepcopy(composed)
    with read_write(ours), open_dict(ours):
        del ours["hydra"]
    return validate_config(ours)


def _typed(composed: Any, group: str) -> Any:
    """Gives a group that comes as plain keys, as saved ones do, the schema that belongs to its target."""
    chosen = composed.get(group)
    schema = _schema_of(group, chosen.get("_target_")) if isinstance(chosen, DictConfig) else None
    if schema is None or OmegaConf.get_type(chosen) is schema:
        return composed
    typed = OmegaConf.structured(schema)
    try:
        with open_dict(typed):  # for what was added with +
            return OmegaConf.merge(composed, {group: OmegaConf.merge(typed, chosen)})
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys(), f"{group}.")) from None


def _common_keys_checked(composed: Any, group: str) -> Any:
    """Checks what the code itself reads of a group's option, where the option's own schema does not."""
    chosen = composed.get(group)
    if not isinstance(chosen, DictConfig) or not isinstance(chosen.get("_target_"), str):
        return composed  # TrainConfig says so
    typed = OmegaConf.get_type(chosen)
    own = {item.name for item in fields(typed)} if is_dataclass(typed) else set()
    read = {item.name for item in fields(COMMON[group])} - own - {"_target_"}
    try:
        given = {key: chosen[key] for key in read & chosen.keys()}
        checked = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(COMMON[group]), given))
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys(), f"{group}.")) from None
    with read_write(composed), open_dict(composed):
        return OmegaConf.merge(composed, {group: {key: getattr(checked, key) for key in given}})


def _schema_of(group: str, target: Any) -> type | None:
    return next((schema for schema, targets in SCHEMAS[group].values() if target in targets), None)


def load_saved_config(saved: Any, source: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration that a run or a checkpoint saved, checked as if it were new, with KEY=VALUE `overrides`.

    Raises UserError that names `source` where it is no such configuration, or the key that cannot be overridden so.
    """
    try:
        config = OmegaConf.merge(OmegaConf.structured(TrainConfig), saved)
    except (OmegaConfBaseException, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{source}: not a configuration of this version: {one_line(error)}") from None
    try:
        return validate_config(OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides))))
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys())) from None


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) or is_dataclass(value)


def register_schemas() -> None:
    """Makes the schemas known to Hydra: the files in `conf/` name them in their defaults lists."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig, replace=True)
    for group, schemas in SCHEMAS.items():
        for name, (schema, _) in schemas.items():
            store.store(group=f"schema/{group}", name=name, node=schema, replace=True)
