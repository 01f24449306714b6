"""The end of a run: scores of the best weights, figures except for trials, and the completed record."""

import logging
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import config_to_dict
from housenumbers.data.batches import eval_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_test, scored_photos
from housenumbers.evaluation.calibration import calibrate, calibration_caveat
from housenumbers.evaluation.few_views import choose_rule, sample_for_rule
from housenumbers.evaluation.input_check import skip_input_check
from housenumbers.evaluation.trained_model import rebuild_model
from housenumbers.evaluation.whole_numbers import photo_correctness
from housenumbers.metrics import tasks
from housenumbers.metrics.views import predict_views, view_count
from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.runs.epochs import RunContext
from housenumbers.runtime.errors import UserError
from housenumbers.tracking import tensorboard
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.build import parameter_count
from housenumbers.training.checkpoint import check_weights, load_checkpoint, save_checkpoint, weights_in, weights_sha256
from housenumbers.training.checkpoint_owner import check_same_run
from housenumbers.training.custom_metrics import custom_metrics
from housenumbers.training.history import best_record
from housenumbers.training.loop import check_finite

log = logging.getLogger(__name__)


def write_results(run: RunContext, status: str, is_trial: bool, best_sha256: str | None) -> dict[str, float]:
    """Scores the best weights, draws the figures, and completes the record.

    A sweep's trial is not scored on the test part, and its figures, which would take longer than all else that follows
    its training, are drawn with its page (`reports.run_page`).
    `best_sha256` is the `weights_sha256` of the best weights. Adds the temperature fitted on the validation part to
    best.pt, and the stopping rule of the views. Returns the scores, for example test_accuracy.
    Raises DivergedError if a loss is not finite. Without validation, the weights of the last step are scored only here.
    """
    config, state, splits, folder = run.config, run.state, run.splits, run.folder
    device = splits.train.images.device
    best = best_record(state.history, config.selected_by)
    epoch = (best or state.history[-1])["epoch"]
    checkpoint = _best_checkpoint(config, folder, epoch, device)
    check_weights(checkpoint, best_sha256, folder.best)
    model = fold_batch_norms(rebuild_model(checkpoint, folder.best, device))  # bit-identical to evaluate.py

    parts: dict[str, LabeledImages] = {}
    if splits.validation is not None:
        parts["validation"] = splits.validation
    if not is_trial:
        parts["test"] = load_test(config.data).to(device)
    scores: dict[str, dict[str, Any]] = {}
    for part, data in parts.items():
        with skip_input_check():
            logits, labels, views = predict_views(model, eval_batches(data), config.tta, config.tta_invert)
        if part == "validation":
            checkpoint["calibration"] = calibrate(logits, labels)
        temperature = checkpoint["calibration"]["temperature"] if "calibration" in checkpoint else 1.0
        scores[part] = {**tasks.scores(logits, labels, temperature), **custom_metrics(config.metrics, logits, labels)}
        if (photos := scored_photos(config.data, splits if part == "validation" else None)) is not None:
            scores[part]["numbers"] = photo_correctness(tasks.correct(logits, labels), photos).scores()
        check_finite(scores[part]["loss"], f"{part} loss with the weights of epoch {epoch}")
        if part == "validation":
            if caveat := calibration_caveat(checkpoint["calibration"]):
                log.info("temperature %.3f of the probabilities: %s", checkpoint["calibration"]["temperature"], caveat)
            _add_stopping_rule(config, checkpoint, views, part)
            save_checkpoint(folder.best, checkpoint)
        if not is_trial:
            from housenumbers.evaluation.figures import save_predictions  # slow import

            images = data.images.cpu()
            save_predictions(folder.figures, part, scores[part], images, labels, logits / temperature)

    if splits.validation is None and view_count(config.tta, config.tta_invert) > 1:
        sample = eval_batches(sample_for_rule(splits.train))
        with skip_input_check():
            *_, views = predict_views(model, sample, config.tta, config.tta_invert)
        _add_stopping_rule(config, checkpoint, views, "train")
        save_checkpoint(folder.best, checkpoint)
    if scores:
        tensorboard.log_scores(run.writer, scores, epoch)
    if outdated := folder.remove_derived_files():
        log.info("removed, as of earlier weights: %s", ", ".join(file.name for file in outdated))
    if not is_trial:
        from housenumbers.evaluation.figures import save_curves

        save_curves(folder.figures, state.history, None if best is None else epoch)
    names = ("accuracy", "loss", *config.metrics)
    values = {f"{part}_{name}": scores[part][name] for part in scores for name in names}
    values |= {f"{part}_numbers": scores[part]["numbers"]["accuracy"] for part in scores if "numbers" in scores[part]}
    final = {key: value for key, value in values.items() if value is not None} | {"train_seconds": state.seconds}
    tensorboard.log_hyperparameters(run.writer, config_to_dict(config), final)

    test = {name: scores["test"][name] for name in (*names, "n")} if "test" in scores else None
    if test is not None and "numbers" in scores["test"]:
        test["numbers"] = scores["test"]["numbers"]
    best_names = ("epoch", "val_loss", "val_accuracy", *(f"val_{name}" for name in config.metrics))
    folder.update(
        status=status,
        parameters=parameter_count(state.model),
        epochs=len(state.history),
        train_seconds=state.seconds,
        weights_sha256=weights_sha256(state.weights()),
        best_weights_sha256=weights_sha256(weights_in(checkpoint)),
        best=None if best is None else {name: best.get(name) for name in best_names},
        test=test,
        calibration=checkpoint.get("calibration"),
    )
    if test is not None:
        log.info("test accuracy %.2f %% of %d, with the weights of epoch %d", 100 * test["accuracy"], test["n"], epoch)
        if (numbers := test.get("numbers")) and numbers["n"]:
            log.info("test: of %d whole numbers %.2f %% right", numbers["n"], 100 * numbers["accuracy"])
    log.info("trained in %.1f s; all results in %s", state.seconds, folder.path)
    return final


def _add_stopping_rule(config: TrainConfig, checkpoint: dict[str, Any], views: Tensor, part: str) -> None:
    """Adds the stopping rule of the test-time views to the checkpoint, unless `choose_rule` returns None."""
    if rule := choose_rule(views, config.tta, config.tta_invert, part):
        checkpoint["stopping_rule"] = asdict(rule)


def _best_checkpoint(config: TrainConfig, folder: RunFolder, epoch: int, device: torch.device) -> dict[str, Any]:
    """The run's best.pt. Raises UserError where it is no longer of this run, or not of the best epoch."""
    checkpoint = load_checkpoint(folder.best, device)
    check_same_run(checkpoint, folder.best, folder.record().get("run_id"), config, ignored=["epochs"])
    if checkpoint["record"]["epoch"] != epoch:
        raise UserError(f"{folder.best}: is not of epoch {epoch}, the best one: put the run's own file there")
    return checkpoint
