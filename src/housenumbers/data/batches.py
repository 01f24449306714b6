"""Batches in a new order each epoch, cut out of tensors in memory: no worker processes, no picture handled alone.

Between two batches is where a run that was told to end does so.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from housenumbers import interrupts
from housenumbers.data.augment import augment
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.streams import AUGMENT, ORDER, stream
from housenumbers.sections import AugmentConfig


def training_batches(
    data: LabeledImages, batch_size: int, augmentation: AugmentConfig, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """All pictures once, in the order that belongs to (seed, epoch), augmented as belongs to (seed, epoch, step).

    Yields pictures `[B, 3, H, W]`, uint8 or float on 0..255, and labels `[B]`; the last batch may be smaller.
    """
    order = torch.randperm(len(data.labels), generator=stream(ORDER, seed, epoch)).to(data.labels.device)
    for step, indices in enumerate(order.split(batch_size)):
        interrupts.check()
        batch = data.subset(indices)
        yield augment(batch.images, augmentation, stream(AUGMENT, seed, epoch, step)), batch.labels


def plain_batches(data: LabeledImages, batch_size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
    """All pictures once, in their own order and as they are: for validation and test."""
    for batch in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        interrupts.check()
        yield batch
