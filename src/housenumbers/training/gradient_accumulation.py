"""Splits a batch into micro-batches, in each process that torchrun starts."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import micro_batch_count, rank_rows
from housenumbers.data.random_streams import MODEL, seed_for
from housenumbers.runtime import processes
from housenumbers.training import distributed


class MicroBatch(NamedTuple):
    images: Tensor  # [M, 3, H, W]
    labels: Tensor  # [M], or [M, 10] with mixup
    size: float  # M; 0 if this process has no rows in a small last batch: then its image does not count
    gradient_scale: float  # multiply the mean loss by it: then all gradients add up to the gradient of the batch


def micro_batches(
    config: TrainConfig, model: nn.Module, images: Tensor, labels: Tensor, batch_size: int, epoch: int, step: int
) -> Iterator[MicroBatch]:
    """Splits this process's rows of a batch into at most `config.micro_batches` parts.

    `images` and `labels` are this process's rows of the batch, `batch_size` is the size of the whole batch. The
    gradients that the caller computes add up to the whole batch's gradients: DistributedDataParallel averages them over
    the processes after the last part only. Seeds the generator that dropout uses for each part.
    """
    rank, world_size = processes.rank(), processes.world_size()
    own_rows = len(rank_rows(batch_size, rank, world_size))
    count = micro_batch_count(batch_size, world_size, config.micro_batches)
    parts = zip(images.tensor_split(count), labels.tensor_split(count), strict=True)
    for number, (part_images, part_labels) in enumerate(parts):
        part = rank * config.micro_batches + number
        key = (config.seed, epoch, step, part) if part else (config.seed, epoch, step)  # as for a whole batch
        torch.manual_seed(seed_for(MODEL, *key))
        size = own_rows * len(part_labels) / len(labels)
        with distributed.no_sync(model, enabled=number + 1 < count):
            yield MicroBatch(part_images, part_labels, size, size * world_size / batch_size)
