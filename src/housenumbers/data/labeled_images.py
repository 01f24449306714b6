"""What every source of data gives: pictures and labels, the whole split in memory."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor


class LabeledImages(NamedTuple):
    """Pictures, uint8 `[N, 3, H, W]` RGB, and their labels, int64 `[N]` in 0..9."""

    images: Tensor
    labels: Tensor

    def subset(self, indices: Tensor) -> "LabeledImages":
        return LabeledImages(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "LabeledImages":
        return LabeledImages(self.images.to(device), self.labels.to(device))

    def sha256(self) -> str:
        """A fingerprint of the pixels, the labels and their order."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)}".encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


def concatenate(parts: list[LabeledImages]) -> LabeledImages:
    return LabeledImages(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
