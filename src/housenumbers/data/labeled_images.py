"""The type that every data source returns: images and labels, the whole split in memory."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

from housenumbers.metrics.classes import CLASSES
from housenumbers.metrics.numbers import MAX_DIGITS, NO_DIGIT

_SLICES = 32  # of the pixels of an image, while images are brought into another order


class LabeledImages(NamedTuple):
    """Images, uint8 `[N, 3, H, W]` RGB, and their labels, int64.

    Labels are classes, `[N]` in 0..9, or whole numbers, `[N, 6]`: the digits from the left, then NO_DIGIT. An image
    without a number has NO_DIGIT only.
    """

    images: Tensor
    labels: Tensor

    def subset(self, indices: Tensor | slice) -> "LabeledImages":
        return LabeledImages(self.images[indices], self.labels[indices])

    def split(self, *parts: Tensor) -> list["LabeledImages"]:
        """One subset for each of the `parts`, disjoint tensors of indices. Do not use these images afterwards.

        Copies would need twice the memory. So the images are reordered in place, one slice of each image at a time, and
        the subsets share their memory. If the parts hold less than half of the images, or the images are not contiguous
        in memory, the subsets are copies, and the memory of the images can be freed.
        """
        indices = torch.cat(parts)
        if len(indices) < len(self.labels) / 2 or not self.images.is_contiguous():
            return [self.subset(part) for part in parts]
        pixels = self.images.flatten(1)
        buffer = torch.empty(0, dtype=pixels.dtype)  # the slices share it: freed ones would stay in the process
        for columns in pixels.split(-(-pixels.shape[1] // _SLICES), dim=1):
            ordered = buffer.resize_(len(indices), columns.shape[1])
            columns[: len(indices)] = torch.index_select(columns, 0, indices, out=ordered)
        labels = self.labels[indices]
        sizes = [len(part) for part in parts]
        images = self.images[: len(indices)]
        return [LabeledImages(*part) for part in zip(images.split(sizes), labels.split(sizes), strict=True)]

    def to(self, device: torch.device) -> "LabeledImages":
        return LabeledImages(self.images.to(device), self.labels.to(device))

    def check(self) -> None:
        """Raises ValueError where images or labels do not have the documented type, shape or range."""
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            actual = f"{self.images.dtype} {list(self.images.shape)}"
            raise ValueError(f"images must be uint8 [N, 3, H, W] on 0..255, not {actual}")
        if self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be int64, not {self.labels.dtype}")
        self.check_labels()

    def check_labels(self) -> None:
        """Raises ValueError unless each image has one label, a whole number in 0..9 of any type, or six digits."""
        if self.labels.ndim == 2 and self.labels.shape[1] == MAX_DIGITS:
            self._check_numbers()
            return
        if self.labels.shape != self.images.shape[:1]:
            shape = list(self.labels.shape)
            raise ValueError(f"labels must be [{len(self.images)}], one for each image, not {shape}")
        if not len(self.labels):
            return
        low, high = self.labels.min().item(), self.labels.max().item()
        if not 0 <= low <= high < CLASSES:
            raise ValueError(f"labels must lie in 0..{CLASSES - 1}, not {low}..{high}")
        if self.labels.is_floating_point() and (self.labels % 1).any():
            raise ValueError("labels must be whole numbers")

    def _check_numbers(self) -> None:
        """Raises ValueError unless there are six digits of each image, of which the last ones may be NO_DIGIT."""
        if self.labels.shape != (len(self.images), MAX_DIGITS):
            shape = list(self.labels.shape)
            raise ValueError(
                f"labels must be [{len(self.images)}, {MAX_DIGITS}], the digits of each image, not {shape}"
            )
        digits = self.labels
        if not ((digits >= NO_DIGIT) & (digits < CLASSES)).all() or digits.is_floating_point():
            raise ValueError(f"labels must be whole numbers in 0..{CLASSES - 1}, or {NO_DIGIT} behind the last digit")
        if ((digits[:, 1:] != NO_DIGIT) & (digits[:, :-1] == NO_DIGIT)).any():
            raise ValueError(f"labels must have {NO_DIGIT} behind the last digit only")

    def sha256(self) -> str:
        """A fingerprint of the pixels, the labels and their order."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)}".encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()
