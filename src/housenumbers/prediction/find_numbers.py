"""Finds the house number in a photo: reads bands of it at several scales, and takes the number that most agree on.

The reader sometimes reads digits in window bars and leaves, with a high confidence. But it reads a real number in most
of the bands around it, and the same one each time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from housenumbers.data.folder import check_sums, upright_rgb
from housenumbers.data.number_image import HEIGHT, fit_canvas
from housenumbers.evaluation.trained_model import TrainedModel
from housenumbers.metrics.numbers import BLANK, as_strings, digit_confidences, number_confidence, read_numbers
from housenumbers.metrics.tasks import probability_of
from housenumbers.prediction.predict_files import readable_batches, rounded
from housenumbers.prediction.read_numbers import Reading
from housenumbers.runtime.files import open_file

_MAX_PIXELS = 640 * 480  # pixels of a photo: larger ones are shrunk
_MIN_BAND_HEIGHT = 22  # pixels of the shrunk photo: the height of the lowest bands, for digits of 16 pixels or more
_MIN_PHOTO_HEIGHT = 8  # pixels: no digits are read in lower photos
_BAND_RATIO = 2**0.5  # from one band's height to the next
_MAX_HEIGHT_TO_WIDTH = 2  # times as high as wide: narrower bands show no number
_STRIDE = 8  # pixels between bands, which are 32 high
_TILE_WIDTH, _TILE_OVERLAP = 1024, 256  # pixels: wider bands are cut into tiles
_MAX_COLUMNS = 8192  # columns of bands that go through the network together
_MAX_GAP = 6  # places without a digit between two numbers
_CONTEXT = 2  # places on both sides that a number is read with
_MIN_VOTING_CONFIDENCE = 0.3  # of a reading that counts
_SAME_MIN_IOU = 0.3  # the least IoU of two boxes of one number
_APART_MAX_IOU = 0.05  # the largest IoU of two numbers that both may be in the photo
# The extent of the digits in the box of a detection, as means over rendered scenes, in heights of the band: their
# height, and their parts to the left of the first place with a digit and to the right of the last one.
_DIGIT_HEIGHT, _LEFT_MARGIN, _RIGHT_MARGIN = 0.65, 0.16, 0.07
_MAX_CANDIDATES = 12  # candidates that are cropped and read again
_CROPS = [(height, shift) for height in (1.1, 1.3, 1.55) for shift in (-0.1, 0.1)]  # in heights of the digits
_CROP_MARGIN = 0.2  # of a crop, on both sides, in heights of the digits
_VOTES_FOR_NONE = 2.0  # votes for no number: with them the confidence is calibrated on rendered scenes
_MIN_REPORTED_CONFIDENCE = 0.5  # a number that is less probable than none is not reported


class Box(NamedTuple):
    """A rectangle of a photo, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


class Detection(NamedTuple):
    """A number that was read in a band of a photo."""

    number: str
    confidence: float
    box: Box  # of the band, from the first to the last place with a digit


class Candidate(NamedTuple):
    """A number that several bands show in one place: their detections, merged."""

    number: str
    votes: float  # the sum of the confidences, times the square of the number of digits
    box: Box  # of the digits


class Photo(NamedTuple):
    """A photo, upright and not too large."""

    pixels: NDArray[np.uint8]  # [H, W, 3]
    scale: tuple[float, float]  # along the width and the height: pixels of the file per pixel here


def read_photo(file: Path | IO[bytes]) -> Photo:
    """An image file as a photo. Raises Pillow's errors where it cannot be read."""
    with open_file(file) if isinstance(file, Path) else nullcontext(file) as stream:
        check_sums(stream)
        image = upright_rgb(stream, least=640)
        stream.seek(0)
        with Image.open(stream) as opened:
            sides = opened.size
    return as_photo(image, sides)


def as_photo(image: Image.Image, sides: tuple[int, int]) -> Photo:
    """An upright RGB image as a photo. `sides` are the width and height of the file, which boxes refer to."""
    if (sides[0] < sides[1]) != (image.width < image.height):
        sides = sides[::-1]  # it was turned
    shrink = min(1.0, (_MAX_PIXELS / (image.width * image.height)) ** 0.5)
    size = tuple(max(1, round(side * shrink)) for side in image.size)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return Photo(np.asarray(image), (sides[0] / size[0], sides[1] / size[1]))


def find_files(
    trained: TrainedModel, files: Iterable[Path], on_unreadable: Callable[[Path, str], None], min_confidence: float
) -> Iterator[Reading]:
    """As `read_numbers.read_files`, for larger photos, one at a time: a reading of a number has its box."""
    for ((path, photo),) in readable_batches(files, read_photo, on_unreadable, batch_size=1):
        yield find_number(trained, photo).with_min_confidence(min_confidence)._replace(file=str(path))


