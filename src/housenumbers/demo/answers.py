"""The data of the page: the list of runs, and a model's prediction for an image."""

from collections.abc import Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from housenumbers.data import glyphs, render, render_number
from housenumbers.data.folder import read_image
from housenumbers.data.number_image import fit_reader, read_number_image
from housenumbers.demo.image_input import decode_drawing, decode_image
from housenumbers.evaluation.occlusion import occlusion, overlay_importance
from housenumbers.evaluation.trained_model import TrainedModel, checkpoint_path, load_trained_model
from housenumbers.metrics.numbers import as_strings
from housenumbers.prediction.find_numbers import find_number, part_of, read_photo
from housenumbers.prediction.image_command import MIN_CONFIDENCE
from housenumbers.prediction.predict_files import predict_images
from housenumbers.prediction.read_numbers import Reading, read_images
from housenumbers.pretrained import MODELS
from housenumbers.reports.page import png
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_list import all_runs, caption

# A generator key that no run uses for training or test, and a difficulty that is easy for people.
_EXAMPLES, _DIFFICULTY = (0, 2), 0.4
_COUNT = 10
_MAX_CROP_HEIGHT = 64  # pixels: a lower image is a cut number, in which none has to be looked for
_PRETRAINED = {str(model.file): f"{name}: {model.reads}, comes with the code" for name, model in MODELS.items()}


class Models:
    """The models that the page offers: those that come with the code, and all runs.

    `first` is the run's folder or checkpoint that is selected initially.

    Trials of sweeps are offered only with `trials`.
    """

    def __init__(self, first: Path, overrides: Sequence[str], trials: bool = False) -> None:
        self._first = first
        self._trials = trials
        # The second argument, the file's time of change, makes a changed file another one.
        self._load = lru_cache(maxsize=4)(lambda file, _: load_trained_model(file, overrides))
        self._offered: set[str] = set()
        self.load(next(iter(self.choices())))

    def choices(self) -> dict[str, str]:
        """The captions of all models, with the initially selected one first, then those that come with the code.

        The others are all runs with a best checkpoint, by folder.
        """
        runs = [run for run in all_runs() if checkpoint_path(Path(run["folder"])).exists()]
        captions = {run["folder"]: caption(run) for run in runs} | _PRETRAINED
        first = next((place for place in captions if Path(place).resolve() == self._first.resolve()), str(self._first))
        offered = [run["folder"] for run in runs if self._trials or not run.get("trial")]
        choices = {place: captions.get(place, place) for place in (first, *_PRETRAINED, *offered)}
        self._offered |= set(choices)
        return choices

    def load(self, run: str) -> TrainedModel:
        """The model of an offered run. Raises UserError for another run, or a missing or damaged checkpoint."""
        if run not in self._offered:
            raise UserError(f"{run}: no saved run: load this page again")
        file = checkpoint_path(Path(run))
        return self._load(file, file.stat().st_mtime_ns if file.exists() else 0)


def answer(trained: TrainedModel, content: bytes, drawn: bool) -> dict[str, Any]:
    """The prediction for the bytes of an image or a drawing. Raises UserError where they are not an image."""
    if not trained.config.data.has_numbers:
        image = decode_drawing(content, read_image, square=True) if drawn else decode_image(content, read_image)
        return answer_image(trained, image)
    width = trained.config.data.width
    read = partial(read_number_image, width=width)
    if drawn:
        image = decode_drawing(content, read, square=False)
        return _shown(trained, read_images(trained, [image])[0], image)
    image, photo = decode_image(content, read), decode_image(content, read_photo)
    (reading,) = read_images(trained, [image])
    if photo.pixels.shape[0] > _MAX_CROP_HEIGHT:
        found = find_number(trained, photo)
        if found.number and found.confidence > reading.confidence:
            return _shown(trained, found, fit_reader(part_of(photo, found), width))
    return _shown(trained, reading, image)


def _shown(trained: TrainedModel, reading: Reading, image: Tensor) -> dict[str, Any]:
    """The number that was read in an image, uint8 `[3, 32, W]`, as read.py reports it."""
    reading = reading.with_min_confidence(MIN_CONFIDENCE)
    return {
        "number": reading.number,
        "confidence": reading.confidence,
        "digits": reading.digits,
        "box": reading.box,
        "image": png(image),
        "about": trained.temperature_note,
    }


def answer_image(trained: TrainedModel, image: Tensor) -> dict[str, Any]:
    """The prediction for an image, uint8 `[3, 32, 32]`, as in predict.py, with an occlusion map."""
    (prediction,) = predict_images([""], image[None], trained)
    logits = partial(trained.logits, may_be_dark=True, all_views=True)
    maps, _ = occlusion(logits, image[None], torch.tensor([prediction.label]))
    return {
        "label": prediction.label,
        "probabilities": prediction.probabilities,
        "image": png(image),
        "attention": png(overlay_importance(image, maps[0])),
        "about": trained.temperature_note,
    }


def examples(trained: TrainedModel) -> list[dict[str, str]]:
    """Ten rendered images of the kind that the model reads, as data URLs, and what each shows."""
    return _rendered(trained.config.data.width if trained.config.data.has_numbers else 0)


@cache
def _rendered(width: int) -> list[dict[str, str]]:
    """Whole numbers in images of this width, or, where it is 0, a crop of each digit."""
    fonts = glyphs.load_fonts(glyphs.font_files("matplotlib"), glyphs.MARKS if width else "")
    if width:
        images, labels = render_number.render_numbers(_EXAMPLES, _DIFFICULTY, fonts, range(2 * _COUNT), width)
        shown = [(image, text) for image, text in zip(images, as_strings(labels), strict=True) if text][:_COUNT]
    else:
        crops = torch.from_numpy(render.render_many(_EXAMPLES, _DIFFICULTY, fonts, range(_COUNT)))
        shown = [(crop, str(label)) for label, crop in enumerate(crops.permute(0, 3, 1, 2))]
    return [{"image": png(image), "shows": text} for image, text in shown]
