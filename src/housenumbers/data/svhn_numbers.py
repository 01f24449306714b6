"""Whole numbers of SVHN, put together from the crops of a photo by their boxes."""

import inspect
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data import number_image
from housenumbers.data.cache import cached, pillow_build
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.number_image import HEIGHT, fit_canvas
from housenumbers.data.photos import Boxes, boxes_of, digits_of_photos
from housenumbers.data.svhn import read_svhn, read_svhn_6k
from housenumbers.data.svhn_files import crops_of_numbers
from housenumbers.metrics.numbers import MAX_DIGITS, NO_DIGIT
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError

_CROP = 32  # the side of a crop, in pixels


def read_svhn_numbers(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The numbers of the photos whose crops data=svhn or data=svhn_6k has as `part`, and their SHA-256.

    Images are `[N, 3, 32, data.width]`, labels `[N, 6]`. A photo is left out where some of its crops are not in the
    part. Raises UserError where those data cannot be read, or it is not known which photos their crops are from.
    """
    crops_config = crops_of_numbers(config)
    if (boxes := boxes_of(crops_config, part)) is None:
        key = "data.use_extra" if part == "extra" else f"data.verify={config.verify}"
        raise UserError(f"{key}: the photos of these crops are not known: numbers are put together from official ones")
    crops, sha256 = (read_svhn if crops_config.name == "svhn" else read_svhn_6k)(crops_config, part)
    key = repr([sha256, config.width, pillow_build(), *map(inspect.getsource, (sys.modules[__name__], number_image))])
    return cached(f"{config.name}_{part}", key, config.cache, lambda: _numbers(crops, boxes, config.width, part))


def _numbers(crops: LabeledImages, boxes: Boxes, width: int, part: str) -> LabeledImages:
    _, starts, counts = np.unique(boxes.photo.numpy(), return_index=True, return_counts=True)
    whole = counts == digits_of_photos()[boxes.photo[starts]].numpy()
    places = [slice(start, start + count) for start, count in zip(starts[whole], counts[whole], strict=True)]
    images = torch.empty(len(places), 3, HEIGHT, width, dtype=torch.uint8)
    labels = torch.full((len(places), MAX_DIGITS), NO_DIGIT)
    bar = tqdm(places, desc=f"numbers of the {part} part", unit="number", leave=False, disable=None)
    for number, place in enumerate(bar):
        signals.exit_if_received()
        pixels = crops.images[place].permute(0, 2, 3, 1).numpy()
        images[number] = fit_canvas(put_together(pixels, boxes.subset(place)), width)
        digits = crops.labels[place]  # in the order of the annotation: from the left, or downwards
        labels[number, : len(digits)] = digits
    return LabeledImages(images, labels)


def put_together(crops: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.uint8]:
    """The part of a photo that its `crops`, `[N, 32, 32, 3]`, show, 32 pixels high: uint8 `[32, W, 3]`.

    Where crops overlap, the one whose border is farther away weighs more, so that no edges are seen. What no crop
    shows is filled with the nearest pixel.
    """
    corners = squares(boxes).numpy()
    left, top = corners[:, :2].min(axis=0).tolist()
    right, bottom = corners[:, 2:].max(axis=0).tolist()
    width = max(1, round((right - left) * HEIGHT / (bottom - top)))
    to_canvas = np.array([width / (right - left), HEIGHT / (bottom - top)] * 2)
    colours, weights = np.zeros((HEIGHT, width, 3)), np.zeros((HEIGHT, width))
    for crop, corner in zip(crops, (corners - [left, top, left, top]) * to_canvas, strict=True):
        # The canvas's pixels that lie within the crop, and where in the crop these are.
        begin, end = corner[:2], corner[2:]
        x0, y0 = np.minimum(np.ceil(begin - 1e-6).astype(int), (width - 1, HEIGHT - 1)).tolist()
        x1, y1 = np.maximum(np.floor(end + 1e-6).astype(int), (x0 + 1, y0 + 1)).tolist()
        within = (np.array([(x0, y0), (x1, y1)]) - begin) / (end - begin) * _CROP
        box = tuple(within.clip(0, _CROP).ravel().tolist())
        scaled = Image.fromarray(crop).resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box)
        weight = np.minimum.outer(_from_border(y1 - y0), _from_border(x1 - x0))
        colours[y0:y1, x0:x1] += np.asarray(scaled) * weight[..., None]
        weights[y0:y1, x0:x1] += weight
    shown = weights > 0
    pixels = (colours / np.where(shown, weights, 1)[..., None]).round().astype(np.uint8)
    if not shown.all():
        from scipy.ndimage import distance_transform_edt  # imported here: a cached start does not need it

        pixels = pixels[tuple(distance_transform_edt(~shown, return_distances=False, return_indices=True))]
    return pixels


def squares(boxes: Boxes) -> Tensor:
    """What the crops show, float64 `[N, 4]`: left, top, right and bottom in the photo, of side max(width, height)."""
    half = torch.maximum(boxes.width, boxes.height).double() / 2
    x, y = boxes.left + boxes.width / 2, boxes.top + boxes.height / 2
    return torch.stack([x - half, y - half, x + half, y + half], dim=1)


def _from_border(length: int) -> NDArray[np.float64]:
    """How far each of so many pixels in a row is from the nearer end, from 0.5."""
    place = np.arange(length) + 0.5
    return np.minimum(place, length - place)
