"""The page of a run, from its folder and, where available, its data."""

import shlex
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from housenumbers.config.values import config_to_dict
from housenumbers.data.splits import leakage_warning
from housenumbers.evaluation import figures
from housenumbers.evaluation.calibration import reliability
from housenumbers.evaluation.corruption_figure import corruption_figure
from housenumbers.evaluation.label_errors import likely_label_errors
from housenumbers.evaluation.occlusion import occlusion, overlay_importance
from housenumbers.evaluation.robustness import corruption_rows, saved_corruption_scores
from housenumbers.evaluation.score import LoadedPart, load_part, whole_number_scores
from housenumbers.evaluation.significance import wilson
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics import tasks
from housenumbers.metrics.classes import precision_recall
from housenumbers.metrics.number_scores import edit_distance
from housenumbers.metrics.numbers import number_lengths
from housenumbers.reports.page import as_text, gallery_item, percent, render, svg
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_text
from housenumbers.runtime.installation import command
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.tags import tags_of

NO_DOWNLOAD = "data.download=false"  # pages do not download data
_MISTAKES, _SUSPECTS, _EXPLAINED = 24, 24, 6
_HIDDEN = ("config", "best", "test", "error")  # keys of the record that are shown elsewhere on the page


def write_run_page(run: Path, split: str | None = None, overrides: Sequence[str] = ()) -> Path:
    """Writes `report.html` into a run's folder, and returns its path.

    Images and scores are from `split`, "validation" or "test". None selects validation where the run has that part;
    then unavailable data leave only a note on the page, if there is no earlier page. `overrides` set MACHINE_KEYS.
    Draws the figures of a sweep's trial, too, which the trial has not drawn itself.
    Raises UserError where the run, a readable checkpoint of it, or the requested `split` is missing, and where an
    earlier page would lose its images.
    """
    folder, page = RunFolder(run), run / "report.html"
    record = read_run_record(run)
    trained = load_trained_model(folder.best, [NO_DOWNLOAD, *overrides])
    history = folder.history()
    # The test part of a sweep's trial is used only on request.
    validates = trained.config.data.val_fraction > 0 or record.get("trial")
    requested, split = split, split or ("validation" if validates else "test")
    best = record.get("best")
    best_epoch = best["epoch"] if best else None
    content: dict[str, Any] = {
        "path": run,
        **{key: record.get(key) for key in ("best", "test", "error")},  # an unfinished run has only the last
        "given": tags_of(run),
        "status": folder.status(),
        "config": trained.config,
        "parameters": trained.parameters,
        "typed": shlex.join(folder.overrides()),
        "split": split,
        "things": "numbers" if trained.config.data.has_numbers else "crops",
        "leak": leakage_warning(trained.config.data),
        "curves": [svg(figures.loss_curves, history, best_epoch)],
        "history": history,
        "timing": _timing(record, history),
        "environment": as_text({key: value for key, value in record.items() if key not in _HIDDEN}),
        "settings": as_text(config_to_dict(trained.config)),
        "robustness": _robustness(run),
        "commands": _commands(run, split),
        "problem": None,
    }
    if history[0]["val_loss"] is not None:
        content["curves"].append(svg(figures.accuracy_curve, history, best_epoch))
    content["curves"].append(svg(figures.lr_curve, history))
    if record.get("trial"):
        figures.save_curves(folder.figures, history, best_epoch)
    try:
        part = load_part(trained, split)
    except UserError as error:
        if requested or page.is_file():  # keeps an earlier page, which may have images
            raise
        content["problem"] = str(error)
    else:
        content |= _part_content(trained, part, split, folder.figures if record.get("trial") else None)
    write_text(page, render("run_page.html", content))
    return page


def read_run_record(run: Path) -> dict[str, Any]:
    """The record of a run. Raises UserError where `run` is not its folder."""
    record = RunFolder(run).record() if run.is_dir() else {}
    if not record:
        scored = f"; {command('evaluate')} scores a checkpoint alone" if run.is_file() else ""
        raise UserError(f"{run}: not a run's folder: it has no run.json{scored}")
    return record


def _part_content(trained: TrainedModel, part: LoadedPart, split: str, files: Path | None) -> dict[str, Any]:
    """The page's content about the scored part. Writes its figures into the folder `files`, too, where it is given."""
    logits, labels = trained.predict(part.data)
    images = part.data.images.cpu()
    scores = tasks.scores(logits, labels, trained.temperature)
    raw_error = reliability(logits, labels).error
    logits = logits / trained.temperature  # from here on calibrated, as in predict.py
    if files is not None:
        figures.save_predictions(files, split, scores, images, labels, logits)
    bins = reliability(logits, labels)
    color = figures.TEST_COLOR if split == "test" else figures.VALIDATION_COLOR
    right = round(scores["accuracy"] * scores["n"])
    classes = [
        (label, f"{sum(scores['confusion'][label]):,}", percent(precision), percent(recall))
        for label, (precision, recall) in enumerate(precision_recall(scores["confusion"]))
    ]
    numbers = tasks.are_numbers(logits)
    interval = wilson(right, scores["n"])
    confidence = float(tasks.confidence(logits).mean())
    return {
        "scores": scores,
        "whole": None if part.photos is None else whole_number_scores(tasks.correct(logits, labels), part.photos),
        "interval": interval,
        "confusion": svg(figures.confusion_matrix, scores, split.capitalize()),
        "classes": classes,
        "calibration": svg(figures.reliability_diagram, bins, color, f"Reliability, {split}"),
        "calibration_error": bins.error,
        "raw_error": raw_error,
        "temperature": trained.calibration and trained.temperature,
        "bins": len(bins.counts),
        "confidence": confidence,
        "confidence_verdict": confidence_verdict(confidence, interval),
        "wrong": scores["n"] - right,
        "mistakes": _mistakes(images, logits, labels),
        "lengths": _accuracy_by_length(scores, labels) if numbers else None,
        **({} if numbers else _digit_content(trained, images, logits, labels)),
    }


