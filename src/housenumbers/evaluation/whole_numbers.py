"""The accuracy of a classifier of digits on whole numbers: all digits of a photo, where the photos are known."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from housenumbers.data.photos import digits_of_photos
from housenumbers.metrics.classes import fraction


class PhotoCorrectness(NamedTuple):
    """Whether all digits of a photo are right, bool `[M]`, for each photo all of whose digits were scored.

    The photos are sorted by their numbers. `partial` counts the other photos, which are left out.
    """

    right: Tensor
    partial: int

    def scores(self) -> dict[str, Any]:
        """`accuracy` (null without a whole photo), `right` and `n` of whole photos, and `partial`."""
        right, count = int(self.right.sum()), len(self.right)
        return {"accuracy": fraction(right, count), "right": right, "n": count, "partial": self.partial}


def photo_correctness(right: Tensor, photos: Tensor) -> PhotoCorrectness:
    """`right` is true for each digit that is right, bool `[N]`; `photos` has the numbers of `boxes_of`, int64 `[N]`."""
    numbers, of_digit, scored = photos.unique(return_inverse=True, return_counts=True)
    is_whole = scored == digits_of_photos()[numbers]
    wrong = torch.zeros(len(numbers), dtype=torch.int64).index_add_(0, of_digit, (~right.cpu()).long())
    return PhotoCorrectness((wrong == 0)[is_whole], int((~is_whole).sum()))
