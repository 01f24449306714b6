"""What changes as the run goes on: the size of the images, and how much of the model is still trained."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from housenumbers.config.schema import TrainConfig
from housenumbers.models.normalize import Normalize
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.training.transfer import freeze, train_mode

Entry = TypeVar("Entry")


def value_for_epoch(entries: Sequence[Entry], epoch: int, epochs: int) -> Entry:
    """The entry whose turn it is: each has an equal share of the epochs, counted from 1, and the last one the last.

    Where there are fewer epochs than entries, the first ones are left out: scores are made for the last one.
    """
    return entries[-(-epoch * len(entries) // epochs) - 1]


def check_progressive(config: TrainConfig, model: nn.Module) -> None:
    """Raises UserError where the model has too few stages, or nothing that resizes its images."""
    freeze_after, sizes = config.progressive.freeze_after, config.progressive.sizes
    stages = len(getattr(model, "freezable_stages", list)())
    if len(freeze_after) > stages:
        has = plural(stages, "stage")
        raise UserError(f"progressive.freeze_after={freeze_after}: this model has {has}: give no more")
    if sizes and not isinstance(getattr(model, "normalize", None), Normalize):
        raise UserError(f"progressive.sizes={sizes}: {type(model).__name__} has no `normalize`, a Normalize, to resize")


def check_batch_shapes(config: TrainConfig, model: nn.Module, images: Tensor) -> None:
    """Raises UserError where the model cannot be trained on as few `images`, `[N, 3, H, W]`, or not in these sizes.

    Where the network has shrunk them to one place, batch norms need two of them or more.
    """
    sizes = config.progressive.sizes
    if not sizes and len(images) > 1:
        return
    trial = train_mode(copy.deepcopy(model))  # a copy, for batch norms remember what they see
    for size in sizes:
        try:
            with torch.no_grad(), _images_of(trial, size):
                trial(images)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise UserError(f"progressive.sizes={sizes}: this model does not take {size} pixels: {error}") from None
    try:
        with torch.no_grad():
            trial(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            f"data.batch_size={config.data.batch_size}: leaves {len(images)} at a time now and then, too few for "
            "batch norms where this model has shrunk images to one place: choose another, or a larger input_size"
        ) from None


def freeze_stages(config: TrainConfig, model: nn.Module, epoch: int) -> None:
    """Freezes the first stages of the model whose share of the epochs is over (Brock et al. 2017, arXiv:1706.04983).

    There each layer's learning rate falls to 0 before; here the run has one schedule, and a stage stops where it is.
    """
    # Rounded, since 0.55 * 100 is a little more than 55.
    over = [share for share in config.progressive.freeze_after if round(share * config.epochs, 9) <= epoch - 1]
    freeze(model, len(over))


@contextmanager
def progressive_resize(config: TrainConfig, model: nn.Module, epoch: int) -> Iterator[None]:
    """Meanwhile the model works on images of the size that is due in this epoch (Tan and Le 2021, arXiv:2104.00298).

    Small ones cost less, and train the same filters. Scores are always computed at the model's own size.
    """
    sizes = config.progressive.sizes
    if not sizes:
        yield
        return
    with _images_of(model, value_for_epoch(sizes, epoch, config.epochs)):
        yield


@contextmanager
def _images_of(model: nn.Module, size: int) -> Iterator[None]:
    normalize = model.get_submodule("normalize")
    assert isinstance(normalize, Normalize)
    own = normalize.size
    normalize.size = size
    try:
        yield
    finally:
        normalize.size = own
