"""Splits into training and validation crops, as indices: pure functions of the labels, a fraction and a seed."""

import math

import numpy as np
import torch
from torch import Tensor

from housenumbers.config.sections import DataConfig
from housenumbers.metrics.numbers import number_lengths
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural

_BLOCKS = 50
_MIN_BLOCK = 20  # crops: a smaller block would consist mostly of gaps
_RARE = 10  # numbers of a length: fewer cannot be spread over both sides by any fraction
NEIGHBOURS = 5  # crops dropped at each cut: a photo shows at most six digits, so no photo lies on both sides


def random_split(labels: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Stratified random indices for training and validation: the original study's split.

    It leaks where images are crops: neighbouring crops of SVHN come from one photo, overlap, and end up in both parts.
    Whole numbers are a photo each, stratified by their lengths.
    Raises UserError where a class is too small for both parts.
    """
    return stratified_split(torch.arange(len(labels)), labels, val_fraction, seed, f"data.val_fraction={val_fraction}")


def leakage_warning(config: DataConfig) -> str | None:
    """A warning about the leak of a random split where it is known or likely. None for other data."""
    if config.split != "random" or config.val_fraction == 0:
        return None
    if config.name == "svhn_6k" or (config.name == "svhn" and config.verify):  # the crops are known
        fact, remedy = "leaks: crops of one photo are in training and validation", "photos"
    elif config.name == "svhn":  # custom files in the same format
        fact, remedy = "may leak: where a photo has several crops, as in SVHN", "blocks"
    else:
        return None
    return f"data.split=random {fact}, so validation can look better than it is (data.split={remedy} does not leak)"


def block_split(count: int, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices for training and validation, by contiguous blocks of `count` crops, which are sorted by photo.

    Drops a few training crops at each cut, so that no photo is in both parts. Raises UserError where there are too few
    crops.
    """
    blocks = min(_BLOCKS, count // _MIN_BLOCK)
    validation_count = max(1, round(val_fraction * blocks))
    if validation_count >= blocks:
        raise UserError(
            f"data.split=blocks: {plural(count, 'crop')}, too few for data.val_fraction={val_fraction}: "
            "use more data, another fraction or data.split=random"
        )
    block_of = torch.arange(count) * blocks // count
    validation_blocks = np.random.default_rng(seed).choice(blocks, validation_count, replace=False)
    validates = torch.isin(block_of, torch.from_numpy(validation_blocks))
    # A crop is near validation if a crop within the gap validates: a maximum over a sliding window.
    window = 2 * NEIGHBOURS + 1
    highest = torch.nn.functional.max_pool1d(validates.float().view(1, 1, -1), window, stride=1, padding=NEIGHBOURS)
    near = highest.view(-1) > 0
    return (~near).nonzero().view(-1), validates.nonzero().view(-1)


def missing_classes(labels: Tensor, part: Tensor) -> list[int]:
    """The classes of `labels` of which `part`, indices or a mask, has none."""
    return sorted(set(labels.tolist()) - set(labels[part].tolist()))


def stratified_subset(indices: Tensor, labels: Tensor, fraction: float, seed: int, setting: str = "") -> Tensor:
    """A stratified `fraction` of `indices` (into `labels`), sorted. Raises UserError where a class would be lost.

    The error names data.reduce, and the `setting` that chose the indices.
    """
    if fraction == 1:
        return indices
    labels = labels[indices]
    classes = _classes(labels)
    dropped = len(indices) - math.ceil(fraction * len(indices))
    counts = classes.bincount()
    if dropped >= (counts > 0).sum() or (counts == 1).any():
        _, kept = stratified_split(indices, labels, fraction, seed, f"{setting}data.reduce={fraction}")
        return kept
    # scikit-learn wants every class among the dropped ones, too: here one of each of the largest classes is dropped.
    generator = np.random.default_rng(seed)
    largest = counts.argsort(descending=True, stable=True)[:dropped].tolist()
    without = [generator.choice((classes == label).nonzero()[:, 0].numpy()) for label in largest]
    return indices[~torch.isin(torch.arange(len(indices)), torch.tensor(without, dtype=torch.long))]


def stratified_split(
    indices: Tensor, labels: Tensor, fraction: float, seed: int, setting: str
) -> tuple[Tensor, Tensor]:
    """Splits off a `fraction` of `indices`, stratified by class. Returns the rest, then the fraction, both sorted.

    The `labels` of the `indices` are classes or whole numbers, whose length is their class. Of a rare length, all
    numbers may be on one side. Raises UserError that names the `setting` where a class is too small for both parts.
    """
    from sklearn.model_selection import train_test_split  # imported here: it takes a second that blocks do not need

    classes = _classes(labels)
    try:
        rest, part = train_test_split(indices.numpy(), test_size=fraction, random_state=seed, stratify=classes.numpy())
    except ValueError:
        counts = {label: count for label, count in enumerate(classes.bincount().tolist()) if count}
        rarest = min(counts, key=lambda label: counts[label])
        crop, kind = ("crop", "class") if labels.ndim == 1 else ("number", "length")
        if counts[rarest] > 1:  # so that one of the two parts is too small
            size = math.ceil(fraction * len(labels))
            raise UserError(
                f"{setting}: of {plural(len(labels), crop)}, {min(size, len(labels) - size)} would be on one side: too "
                f"few for every {kind}: choose a fraction nearer to 0.5"
            ) from None
        raise UserError(
            f"{setting}: {plural(len(labels), crop)}, {counts[rarest]} of the rarest {kind}, {rarest}: too few to "
            f"have every {kind} on both sides: use more of them"
        ) from None
    return torch.from_numpy(np.sort(rest)), torch.from_numpy(np.sort(part))


def _classes(labels: Tensor) -> Tensor:
    """What is stratified: the labels of single digits, the lengths of numbers."""
    return labels if labels.ndim == 1 else _lengths(labels)


def _lengths(numbers: Tensor) -> Tensor:
    """The number of digits of each number, `[N]`. Numbers of a rare length count as numbers of the most common one."""
    lengths = number_lengths(numbers)
    counts = lengths.bincount()
    return torch.where(counts[lengths] < _RARE, counts.argmax(), lengths)
