"""Scores a checkpoint again, from the file alone."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from housenumbers.config import TrainConfig, from_saved
from housenumbers.data.batches import plain_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_splits, load_test
from housenumbers.errors import UserError
from housenumbers.evaluation.inference import folded
from housenumbers.evaluation.metrics import predict, score
from housenumbers.files import write_json
from housenumbers.sections import DataConfig
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import load_checkpoint, rebuild_model
from housenumbers.training.memory import keep_freed_memory
from housenumbers.training.repeatability import choose_device

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """A trained model, rebuilt from a checkpoint, and what it was trained with."""

    config: TrainConfig
    model: nn.Module
    device: torch.device
    data_sha256: str | None  # of the training and validation parts

    def predict(self, data: LabeledImages) -> tuple[Tensor, Tensor]:
        """Logits `[N, 10]` and labels `[N]`, on the CPU, as the run's final scores are computed."""
        return predict(self.model, plain_batches(data.to(self.device)), self.config.tta)


def load_trained(checkpoint_file: Path, overrides: Sequence[str]) -> Trained:
    """The model of a checkpoint, from the file alone, on the device and with the threads of its configuration.

    `overrides` replace keys of the saved configuration. Raises UserError where the file is missing, damaged or no
    checkpoint.
    """
    content = load_checkpoint(checkpoint_file)
    config = from_saved(content["config"], str(checkpoint_file), overrides)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    keep_freed_memory()
    model = folded(rebuild_model(content, checkpoint_file, device))
    return Trained(config, model, device, content.get("data_sha256"))


def evaluate(
    run: Path, split: str, overrides: Sequence[str], elsewhere: DataConfig | None = None
) -> tuple[dict[str, Any], Path]:
    """Scores the best weights of a run folder, or those in a .pt file, on the `test` or `validation` part.

    Gives the scores and the file that they were written to: `evaluation_SPLIT.json` in the run's folder, or beside a
    lone .pt file; with the data's name where they are not the run's own but those of `elsewhere`.
    The model comes from the checkpoint alone; the test part needs only its own file. `overrides` are keys of the saved
    configuration that change no result: `device`, `threads`, and where the data lie. Raises UserError for what a user
    can mend.
    """
    checkpoint_file = run if run.suffix == ".pt" else RunFolder(run).best
    trained = load_trained(checkpoint_file, overrides)
    data = load_test(elsewhere) if elsewhere else load_part(trained, split)
    scores = score(*trained.predict(data))
    in_run = checkpoint_file.parent.name == "checkpoints"
    name = f"evaluation_{split}"
    name += f"_on_{elsewhere.name}" if elsewhere else ""
    name += "_last.json" if checkpoint_file.stem == "last" else ".json"
    file = (checkpoint_file.parent.parent if in_run else checkpoint_file.parent) / name
    try:
        write_json(file, {"split": split, "checkpoint": str(checkpoint_file), **scores})
    except OSError as error:
        log.warning("%s: not written: %s", file, error.strerror)
    return scores, file


def load_part(trained: Trained, split: str) -> LabeledImages:
    """The `test` or `validation` part of the data that a model was trained on.

    Raises UserError where they are not at hand, are others, or have no such part.
    """
    if split == "test":
        return load_test(trained.config.data)
    splits = load_splits(trained.config.data)
    if splits.sha256 != trained.data_sha256:
        raise UserError(
            f"{trained.config.data.root}: holds other data than the run was trained on, so its validation part may "
            "hold pictures that were: set data.root to the right folder, or use split=test"
        )
    if splits.validation is None:
        raise UserError("split=validation: this run had no validation part (data.val_fraction=0): use split=test")
    return splits.validation
