"""What changes as the run goes on: the size of the pictures, and how much of the model is still trained."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from housenumbers.config import TrainConfig
from housenumbers.errors import UserError
from housenumbers.models.normalize import Normalize
from housenumbers.training.transfer import freeze


def check_progressive(config: TrainConfig, model: nn.Module) -> None:
    """Raises UserError where the model has too few stages, or does not take pictures of these sizes."""
    freeze_after, sizes = config.progressive.freeze_after, config.progressive.sizes
    stages = len(getattr(model, "freezable_stages", list)())
    if len(freeze_after) > stages:
        raise UserError(f"progressive.freeze_after={freeze_after}: this model has {stages} stages: give no more")
    if sizes and not isinstance(getattr(model, "normalize", None), Normalize):
        raise UserError(f"progressive.sizes={sizes}: {type(model).__name__} has no `normalize`, a Normalize, to resize")
    trial = copy.deepcopy(model).train() if sizes else model  # a copy, for batch norms remember what they see
    for size in sizes:
        picture = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=next(model.parameters()).device)
        try:
            with torch.no_grad(), _pictures_of(trial, size):
                trial(picture)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise UserError(f"progressive.sizes={sizes}: this model does not take {size} pixels: {error}") from None


def freeze_stages_due(config: TrainConfig, model: nn.Module, epoch: int) -> None:
    """Freezes the first stages of the model whose share of the epochs is over (Brock et al. 2017, arXiv:1706.04983).

    There each layer's learning rate falls to 0 before; here the run has one schedule, and a stage stops where it is.
    """
    freeze(model, sum(share * config.epochs <= epoch - 1 for share in config.progressive.freeze_after))


@contextmanager
def pictures_of_size_due(config: TrainConfig, model: nn.Module, epoch: int) -> Iterator[None]:
    """Meanwhile the model works on pictures of the size that is due in this epoch (Tan and Le 2021, arXiv:2104.00298).

    Small ones cost less, and train the same filters. Scores are always computed at the model's own size.
    """
    sizes = config.progressive.sizes
    if not sizes:
        yield
        return
    with _pictures_of(model, sizes[(epoch - 1) * len(sizes) // config.epochs]):
        yield


@contextmanager
def _pictures_of(model: nn.Module, size: int) -> Iterator[None]:
    normalize = model.get_submodule("normalize")
    assert isinstance(normalize, Normalize)
    own = normalize.size
    normalize.size = size
    try:
        yield
    finally:
        normalize.size = own
