"""The type that every data source returns: images and labels, the whole split in memory."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

CLASSES = 10


class LabeledImages(NamedTuple):
    """Images, uint8 `[N, 3, H, W]` RGB, and their labels, int64 `[N]` in 0..9."""

    images: Tensor
    labels: Tensor

    def subset(self, indices: Tensor) -> "LabeledImages":
        return LabeledImages(self.images[indices], self.labels[indices])

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
        """Raises ValueError unless there is one label, a whole number in 0..9 of any type, for each image."""
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

    def sha256(self) -> str:
        """A fingerprint of the pixels, the labels and their order."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)}".encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


def concatenate(parts: list[LabeledImages]) -> LabeledImages:
    return LabeledImages(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
