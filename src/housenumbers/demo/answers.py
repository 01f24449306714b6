"""What the page tells: which runs there are, and what a model makes of an image."""

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from housenumbers.data import glyphs, render
from housenumbers.evaluation.occlusion import occlusion, overlay_importance
from housenumbers.evaluation.trained_model import TrainedModel, checkpoint_path, load_trained_model
from housenumbers.prediction.predict_files import predict_images
from housenumbers.reports.page import png
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_index import all_runs, caption

# A key of the generator's that no run trains or is tested on, and crops that a person reads at once.
_EXAMPLES, _DIFFICULTY = (0, 2), 0.4


class Models:
    """The models that the page offers. `first` is a run's folder or a checkpoint, the one that is selected first.

    Trials of sweeps, which may be many, are offered if `trials`.
    """

    def __init__(self, first: Path, overrides: Sequence[str], trials: bool = False) -> None:
        self._first = first
        self._trials = trials
        self._overrides = overrides
        self._load = lru_cache(maxsize=4)(self._load_version)
        self._offered: set[str] = set()
        self.load(next(iter(self.choices())))

    def choices(self) -> dict[str, str]:
        """The captions of all runs that have a best checkpoint by now, by their folders, the first one first."""
        saved = {run["folder"]: run for run in all_runs() if checkpoint_path(Path(run["folder"])).exists()}
        first = next((folder for folder in saved if Path(folder).resolve() == self._first.resolve()), str(self._first))
        offered = {folder: caption(run) for folder, run in saved.items() if self._trials or not run.get("trial")}
        choices = {first: caption(saved[first]) if first in saved else str(self._first)} | offered
        self._offered |= set(choices)
        return choices

    def load(self, run: str) -> TrainedModel:
        """The model of a run that was offered. Raises UserError for another, and for a checkpoint gone or damaged."""
        if run not in self._offered:
            raise UserError(f"{run}: no saved run: load this page again")
        file = checkpoint_path(Path(run))
        return self._load(file, file.stat().st_mtime_ns if file.exists() else 0)

    def _load_version(self, file: Path, _: int) -> TrainedModel:
        return load_trained_model(file, self._overrides)


def answer_image(trained: TrainedModel, image: Tensor) -> dict[str, Any]:
    """What the model makes of an image, uint8 `[3, 32, 32]`: what predict.py tells, and where the model looks."""
    (prediction,) = predict_images([""], image[None], trained)
    maps, _ = occlusion(trained.logits, image[None], torch.tensor([prediction.label]))
    return {
        "label": prediction.label,
        "probabilities": prediction.probabilities,
        "image": png(image),
        "attention": png(overlay_importance(image, maps[0])),
        "about": trained.about_temperature,
    }


@cache
def examples() -> list[str]:
    """A rendered crop of each digit, as data URLs."""
    fonts = glyphs.load_fonts(glyphs.font_files("matplotlib"))
    crops = torch.from_numpy(render.render_many(_EXAMPLES, _DIFFICULTY, fonts, range(10)))
    return [png(crop) for crop in crops.permute(0, 3, 1, 2)]
