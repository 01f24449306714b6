"""Corruptions of images by kind and strength, equal for every model: noise, blur, light, position.

The first seven kinds and their amounts equal CIFAR-10-C, which is ImageNet-C for 32x32 pixels: Hendrycks and
Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", arXiv:1903.12261, and
`make_cifar_c.py` in the authors' repository hendrycks/robustness; but a blur continues an image beyond its border by
reflection, theirs by repeating the border. Rotation, shift and occlusion are our own.
"""

import io
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from housenumbers.data.augment import move_pixels

STRENGTHS = range(1, 6)  # 0 is the image as it is
_SEED = 0  # fixed, so that all runs are compared on the same images
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))

Generators = Sequence[np.random.Generator]  # one for each image


def corrupt(images: Tensor, kind: str, strength: int, first: int = 0) -> Tensor:
    """Images, uint8 `[N, 3, H, W]` on the CPU, corrupted by one of KINDS; `strength` is 1 to 5, or 0 for none.

    The random numbers of an image are a pure function of the kind and the image's index in the whole part, where
    `first` is the index of `images[0]`. So they depend on no other image, and every model gets the same images.
    All strengths start with the same random numbers: for example, all rotate an image in the same direction.
    """
    if strength == 0:
        return images
    number = zlib.crc32(kind.encode())
    generators = [np.random.default_rng((_SEED, number, first + row)) for row in range(len(images))]
    corruption = KINDS[kind]
    corrupted = corruption.apply(images.float() / 255, corruption.amounts[strength - 1], generators)
    return _bytes(corrupted)


def _gaussian_noise(pixels: Tensor, deviation: float, generators: Generators) -> Tensor:
    shape = pixels.shape[1:]
    return pixels + deviation * _drawn(generators, lambda generator: generator.standard_normal(shape, np.float32))


def _shot_noise(pixels: Tensor, photons: float, generators: Generators) -> Tensor:
    """This many photons, on average, make a channel white."""
    counts = [generator.poisson(photons * image) for generator, image in zip(generators, pixels.numpy(), strict=True)]
    return torch.from_numpy(np.stack(counts)).float() / photons


def _impulse_noise(pixels: Tensor, fraction: float, generators: Generators) -> Tensor:
    """Salt and pepper: this fraction of all values becomes 0 or 1."""
    shape = pixels.shape[1:]
    chance = _drawn(generators, lambda generator: generator.random(shape, np.float32))
    return pixels.masked_fill(chance < fraction / 2, 0).masked_fill(chance >= 1 - fraction / 2, 1)


def _gaussian_blur(pixels: Tensor, deviation: float, _: Generators) -> Tensor:
    size = 2 * round(4 * deviation) + 1
    return gaussian_blur(pixels, [size, size], [deviation, deviation])


def _jpeg(pixels: Tensor, quality: float, _: Generators) -> Tensor:
    decoded = []
    for image in _bytes(pixels).permute(0, 2, 3, 1).contiguous().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(quality))
        decoded.append(np.array(Image.open(file)))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).float() / 255


def _brightness(pixels: Tensor, more: float, _: Generators) -> Tensor:
    """Raises HSV's value. Hue and saturation stay, so that all channels are multiplied by the same factor."""
    value = pixels.amax(dim=1, keepdim=True)
    raised = (value + more).clamp(max=1)
    return torch.where(value > 0, pixels * raised / value, raised)


def _contrast(pixels: Tensor, left: float, _: Generators) -> Tensor:
    """Keeps this fraction of each pixel's distance from its channel's mean."""
    mean = pixels.mean(dim=(2, 3), keepdim=True)
    return mean + left * (pixels - mean)


def _rotation(pixels: Tensor, degrees: float, generators: Generators) -> Tensor:
    """Rotates by this angle, to the left or to the right. Repeats the pixels at the border."""
    angles = np.radians(degrees) * (2 * _drawn(generators, lambda generator: generator.integers(2)).float() - 1)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    return move_pixels(pixels, (cos, -sin, zero, sin, cos, zero), "border")


def _shift(pixels: Tensor, distance: float, generators: Generators) -> Tensor:
    """Shifts by this many pixels up, down, to the left or to the right. Repeats the pixels at the border."""
    moves = int(distance) * _drawn(generators, lambda generator: np.array(_DIRECTIONS[generator.integers(4)]))
    count, channels, height, width = pixels.shape
    rows = (torch.arange(height) - moves[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width) - moves[:, 1:]).clamp(0, width - 1)
    image, channel = torch.arange(count).view(-1, 1, 1, 1), torch.arange(channels).view(1, -1, 1, 1)
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _occlusion(pixels: Tensor, side: float, generators: Generators) -> Tensor:
    """Covers a random square with sides of this many pixels with the image's mean colour."""
    place = _drawn(generators, lambda generator: generator.random(2))
    height, width = pixels.shape[2:]
    top, left = ((place[:, dim, None] * (size - side + 1)).floor() for dim, size in enumerate((height, width)))
    rows, columns = torch.arange(height), torch.arange(width)
    in_row, in_column = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    covered = in_row[:, None, :, None] & in_column[:, None, None, :]
    return torch.where(covered, pixels.mean(dim=(2, 3), keepdim=True), pixels)


class Kind(NamedTuple):
    """A kind of corruption, and its amount at each of the STRENGTHS.

    `apply` takes images, float `[N, 3, H, W]` on 0..1, and returns images that may exceed this range.
    """

    title: str
    family: str
    amounts: tuple[float, ...]
    apply: Callable[[Tensor, float, Generators], Tensor]


KINDS = {
    "gaussian_noise": Kind("Gaussian noise", "noise", (0.04, 0.06, 0.08, 0.09, 0.10), _gaussian_noise),
    "shot_noise": Kind("shot noise", "noise", (500, 250, 100, 75, 50), _shot_noise),
    "impulse_noise": Kind("impulse noise", "noise", (0.01, 0.02, 0.03, 0.05, 0.07), _impulse_noise),
    "gaussian_blur": Kind("Gaussian blur", "detail", (0.4, 0.6, 0.7, 0.8, 1.0), _gaussian_blur),
    "jpeg": Kind("JPEG", "detail", (80, 65, 58, 50, 40), _jpeg),
    "brightness": Kind("brightness", "light", (0.05, 0.1, 0.15, 0.2, 0.3), _brightness),
    "contrast": Kind("contrast", "light", (0.75, 0.5, 0.4, 0.3, 0.15), _contrast),
    "rotation": Kind("rotation", "position", (10, 20, 30, 40, 50), _rotation),
    "shift": Kind("shift", "position", (2, 4, 6, 8, 10), _shift),
    "occlusion": Kind("occlusion", "position", (8, 11, 14, 17, 20), _occlusion),
}


def _drawn(generators: Generators, draw: Callable[[np.random.Generator], Any]) -> Tensor:
    return torch.from_numpy(np.stack([draw(generator) for generator in generators]))


def _bytes(pixels: Tensor) -> Tensor:
    """Rounds. The authors' script truncates, which darkens every image a little."""
    return (pixels * 255).round().clamp(0, 255).to(torch.uint8)
