"""Augmentation of a whole batch at once, as tensor operations on the batch's device."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from housenumbers.config import AugmentConfig


def augment(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Rotates and shifts each picture by its own random amount.

    Takes uint8 `[N, 3, H, W]`; gives the same where nothing is to be done, else float on the same 0..255 scale. The
    amounts are drawn on the CPU, so that every device sees the same ones.
    """
    if config.does_nothing:
        return images
    count, _, height, width = images.shape
    draws = torch.rand(count, 3, generator=generator) * 2 - 1
    angle = draws[:, 0] * math.radians(config.degrees)
    shift = draws[:, 1:] * torch.tensor([2 * config.translate / width, 2 * config.translate / height])
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], dim=1).view(count, 2, 3)
    grid = F.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode=config.padding, align_corners=False)
