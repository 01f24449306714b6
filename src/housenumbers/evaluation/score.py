"""Scores a checkpoint again, from the file alone."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from housenumbers.config.sections import DataConfig
from housenumbers.data.class_folders import log_unused_files
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_splits, load_test
from housenumbers.evaluation.calibration import calibrate, calibration_caveat, reliability
from housenumbers.evaluation.trained_model import TrainedModel, checkpoint_path, load_trained_model
from housenumbers.metrics import classification_scores
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_json
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import save_checkpoint
from housenumbers.training.checkpoint_owner import enclosing_run
from housenumbers.training.custom_metrics import custom_metrics

log = logging.getLogger(__name__)


def evaluate_run(
    run: Path, split: str, overrides: Sequence[str], elsewhere: DataConfig | None = None
) -> tuple[dict[str, Any], Path]:
    """Scores the best weights of a run folder, or those in a .pt file, on the `test` or `validation` part.

    Returns the scores and the file that they were written to: `evaluation_SPLIT.json` in the run's folder, or beside a
    lone .pt file; with the data's name where they are not the run's own but those of `elsewhere`.
    The model comes from the checkpoint alone; the test part needs only its own file. For `overrides`, and what is
    raised, see `load_trained_model`.
    """
    trained = load_trained_model(run, overrides)
    logits, labels = trained.predict(load_part_or_other_data(trained, split, elsewhere))
    scores = {**classification_scores(logits, labels), **custom_metrics(trained.config.metrics, logits, labels)}
    scores["parameters"] = trained.parameters
    scores["temperature"] = trained.temperature
    scores["calibration_error"] = reliability(logits / trained.temperature, labels).error
    file = trained.home / scores_file_name("evaluation", trained, split, elsewhere)
    try:
        write_json(file, {"split": split, "checkpoint": str(trained.file), **scores})
    except OSError as error:
        log.warning("%s: not written: %s", file, error.strerror)
    return scores, file


def default_split(run: Path) -> str:
    """The part that is scored where none is named: test; of a sweep's trial validation, since a search may go on."""
    around = enclosing_run(checkpoint_path(run))
    return "validation" if around and RunFolder(around).record().get("trial") else "test"


def load_part_or_other_data(trained: TrainedModel, split: str, elsewhere: DataConfig | None) -> LabeledImages:
    """The part that is to be scored: of the model's own data, see `load_part`, or the test part of `elsewhere`."""
    if elsewhere is None:
        return load_part(trained, split)
    if elsewhere.name == "folder":
        log_unused_files(elsewhere)
    return load_test(elsewhere)


def scores_file_name(what: str, trained: TrainedModel, split: str, elsewhere: DataConfig | None) -> str:
    """Of a file of scores: it says what was scored on which part, of other data, and with the last weights."""
    name = f"{what}_{split}"
    name += f"_on_{elsewhere.name}" if elsewhere else ""
    return name + ("_last.json" if trained.file.stem == "last" else ".json")


def recalibrate(run: Path, overrides: Sequence[str]) -> dict[str, float]:
    """Fits the temperature on the run's validation part and writes it into the checkpoint, as the end of a run does.

    For a run that did not come to its end, or a checkpoint of before there was a temperature. Raises as `evaluate`, and
    where a process is at work on the run.
    """
    file = checkpoint_path(run)
    folder = (
        enclosing_run(file) if file.exists() else None
    )  # the lock would make the folder of a file that is not there
    with RunFolder(folder).locked() if folder else nullcontext():
        trained = load_trained_model(run, overrides)
        calibration = calibrate(*trained.predict(load_part(trained, "validation")))
        save_checkpoint(trained.file, {**trained.content, "calibration": calibration})
    if why := calibration_caveat(calibration):
        crops = plural(int(calibration["n"]), "crop")
        log.warning("temperature %.3f, fitted on %s: %s", calibration["temperature"], crops, why)
    return calibration


def load_part(trained: TrainedModel, split: str) -> LabeledImages:
    """The `test` or `validation` part of the data that the model was trained on.

    Warns where the test part is another one than the run was tested on. Raises UserError where the others are not
    those that it was trained on, or there was no validation part.
    """
    config = trained.config.data
    if split == "test":
        test, around = load_test(config), enclosing_run(trained.file)
        recorded = RunFolder(around).record().get("test_sha256") if around else None
        if recorded not in (None, test.sha256()):
            log.warning("%s: holds another test part than the run was tested on: scores differ", config.root)
        return test
    splits = load_splits(config)
    if splits.sha256 != trained.content.get("data_sha256"):
        raise UserError(
            f"{config.root}: holds other data than the run was trained on, so its validation part may hold images "
            "that were: set data.root to the right folder, or use split=test"
        )
    if splits.validation is None:
        raise UserError("split=validation: this run had no validation part (data.val_fraction=0): use split=test")
    return splits.validation
