"""The first module of every model: it converts images to the size and scale that the network expects."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F


class Normalize(nn.Module):
    """Turns images, uint8 or float on 0..255, `[N, 3, H, W]`, into float `[N, 3, input_size, input_size]`.

    Divides pixels by 255, subtracts `mean` and divides by `std` (RGB each). All three settings are buffers, so that a
    checkpoint contains them. For what `forward` raises, see `check_image_tensor`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, input_size: int = 32, mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.register_buffer("input_size", torch.tensor(input_size))
        # The same number for forward(), where reading the buffer would synchronize with the GPU. Training on images
        # of another size changes it temporarily.
        self.size = input_size
        self.register_load_state_dict_post_hook(_read_size)

    def forward(self, images: Tensor) -> Tensor:
        images = _resized(check_image_tensor(images).to(self.mean.dtype) / 255, self.size)
        return (images - self.mean) / self.std


class NormalizeHeight(Normalize):
    """As `Normalize`, but scales images to the height `input_size` and keeps their aspect ratio."""

    def forward(self, images: Tensor) -> Tensor:
        images = _scaled(check_image_tensor(images).to(self.mean.dtype) / 255, self.size)
        return (images - self.mean) / self.std


@fx.wrap  # not traced: proxies have no type or shape
def check_image_tensor(images: Tensor) -> Tensor:
    """Returns `images` if they are uint8 or float `[N, 3, H, W]`. Does not check the values of pixels.

    Raises TypeError where they are not a tensor, and ValueError for another type or shape.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images: must be a torch.Tensor [N, 3, H, W], not {type(images).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images: must be uint8, or float on 0..255, not {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3:
        shape = tuple(images.shape)
        channels_last = len(shape) in (3, 4) and shape[-1] == 3 and shape[-3] != 3
        grey = len(shape) == 4 and shape[1] == 1
        advice = "batch one image by [None]" if len(shape) == 3 else "RGB is meant"
        advice = "repeat grey by expand(-1, 3, -1, -1)" if grey else advice
        advice = "move the channels by movedim(-1, -3)" if channels_last else advice
        raise ValueError(f"images: must be [N, 3, H, W], not {list(shape)}: {advice}")
    return images


@fx.wrap
def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


@fx.wrap
def _scaled(images: Tensor, height: int) -> Tensor:
    if images.shape[-2] == height:
        return images
    old_height, old_width = images.shape[-2:]
    width = max(1, (2 * old_width * height + old_height) // (2 * old_height))  # integers: export has no round()
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)


def _read_size(module: nn.Module, _: Any) -> None:
    module.size = int(module.input_size)  # type: ignore[assignment, arg-type]
