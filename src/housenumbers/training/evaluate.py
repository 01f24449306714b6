"""Scores a checkpoint again, from the file alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from housenumbers.config import DataConfig, from_saved
from housenumbers.data.batches import plain_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_splits, load_test
from housenumbers.errors import UserError
from housenumbers.evaluation.metrics import predict, score
from housenumbers.files import write_json
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import load_checkpoint, rebuild_model
from housenumbers.training.loop import EVAL_BATCH_SIZE
from housenumbers.training.repeatability import choose_device


def evaluate(run: Path, split: str, overrides: Sequence[str]) -> tuple[dict[str, Any], Path]:
    """Scores the best weights of a run folder, or those in a .pt file, on the `test` or `validation` part.

    Gives the scores and the file that they were written to: `evaluation_SPLIT.json` in the run's folder, or beside a
    lone .pt file.
    The model comes from the checkpoint alone; the test part needs only its own file. `overrides` are keys of the saved
    configuration: `device`, `threads` and whatever is below `data`. Raises UserError for what a user can mend.
    """
    checkpoint_file = run if run.suffix == ".pt" else RunFolder(run).best
    content = load_checkpoint(checkpoint_file)
    config = from_saved(content["config"], str(checkpoint_file), overrides)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    model = rebuild_model(content, checkpoint_file, device)
    data = _part(config.data, split).to(device)
    scores = score(*predict(model, plain_batches(data, EVAL_BATCH_SIZE)))
    in_run = checkpoint_file.parent.name == "checkpoints"
    file = (checkpoint_file.parent.parent if in_run else checkpoint_file.parent) / f"evaluation_{split}.json"
    write_json(file, {"split": split, "checkpoint": str(checkpoint_file), **scores})
    return scores, file


def _part(config: DataConfig, split: str) -> LabeledImages:
    if split == "test":
        return load_test(config)
    validation = load_splits(config).validation
    if validation is None:
        raise UserError("split=validation: this run had no validation part (data.val_fraction=0): use split=test")
    return validation
