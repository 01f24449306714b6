"""Images of whole numbers: scaled to the reader's height, and padded to a common width."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from housenumbers.data.folder import check_sums, upright_rgb
from housenumbers.runtime.files import open_file

HEIGHT = 32
_STEP = 16  # pixels: images for a trained reader are padded to a multiple, so that few widths occur
_NARROWEST = 48  # pixels: the least width of these
_MARGIN = 16  # pixels: the least that narrow ones are padded by; training images have more, wide ones have none
_WIDEST = 1024  # pixels: even wider images are shrunk


def fit_canvas(pixels: np.ndarray, width: int) -> Tensor:
    """An image, uint8 `[H, W, 3]`, as uint8 `[3, 32, width]`: scaled to the height, in the middle, its border repeated.

    One that is too wide is shrunk along its width.
    """
    scaled = _resized(pixels, min(width, _width_at_height(pixels)))
    return _padded(scaled, width)


def without_padding(image: Tensor) -> np.ndarray:
    """An image `[3, H, W]` as `[H, W', 3]`, without the columns at both ends that repeat the ones beside them."""
    pixels = image.permute(1, 2, 0).numpy()
    (changes,) = (pixels[:, 1:] != pixels[:, :-1]).any(axis=(0, 2)).nonzero()
    return pixels[:, changes[0] : changes[-1] + 2] if len(changes) else pixels


def read_number_image(file: Path | IO[bytes], width: int) -> Tensor:
    """An image file as uint8 `[3, 32, W]` RGB: upright, scaled to the height, its border repeated on both sides.

    For W see `fit_reader`. Raises Pillow's errors where the file cannot be read. The caller has to silence Pillow's
    warnings, since warning filters are not thread-safe.
    """
    with open_file(file) if isinstance(file, Path) else nullcontext(file) as stream:
        check_sums(stream)
        pixels = np.asarray(upright_rgb(stream))
    return fit_reader(pixels, width)


def fit_reader(pixels: np.ndarray, width: int) -> Tensor:
    """An image, uint8 `[H, W', 3]`, as uint8 `[3, 32, W]`, for a reader that was trained on images of this `width`.

    W is a multiple of 16, from 48, with a margin of 16 pixels or more; or `width`, where it is narrower than that and
    the image fits; a wider image has no margin. Narrow images are read as well as with the padding of training, sooner.
    """
    needed = min(_width_at_height(pixels), _WIDEST)
    if needed > width:
        return fit_canvas(pixels, _next_step(needed))
    return fit_canvas(pixels, min(width, max(_NARROWEST, _next_step(needed + _MARGIN))))


def scaled_view(images: Tensor, factor: float) -> Tensor:
    """Images, uint8 `[N, 3, H, W]`, scaled by `factor` about their middle, as uint8 `[N, 3, H, W']`.

    Above 1 what then lies beyond their height is cut off, and W' is a larger multiple of 16, so that their whole width
    stays. Below 1 W' is W, and the border is repeated around the smaller images.
    """
    count, _, height, width = images.shape
    new_width = width if factor <= 1 else _next_step(math.ceil(width * factor))
    rows = [[new_width / (width * factor), 0.0, 0.0], [0.0, 1 / factor, 0.0]]
    matrix = torch.tensor(rows, dtype=torch.float32, device=images.device)
    grid = F.affine_grid(matrix.expand(count, 2, 3), [count, 3, height, new_width], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False).round().to(torch.uint8)


def _next_step(width: int) -> int:
    return -(-width // _STEP) * _STEP


def _width_at_height(pixels: np.ndarray) -> int:
    return max(1, round(pixels.shape[1] * HEIGHT / pixels.shape[0]))


def _resized(pixels: np.ndarray, width: int) -> np.ndarray:
    if pixels.shape[:2] == (HEIGHT, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, HEIGHT), Image.Resampling.BICUBIC, reducing_gap=3.0))


def _padded(pixels: np.ndarray, width: int) -> Tensor:
    left = (width - pixels.shape[1]) // 2
    padded = np.pad(pixels, ((0, 0), (left, width - pixels.shape[1] - left), (0, 0)), mode="edge")
    return torch.from_numpy(padded).permute(2, 0, 1).contiguous()
