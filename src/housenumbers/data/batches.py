"""Batches in a new order each epoch, cut out of tensors in memory: no worker processes, no picture handled alone.

Between two batches is where a run that was told to end does so.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from housenumbers import interrupts
from housenumbers.config import AugmentConfig
from housenumbers.data.augment import augment
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.streams import AUGMENT, ORDER, stream


def rows_of(size: int, rank: int, world_size: int) -> range:
    """The rows of `size` that are the rank's: numbers that differ by one at most, none where there are too few."""
    return range(-(-size * rank // world_size), -(-size * (rank + 1) // world_size))


def training_batches(
    data: LabeledImages,
    batch_size: int,
    augmentation: AugmentConfig,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """All pictures once, in the order that belongs to (seed, epoch), augmented as belongs to (seed, epoch, step).

    Yields pictures `[B, 3, H, W]`, uint8 or float on 0..255, and labels `[B]`; the last batch may be smaller.
    With several processes only the rank's rows of each batch, which are what they would be in one process. A rank that
    has none in a small last batch gets one picture of it, since all have to take each step.
    """
    order = torch.randperm(len(data.labels), generator=stream(ORDER, seed, epoch)).to(data.labels.device)
    for step, indices in enumerate(order.split(batch_size)):
        interrupts.check()
        rows = rows_of(len(indices), rank, world_size) or range(1)
        batch = data.subset(indices[rows.start : rows.stop])
        yield augment(batch.images, augmentation, stream(AUGMENT, seed, epoch, step), rows, len(indices)), batch.labels


def plain_batches(data: LabeledImages, batch_size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
    """All pictures once, in their own order and as they are: for validation and test."""
    for batch in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        interrupts.check()
        yield batch
