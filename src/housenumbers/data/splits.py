"""Which crops train and which validate: indices only, each a pure function of the labels, a fraction and a seed."""

import numpy as np
import torch
from torch import Tensor

from housenumbers.config.sections import DataConfig
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural

_BLOCKS = 50
_MIN_BLOCK = 20  # crops: below this a block would be mostly gap
NEIGHBOURS = 5  # crops dropped at each cut: a photo shows at most six digits, so no photo lies on both sides


def random_split(labels: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices for training and validation, stratified and at random: the original study's split.

    It leaks: neighbouring crops of SVHN come from one photo, overlap, and land on both sides.
    Raises UserError where a class is too small to be on both sides.
    """
    return stratified_split(torch.arange(len(labels)), labels, val_fraction, seed, f"data.val_fraction={val_fraction}")


def leakage_warning(config: DataConfig) -> str | None:
    """A sentence on the leak of a split at random, where one is known or to be expected; none of other data."""
    either = "validation looks better than it is (data.split=blocks does not leak)"
    if config.split != "random" or config.val_fraction == 0:
        return None
    if config.name == "svhn_6k" or (config.name == "svhn" and config.verify):  # the crops are known
        return f"data.split=random leaks: crops of one photo are in training and validation, so {either}"
    if config.name == "svhn":  # somebody's, in the same format
        return f"data.split=random may leak: where a photo has several crops, as in SVHN, {either}"
    return None


def block_split(count: int, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices for training and validation by contiguous blocks of `count` crops that are in the order of their photos.

    At each cut a few training crops are dropped, so that no photo is on both sides. Raises UserError where there are
    too few crops for that.
    """
    blocks = min(_BLOCKS, count // _MIN_BLOCK)
    validating = max(1, round(val_fraction * blocks))
    if validating >= blocks:
        raise UserError(
            f"data.split=blocks: {plural(count, 'crop')}, too few for data.val_fraction={val_fraction}: "
            "use more data, another fraction or data.split=random"
        )
    block_of = torch.arange(count) * blocks // count
    chosen = np.random.default_rng(seed).choice(blocks, validating, replace=False)
    validates = torch.isin(block_of, torch.from_numpy(chosen))
    # A crop is near validation where one within the gap validates: a maximum over a sliding window finds these.
    window = 2 * NEIGHBOURS + 1
    highest = torch.nn.functional.max_pool1d(validates.float().view(1, 1, -1), window, stride=1, padding=NEIGHBOURS)
    near = highest.view(-1) > 0
    return (~near).nonzero().view(-1), validates.nonzero().view(-1)


def stratified_subset(indices: Tensor, labels: Tensor, fraction: float, seed: int) -> Tensor:
    """A stratified `fraction` of `indices` (into `labels`), in their order. Raises UserError where a class vanishes."""
    if fraction == 1:
        return indices
    _, kept = stratified_split(indices, labels[indices], fraction, seed, f"data.reduce={fraction}")
    return kept


def stratified_split(
    indices: Tensor, labels: Tensor, fraction: float, seed: int, setting: str
) -> tuple[Tensor, Tensor]:
    """Splits off a stratified `fraction` of `indices`: the others, then these, each in their order.

    Raises UserError that names the `setting` that asks for it where a class is too small to be on both sides.
    """
    from sklearn.model_selection import train_test_split  # here, since it takes a second that blocks do not need

    try:
        rest, part = train_test_split(indices.numpy(), test_size=fraction, random_state=seed, stratify=labels.numpy())
    except ValueError:
        counts = {label: count for label, count in enumerate(labels.bincount().tolist()) if count}
        rarest = min(counts, key=lambda label: counts[label])
        raise UserError(
            f"{setting}: {plural(len(labels), 'crop')}, {counts[rarest]} of the rarest class, {rarest}: too few to "
            "have every class on both sides: use more of them"
        ) from None
    return torch.from_numpy(np.sort(rest)), torch.from_numpy(np.sort(part))
