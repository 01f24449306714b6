"""What TensorBoard gets. The four per-epoch tags are the original study's, so that old and new runs overlay."""

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # `api`, which exports it, imports TensorFlow
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from housenumbers.config.groups import SCHEMAS
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import flatten

# What the record of every epoch has; the rest are metrics of one's own.
_OF_EVERY_RUN = {"epoch", "train_loss", "val_loss", "val_accuracy", "lr", "seconds"}
_NO_HYPERPARAMETERS = ("data.root", "data.cache", "name")


def log_configuration(writer: SummaryWriter, config: dict[str, Any]) -> None:
    writer.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(config))}```")


def log_sample_batch(writer: SummaryWriter, images: Tensor, epoch: int) -> None:
    """Images as the model gets them, `[N, 3, H, W]` on 0..255: the first 64 of a training batch."""
    writer.add_images("Samples/training", (images[:64].float().cpu() / 255).clamp(0, 1), epoch)


def log_epoch(
    writer: SummaryWriter, record: Mapping[str, Any], images_per_second: float, walltime: float | None = None
) -> None:
    """One epoch's record; `walltime` is when the epoch ended, in seconds since 1970, where that is not now."""
    tags = {
        "Loss/train": record["train_loss"],
        "Loss/validation": record["val_loss"],
        "Accuracy/validation": record["val_accuracy"],
        "LearningRate": record["lr"],
        "Speed/images_per_second": images_per_second,
    }
    tags |= {f"Metrics/{key}": value for key, value in record.items() if key not in _OF_EVERY_RUN}
    for tag, value in tags.items():
        if value is not None:
            writer.add_scalar(tag, value, record["epoch"], walltime)


def log_scores(writer: SummaryWriter, scores: Mapping[str, Mapping[str, Any]], epoch: int) -> None:
    """Accuracy, loss and per-class accuracy of the best weights, by part: a table, since a scalar is a card each."""
    parts = list(scores)
    rows = {"accuracy": [f"{scores[part]['accuracy']:.2%}" for part in parts]}
    rows["loss"] = [f"{scores[part]['loss']:.4f}" for part in parts]
    for label, of_parts in enumerate(zip(*(scores[part]["per_class_accuracy"] for part in parts), strict=True)):
        rows[f"accuracy of {label}"] = ["-" if value is None else f"{value:.2%}" for value in of_parts]
    head = ["", *(f"{part} ({scores[part]['n']:,})" for part in parts)]
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows.items())]
    writer.add_text("Final/scores", "\n".join(f"| {' | '.join(line)} |" for line in lines), epoch)


def log_hyperparameters(writer: SummaryWriter, config: dict[str, Any], metrics: Mapping[str, float]) -> None:
    """Fills the HParams tab, where runs are compared.

    The list of columns ("experiment") that `writer.add_hparams` writes too is left out: TensorBoard would take that of
    one run for all, whose groups may have other keys, where without it it shows the keys of all runs.
    """
    # Without a trial_id equal settings would become one row, of which only the first is shown.
    start = hparams_pb(hyperparameters(config), trial_id="")
    _, _, end = hparams({}, {})
    for summary in (start, end):
        writer._get_file_writer().add_summary(summary)
    for name, value in metrics.items():
        writer.add_scalar(f"hparam/{name}", float(value))


def hyperparameters(config: dict[str, Any]) -> dict[str, bool | float | str]:
    """The configuration for the HParams tab: whatever the run, a key has values of one type.

    A column of several types cannot be sorted: TensorBoard answers with HTTP 500, and so it does for a number that is
    not finite. So what has no value is left out, and the type follows from the schemas, not from this run's value.
    """
    kinds = _kinds()
    chosen: dict[str, bool | float | str] = {}
    for key, value in flatten(config).items():
        if value is None or key in _NO_HYPERPARAMETERS:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        kind = kinds.get(key, float)  # without a schema it is likely a number, of a model of one's own say
        if kind is float and is_number:
            chosen[key] = float(value)
        elif kind is bool and isinstance(value, bool):
            chosen[key] = value
        else:
            chosen[key if kind is str else f"{key} (text)"] = _text(value)
    return chosen


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _kinds() -> dict[str, type]:
    """Of each key that a schema declares: bool, float (any number), or str for all else."""
    kinds = _kinds_in(TrainConfig, "")
    for group, schemas in SCHEMAS.items():
        for schema, _ in schemas.values():
            for key, kind in _kinds_in(schema, f"{group}.").items():
                kinds[key] = kind if kinds.get(key, kind) is kind else str
    return kinds


def _kinds_in(schema: type, prefix: str) -> dict[str, type]:
    kinds: dict[str, type] = {}
    for key, hint in get_type_hints(schema).items():
        if is_dataclass(hint):
            kinds |= _kinds_in(hint, f"{prefix}{key}.")  # type: ignore[arg-type]  # it is a class
        else:
            types = {*get_args(hint)} - {NoneType} if get_origin(hint) in (Union, UnionType) else {hint}
            kinds[f"{prefix}{key}"] = bool if types == {bool} else float if types <= {int, float} else str
    return kinds
