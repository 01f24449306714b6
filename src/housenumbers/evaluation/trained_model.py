"""A trained model for inference: from a run's folder, or from a checkpoint alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from housenumbers.config.groups import NumberReaderConfig
from housenumbers.config.schema import TrainConfig
from housenumbers.config.validate import load_saved_config
from housenumbers.data.batches import eval_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.evaluation.calibration import calibration_caveat
from housenumbers.evaluation.few_views import StoppingRule, predict_with_few_views, stopping_rule_of
from housenumbers.evaluation.input_check import check_images, check_width, register_input_check, skip_input_check
from housenumbers.metrics.views import predict_views, view_count
from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.pretrained import check_sha256, pretrained_name
from housenumbers.runtime.device import choose_device
from housenumbers.runtime.errors import InputError, UserError
from housenumbers.runtime.installation import command
from housenumbers.runtime.memory import disable_malloc_trimming, is_out_of_memory, one_line_memory_errors
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder, enclosing_run
from housenumbers.tracking.run_selection import is_run
from housenumbers.training.build import build_model, parameter_count
from housenumbers.training.checkpoint import load_checkpoint, load_weights, weights_in
from housenumbers.training.checkpoint_owner import check_owner
from housenumbers.training.reproducibility import set_threads, uses_bfloat16

_MORE_MEMORY = "end other programs, or take another device (device=cpu)"


@dataclass(frozen=True)
class TrainedModel:
    """A model on `device`, optimized for inference, and the content of its checkpoint."""

    model: nn.Module
    config: TrainConfig
    device: torch.device
    file: Path
    content: dict[str, Any]  # the checkpoint's
    parameters: int  # before batch norms are folded
    stopping_rule: StoppingRule | None = None  # of the views of an image. None: all are used, or there is only one
    bfloat16: bool = False  # the convolutions compute in it; else in float32

    def predict(self, data: LabeledImages) -> tuple[Tensor, Tensor]:
        """Logits and labels, on the CPU, computed as for the run's final scores: from all views.

        Logits are `[N, 10]`, or `[N, T, 11]` where the model reads whole numbers: see `metrics.numbers`.

        Raises InputError where `data` are not valid images, uint8 or float on 0..255, and labels. Raises UserError
        where the logits are not finite numbers.
        """
        logits, labels, _ = self.predict_views(data)
        return logits, labels

    def predict_views(self, data: LabeledImages) -> tuple[Tensor, Tensor, Tensor]:
        """As `predict`, and last also the logits of each view, `[V, N, 10]`."""
        self._check_images(data.images)
        return self._predict(data, self.config.tta, self.config.tta_invert)

    def _predict(self, data: LabeledImages, tta: int, tta_invert: bool) -> tuple[Tensor, Tensor, Tensor]:
        try:
            data.check_labels()
        except ValueError as error:
            raise InputError(str(error)) from None
        batches = eval_batches(data.to(self.device))
        with one_line_memory_errors(_MORE_MEMORY), skip_input_check(), self._autocast():
            logits, labels, views = predict_views(self.model, batches, tta, tta_invert)
        self._check_finite(logits)
        return logits, labels, views

    def logits(
        self, images: Tensor, may_be_dark: bool = False, all_views: bool = False, single_view: bool = False
    ) -> Tensor:
        """Logits `[N, 10]` of images `[N, 3, H, W]`, on the CPU, whose softmax is the calibrated probabilities.

        A reader of whole numbers returns `[N, T, 11]`: see `metrics.numbers`.
        Images are uint8, or float on 0..255. Images of other sizes than 32x32 are stretched, unlike in `read_image`; a
        reader scales them to its height.
        With test-time augmentation an image gets only as many views as the `stopping_rule` demands; with `all_views`
        it gets all, as for the run's final scores, with `single_view` only itself. Raises as `predict` does, but takes
        uint8 images of zeros and ones only where they `may_be_dark`, as in files.
        """
        self._check_images(images, may_be_dark)
        if self.stopping_rule is None or all_views or single_view:
            data = LabeledImages(images, torch.zeros(len(images), dtype=torch.long))
            tta, tta_invert = (0, False) if single_view else (self.config.tta, self.config.tta_invert)
            return self._predict(data, tta, tta_invert)[0] / self.temperature
        with one_line_memory_errors(_MORE_MEMORY), skip_input_check(), self._autocast():
            logits = predict_with_few_views(self.model, images.to(self.device), self.stopping_rule).cpu()
        self._check_finite(logits)
        return logits / self.temperature

    def _check_images(self, images: Tensor, may_be_dark: bool = False) -> None:
        check_images(images, may_be_dark)
        if isinstance(self.config.model, NumberReaderConfig):
            check_width(images, self.config.model.input_size)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _check_finite(self, logits: Tensor) -> None:
        if not logits.isfinite().all():
            raise UserError(f"{self.file}: its logits are not finite: its training has diverged: use another one")

    @property
    def calibration(self) -> dict[str, float] | None:
        """The result of `evaluation.calibration.calibrate`. None without a validation part, or before the run's end."""
        return self.content.get("calibration")

    @property
    def temperature(self) -> float:
        """The divisor of logits in the softmax. 1 where it was never fitted."""
        return 1.0 if self.calibration is None else float(self.calibration["temperature"])

    @property
    def temperature_note(self) -> str:
        """One line on the reliability of the probabilities."""
        if self.calibration is None and self.config.data.val_fraction == 0:
            return f"{self.file}: temperature 1: not calibrated: there is no validation part (data.val_fraction=0)"
        if self.calibration is None:
            return (
                f"{self.file}: temperature 1: not calibrated: its run has not ended "
                f"({command('evaluate')} run=... split=validation calibrate=true)"
            )
        images = plural(int(self.calibration["n"]), "validation image")
        text = f"{self.file}: temperature {self.temperature:.3f}, fitted on {images}"
        return f"{text} ({caveat})" if (caveat := calibration_caveat(self.calibration)) else text

    @property
    def views_note(self) -> str | None:
        """One line on the views of each image. None where there is only one."""
        count = view_count(self.config.tta, self.config.tta_invert)
        if count == 1:
            return None
        if (rule := self.stopping_rule) is None:
            return f"{self.file}: {count} views of each image"
        images = f"{rule.n:,} {'validation' if rule.part == 'validation' else 'training'} images"
        return f"{self.file}: 1 to {count} views of each image: stops at a margin of {rule.threshold:.2f} ({images})"

    def check_reads_numbers(self, wanted: bool, remedy: str | None = None) -> None:
        """Raises UserError where the model reads whole numbers and single digits are `wanted`, or the reverse."""
        if self.config.data.has_numbers == wanted:
            return
        what, default = (
            ("whole numbers", f"take a run of single digits, or {command('read')}")
            if self.config.data.has_numbers
            else ("single digits", f"take a run of whole numbers (experiment=numbers), or {command('predict')}")
        )
        raise UserError(f"{self.file}: is a model of {what}: {remedy or default}")

    @property
    def output_folder(self) -> Path:
        """The folder for files about the model: the run's folder, or the checkpoint's.

        For weights that come with the code it is a folder below outputs/, since the package stays unchanged.
        """
        if name := pretrained_name(self.file):
            return Path("outputs") / name
        return enclosing_run(self.file) or self.file.parent

    @property
    def file_suffix(self) -> str:
        """The end of the names of files about the model: `_NAME` with its weights' name.

        It is empty for the best weights of a run, also alone elsewhere, and for weights that come with the code.
        """
        folder = self.output_folder
        is_best = self.file == RunFolder(folder).best or (self.file.stem == "best" and not is_run(folder))
        return "" if is_best or pretrained_name(self.file) else f"_{self.file.stem}"


