"""The end of a run: scores of the best weights, figures, and the completed record."""

import logging
from typing import Any

import torch
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import config_to_dict
from housenumbers.data.batches import eval_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import Splits, load_test
from housenumbers.evaluation import figures
from housenumbers.evaluation.calibration import calibrate, calibration_caveat
from housenumbers.evaluation.input_check import checked_before
from housenumbers.evaluation.trained_model import rebuild_model
from housenumbers.metrics import classification_scores, predict_logits
from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_atomically
from housenumbers.tracking import tensorboard
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.build import parameter_count
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint, weights_sha256
from housenumbers.training.checkpoint_owner import check_same_run
from housenumbers.training.custom_metrics import custom_metrics
from housenumbers.training.history import best_record
from housenumbers.training.loop import TrainingState, check_finite

log = logging.getLogger(__name__)


def write_results(
    config: TrainConfig,
    state: TrainingState,
    splits: Splits,
    folder: RunFolder,
    writer: SummaryWriter,
    status: str,
    with_test: bool,
) -> dict[str, float]:
    """Scores the best weights (on the test part only `with_test`), draws the figures, and completes the record.

    Returns the scores, for example test_accuracy. Adds the temperature fitted on the validation part to best.pt.
    Raises DivergedError where a loss is not finite: without validation the last step's weights were never scored.
    """
    device = splits.train.images.device
    best = best_record(state.history, config.selection_metric)
    epoch = (best or state.history[-1])["epoch"]
    checkpoint = _best_checkpoint(config, folder, epoch, device)
    model = fold_batch_norms(rebuild_model(checkpoint, folder.best, device))  # bit-identical to evaluate.py

    parts: dict[str, LabeledImages] = {}
    if splits.validation is not None:
        parts["validation"] = splits.validation
    if with_test:
        parts["test"] = load_test(config.data).to(device)
    scores: dict[str, dict[str, Any]] = {}
    for part, data in parts.items():
        with checked_before():
            logits, labels = predict_logits(model, eval_batches(data), config.tta, config.tta_invert)
        scores[part] = {**classification_scores(logits, labels), **custom_metrics(config.metrics, logits, labels)}
        check_finite(scores[part]["loss"], f"{part} loss with the weights of epoch {epoch}")
        if part == "validation":
            checkpoint["calibration"] = calibrate(logits, labels)
            if caveat := calibration_caveat(checkpoint["calibration"]):
                log.info("temperature %.3f of the probabilities: %s", checkpoint["calibration"]["temperature"], caveat)
            save_checkpoint(folder.best, checkpoint)
        if status != "pruned":  # figures of a pruned trial take longer than its training
            _save(folder, f"confusion_{part}", figures.confusion_matrix(scores[part], part.capitalize()))
            temperature = checkpoint["calibration"]["temperature"] if "calibration" in checkpoint else 1.0
            _save(
                folder,
                f"predictions_{part}",
                figures.sample_predictions(data.images.cpu(), labels, logits / temperature),
            )

    if scores:
        tensorboard.log_scores(writer, scores, epoch)
    if outdated := folder.remove_derived_files():
        log.info("removed, as of earlier weights: %s", ", ".join(file.name for file in outdated))
    best_epoch = None if best is None else epoch
    _save(folder, "loss", figures.loss_curves(state.history, best_epoch))
    if best is not None:
        _save(folder, "accuracy", figures.accuracy_curve(state.history, best_epoch))
    names = ("accuracy", "loss", *config.metrics)
    values = {f"{part}_{name}": scores[part][name] for part in scores for name in names}
    final = {key: value for key, value in values.items() if value is not None} | {"train_seconds": state.seconds}
    tensorboard.log_hyperparameters(writer, config_to_dict(config), final)

    test = {name: scores["test"][name] for name in (*names, "n")} if "test" in scores else None
    best_names = ("epoch", "val_loss", "val_accuracy", *(f"val_{name}" for name in config.metrics))
    folder.update(
        status=status,
        parameters=parameter_count(state.model),
        epochs=len(state.history),
        train_seconds=state.seconds,
        weights_sha256=weights_sha256(state.weights()),
        best=None if best is None else {name: best.get(name) for name in best_names},
        test=test,
        calibration=checkpoint.get("calibration"),
    )
    if test is not None:
        log.info("test accuracy %.2f %% of %d, with the weights of epoch %d", 100 * test["accuracy"], test["n"], epoch)
    log.info("trained in %.1f s; all results in %s", state.seconds, folder.path)
    return final


def _save(folder: RunFolder, name: str, figure: Figure) -> None:
    write_atomically(folder.figures / f"{name}.png", lambda file: figure.savefig(file, format="png", dpi=120))


def _best_checkpoint(config: TrainConfig, folder: RunFolder, epoch: int, device: torch.device) -> dict[str, Any]:
    """The run's best.pt. Raises UserError where it is no longer of this run, or not of the best epoch."""
    checkpoint = load_checkpoint(folder.best, device)
    check_same_run(checkpoint, folder.best, folder.record().get("run_id"), config, aside=["epochs"])
    if checkpoint["record"]["epoch"] != epoch:
        raise UserError(f"{folder.best}: is not of epoch {epoch}, the best one: put the run's own file there")
    return checkpoint
