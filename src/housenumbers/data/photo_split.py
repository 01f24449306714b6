"""The split that keeps photos whole: a pure function of labels, photos, a fraction and a seed."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from housenumbers.data.splits import missing_classes
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural

_MAX_OVERSHOOT = 10  # crops of a class


def photo_split(labels: Tensor, photos: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Sorted, stratified indices for training and validation. No photo is on both sides.

    Validation gets `round(val_fraction * N)` crops, each class its share of them to within a crop, and photos of each
    size their share. Where few photos have a single crop, a class may miss its share by some crops.

    The smaller side is filled with photos in random order, the largest first, as long as they fit. On the 73,257 crops
    of SVHN's training part this is as exact as scikit-learn's `StratifiedGroupKFold`, which takes sixty times as long
    and has no fractions but 1/k.

    `labels` are classes, int64 `[N]`; `photos` are any numbers, int64 `[N]`. Raises UserError where a class would be
    missing on a side.
    """
    validation_count = round(val_fraction * len(labels))
    smaller = min(validation_count, len(labels) - validation_count)
    groups = np.unique(photos.numpy(), return_inverse=True)[1]
    chosen = torch.from_numpy(_filled(_members(labels.numpy(), groups), smaller, seed)[groups])
    validates = chosen if smaller == validation_count else ~chosen
    _check_classes(labels, validates, val_fraction, len(set(groups.tolist())))
    return (~validates).nonzero().view(-1), validates.nonzero().view(-1)


def _members(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> list[list[int]]:
    """The labels of each photo."""
    members: list[list[int]] = [[] for _ in range(groups.max(initial=-1) + 1)]
    for label, group in zip(labels.tolist(), groups.tolist(), strict=True):
        members[group].append(label)
    return members


def _filled(members: list[list[int]], count: int, seed: int) -> NDArray[np.bool_]:
    """The chosen photos, with `count` crops and every class's share of them. Bool, one for each photo."""
    sizes = np.array([len(digits) for digits in members], dtype=np.int64)
    need = _shares(np.bincount([digit for digits in members for digit in digits]), count)
    photos_of_size = _shares(np.bincount(sizes), round(count / max(1, sizes.sum()) * len(sizes)))
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    chosen = np.zeros(len(sizes), dtype=bool)

    def fill(overshoot: int, of_size: list[int] | None = None, wanted_only: bool = True) -> None:
        """Chooses photos that bring no class more than `overshoot` above its share."""
        remaining = sum(need)
        for photo in order.tolist():
            digits = members[photo]
            if chosen[photo] or len(digits) > remaining:
                continue
            if of_size is not None and len(digits) > 1 and not of_size[len(digits)]:
                continue
            wanted = not wanted_only or any(need[digit] > 0 for digit in digits)
            if wanted and all(need[digit] + overshoot >= digits.count(digit) for digit in digits):
                chosen[photo] = True
                remaining -= len(digits)
                for digit in digits:
                    need[digit] -= 1
                if of_size is not None:
                    of_size[len(digits)] -= 1

    fill(0, photos_of_size)
    for overshoot in range(_MAX_OVERSHOOT):  # the rest, where photos with a single crop were too few
        if sum(need) > 0:
            fill(overshoot)
    if sum(need) > 0:
        fill(count, wanted_only=False)
    return chosen


def _shares(counts: NDArray[np.int64], total: int) -> list[int]:
    """`total` divided in proportion to `counts`, as whole numbers (largest remainders)."""
    exact = counts * (total / max(1, counts.sum()))
    shares = np.floor(exact).astype(np.int64)
    missing = total - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares.tolist()


def _check_classes(labels: Tensor, validates: Tensor, val_fraction: float, photos: int) -> None:
    one_sided = missing_classes(labels, validates) + missing_classes(labels, ~validates)
    if one_sided:
        raise UserError(
            f"data.val_fraction={val_fraction}: {plural(len(labels), 'crop')} of {plural(photos, 'photo')}, those "
            f"with a {min(one_sided)} on one side only: too few to have every class on both sides: use more of them"
        )
