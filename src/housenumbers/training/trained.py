"""A trained model, ready to be asked: from a run's folder, or from a checkpoint alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from housenumbers.config import TrainConfig, from_saved
from housenumbers.data.batches import plain_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.errors import UserError
from housenumbers.evaluation.inference import folded
from housenumbers.evaluation.metrics import predict
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import load_checkpoint, rebuild_model
from housenumbers.training.memory import keep_freed_memory
from housenumbers.training.repeatability import choose_device


@dataclass(frozen=True)
class Trained:
    """A model on `device`, made ready for prediction, and what its checkpoint says of it."""

    model: nn.Module
    config: TrainConfig
    device: torch.device
    file: Path
    content: dict[str, Any]  # the checkpoint's

    def predict(self, data: LabeledImages) -> tuple[Tensor, Tensor]:
        """Logits `[N, 10]` and labels `[N]`, on the CPU, as the run's final scores are computed.

        Raises UserError where they are not finite numbers.
        """
        batches = plain_batches(data.to(self.device))
        logits, labels = predict(self.model, batches, self.config.tta, self.config.tta_invert)
        if not logits.isfinite().all():
            raise UserError(f"{self.file}: gives no finite numbers: its training has diverged: use another one")
        return logits, labels

    def logits(self, images: Tensor) -> Tensor:
        """Logits `[N, 10]` of pictures `[N, 3, H, W]`, on the CPU, whose softmax is the calibrated probabilities."""
        return self.predict(LabeledImages(images, torch.zeros(len(images))))[0] / self.temperature

    @property
    def calibration(self) -> dict[str, float] | None:
        """What `evaluation.calibration.calibrate` gave; none where there was no validation part, or not yet."""
        return self.content.get("calibration")

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 where it was never fitted."""
        return 1.0 if self.calibration is None else float(self.calibration["temperature"])

    @property
    def about_temperature(self) -> str:
        """One line on what the probabilities are worth."""
        if self.calibration is None and self.config.data.val_fraction == 0:
            return f"{self.file}: temperature 1: not calibrated, for want of a validation part (data.val_fraction=0)"
        if self.calibration is None:
            return (
                f"{self.file}: temperature 1: not calibrated, for want of the run's end "
                "(python src/evaluate.py run=... split=validation calibrate=true)"
            )
        return f"{self.file}: temperature {self.temperature:.3f}, fitted on {self.calibration['n']:,} validation crops"

    @property
    def home(self) -> Path:
        """Where files that belong to it go: the run's folder, or that of a checkpoint alone."""
        return run_around(self.file) or self.file.parent


def checkpoint_of(run: Path) -> Path:
    """The file of the best weights of a run folder; `run` itself where it is a .pt file."""
    return run if run.suffix == ".pt" else RunFolder(run).best


def run_around(file: Path) -> Path | None:
    """The folder of the run that a checkpoint lies in; none where it lies alone."""
    return file.parent.parent if file.parent.name == "checkpoints" else None


def load_trained(run: Path, overrides: Sequence[str] = ()) -> Trained:
    """The best weights of a run folder, or those in a .pt file, as a model made for inference.

    The model comes from the checkpoint alone. `overrides` are keys of the saved configuration that change no result:
    `device`, `threads`, and where the data lie. Raises UserError for what a user can mend.
    """
    file = checkpoint_of(run)
    content = load_checkpoint(file)
    config = from_saved(content["config"], str(file), overrides)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    keep_freed_memory()
    model = folded(rebuild_model(content, file, device)).requires_grad_(False)
    return Trained(model, config, device, file, content)