def _accuracy_by_length(scores: dict[str, Any], numbers: Tensor) -> list[tuple[int, str, str]]:
    """Of each length that occurs: the digits, how many numbers have as many, and their accuracy."""
    counts = number_lengths(numbers).bincount(minlength=len(scores["accuracy_by_length"])).tolist()
    return [
        (length, f"{counts[length]:,}", percent(accuracy))
        for length, accuracy in enumerate(scores["accuracy_by_length"])
        if accuracy is not None
    ]


def _digit_content(trained: TrainedModel, images: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """The content about single digits only: likely label errors, and the regions of images that matter."""
    suspects, suggested = likely_label_errors(logits, labels)
    return {
        "suspects": _suspects(images, logits, labels, suspects[:_SUSPECTS], suggested),
        "suspected": len(suspects),
        "explained": _explained(trained, images, logits, labels),
    }


def confidence_verdict(confidence: float, interval: tuple[float, float]) -> str:
    """A verdict on the mean confidence: over- or underconfident only outside the accuracy's interval."""
    if interval[0] <= confidence <= interval[1]:
        return "inside that interval, so that no difference between confidence and accuracy is shown"
    above = confidence > interval[1]
    return f"{'above' if above else 'below'} that interval: the model is {'over' if above else 'under'}confident"


def _mistakes(images: Tensor, logits: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    order = tasks.confident_mistakes(logits, labels)[:_MISTAKES]
    images, logits, labels = images[order], logits[order], labels[order]
    true, read = tasks.label_texts(labels), tasks.predicted_texts(logits)
    of_true, of_read = tasks.probability_of(logits, labels).tolist(), tasks.confidence(logits).tolist()
    edits = [f", {plural(edit_distance(*pair), 'edit')}" for pair in zip(true, read, strict=True)]
    return [
        gallery_item(
            image,
            f"true {true[place] or 'nothing'}: {percent(of_true[place], 1)}",
            f"said {read[place] or 'nothing'}: {percent(of_read[place], 1)}" + edits[place] * tasks.are_numbers(logits),
            look="wrong",
        )
        for place, image in enumerate(images)
    ]


def _suspects(
    images: Tensor, logits: Tensor, labels: Tensor, suspects: Tensor, suggested: Tensor
) -> list[dict[str, Any]]:
    probs = logits.softmax(dim=1)
    return [
        gallery_item(
            images[index],
            f"label {labels[index]}: {percent(float(probs[index, labels[index]]), 1)}",
            f"rather {other}?",
        )
        for index, other in zip(suspects.tolist(), suggested.tolist(), strict=False)
    ]


def _explained(trained: TrainedModel, images: Tensor, logits: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Mistakes, then a correct prediction of each class: the image, and beside it the importance of its regions."""
    predicted = logits.argmax(dim=1)
    indices = tasks.confident_mistakes(logits, labels)[:_EXPLAINED].tolist()
    for label in range(logits.shape[1]):
        indices += ((labels == label) & (predicted == label)).nonzero().view(-1)[:1].tolist()
    if not indices:
        return []
    selected = images[indices]
    maps, least = occlusion(partial(trained.logits, may_be_dark=True, all_views=True), selected, predicted[indices])
    whole = logits.softmax(dim=1).amax(dim=1)
    return [
        gallery_item(
            torch.cat([image, overlay_importance(image, importance)], dim=2),
            f"true {labels[index]}, said {predicted[index]}",
            f"{percent(float(whole[index]), 1)}, at worst {percent(float(left), 1)}",
            look="right" if labels[index] == predicted[index] else "wrong",
        )
        for index, image, importance, left in zip(indices, selected, maps, least, strict=True)
    ]


def _robustness(run: Path) -> list[dict[str, Any]]:
    """Curves and a table for each part with saved corruption scores."""
    parts = {part: saved_corruption_scores(run, part) for part in ("validation", "test")}
    return [
        {"split": part, "scores": scores, "curves": svg(corruption_figure, scores), "rows": corruption_rows(scores)}
        for part, scores in parts.items()
        if scores
    ]


def _timing(record: dict[str, Any], history: Sequence[dict[str, Any]]) -> dict[str, float]:
    seconds = [epoch["seconds"] for epoch in history]
    total = record.get("train_seconds")
    return {
        "total": sum(seconds) if total is None else total,
        "median": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
    }


def _commands(run: Path, split: str) -> dict[str, str]:
    path = shlex.quote(str(run))
    return {
        "Score it again": f"{command('evaluate')} run={path} split={split}",
        "Repeat it, and compare the weights bit by bit": f"{command('train')} repeat={path}",
        "Go on with it, if it was interrupted": f"{command('train')} resume={path}",
        "Make this page again": f"{command('report')} run={path} split={split}",
    }
