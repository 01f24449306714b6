"""Images as Python programs have them: paths, open files, arrays, and Pillow's images."""

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from housenumbers.data.folder import as_rgb, error_reason
from housenumbers.runtime.errors import InputError

OneImage: TypeAlias = "str | os.PathLike[str] | IO[bytes] | Image.Image | NDArray[np.uint8] | torch.Tensor"
Images: TypeAlias = "OneImage | Iterable[OneImage]"
Prepared = TypeVar("Prepared")

_BATCH = 500
_NOT_NUMERIC = "OSU"  # kinds of arrays of objects and texts, such as paths
_KINDS = "must be a path, an image of Pillow, a file opened in binary mode, or a uint8 array [H, W, 3] in RGB"


def prepare_batches(
    images: Images,
    from_file: Callable[[Path | IO[bytes]], Prepared],
    from_image: Callable[[Image.Image], Prepared],
    batch_size: int = _BATCH,
) -> Iterator[tuple[list[str], list[Prepared]]]:
    """The images, `batch_size` at a time, as `from_file` makes them from a path or a file, and `from_image` from an RGB
    image.

    Each has a name: its path, or its place among the images. Raises InputError for what is no image, and for a file
    that cannot be read.
    """
    numbered = enumerate(_one_by_one(images))
    while some := list(islice(numbered, batch_size)):
        names, made = [], []
        for place, image in some:
            name = str(Path(image)) if _is_path(image) else f"images[{place}]"
            names.append(name)
            made.append(_prepare(image, name, from_file, from_image))
        yield names, made


def _one_by_one(images: Images) -> Iterable[Any]:
    """The images one by one: an array with four dimensions is several, and so is one of paths."""
    if isinstance(images, str | os.PathLike | Image.Image) or _is_file(images):
        return [images]
    if isinstance(images, np.ndarray | torch.Tensor):
        has_paths = isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in _NOT_NUMERIC
        return images.tolist() if has_paths else list(images) if images.ndim == 4 else [images]
    if isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | Mapping | Set):
        return images
    raise InputError(f"images: {_KINDS}, or a list of them, or one array [N, H, W, 3]; not {type(images).__name__}")


def _prepare(
    image: Any,
    name: str,
    from_file: Callable[[Path | IO[bytes]], Prepared],
    from_image: Callable[[Image.Image], Prepared],
) -> Prepared:
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of odd files
        if _is_path(image) or _is_file(image):
            try:
                return from_file(Path(image).expanduser() if _is_path(image) else _read_into_memory(image, name))
            except InputError:
                raise
            except IsADirectoryError:
                raise InputError(f"{name}: is a folder: give the files in it, as a list") from None
            except Exception as error:  # whatever Pillow's many parsers meet in damaged bytes
                raise InputError(f"{name}: cannot be read: {error_reason(error)}") from None
        if isinstance(image, Image.Image):
            return from_image(_to_rgb(image, name))
        return from_image(Image.fromarray(_check_array(image, name)))


def _is_path(image: Any) -> bool:
    """Whether it is a path. The empty text is none, though pathlib takes it for the working folder."""
    return isinstance(image, os.PathLike) or (isinstance(image, str) and image != "")


def _is_file(image: Any) -> bool:
    """Whether it is an open file, or another object that returns a file's content."""
    return not isinstance(image, os.PathLike | Image.Image) and callable(getattr(image, "read", None))


def _read_into_memory(file: Any, name: str) -> IO[bytes]:
    """The whole content of an open file, from its beginning if it can be read again: a download cannot."""
    content = None
    if not isinstance(file, io.TextIOBase):  # which may fail to decode the bytes
        if file.seekable():
            file.seek(0)
        content = file.read()
    if not isinstance(content, bytes):
        raise InputError(f'{name}: is a file opened as text: open it in binary mode, open(FILE, "rb")')
    return io.BytesIO(content)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if 0 in image.size:
        raise InputError(f"{name}: has no pixels: {image.width} x {image.height}")
    try:
        return as_rgb(image)
    except Exception as error:  # Pillow reads a file no sooner than here, and it may be damaged, or closed
        raise InputError(f"{name}: cannot be read: {error_reason(error)}") from None


def _check_array(image: Any, name: str) -> NDArray[np.uint8]:
    """An array `[H, W, 3]`, contiguous. Raises InputError where it is anything else."""
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8:
            raise InputError(f"{name}: must be uint8, on 0..255, not {image.dtype}: scale it, .round().to(torch.uint8)")
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(f"{name}: {_KINDS}, not {'an empty text' if isinstance(image, str) else type(image).__name__}")
    if image.dtype.kind in _NOT_NUMERIC:
        raise InputError(f"{name}: {_KINDS}, not an array of {image.dtype} {list(image.shape)}")
    if image.dtype != np.uint8:
        raise InputError(f"{name}: must be uint8, on 0..255, not {image.dtype}: {_advice_on_type(image)}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"{name}: must be [H, W, 3], not {list(image.shape)}{_advice_on_shape(image.shape)}")
    if image.min() < image.max() <= 1:
        raise InputError(f"{name}: must lie on 0..255, not 0..1: multiply the floats by 255 before the cast")
    return np.ascontiguousarray(image)


def _advice_on_type(image: NDArray[Any]) -> str:
    if image.dtype.kind != "f" or not image.size:
        return 'convert it with image.astype("uint8"), scaled to 0..255'
    scaled = "(255 * image).round()" if image.min() >= 0 and image.max() <= 1 else "image.round().clip(0, 255)"
    return f'convert it with {scaled}.astype("uint8")'


def _advice_on_shape(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return ": a grey image three times: np.stack([image] * 3, axis=-1)"
    if len(shape) == 3 and shape[0] == 3:
        return ": move the channels last"
    if len(shape) == 3 and shape[2] == 4:
        return ": leave out the transparency: image[..., :3]"
    if len(shape) == 3 and shape[2] == 1:
        return ": a grey image three times: image.repeat(3, axis=-1)"
    return ""
