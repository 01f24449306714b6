"""Writes to TensorBoard. The four per-epoch tags are the original study's, so that old and new runs overlay."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # `api`, which exports it, imports TensorFlow
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from housenumbers.config.messages import TYPE_NAMES, as_typed
from housenumbers.config.schema import known_keys
from housenumbers.config.values import flatten
from housenumbers.tracking.record_validation import EPOCH_KEYS, is_number

_NO_HYPERPARAMETERS = ("data.root", "data.cache", "name")


def log_configuration(writer: SummaryWriter, config: dict[str, Any]) -> None:
    writer.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(config))}```")


def log_sample_batch(writer: SummaryWriter, images: Tensor, epoch: int) -> None:
    """Logs the first 64 images of a training batch as the model receives them, `[N, 3, H, W]` on 0..255."""
    writer.add_images("Samples/training", (images[:64].float().cpu() / 255).clamp(0, 1), epoch)


def log_epoch(
    writer: SummaryWriter, record: Mapping[str, Any], images_per_second: float, walltime: float | None = None
) -> None:
    """Logs an epoch's record. `walltime` is the end of the epoch in seconds since 1970; None: now."""
    tags = {
        "Loss/train": record["train_loss"],
        "Loss/validation": record["val_loss"],
        "Accuracy/validation": record["val_accuracy"],
        "LearningRate": record["lr"],
        "Speed/images_per_second": images_per_second,
    }
    # All other keys are custom metrics.
    tags |= {f"Metrics/{key}": value for key, value in record.items() if key not in EPOCH_KEYS}
    for tag, value in tags.items():
        if value is not None:
            writer.add_scalar(tag, value, record["epoch"], walltime)


def log_scores(writer: SummaryWriter, scores: Mapping[str, Mapping[str, Any]], epoch: int) -> None:
    """Logs accuracy, loss and per-class accuracy of the best weights by part, as one table instead of many cards."""
    parts = list(scores)
    rows = {"accuracy": [f"{scores[part]['accuracy']:.2%}" for part in parts]}
    rows["loss"] = [f"{scores[part]['loss']:.4f}" for part in parts]
    if any("numbers" in scores[part] for part in parts):
        of_numbers = [scores[part].get("numbers", {}).get("accuracy") for part in parts]
        rows["whole numbers right"] = ["-" if value is None else f"{value:.2%}" for value in of_numbers]
    for label, of_parts in enumerate(zip(*(scores[part]["per_class_accuracy"] for part in parts), strict=True)):
        rows[f"accuracy of {label}"] = ["-" if value is None else f"{value:.2%}" for value in of_parts]
    head = ["", *(f"{part} ({scores[part]['n']:,})" for part in parts)]
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows.items())]
    writer.add_text("Final/scores", "\n".join(f"| {' | '.join(line)} |" for line in lines), epoch)


def log_hyperparameters(writer: SummaryWriter, config: dict[str, Any], metrics: Mapping[str, float]) -> None:
    """Fills the HParams tab, where runs are compared.

    Omits the list of columns ("experiment") that `writer.add_hparams` writes: TensorBoard would use one run's list for
    all runs, whose groups may have other keys. Without the list it shows the keys of all runs.
    """
    # Without a trial_id TensorBoard merges runs with equal settings into one row and shows only the first.
    start = hparams_pb(hyperparameters(config), trial_id="")
    _, _, end = hparams({}, {})
    for summary in (start, end):
        writer._get_file_writer().add_summary(summary)
    for name, value in metrics.items():
        writer.add_scalar(f"hparam/{name}", float(value))


def hyperparameters(config: dict[str, Any]) -> dict[str, bool | float | str]:
    """The configuration for the HParams tab, with one type per key in all runs.

    TensorBoard responds with HTTP 500 to sorting a column of several types or with a number that is not finite. So null
    values are left out, and the type follows from the schemas, not from the value.
    """
    parameters: dict[str, bool | float | str] = {}
    for key, value in flatten(config).items():
        if value is None or key in _NO_HYPERPARAMETERS:
            continue
        kind = _declared_type(key)
        if kind is float and is_number(value):
            parameters[key] = float(value)
        elif kind is bool and isinstance(value, bool):
            parameters[key] = value
        else:
            parameters[key if kind is str else f"{key} (text)"] = as_typed(value)
    return parameters


def _declared_type(key: str) -> type:
    """The type of the key's column: bool, float (any number), or str (all other types)."""
    words = known_keys().get(key, TYPE_NAMES[float])  # keys without a schema, as of a custom model, are usually numbers
    if words.startswith(TYPE_NAMES[bool]):
        return bool
    return float if words.startswith((TYPE_NAMES[int], TYPE_NAMES[float])) else str
