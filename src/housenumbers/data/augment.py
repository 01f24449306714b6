"""Augmentation of a whole batch at once, as tensor operations on the batch's device."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from housenumbers.config.sections import AugmentConfig
from housenumbers.config.targets import failure_message, instantiate_target
from housenumbers.runtime.errors import UserError


def augment(
    images: Tensor,
    config: AugmentConfig,
    generator: torch.Generator,
    rows: range | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """Moves, recolours and covers parts of each image by random amounts, drawn for each image.

    Takes uint8 `[N, 3, H, W]`. Returns the images unchanged where nothing is enabled, else float on the same 0..255
    scale. The amounts are drawn on the CPU, so that they are equal on every device. All amounts are always drawn, so
    that enabling one leaves the others unchanged. `rows` of a batch of `batch_size` get the amounts of these rows.
    """
    if config.does_nothing:
        return images
    rows = rows or range(len(images))
    batch_size = batch_size or len(images)

    def draw(*shape: int) -> Tensor:
        return torch.rand(batch_size, *shape, generator=generator)[rows.start : rows.stop]

    moves = draw(3) * 2 - 1
    stretches = draw(2) * 2 - 1
    colors = (draw(4, 1, 1) * 2 - 1).to(images.device)
    inverted = draw(1, 1, 1).to(images.device)
    holes = draw(2).to(images.device)
    images = _moved(images.float(), config, moves, stretches)
    if config.color > 0:  # one gain for all channels, and one for each channel
        gain = (1 + config.color * colors[:, :1]) * (1 + config.color / 2 * colors[:, 1:])
        images = (images * gain).clamp(0, 255)
    if config.invert > 0:
        images = torch.where(inverted < config.invert, 255 - images, images)
    if config.cutout > 0:
        images = _with_holes(images, config.cutout, holes)
    return images


def build_transforms(config: AugmentConfig) -> dict[str, Callable[[Tensor], Any]]:
    """New instances of the transforms in `config.transforms`, by their keys: their state is lost after each epoch.

    Raises UserError where one cannot be instantiated.
    """
    named = {f"augment.transforms.{name}": option for name, option in config.transforms.items()}
    return {key: instantiate_target(key, option) for key, option in named.items()}


def apply_transforms(images: Tensor, transforms: Mapping[str, Callable[[Tensor], Any]], seed: int) -> Tensor:
    """Applies the transforms, one after the other, to a batch of images, uint8 `[N, 3, H, W]`.

    The global generators of torch, NumPy and Python are seeded with `seed` here, and restored afterwards.
    Raises UserError where one fails, or returns anything but uint8 images or float images on 0..255.
    """
    if not transforms:
        return images
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            for key, transform in transforms.items():
                try:
                    output = transform(images)
                except Exception as error:
                    call = f"called with images {list(images.shape)}"
                    raise UserError(failure_message(key, error, call)) from None
                images = _checked(key, images, output)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
    return images


def _checked(key: str, images: Tensor, output: Any) -> Tensor:
    if not isinstance(output, Tensor) or output.dim() != 4 or output.shape[:2] != images.shape[:2]:
        kind = list(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise UserError(f"{key}: returns {kind}: must return as many images as it gets, {list(images.shape)}")
    if not (output.is_floating_point() or output.dtype == torch.uint8):
        raise UserError(f"{key}: returns {output.dtype}: must be uint8, or floating-point numbers on 0..255")
    if output.is_floating_point() and output.max() <= 1 and images.max() > 1:
        raise UserError(f"{key}: returns images on 0..1: must be on 0..255")
    return output


def _moved(images: Tensor, config: AugmentConfig, moves: Tensor, stretches: Tensor) -> Tensor:
    """Rotates by `moves[:, 0]`, shifts by `moves[:, 1:]`, scales and shears by `stretches`, all from -1 to 1."""
    if not config.moves_pixels:
        return images
    height, width = images.shape[2:]
    angle = moves[:, 0] * math.radians(config.degrees)
    shift = moves[:, 1:] * torch.tensor([2 * config.translate / width, 2 * config.translate / height])
    scale = (1 + config.scale) ** stretches[:, 0]  # enlarges as often as it shrinks
    shear = (stretches[:, 1] * math.radians(config.shear)).tan()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    matrix = (cos, shear * cos - sin, shift[:, 0], sin, shear * sin + cos, shift[:, 1])
    return move_pixels(images, matrix, config.padding)


def move_pixels(images: Tensor, matrix: Sequence[Tensor], padding: str) -> Tensor:
    """Resamples images `[N, C, H, W]` at the places to which a matrix of 2x3 entries, each `[N]`, maps the pixels.

    Distances are from the centre and in pixels, but for the last column, shifts in halves of the width and the height.
    """
    # affine_grid measures x in half widths and y in half heights, so the entries that mix x and y need their ratio.
    aspect = images.shape[3] / images.shape[2]
    a, b, right, c, d, down = matrix
    theta = torch.stack([a, b / aspect, right, c * aspect, d, down], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _with_holes(images: Tensor, side: int, holes: Tensor) -> Tensor:
    """A grey square of `side` pixels at a random place in each image (DeVries, Taylor 2017, arXiv:1708.04552)."""
    rows, columns = (torch.arange(length, device=images.device) for length in images.shape[-2:])
    centre = holes * torch.tensor(images.shape[-2:], device=images.device)
    in_row = (rows - centre[:, :1] + 0.5).abs() <= side / 2
    in_column = (columns - centre[:, 1:] + 0.5).abs() <= side / 2
    return images.masked_fill(in_row[:, None, :, None] & in_column[:, None, None, :], 127.5)
