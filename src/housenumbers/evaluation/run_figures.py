"""The image files of a run: `figures/` in its folder. Imports matplotlib, which takes half a second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from housenumbers.evaluation import figures
from housenumbers.runtime.files import write_atomically


def save_curves(folder: Path, history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> None:
    """Writes loss.png and, with a validation part, accuracy.png into `folder`."""
    _save(folder, "loss", figures.loss_curves(history, best_epoch))
    if best_epoch is not None:
        _save(folder, "accuracy", figures.accuracy_curve(history, best_epoch))


def save_predictions(
    folder: Path, part: str, scores: Mapping[str, Any], images: Tensor, labels: Tensor, calibrated_logits: Tensor
) -> None:
    """Writes confusion_PART.png and predictions_PART.png into `folder`.

    `scores` are `classification_scores`, `images` are `[N, 3, H, W]` on the CPU, the logits `[N, 10]`.
    """
    _save(folder, f"confusion_{part}", figures.confusion_matrix(scores, part.capitalize()))
    _save(folder, f"predictions_{part}", figures.sample_predictions(images, labels, calibrated_logits))


def _save(folder: Path, name: str, figure: Figure) -> None:
    write_atomically(folder / f"{name}.png", lambda file: figure.savefig(file, format="png", dpi=120))
