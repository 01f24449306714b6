"""Changes during a run: the size of the images, and the part of the model that is still trained."""

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
    """The entry of an epoch, counted from 1. The entries have equal shares of the epochs, in their order.

    With fewer epochs than entries, the first entries are left out, since scores are computed for the last one.
    """
    return entries[-(-epoch * len(entries) // epochs) - 1]


def check_progressive(config: TrainConfig, model: nn.Module) -> None:
    """Raises UserError where the model has too few stages, no parameter left to train, or no module that resizes."""
    freeze_after, sizes = config.progressive.freeze_after, config.progressive.sizes
    stages: list[list[nn.Module]] = getattr(model, "freezable_stages", list)()
    if len(freeze_after) > len(stages):
        available = plural(len(stages), "stage")
        raise UserError(f"progressive.freeze_after={freeze_after}: this model has {available}: give no more")
    modules = [module for stage in stages[: len(freeze_after)] for module in stage]
    frozen = {id(parameter) for module in modules for parameter in module.parameters()}
    if freeze_after and all(id(parameter) in frozen for parameter in model.parameters() if parameter.requires_grad):
        raise UserError(f"progressive.freeze_after={freeze_after}: leaves no parameter to train: freeze fewer stages")
    if sizes and not isinstance(getattr(model, "normalize", None), Normalize):
        raise UserError(f"progressive.sizes={sizes}: {type(model).__name__} has no `normalize`, a Normalize, to resize")


def check_batch_shapes(config: TrainConfig, model: nn.Module, images: Tensor) -> None:
    """Raises UserError where the model cannot be trained on this few `images`, `[N, 3, H, W]`, or in these sizes.

    Where the network has shrunk images to one pixel, batch norms need two or more of them.
    """
    sizes = config.progressive.sizes
    if not sizes and len(images) > 1:
        return
    trial = train_mode(copy.deepcopy(model))  # a copy, since batch norms update their statistics
    for size in sizes:
        try:
            with torch.no_grad(), _input_size(trial, size):
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
            f"data.batch_size={config.data.batch_size}: leaves a (micro-)batch of {len(images)}, too few for the "
            "batch norms of this model, which shrinks images to one pixel: choose another size, or a larger input_size"
        ) from None


def freeze_stages(config: TrainConfig, model: nn.Module, epoch: int) -> None:
    """Freezes the first stages of the model whose share of the epochs is over (Brock et al. 2017, arXiv:1706.04983).

    In the paper each layer's learning rate falls to 0 first. Here all layers share one schedule until they stop.
    """
    # Rounded, since 0.55 * 100 > 55 in floating point.
    over = [share for share in config.progressive.freeze_after if round(share * config.epochs, 9) <= epoch - 1]
    freeze(model, len(over))


@contextmanager
def progressive_resize(config: TrainConfig, model: nn.Module, epoch: int) -> Iterator[None]:
    """Inside the block, the model resizes images to the size of this epoch (Tan and Le 2021, arXiv:2104.00298).

    Small images cost less, and train the same filters. Scores are always computed at the model's full size.
    """
    sizes = config.progressive.sizes
    if not sizes:
        yield
        return
    with _input_size(model, value_for_epoch(sizes, epoch, config.epochs)):
        yield


@contextmanager
def _input_size(model: nn.Module, size: int) -> Iterator[None]:
    """Inside the block, the model resizes images to this size."""
    normalize = model.get_submodule("normalize")
    assert isinstance(normalize, Normalize)
    full_size = normalize.size
    normalize.size = size
    try:
        yield
    finally:
        normalize.size = full_size
