"""MATLAB files in the format of SVHN's cropped digits, written by any program. Errors name other file formats."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.mat_format import ELSE, HOW_TO_SAVE, check_mat_format
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural


def read_mat(path: Path) -> LabeledImages:
    """Decodes a file in the official format: `X` uint8 `[32, 32, 3, N]`, `y` `[N, 1]` in 1..10, where 10 is 0.

    Accepts whole numbers of other types, such as double from R and Julia, and `y` in one row.
    Raises UserError where the file is damaged or holds other data.
    """
    import scipy.io  # imported here: a cached start does not need these 0.2 s

    check_mat_format(path)
    try:
        content = scipy.io.loadmat(path, variable_names=("X", "y"))
        names = [] if content.keys() >= {"X", "y"} else scipy.io.whosmat(path)
    except Exception as error:  # scipy's parser raises many types on damaged bytes
        raise UserError(f"{path}: damaged, or no MATLAB file ({_in_one_line(error)}): fetch it again") from None
    if names or not content.keys() >= {"X", "y"}:
        content_names = ", ".join(f"{name} ({kind} {list(shape)})" for name, shape, kind in names) or "nothing"
        raise UserError(f"{path}: has no variables X and y, but {content_names}: {HOW_TO_SAVE}; {ELSE}")
    pixels = _pixels(path, content["X"])
    labels = _labels(path, content["y"], pixels.shape[3])
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)))
    return LabeledImages(images, torch.from_numpy(labels % 10))


def _pixels(path: Path, array: Any) -> NDArray[np.uint8]:
    """X as uint8 `[32, 32, 3, N]`."""
    if not isinstance(array, np.ndarray):  # a sparse matrix, or one of MATLAB's objects
        raise UserError(
            f"{path}: X is a {type(array).__name__} instead of an array uint8 [32, 32, 3, N]: {HOW_TO_SAVE}"
        )
    described = f"X is {array.dtype} {list(array.shape)} instead of uint8 [32, 32, 3, N]"
    if array.ndim == 3:  # MATLAB drops a last axis of length one
        array = array[..., None]
    if array.shape[:3] != (32, 32, 3):
        raise UserError(f"{path}: {described}: {_permutation(array.shape)}{ELSE}")
    if array.shape[3] == 0:
        raise UserError(f"{path}: holds no images: {ELSE}")
    if array.dtype != np.uint8:
        # Whole numbers from 0 to 255 are pixels in any type. Only 0 and 1 may mean black and white.
        if not _whole(array) or array.min() < 0 or not 1 < array.max() <= 255:
            raise UserError(
                f"{path}: {described}, and not of whole numbers up to 255: X = uint8(255 * X) if white is 1"
            )
        array = array.astype(np.uint8)
    return array


def _labels(path: Path, array: Any, count: int) -> NDArray[np.int64]:
    """y as int64 `[N]` in 1..10."""
    if not isinstance(array, np.ndarray) or not _whole(array):
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise UserError(f"{path}: y holds {kind} instead of whole numbers from 1 to 10: {HOW_TO_SAVE}")
    if array.size != count:
        counts = f"{plural(count, 'image')} but {plural(array.size, 'label')}"
        raise UserError(f"{path}: {counts}, y being {list(array.shape)}: {ELSE}")
    labels = array.ravel().astype(np.int64)
    low, high = int(labels.min()), int(labels.max())
    if low == 0 and high <= 9:
        raise UserError(
            f"{path}: labels from 0 to {high} instead of 1 to 10, where 10 stands for the digit 0: "
            "y(y == 0) = 10 if they are the digits, y = y + 1 if 9 stands for the digit 0"
        )
    if low < 1 or high > 10:
        raise UserError(f"{path}: labels from {low} to {high}, outside 1..10 (10 stands for the digit 0): {ELSE}")
    return labels


def _whole(array: NDArray[Any]) -> bool:
    if array.dtype.kind in "iu":
        return True
    return array.dtype.kind == "f" and bool(np.isfinite(array).all()) and bool((array == np.floor(array)).all())


def _permutation(shape: tuple[int, ...]) -> str:
    """Part of a message: how to reorder the axes in MATLAB. Empty where the axes are ambiguous."""
    threes, sides = ([axis for axis, length in enumerate(shape) if length == side] for side in (3, 32))
    if len(shape) != 4 or len(threes) != 1 or len(sides) != 2:
        return ""
    (number,) = set(range(4)) - {*threes, *sides}
    order = " ".join(str(axis + 1) for axis in (*sides, *threes, number))
    return f"X = permute(X, [{order}]) puts its axes in order; "


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
