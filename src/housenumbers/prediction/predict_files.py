"""Labels and probabilities of image files, batch by batch."""

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from housenumbers.data.folder import error_reason, read_image
from housenumbers.evaluation.trained_model import TrainedModel
from housenumbers.metrics.classes import CLASSES

Image = TypeVar("Image")

_BATCH = 500
_DECIMALS = 6  # decimal places of a probability


class Prediction(NamedTuple):
    """The model's prediction for one file."""

    file: str
    label: int
    confidence: float  # the probability of the label
    probabilities: list[float]  # of each label; calibrated, if the model is


def predict_files(
    trained: TrainedModel, files: Iterable[Path], on_unreadable: Callable[[Path, str], None], all_views: bool = False
) -> Iterator[Prediction]:
    """A prediction for each readable file, in their order. Calls `on_unreadable` with the others and the reason."""
    for batch in readable_batches(files, read_image, on_unreadable):
        paths, images = zip(*batch, strict=True)
        yield from predict_images(list(map(str, paths)), torch.stack(images), trained, all_views)


def format_predictions(predictions: Iterable[Prediction], form: str) -> Iterator[str]:
    """The predictions as lines of a table, of JSON, or of CSV. All but JSON start with a header."""
    labels = range(CLASSES)
    if form == "table":
        yield "label  confidence  " + "  ".join(f"{label:>5}" for label in labels) + "  file"
        for prediction in predictions:
            percents = "  ".join(f"{probability:5.1%}" for probability in prediction.probabilities)
            yield f"{prediction.label:>5}  {prediction.confidence:>10.1%}  {percents}  {prediction.file}"
    elif form == "jsonl":
        for prediction in predictions:
            yield json.dumps(prediction._asdict())
    else:
        yield csv_line(["file", "label", "confidence", *(f"p{label}" for label in labels)])
        for prediction in predictions:
            yield csv_line([prediction.file, prediction.label, prediction.confidence, *prediction.probabilities])


def predict_images(
    names: Sequence[str], images: Tensor, trained: TrainedModel, all_views: bool = False
) -> Iterator[Prediction]:
    """The predictions for images, uint8 `[N, 3, 32, 32]`, with these names."""
    probabilities = trained.logits(images, may_be_dark=True, all_views=all_views).softmax(dim=1).double()
    for name, row, label in zip(names, probabilities.tolist(), probabilities.argmax(dim=1).tolist(), strict=True):
        probabilities_of_image = [rounded(probability) for probability in row]
        yield Prediction(name, label, probabilities_of_image[label], probabilities_of_image)


def rounded(probability: float) -> float:
    """A probability as predictions and readings have it."""
    return round(probability, _DECIMALS)


def readable_batches(
    files: Iterable[Path],
    read: Callable[[Path], Image],
    on_unreadable: Callable[[Path, str], None],
    batch_size: int = _BATCH,
) -> Iterator[list[tuple[Path, Image]]]:
    """The readable files, with their images as `read` returns them. Calls `on_unreadable` with the others and why.

    Not in threads: they wait for the interpreter lock, which halves the rate for small images.
    """
    remaining = iter(files)
    while paths := list(islice(remaining, batch_size)):
        images = []
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of odd files
            for path in paths:
                try:
                    images.append((path, read(path)))
                except Exception as error:  # Pillow's parsers raise many types for damaged bytes
                    on_unreadable(path, error_reason(error))
        if images:
            yield images


def csv_line(values: Sequence[object]) -> str:
    """A line of CSV, without its end."""
    line = io.StringIO()
    csv.writer(line).writerow(values)  # it quotes line breaks only where they occur in its own
    return line.getvalue().removesuffix("\r\n")
