"""Reads whole numbers from image files, batch by batch."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from housenumbers.data.number_image import read_number_image, scaled_view
from housenumbers.evaluation.trained_model import TrainedModel
from housenumbers.metrics.numbers import (
    MAX_DIGITS,
    as_strings,
    confidence_with_digits,
    digit_confidences,
    number_confidence,
    number_lengths,
    pooled_numbers,
    read_numbers,
)
from housenumbers.prediction.predict_files import csv_line, readable_batches, rounded

_NETWORK_BATCH = 100  # images that go through the network at once
_SURE = 0.85  # an image whose number is more probable is not read again
_FURTHER_SCALES = (0.7, 0.8, 1.12, 1.25)  # of a second reading: people cut their photos more or less closely
_BOX = ("left", "top", "width", "height")


class Reading(NamedTuple):
    """The number that the model reads in one file."""

    file: str
    number: str  # empty where there is none, or its confidence is too low
    confidence: float  # the probability of this number; where it is empty, of the most probable one
    digits: list[float]  # the probability of each digit
    box: tuple[int, int, int, int] | None = None  # left, top, width and height in the photo, where it was looked for

    def with_min_confidence(self, least: float) -> "Reading":
        """This reading, without the number where its confidence is below `least`."""
        return self if self.confidence >= least else self._replace(number="", digits=[], box=None)


def read_files(
    trained: TrainedModel, files: Iterable[Path], on_unreadable: Callable[[Path, str], None], min_confidence: float
) -> Iterator[Reading]:
    """A reading for each readable file, in their order. Calls `on_unreadable` with the others and the reason.

    A number whose confidence is below `min_confidence` is left empty, and keeps its confidence.
    """
    read = partial(read_number_image, width=trained.config.data.width)
    for batch in readable_batches(files, read, on_unreadable):
        readings = read_images(trained, [image for _, image in batch])
        for (path, _), reading in zip(batch, readings, strict=True):
            yield reading.with_min_confidence(min_confidence)._replace(file=str(path))


def read_images(trained: TrainedModel, images: Sequence[Tensor]) -> list[Reading]:
    """A reading for each image, uint8 `[3, 32, W]`, W >= 4. Images of one width go through the network together.

    An image is read the same, whichever others there are, but for rounding. It is read as it is and, where the most
    probable number is not very probable, again: with all the views of test-time augmentation, and at four further
    scales in one view each, of which two have light and dark swapped if the model's views have that. The confidence
    then is the mean probability of the number over the five scales.
    """
    readings: dict[int, Reading] = {}
    for places, batch in _batches(images, range(len(images))):
        logits = trained.logits(batch, may_be_dark=True, single_view=True)
        numbers = read_numbers(logits)
        confidences = number_confidence(logits, numbers)
        sure = (confidences > _SURE).nonzero()[:, 0]
        found = _readings(logits[sure], numbers[sure], confidences[sure])
        readings |= zip([places[row] for row in sure.tolist()], found, strict=True)
    for places, batch in _batches(images, [place for place in range(len(images)) if place not in readings]):
        readings |= zip(places, _read_at_scales(trained, batch), strict=True)
    return [readings[place] for place in range(len(images))]


def _batches(images: Sequence[Tensor], places: Iterable[int]) -> Iterator[tuple[list[int], Tensor]]:
    """The `places` in batches whose images have one width, and these images."""
    by_width: dict[int, list[int]] = defaultdict(list)
    for place in places:
        by_width[images[place].shape[2]].append(place)
    for same_width in by_width.values():
        for first in range(0, len(same_width), _NETWORK_BATCH):
            chosen = same_width[first : first + _NETWORK_BATCH]
            yield chosen, torch.stack([images[place] for place in chosen])


def _read_at_scales(trained: TrainedModel, images: Tensor) -> Iterator[Reading]:
    scales = [trained.logits(images, may_be_dark=True)]
    for place, factor in enumerate(_FURTHER_SCALES):
        view = scaled_view(images, factor)
        is_inverted = trained.config.tta_invert and place % 2 == 0
        scales.append(trained.logits(255 - view if is_inverted else view, may_be_dark=True, single_view=True))
    numbers, confidences, best_scales = pooled_numbers(scales)
    for place, best in enumerate(best_scales.tolist()):
        image = slice(place, place + 1)
        yield from _readings(scales[best][image], numbers[image], confidences[image])


def _readings(logits: Tensor, numbers: Tensor, confidences: Tensor) -> list[Reading]:
    empty = (number_lengths(numbers) == 0).nonzero()[:, 0]
    confidences = confidences.clone()
    if len(empty):
        confidences[empty] = confidence_with_digits(logits[empty])
    rows = zip(as_strings(numbers), confidences.tolist(), digit_confidences(logits, numbers), strict=True)
    return [Reading("", number, rounded(sure), [rounded(value) for value in digits]) for number, sure, digits in rows]


def format_readings(readings: Iterable[Reading], form: str, with_box: bool = False) -> Iterator[str]:
    """The readings as lines of a table, of JSON, or of CSV. All but JSON start with a header."""
    lines = {"table": _table, "jsonl": _jsonl, "csv": _csv}[form]
    return lines(readings, with_box)


def _table(readings: Iterable[Reading], with_box: bool) -> Iterator[str]:
    box = f"{'left, top, width, height':<26}" if with_box else ""
    yield f"number  confidence  of each digit                     {box}file"
    for reading in readings:
        digits = "  ".join(f"{value:.0%}" for value in reading.digits)
        box = f"{', '.join(map(str, reading.box or ['-'])):<26}" if with_box else ""
        yield f"{reading.number or '-':>6}  {reading.confidence:>10.1%}  {digits:<33} {box}{reading.file}"


def _jsonl(readings: Iterable[Reading], with_box: bool) -> Iterator[str]:
    for reading in readings:
        fields = reading._asdict()
        if not with_box:
            del fields["box"]
        yield json.dumps(fields)


def _csv(readings: Iterable[Reading], with_box: bool) -> Iterator[str]:
    digits = [f"digit{place}" for place in range(1, MAX_DIGITS + 1)]
    yield csv_line(["file", "number", "confidence", *digits, *(_BOX if with_box else [])])
    for reading in readings:
        of_digits = [*reading.digits, *[""] * MAX_DIGITS][:MAX_DIGITS]
        box = (reading.box or [""] * len(_BOX)) if with_box else []
        yield csv_line([reading.file, reading.number, reading.confidence, *of_digits, *box])
