"""Batches in a new order each epoch, indexed from tensors in memory, without worker processes.

A run that has received a signal to end exits between two batches.
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
from housenumbers.metrics.classes import CLASSES
from housenumbers.runtime import signals


def rank_rows(size: int, rank: int, world_size: int) -> range:
    """The rank's rows of `size`. Their numbers differ by at most one. A rank may get none."""
    return range(-(-size * rank // world_size), -(-size * (rank + 1) // world_size))


def smallest_micro_batch(size: int, batch_size: int, world_size: int, micro_batches: int) -> int:
    """The smallest micro-batch in an epoch over `size` images: the smallest part of a full batch or of the last one."""
    batches = [batch for batch in (min(size, batch_size), size % batch_size) if batch]
    return min(max(1, batch // world_size) // micro_batch_count(batch, world_size, micro_batches) for batch in batches)


def micro_batch_count(size: int, world_size: int, requested: int) -> int:
    """The number of parts into which each process divides its rows of a batch. It is equal in all
    processes, since they wait for each other in each part, and no part is empty.
    """
    return min(requested, max(1, size // world_size))


def steps_per_epoch(data: LabeledImages, batch_size: int) -> int:
    """The number of batches that `training_batches` yields: the steps of an epoch."""
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
    """All images once. The order is a function of (seed, epoch), the augmentation of (seed, epoch, step).

    Yields images `[B, 3, H, W]`, uint8 or float on 0..255, and labels, int64 `[B]` or with mixup float `[B, 10]`, the
    share of each class. The last batch may be smaller.
    With several processes, yields the rank's rows of each batch, equal to these rows in one process. A rank without
    rows in a small last batch gets one image of it, since all ranks have to take each step.
    """
    whole = augmentation.mixup > 0 or bool(augmentation.transforms)
    transforms = build_transforms(augmentation)
    order = torch.randperm(len(data.labels), generator=generator_for(ORDER, seed, epoch)).to(data.labels.device)
    for step, indices in enumerate(order.split(batch_size)):
        signals.exit_if_received()
        own_rows = rank_rows(len(indices), rank, world_size) or range(1)
        # Mixup needs the whole batch: an image's neighbour may belong to another rank. So do custom transforms: their
        # random numbers may not be drawn for each image.
        rows = range(len(indices)) if whole else own_rows
        batch = data.subset(indices[rows.start : rows.stop])
        images = apply_transforms(batch.images, transforms, seed_for(TRANSFORMS, seed, epoch, step))
        images = augment(images, augmentation, generator_for(AUGMENT, seed, epoch, step), rows, len(indices))
        labels = batch.labels
        if augmentation.mixup > 0:
            generator = np.random.default_rng(seed_for(MIXUP, seed, epoch, step))
            images, labels = mixup(images, labels, generator.beta(augmentation.mixup, augmentation.mixup))
        if whole:
            images, labels = images[own_rows.start : own_rows.stop], labels[own_rows.start : own_rows.stop]
        yield images, labels


def mixup(images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Mixes `share` of each image with 1 - `share` of its neighbour in the batch, whose order is random.

    Returns float images, and labels `[B, 10]` that hold the shares of both classes, so that the cross entropy with them
    is the weighted mean of the two losses (Zhang et al. 2017, arXiv:1710.09412).
    """
    images, targets = images.float(), F.one_hot(labels, CLASSES).float()
    return images.lerp(images.roll(1, 0), 1 - share), targets.lerp(targets.roll(1, 0), 1 - share)


def eval_batches(data: LabeledImages, batch_size: int = 250) -> Iterator[tuple[Tensor, Tensor]]:
    """All images once, unchanged and in their stored order: for validation and test."""
    for batch in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
        signals.exit_if_received()
        yield batch
