"""Labels and probabilities of image files, batch by batch."""

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from housenumbers.data.folder import error_reason, read_image
from housenumbers.evaluation.trained_model import TrainedModel
from housenumbers.metrics import CLASSES

FORMATS = ("table", "jsonl", "csv")
_BATCH = 500
_DIGITS = 6  # of a probability, behind the point


class Prediction(NamedTuple):
    """What the model makes of one file."""

    file: str
    label: int
    confidence: float  # the probability of the label
    probabilities: list[float]  # of each label; calibrated, if the model is


def predict_files(
    trained: TrainedModel, files: Iterable[Path], on_unreadable: Callable[[Path, str], None]
) -> Iterator[Prediction]:
    """A prediction for each file that can be read, in their order. The others and why go to `on_unreadable`."""
    remaining = iter(files)
    while batch := list(islice(remaining, _BATCH)):
        if read := _readable(batch, on_unreadable):
            paths, images = zip(*read, strict=True)
            yield from predict_images(list(map(str, paths)), torch.stack(images), trained)


def format_predictions(predictions: Iterable[Prediction], form: str) -> Iterator[str]:
    """The predictions as lines of a table for people, of JSON, or of CSV; all but JSON begin with a header."""
    labels = range(CLASSES)
    if form == "table":
        yield "label  confidence  " + "  ".join(f"{label:>5}" for label in labels) + "  file"
        for each in predictions:
            percents = "  ".join(f"{probability:5.1%}" for probability in each.probabilities)
            yield f"{each.label:>5}  {each.confidence:>10.1%}  {percents}  {each.file}"
    elif form == "jsonl":
        for each in predictions:
            yield json.dumps(each._asdict())
    else:
        yield _csv_line(["file", "label", "confidence", *(f"p{label}" for label in labels)])
        for each in predictions:
            yield _csv_line([each.file, each.label, each.confidence, *each.probabilities])


def predict_images(names: Sequence[str], images: Tensor, trained: TrainedModel) -> Iterator[Prediction]:
    """What the model makes of images, uint8 `[N, 3, 32, 32]`, that have these names."""
    of_all = trained.logits(images).softmax(dim=1).double()
    for name, row, label in zip(names, of_all.tolist(), of_all.argmax(dim=1).tolist(), strict=True):
        rounded = [round(probability, _DIGITS) for probability in row]
        yield Prediction(name, label, rounded[label], rounded)


def _readable(paths: list[Path], on_unreadable: Callable[[Path, str], None]) -> list[tuple[Path, Tensor]]:
    """The files that can be read, with their images.

    Not in threads: they wait for each other's interpreter lock so long that small images come at half the rate.
    """
    read = []
    with warnings.catch_warnings(action="ignore"):  # Pillow warns of odd files
        for path in paths:
            try:
                read.append((path, read_image(path)))
            except Exception as error:  # whatever Pillow's many parsers meet in damaged bytes
                on_unreadable(path, error_reason(error))
    return read


def _csv_line(values: list[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
