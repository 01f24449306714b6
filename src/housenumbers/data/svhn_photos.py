"""Whole numbers of SVHN, cut out of its photos: a folder of PNG files with their digitStruct.mat for each part.

The site of SVHN calls these files format 1 (http://ufldl.stanford.edu/housenumbers/).
"""

import inspect
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data import folder as image_folder
from housenumbers.data import number_image
from housenumbers.data.cache import cached, pillow_build
from housenumbers.data.cache_entry import file_state
from housenumbers.data.digit_struct import DigitStruct, read_digit_struct
from housenumbers.data.folder import check_sums, error_reason, upright_rgb
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.number_image import HEIGHT, fit_canvas
from housenumbers.data.photo_archives import digit_struct_file
from housenumbers.data.photos import Boxes
from housenumbers.data.svhn_numbers import squares
from housenumbers.metrics.numbers import MAX_DIGITS, NO_DIGIT
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import first_few, plural

_REMEDY = "delete this folder and unpack the archive again, or let data.download=true do so"
_FARTHEST = 10  # times the photo's longer side: a box that goes farther is damage, and cut out would fill the memory
_MOST_OUTSIDE = 0.01  # the share of photos whose boxes may lie outside: a few could be mistakes of the annotators


def read_svhn_photos(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The numbers in the photos of the `part` (train, extra or test), and their SHA-256.

    Images are `[N, 3, 32, data.width]`, labels `[N, 6]`. Each shows the union of the squares about a number's digits,
    as data=svhn_numbers does. Raises UserError where files are missing or damaged, or do not belong together.
    """
    path = digit_struct_file(config, part)
    files = sorted(path.parent.glob("*.png"))
    states = [(file.name, *file_state(file)) for file in (path, *files)]
    code = [inspect.getsource(module) for module in (sys.modules[__name__], number_image, image_folder)]
    key = repr([str(path.resolve()), states, config.width, pillow_build(), code])
    return cached(f"{config.name}_{part}", key, config.cache, lambda: _numbers(path, files, config.width))


def _numbers(path: Path, files: Sequence[Path], width: int) -> LabeledImages:
    struct = read_digit_struct(path)
    _check_names(path, struct, files)
    if not struct.names:
        raise UserError(f"{path}: names no photos: {_REMEDY}")
    images = torch.empty(len(struct.names), 3, HEIGHT, width, dtype=torch.uint8)
    labels = torch.full((len(struct.names), MAX_DIGITS), NO_DIGIT)
    starts = np.searchsorted(struct.boxes[:, 0], np.arange(1, len(struct.names) + 2)).tolist()
    failed, outside = [], []
    bar = tqdm(struct.names, desc=f"reading {path.parent.name}/*.png", unit="photo", leave=False, disable=None)
    with warnings.catch_warnings(action="ignore"):
        for number, name in enumerate(bar):
            signals.exit_if_received()
            boxes = Boxes(*torch.from_numpy(struct.boxes[starts[number] : starts[number + 1]].T))
            digits = boxes.label
            if not 0 < len(digits) <= MAX_DIGITS:
                raise UserError(
                    f"{path}: has {plural(len(digits), 'digit')} in {name}: must be from 1 to {MAX_DIGITS}: {_REMEDY}"
                )
            labels[number, : len(digits)] = digits
            try:
                with (path.parent / name).open("rb") as file:
                    check_sums(file)
                    photo = upright_rgb(file)
            except Exception as error:  # Pillow's parsers raise many types on damaged bytes
                failed.append(f"{path.parent / name} ({error_reason(error)})")
                continue
            corners = torch.stack([boxes.left, boxes.top, boxes.left + boxes.width, boxes.top + boxes.height])
            if int(corners.abs().max()) > _FARTHEST * max(photo.size):
                raise UserError(f"{path}: damaged: it has a box in {name} that reaches far beyond the photo: {_REMEDY}")
            if _lies_outside(boxes, photo):
                outside.append(name)
            images[number] = fit_canvas(cut_out(photo, boxes), width)
    if failed:
        raise UserError(f"cannot be read: {first_few(failed)}: {_REMEDY}")
    if len(outside) > _MOST_OUTSIDE * len(struct.names):
        raise UserError(
            f"{path}: belongs to other photos: {plural(len(outside), 'photo')} here, such as {outside[0]}, "
            f"are smaller than its boxes: {_REMEDY}"
        )
    return LabeledImages(images, labels)


def _check_names(path: Path, struct: DigitStruct, files: Sequence[Path]) -> None:
    """Raises UserError unless the photos are exactly those that digitStruct.mat names."""
    named, there = set(struct.names), {file.name for file in files}
    if named == there and len(named) == len(struct.names):
        return
    differing = sorted(named ^ there, key=lambda name: (len(name), name))
    example = f"{differing[0]} is {'missing' if differing[0] in named else 'not in it'}" if differing else "twice"
    raise UserError(
        f"{path}: names {plural(len(struct.names), 'photo')}, and its folder holds {len(there)} ({example}): "
        "it belongs to other photos, or some are missing: unpack the archive again"
    )


def _lies_outside(boxes: Boxes, photo: Image.Image) -> bool:
    """Whether the middle of a box lies outside of the photo."""
    x, y = boxes.left + boxes.width / 2, boxes.top + boxes.height / 2
    return bool(((x < 0) | (y < 0) | (x > photo.width) | (y > photo.height)).any())


def cut_out(photo: Image.Image, boxes: Boxes) -> NDArray[np.uint8]:
    """The union of the squares about the boxes, 32 pixels high: uint8 `[32, W, 3]`.

    What lies beyond the photo is filled with its nearest pixel.
    """
    corners = squares(boxes).numpy()
    left, top = corners[:, :2].min(axis=0).tolist()
    right, bottom = corners[:, 2:].max(axis=0).tolist()
    pixels, x, y = np.asarray(photo), 0, 0
    if left < 0 or top < 0 or right > photo.width or bottom > photo.height:
        x, y = (max(0, int(np.ceil(-place))) for place in (left, top))
        after = (max(0, int(np.ceil(end - side))) for end, side in ((bottom, photo.height), (right, photo.width)))
        pixels = np.pad(pixels, (*zip((y, x), after, strict=True), (0, 0)), mode="edge")
    width = max(1, round((right - left) * HEIGHT / (bottom - top)))
    box = (left + x, top + y, right + x, bottom + y)
    return np.asarray(Image.fromarray(pixels).resize((width, HEIGHT), Image.Resampling.BICUBIC, box))
