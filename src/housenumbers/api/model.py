"""A trained model that labels images, or reads numbers in them, in Python."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from housenumbers.api.arguments import (
    as_device,
    as_path_or_name,
    as_threads,
    check_choice,
    check_flag,
    check_probability,
)
from housenumbers.api.images import Images, prepare_batches
from housenumbers.config.schema import TrainConfig
from housenumbers.data.folder import read_image, square_image
from housenumbers.data.number_image import fit_reader, read_number_image
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.prediction.find_numbers import as_photo, find_number, read_photo
from housenumbers.prediction.image_command import MIN_CONFIDENCE, Precision
from housenumbers.prediction.predict_files import Prediction, predict_images
from housenumbers.prediction.read_numbers import Reading, read_images
from housenumbers.pretrained import DIGITS
from housenumbers.runtime.errors import UserError, os_errors_as_user_errors
from housenumbers.tracking.run_selection import find_run, is_run
from housenumbers.training.reproducibility import float32_by_default


@os_errors_as_user_errors()
def load_model(
    run: str | Path = DIGITS,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision = "float32",
) -> "Model":
    """A trained model: "pretrained_digits" or "pretrained_numbers", which come with the code; a run's folder, its name,
    "last" or "best", as for `run=` of the commands; or a checkpoint.

    `device` ("auto", "cpu", "cuda", "cuda:N" or "mps") and `threads` (of PyTorch, for the whole process; 1 or more)
    replace those that the run was trained with. With `precision="bfloat16"` the model computes in bfloat16 where the
    device has instructions for it, else in float32: sooner, with slightly other probabilities.

    Raises UserError where there is no such model, its file is damaged, or this machine has no such device, and
    InputError where an argument is not as described.
    """
    wanted = as_path_or_name("run", run, "a model that comes with the code, a run's folder or name, or a checkpoint")
    given = {"device": as_device(device), "threads": as_threads(threads)}
    check_choice("precision", precision, get_args(Precision))
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None]
    path = find_run(wanted).path
    if path.is_dir() and not is_run(path):
        raise UserError(f"{path}: not a run's folder: it has no run.json")
    with float32_by_default():
        return Model(load_trained_model(path, overrides, precision == "bfloat16"))


class Model:
    """A trained model: `load_model` makes one. It labels single digits, or reads whole numbers."""

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained

    @property
    def config(self) -> TrainConfig:
        """The configuration that it was trained with."""
        return self._trained.config

    @property
    def file(self) -> Path:
        """Its checkpoint."""
        return self._trained.file

    @property
    def reads_numbers(self) -> bool:
        """Whether it reads whole numbers (`read`) instead of single digits (`label`)."""
        return self.config.data.has_numbers

    def label(self, images: Images, all_views: bool = False) -> list[Prediction]:
        """The digit in each image, with its calibrated probability and that of all ten digits, as predict.py prints it.

        `images` is one image or several, such as a list or a generator: uint8 arrays `[H, W, 3]` in RGB (of NumPy or
        torch), Pillow's images, paths of files, or files opened in binary mode; or one uint8 array `[N, H, W, 3]`.
        They may differ in size: each is scaled to 32 x 32 pixels. With test-time augmentation, further views are used
        only where they could change the label, or `all_views`, as for a run's scores.

        Raises InputError for anything else, or a file that cannot be read, and UserError where the model reads whole
        numbers.
        """
        self._trained.check_reads_numbers(False, "call read, or load a model of single digits")
        check_flag("all_views", all_views)
        found: list[Prediction] = []
        for names, squares in prepare_batches(images, read_image, square_image):
            found += predict_images(names, torch.stack(squares), self._trained, all_views)
        return found

    def read(self, images: Images, min_confidence: float = MIN_CONFIDENCE, find: bool = False) -> list[Reading]:
        """The whole number in each image, its calibrated probability and that of each digit, as read.py prints it.

        `images` are as in `label`. An image should show the number and little else. It is scaled to a height of 32
        pixels. With `find` an image may be a larger photo, in which the model looks for the number. The box is its
        place there: left, top, width and height in pixels. The number is empty where there is none, or where its
        confidence is below `min_confidence` (0 to 1); the confidence is then that of the most probable number.

        Raises InputError for anything else, or a file that cannot be read, and UserError where the model labels digits.
        """
        self._trained.check_reads_numbers(True, "call label, or load a model of whole numbers")
        check_probability("min_confidence", min_confidence)
        check_flag("find", find)
        return [
            reading.with_min_confidence(min_confidence)._replace(file=name)
            for names, readings in (self._find(images) if find else self._read(images))
            for name, reading in zip(names, readings, strict=True)
        ]

    def _read(self, images: Images) -> Iterator[tuple[list[str], list[Reading]]]:
        width = self.config.data.width
        from_file = partial(read_number_image, width=width)
        for names, fitted in prepare_batches(images, from_file, lambda image: fit_reader(np.asarray(image), width)):
            yield names, read_images(self._trained, fitted)

    def _find(self, images: Images) -> Iterator[tuple[list[str], list[Reading]]]:
        batches = prepare_batches(images, read_photo, lambda image: as_photo(image, image.size), batch_size=1)
        for names, photos in batches:  # one at a time: photos are large
            yield names, [find_number(self._trained, photo) for photo in photos]

    def logits(self, images: Tensor) -> Tensor:
        """The logits whose softmax is the calibrated probabilities, for images that are prepared already.

        A model of digits maps uint8 `[N, 3, 32, 32]` to `[N, 10]`, a reader of numbers maps uint8 `[N, 3, 32, W]` to
        `[N, T, 11]`, for CTC, as in `metrics.numbers`. Raises InputError where the images are no such tensor.
        """
        return self._trained.logits(images)

    def __repr__(self) -> str:
        what = "whole numbers" if self.reads_numbers else "single digits"
        return f"<Model of {what}: {self.config.model.name}, {self._trained.parameters:,} parameters, {self.file}>"