def checkpoint_path(run: Path) -> Path:
    """The file of the best weights of a run folder, or `run` itself where it is a file of any name."""
    is_file = not run.is_dir() and (run.exists() or run.suffix == ".pt")
    return run if is_file else RunFolder(run).best


def load_trained_model(run: Path | str, overrides: Sequence[str] = (), bfloat16: bool = False) -> TrainedModel:
    """The best weights of a run folder, or the weights in a checkpoint, as a model for inference.

    The model comes only from the checkpoint. `overrides` are keys of the saved configuration that change no result:
    `device`, `threads`, and the location of the data. With `bfloat16` it computes in bfloat16 where the device has
    instructions for it. Raises UserError for errors that a user can fix.
    """
    file = checkpoint_path(Path(run))
    check_sha256(file)
    content = load_checkpoint(file)
    check_owner(content, file)
    config = load_saved_config(content["config"], str(file), overrides)
    if config.threads is not None:
        set_threads(config.threads)
    device = choose_device(config.device)
    disable_malloc_trimming()
    unfolded = rebuild_model(content, file, device)
    model = fold_batch_norms(unfolded).requires_grad_(False)
    register_input_check(model)  # again, since folding makes another module
    rule = stopping_rule_of(content, config.tta, config.tta_invert, file)
    bfloat16 = bfloat16 and uses_bfloat16(True, device)
    return TrainedModel(model, config, device, file, content, parameter_count(unfolded), rule, bfloat16)


def rebuild_model(content: Mapping[str, Any], path: Path, device: torch.device) -> nn.Module:
    """The trained model, from the checkpoint's content alone, for inference.

    Raises UserError where weights and model do not fit.
    """
    try:
        model = build_model(content["config"]["model"], device)
    except (RuntimeError, MemoryError, OverflowError, TypeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"{path}: its model needs more memory than there is") from None
    try:
        load_weights(model, weights_in(content))
    except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path}: its weights do not fit its model: {error}") from None
    register_input_check(model)
    return model