def find_number(trained: TrainedModel, photo: Photo) -> Reading:
    """The number that a photo shows, and its box in the file's pixels.

    The confidence is the mean probability of the number in several crops around it, times its share of the votes. The
    other votes are for the best candidate elsewhere, and for no number. Where the confidence is below one
    half, the number is empty, without a box.
    """
    found = candidates(detect(trained, photo.pixels))[:_MAX_CANDIDATES]
    if not found:
        return Reading("", "", 0.0, [])
    crops = [_crops(photo.pixels, candidate.box, trained.config.data.width) for candidate in found]
    logits = trained.logits(torch.cat(crops), may_be_dark=True).unflatten(0, (len(found), len(_CROPS)))
    numbers = [torch.tensor([[int(digit) for digit in candidate.number]] * len(_CROPS)) for candidate in found]
    probable = [probability_of(of_one, number) for of_one, number in zip(logits, numbers, strict=True)]
    scores = [candidate.votes * float(each.mean()) for candidate, each in zip(found, probable, strict=True)]
    best = int(np.argmax(scores))
    box = found[best].box
    apart = [score for score, candidate in zip(scores, found, strict=True) if iou(candidate.box, box) < _APART_MAX_IOU]
    rival = max(apart, default=0)
    share = scores[best] / (scores[best] + rival + _VOTES_FOR_NONE)
    confidence = rounded(share * float(probable[best].mean()))
    if confidence < _MIN_REPORTED_CONFIDENCE:
        return Reading("", "", confidence, [])
    crop = int(probable[best].argmax())
    surest = slice(crop, crop + 1)
    (digits,) = digit_confidences(logits[best][surest], numbers[best][surest])
    return Reading("", found[best].number, confidence, [rounded(value) for value in digits], _file_box(box, photo))


def _crops(pixels: NDArray[np.uint8], box: Box, width: int) -> Tensor:
    """Crops around the digits, shifted up and down, of several sizes: `[N, 3, 32, width]`."""
    height, middle = box.bottom - box.top, (box.top + box.bottom) / 2
    crops = []
    for size, shift in _CROPS:
        rows = _clipped_slice(
            middle + (shift - size / 2) * height, middle + (shift + size / 2) * height, pixels.shape[0]
        )
        columns = _clipped_slice(box.left - _CROP_MARGIN * height, box.right + _CROP_MARGIN * height, pixels.shape[1])
        crops.append(fit_canvas(pixels[rows, columns], width))
    return torch.stack(crops)


def _clipped_slice(begin: float, end: float, length: int) -> slice:
    first = min(max(0, round(begin)), length - 1)
    return slice(first, max(first + 1, min(length, round(end))))


def _file_box(box: Box, photo: Photo) -> tuple[int, int, int, int]:
    """Left, top, width and height in the file's pixels."""
    height, width = photo.pixels.shape[:2]
    rows, columns = _clipped_slice(box.top, box.bottom, height), _clipped_slice(box.left, box.right, width)
    left, right = (round(side * photo.scale[0]) for side in (columns.start, columns.stop))
    top, bottom = (round(side * photo.scale[1]) for side in (rows.start, rows.stop))
    return left, top, right - left, bottom - top


def part_of(photo: Photo, reading: Reading) -> NDArray[np.uint8]:
    """The pixels about a number's box, uint8 `[H, W, 3]`: all, where it has none."""
    if reading.box is None:
        return photo.pixels
    left, top, width, height = (round(side / photo.scale[place % 2]) for place, side in enumerate(reading.box))
    border = round(_CROP_MARGIN * height)
    rows = _clipped_slice(top - border, top + height + border, photo.pixels.shape[0])
    return photo.pixels[rows, _clipped_slice(left - border, left + width + border, photo.pixels.shape[1])]


def detect(trained: TrainedModel, pixels: NDArray[np.uint8]) -> list[Detection]:
    """All numbers that are read in bands of the photo, uint8 `[H, W, 3]`, at several scales."""
    return [one for band in band_heights(*pixels.shape[:2]) for one in _detect_at_scale(trained, pixels, HEIGHT / band)]


def band_heights(height: int, width: int) -> list[float]:
    """The heights of bands to read, in pixels of a photo. The highest one is the photo's, unless that is narrow."""
    heights: list[float] = []
    band, highest = float(min(_MIN_BAND_HEIGHT, height)), min(height, _MAX_HEIGHT_TO_WIDTH * width)
    while _MIN_PHOTO_HEIGHT <= band < highest:
        heights.append(band)
        band *= _BAND_RATIO
    return [*heights, float(highest)] if highest >= _MIN_PHOTO_HEIGHT else []


