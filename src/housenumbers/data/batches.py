"""Batches in a new order each epoch, cut out of tensors in memory: no worker processes, no image handled alone.

Between two batches is where a run that was told to end does so.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from housenumbers.config.sections import AugmentConfig
from housenumbers.data.augment import apply_transforms, augment, build_transforms
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.random_streams import AUGMENT, MIXUP, ORDER, TRANSFORMS, generator_for, seed_for
from housenumbers.runtime import signals

_CLASSES = 10


def rank_rows(size: int, rank: int, world_size: int) -> range:
    """The rows of `size` that are the rank's: numbers that differ by one at most, none where there are too few."""
    return range(-(-size * rank // world_size), -(-size * (rank + 1) // world_size))


def smallest_micro_batch(size: int, batch_size: int, world_size: int, micro_batches: int) -> int:
    """How few of `size` images a model may get to see at once in an epoch: the fewest of its last batches' parts."""
    batches = [batch for batch in (min(size, batch_size), size % batch_size) if batch]
    return min(max(1, batch // world_size) // micro_batch_count(batch, world_size, micro_batches) for batch in batches)


def micro_batch_count(size: int, world_size: int, wanted: int) -> int:
    """Into how many parts each process divides its rows of a batch: equally many in all, since they wait for each other
    in each, and none without a row.
    """
    return min(wanted, max(1, size // world_size))


def steps_per_epoch(data: LabeledImages, batch_size: int) -> int:
    """How many batches `training_batches` makes of the data: the steps of an epoch."""
    return -(-len(data.labels) // batch_size)


def training_batches(
    data: LabeledImages,
    batch_size: int,
    augmentation: AugmentConfig,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images once, in the order that belongs to (seed, epoch), augmented as belongs to (seed, epoch, step).

    Yields images `[B, 3, H, W]`, uint8 or float on 0..255, and labels, int64 `[B]` or with mixup float `[B, 10]`, the
    share of each class; the last batch may be smaller.
    With several processes only the rank's rows of each batch, which are what they would be in one process. A rank that
    has none in a small last batch gets one image of it, since all have to take each step.
    """
    whole = augmentation.mixup > 0 or bool(augmentation.transforms)
    transforms = build_transforms(augmentation)
    order = torch.randperm(len(data.labels), generator=generator_for(ORDER, seed, epoch)).to(data.labels.device)
    for step, indices in enumerate(order.split(batch_size)):
        signals.exit_if_received()
        own = rank_rows(len(indices), rank, world_size) or range(1)
        # With mixup the whole batch, since an image is mixed with its neighbour, which may be another rank's; and with
        # transforms of one's own, whose random numbers need not be one image's each.
        rows = range(len(indices)) if whole else own
        batch = data.subset(indices[rows.start : rows.stop])
        images = apply_transforms(batch.images, transforms, seed_for(TRANSFORMS, seed, epoch, step))
        images = augment(images, augmentation, generator_for(AUGMENT, seed, epoch, step), rows, len(indices))
        labels = batch.labels
        if augmentation.mixup > 0:
            generator = np.random.default_rng(seed_for(MIXUP, seed, epoch, step))
            images, labels = mixup(images, labels, generator.beta(augmentation.mixup, augmentation.mixup))
        if whole:
            images, labels = images[own.start : own.stop], labels[own.start : own.stop]
        yield images, labels


def mixup(images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """So much of each image, and for the rest its neighbour in the batch, which the order has made a random one.

    Float images, and labels `[B, 10]` that hold both classes by their shares, so that the cross entropy with them is
    the mean of the two losses (mixup: Zhang et al. 2017, arXiv:1710.09412).
    """
    images, targets = images.float(), F.one_hot(labels, _CLASSES).float()
    return images.lerp(images.roll(1, 0), 1 - share), targets.lerp(targets.roll(1, 0), 1 - share)


def eval_batches(data: LabeledImages, batch_size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
    """All images once, in their own order and as they are: for validation and test."""
    for batch in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        signals.exit_if_received()
        yield batch
