"""Scores a checkpoint from its file alone."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from housenumbers.config.sections import DataConfig
from housenumbers.data.class_folders import log_unused_files
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_splits, load_test, scored_photos
from housenumbers.evaluation.calibration import calibrate, calibration_caveat, reliability
from housenumbers.evaluation.few_views import choose_rule
from housenumbers.evaluation.significance import wilson
from housenumbers.evaluation.trained_model import TrainedModel, checkpoint_path, load_trained_model
from housenumbers.evaluation.whole_numbers import photo_correctness
from housenumbers.metrics import tasks
from housenumbers.pretrained import pretrained_name
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_json
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder, enclosing_run
from housenumbers.training.checkpoint import save_checkpoint
from housenumbers.training.custom_metrics import custom_metrics

log = logging.getLogger(__name__)


class LoadedPart(NamedTuple):
    """The images to score, and the photo that each comes from, int64 `[N]`: None where that is not known."""

    data: LabeledImages
    photos: Tensor | None


def evaluate_run(
    run: Path, split: str, overrides: Sequence[str], other_data: DataConfig | None = None
) -> tuple[dict[str, Any], Path | None]:
    """Scores the best weights of a run folder, or those in a .pt file, on the `test` or `validation` part.

    Returns the scores and their file: `evaluation_SPLIT.json` in the run's folder, or `evaluation_SPLIT_NAME.json`
    beside a separate NAME.pt, or None where it could not be written. The name includes the data's name if they are
    `other_data` instead of the run's data.
    The model comes only from the checkpoint. The test part needs only its own file. For `overrides` and errors, see
    `load_trained_model`.
    """
    trained = load_trained_model(run, overrides)
    part = load_part_or_other_data(trained, split, other_data)
    logits, labels = trained.predict(part.data)
    scores = tasks.scores(logits, labels, trained.temperature)
    scores |= custom_metrics(trained.config.metrics, logits, labels)
    if part.photos is not None:
        scores["numbers"] = whole_number_scores(tasks.correct(logits, labels), part.photos)
    scores["parameters"] = trained.parameters
    scores["temperature"] = trained.temperature
    scores["calibration_error"] = reliability(logits / trained.temperature, labels).error
    file = trained.output_folder / scores_file_name("evaluation", trained, split, other_data)
    content = {"split": split, "checkpoint": str(trained.file), **scores}
    is_written = try_to_write(lambda: write_json(file, content))
    return scores, file if is_written else None


def try_to_write(write: Callable[[], object]) -> bool:
    """Whether `write` could write its file. Warns where the operating system refuses, as on a read-only disk."""
    try:
        write()
    except OSError as error:
        log.warning("%s: not written: %s", error.filename, error.strerror)
        return False
    return True


def default_split(run: Path) -> str:
    """The default part: test, or validation for a trial of a sweep, since the search may continue."""
    folder = enclosing_run(checkpoint_path(run))
    return "validation" if folder and RunFolder(folder).record().get("trial") else "test"


def whole_number_scores(right: Tensor, photos: Tensor) -> dict[str, Any]:
    """`PhotoCorrectness.scores` and, if there is a whole photo, `interval`: Wilson's 95 % interval of the accuracy."""
    scores = photo_correctness(right, photos).scores()
    interval = wilson(scores["right"], scores["n"]) if scores["n"] else None
    return {**scores, "interval": interval and list(interval)}


def load_part_or_other_data(trained: TrainedModel, split: str, other_data: DataConfig | None) -> LoadedPart:
    """The part to score: of the model's data, see `load_part`, or the test part of `other_data`.

    Raises UserError where `other_data` has whole numbers and the model reads single digits, or the reverse.
    """
    if other_data is None:
        return load_part(trained, split)
    if other_data.has_numbers != trained.config.data.has_numbers:
        kinds = ("single digits", "whole numbers")
        its, other = kinds if other_data.has_numbers else kinds[::-1]
        raise UserError(f"data={other_data.name}: has {other}, and {trained.file} is a model of {its}: take other data")
    if other_data.name == "folder":
        log_unused_files(other_data)
    return LoadedPart(load_test(other_data), scored_photos(other_data))


def scores_file_name(what: str, trained: TrainedModel, split: str, other_data: DataConfig | None) -> str:
    """A scores file's name: the part, the name of other data, and the name of weights other than a run's best."""
    other = f"_on_{other_data.name}" if other_data else ""
    return f"{what}_{split}{other}{trained.file_suffix}.json"


def recalibrate(run: Path, overrides: Sequence[str]) -> dict[str, float]:
    """Fits temperature and stopping rule on the run's validation part and writes them into the checkpoint.

    The end of a run does the same. Use this for a run that did not end, or for a checkpoint of an earlier version that
    has no temperature. Raises as `evaluate_run`, and if another process works on the run, or the weights come with the
    code.
    """
    file = checkpoint_path(run)
    if name := pretrained_name(file):
        raise UserError(f"calibrate=true: {name} is calibrated already, and is not changed: name a run of yours")
    folder = enclosing_run(file) if file.exists() else None  # the lock would make the folder of a missing file
    with RunFolder(folder).locked() if folder else nullcontext():
        trained = load_trained_model(run, overrides)
        logits, labels, views = trained.predict_views(load_part(trained, "validation").data)
        calibration = calibrate(logits, labels)
        fitted: dict[str, Any] = {"calibration": calibration}
        if rule := choose_rule(views, trained.config.tta, trained.config.tta_invert, "validation"):
            fitted["stopping_rule"] = asdict(rule)
        save_checkpoint(trained.file, {**trained.content, **fitted})
    if caveat := calibration_caveat(calibration):
        images = plural(int(calibration["n"]), "image")
        log.warning("temperature %.3f, fitted on %s: %s", calibration["temperature"], images, caveat)
    return calibration


def load_part(trained: TrainedModel, split: str) -> LoadedPart:
    """The `test` or `validation` part of the data that the model was trained on.

    Warns where the test part is not the one that the run was tested on. Raises UserError where the other parts are not
    the ones of the run, or there was no validation part.
    """
    config = trained.config.data
    if split == "test":
        test, folder = load_test(config), enclosing_run(trained.file)
        recorded = RunFolder(folder).record().get("test_sha256") if folder else None
        if recorded not in (None, test.sha256()):
            log.warning("%s: holds another test part than the run was tested on: scores differ", config.root)
        return LoadedPart(test, scored_photos(config))
    splits = load_splits(config)
    if splits.sha256 != trained.content.get("data_sha256"):
        raise UserError(
            f"{config.root}: holds other data than the run was trained on, so its validation part may hold images "
            "that were: set data.root to the right folder, or use split=test"
        )
    if splits.validation is None:
        raise UserError("split=validation: this run had no validation part (data.val_fraction=0): use split=test")
    return LoadedPart(splits.validation, scored_photos(config, splits))