def _detect_at_scale(trained: TrainedModel, pixels: NDArray[np.uint8], scale: float) -> Iterator[Detection]:
    size = max(4, round(pixels.shape[1] * scale)), max(HEIGHT, round(pixels.shape[0] * scale))
    scaled = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    image = torch.from_numpy(np.array(scaled)).permute(2, 0, 1)
    to_photo = pixels.shape[1] / size[0], pixels.shape[0] / size[1]
    tops = _starts(size[1], HEIGHT, _STRIDE)
    for left in _starts(size[0], _TILE_WIDTH, _TILE_WIDTH - _TILE_OVERLAP):
        tile = image[:, :, left : left + _TILE_WIDTH]
        many = max(1, _MAX_COLUMNS // tile.shape[2])
        for first in range(0, len(tops), many):
            chosen = tops[first : first + many]
            logits = trained.logits(torch.stack([tile[:, top : top + HEIGHT] for top in chosen]), may_be_dark=True)
            step = tile.shape[2] / logits.shape[1]  # pixels of a place
            for row, begin, end, number, confidence in _split_numbers(logits):
                box = left + begin * step, chosen[row], left + end * step, chosen[row] + HEIGHT
                yield Detection(number, confidence, Box(*(a * b for a, b in zip(box, to_photo * 2, strict=True))))


def _starts(length: int, window: int, step: int) -> list[int]:
    """The beginnings of windows that cover the length, the last one at its end."""
    last = max(0, length - window)
    return [*range(0, last, step), last]


def _split_numbers(logits: Tensor) -> list[tuple[int, int, int, str, float]]:
    """For each number in bands `[N, T, 11]`: the band, the first place, the place after the last, number, confidence.

    Digits far from each other belong to different numbers.
    """
    rows, places = (logits.argmax(dim=2) != BLANK).nonzero(as_tuple=True)
    if not len(rows):
        return []
    begins = torch.ones(len(rows), dtype=torch.bool)
    begins[1:] = (rows[1:] != rows[:-1]) | (places[1:] - places[:-1] > _MAX_GAP + 1)
    first = begins.nonzero()[:, 0]
    last = torch.cat([first[1:] - 1, torch.tensor([len(rows) - 1])])
    spans = list(zip(rows[first].tolist(), places[first].tolist(), (places[last] + 1).tolist(), strict=True))
    pieces = [logits[row, max(0, begin - _CONTEXT) : end + _CONTEXT] for row, begin, end in spans]
    surely_blank = F.one_hot(torch.tensor(BLANK), logits.shape[2]).float() * 100
    padded = surely_blank.repeat(len(pieces), max(map(len, pieces)), 1)
    for place, piece in enumerate(pieces):
        padded[place, : len(piece)] = piece
    numbers = read_numbers(padded)
    confidence = number_confidence(padded, numbers).tolist()
    return [(*span, number, value) for span, number, value in zip(spans, as_strings(numbers), confidence, strict=True)]


def candidates(found: Sequence[Detection]) -> list[Candidate]:
    """The numbers that detections agree on, the most votes first. A box is a mean, weighted by confidence."""
    remaining = sorted(
        (one for one in found if one.confidence >= _MIN_VOTING_CONFIDENCE), key=lambda one: -one.confidence
    )
    agreed: list[Candidate] = []
    while remaining:
        surest = remaining[0]
        same = [one for one in remaining if one.number == surest.number and iou(one.box, surest.box) > _SAME_MIN_IOU]
        remaining = [one for one in remaining if one not in same]
        weights = np.array([one.confidence for one in same])
        band = Box(*map(float, np.average([one.box for one in same], axis=0, weights=weights)))
        agreed.append(Candidate(surest.number, float(weights.sum()) * len(surest.number) ** 2, _digit_box(band)))
    return sorted(agreed, key=lambda one: -one.votes)


def _digit_box(band: Box) -> Box:
    height, middle = band.bottom - band.top, (band.top + band.bottom) / 2
    half = _DIGIT_HEIGHT / 2 * height
    return Box(band.left - _LEFT_MARGIN * height, middle - half, band.right + _RIGHT_MARGIN * height, middle + half)


def iou(one: Box, other: Box) -> float:
    """Intersection over union: the common part of two boxes, as a share of their union."""
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(0.0, wide) * max(0.0, high)
    sizes = [(box.right - box.left) * (box.bottom - box.top) for box in (one, other)]
    return common / (sum(sizes) - common)
