"""Images as Python programs have them: paths, arrays, and those of Pillow."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from housenumbers.data.folder import as_rgb, error_reason
from housenumbers.runtime.errors import InputError

OneImage: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | torch.Tensor"
Images: TypeAlias = "OneImage | Sequence[OneImage]"
Prepared = TypeVar("Prepared")

_AT_ONCE = 500
_KINDS = "must be a path, an image of Pillow, or a uint8 array [H, W, 3] in RGB"


def prepared(
    images: Images,
    from_file: Callable[[Path], Prepared],
    from_image: Callable[[Image.Image], Prepared],
    at_once: int = _AT_ONCE,
) -> Iterator[tuple[list[str], list[Prepared]]]:
    """The images, `at_once` at a time, as `from_file` makes them from a path and `from_image` from an RGB image.

    Each has a name: its path, or its place among the images. Raises InputError for what is no image, and for a file
    that cannot be read.
    """
    listed = _as_list(images)
    for first in range(0, len(listed), at_once):
        names, made = [], []
        for place, image in enumerate(listed[first : first + at_once], start=first):
            name = str(Path(image)) if isinstance(image, str | os.PathLike) else f"images[{place}]"
            names.append(name)
            made.append(_prepared(image, name, from_file, from_image))
        yield names, made


def _as_list(images: Images) -> Sequence[Any]:
    """The images one by one: an array with four dimensions is several."""
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray | torch.Tensor):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, Sequence):
        return images
    raise InputError(f"images: {_KINDS}, or a list of them, or one array [N, H, W, 3]; not {type(images).__name__}")


def _prepared(
    image: Any, name: str, from_file: Callable[[Path], Prepared], from_image: Callable[[Image.Image], Prepared]
) -> Prepared:
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of odd files
        if isinstance(image, str | os.PathLike):
            try:
                return from_file(Path(image).expanduser())
            except Exception as error:  # whatever Pillow's many parsers meet in damaged bytes
                raise InputError(f"{name}: cannot be read: {error_reason(error)}") from None
        if isinstance(image, Image.Image):
            return from_image(as_rgb(image))
        return from_image(Image.fromarray(_checked(image, name)))


def _checked(image: Any, name: str) -> NDArray[np.uint8]:
    """An array `[H, W, 3]`, contiguous. Raises InputError where it is anything else."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(f"{name}: {_KINDS}, not {type(image).__name__}")
    if image.dtype != np.uint8:
        raise InputError(f"{name}: must be uint8, on 0..255, not {image.dtype}: scale and convert it")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        channels_first = image.ndim == 3 and image.shape[0] == 3
        advice = ": move the channels last" if channels_first else ""
        raise InputError(f"{name}: must be [H, W, 3], not {list(image.shape)}{advice}")
    if image.min() < image.max() <= 1:
        raise InputError(f"{name}: must lie on 0..255, not 0..1: multiply the floats by 255 before the cast")
    return np.ascontiguousarray(image)
