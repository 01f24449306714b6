"""MATLAB files in the format of SVHN's cropped digits, written by any program. Errors name other file formats."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.mat_contents import checked_labels, count_images, is_whole, read_variables
from housenumbers.data.mat_format import HOW_TO_SAVE, check_mat_format
from housenumbers.runtime.errors import UserError


def read_mat(path: Path) -> LabeledImages:
    """Decodes a file in the official format: `X` uint8 `[32, 32, 3, N]`, `y` `[N, 1]` in 1..10, where 10 is 0.

    Accepts whole numbers of other types, such as double from R and Julia, and `y` in one row.
    Raises UserError where the file is damaged or holds other data.
    """
    check_mat_format(path)
    content = read_variables(path, "X", "y")
    pixels = _pixels(path, content["X"])
    labels = checked_labels(path, content["y"], pixels.shape[3])
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)))
    return LabeledImages(images, torch.from_numpy(labels % 10))


def _pixels(path: Path, array: Any) -> NDArray[np.uint8]:
    """X as uint8 `[32, 32, 3, N]`."""
    if not isinstance(array, np.ndarray):  # a sparse matrix, or one of MATLAB's objects
        raise UserError(
            f"{path}: X is a {type(array).__name__} instead of an array uint8 [32, 32, 3, N]: {HOW_TO_SAVE}"
        )
    count_images(path, str(array.dtype), array.shape)
    described = f"X is {array.dtype} {list(array.shape)} instead of uint8 [32, 32, 3, N]"
    if array.ndim == 3:
        array = array[..., None]
    if array.dtype != np.uint8:
        # Whole numbers from 0 to 255 are pixels in any type. Only 0 and 1 may mean black and white.
        if not is_whole(array) or array.min() < 0 or not 1 < array.max() <= 255:
            raise UserError(
                f"{path}: {described}, and not of whole numbers up to 255: X = uint8(255 * X) if white is 1"
            )
        array = array.astype(np.uint8)
    return array
