"""How many whole numbers a classifier of digits gets right: all digits of a photo, where the photos are known."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from housenumbers.data.photos import digits_of_photos


class NumbersRight(NamedTuple):
    """Of each photo all of whose digits were scored, bool `[M]`, by its number: whether all are right.

    `partial` counts the photos that are left out, since some of their digits are not among those scored.
    """

    right: Tensor
    partial: int

    def scores(self) -> dict[str, Any]:
        """`accuracy` (null without a whole photo), `right` and `n` of whole photos, and `partial`."""
        right, count = int(self.right.sum()), len(self.right)
        return {"accuracy": right / count if count else None, "right": right, "n": count, "partial": self.partial}


def numbers_right(right: Tensor, photos: Tensor) -> NumbersRight:
    """Takes whether each digit is right, bool `[N]`, and its photo, int64 `[N]`, as `boxes_of` numbers them."""
    numbers, of_digit, scored = photos.unique(return_inverse=True, return_counts=True)
    is_whole = scored == digits_of_photos()[numbers]
    wrong = torch.zeros(len(numbers), dtype=torch.int64).index_add_(0, of_digit, (~right.cpu()).long())
    return NumbersRight((wrong == 0)[is_whole], int((~is_whole).sum()))
