"""The page that compares runs: settings, correct predictions, and whether the differences are significant."""

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from housenumbers.config.values import config_to_dict
from housenumbers.evaluation import figures
from housenumbers.evaluation.calibration import reliability
from housenumbers.evaluation.robustness import saved_corruption_scores
from housenumbers.evaluation.score import LoadedPart, load_part, whole_number_scores
from housenumbers.evaluation.significance import holm, mcnemar, wilson
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.evaluation.whole_numbers import photo_correctness
from housenumbers.metrics import tasks
from housenumbers.reports.page import as_text, percent, png, render, svg
from housenumbers.reports.run_page import NO_DOWNLOAD, read_run_record
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_text
from housenumbers.runtime.installation import command
from housenumbers.runtime.text import duration
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.spread import SIGNIFICANT

_LETTERS = "ABCDEF"
_PATTERNS, _SHOWN = 16, 40  # the maximum numbers shown
_CURVES = {
    "train_loss": "Training loss (nats)",
    "val_loss": "Validation loss (nats)",
    "val_accuracy": "Validation accuracy",
    "lr": "Learning rate at the epoch's beginning",
}
_IN_ANY_CASE = ("name", "seed", "data.split_seed")  # always shown, even if they are equal


@dataclass(frozen=True)
class _Run:
    """One of the runs, and its letter on the page."""

    letter: str
    path: Path
    record: dict[str, Any]
    settings: dict[str, str]
    history: list[dict[str, Any]]
    parameters: int
    logits: Tensor
    calibrated: Tensor  # the logits whose softmax is the calibrated probabilities of predict.py
    right: Tensor  # whether each prediction is, bool [N]: reading whole numbers takes long, so it is done once


def write_comparison_page(
    paths: Sequence[Path], split: str | None = None, folder: Path | None = None, overrides: Sequence[str] = ()
) -> Path:
    """Writes `report.html` into `folder`, by default below outputs/comparisons/, and returns its path.

    Runs are scored on `split`: None is the test part, or validation where one of the runs is a sweep's trial. Raises
    UserError where a run or its checkpoint cannot be read, or the runs' images differ.
    """
    listed = ",".join(map(str, paths))
    if not 2 <= len(paths) <= len(_LETTERS):
        raise UserError(f"runs=[{listed}]: from 2 to {len(_LETTERS)} runs can be compared")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError(f"runs=[{listed}]: the same run twice: name different ones")
    records = [read_run_record(path) for path in paths]
    split = split or ("validation" if any(record.get("trial") for record in records) else "test")
    runs, (data, photos) = _scored(paths, records, split, overrides)
    labels = data.labels.cpu()
    correct_by_run = [run.right for run in runs]
    numbers_by_run = [photo_correctness(right, photos).right for right in correct_by_run] if photos is not None else []
    content = {
        "split": split,
        "count": len(labels),
        "things": "numbers" if labels.ndim == 2 else "crops",
        "runs": runs,
        "colors": dict(zip(_LETTERS, figures.RUN_COLORS, strict=True)),
        "table": [_row(run, labels, photos, split) for run in runs],
        "pairs": _pairs(runs, correct_by_run),
        "number_pairs": _pairs(runs, numbers_by_run) if numbers_by_run else None,
        "differing": _differing(runs),
        "curves": _curves(runs),
        "patterns": _patterns(runs),
        "disagreements": _disagreements(runs, data.images.cpu(), labels),
        "again": f"{command('report')} {shlex.quote(f'runs=[{listed}]')} split={split}",
    }
    page = (folder or _default_folder(paths, records)) / "report.html"
    write_text(page, render("comparison_page.html", content))
    return page


def _scored(
    paths: Sequence[Path], records: Sequence[dict[str, Any]], split: str, overrides: Sequence[str]
) -> tuple[list[_Run], LoadedPart]:
    """The runs with their logits, and the images on which all runs are scored."""
    runs: list[_Run] = []
    common: LoadedPart | None = None
    fingerprint = ""
    for letter, path, record in zip(_LETTERS, paths, records, strict=False):
        folder = RunFolder(path)
        trained = load_trained_model(folder.best, [NO_DOWNLOAD, *overrides])
        part = load_part(trained, split)
        if common is None:
            common, fingerprint = part, part.data.sha256()
        elif part.data.sha256() != fingerprint:
            remedy = "compare on the test part, split=test, or " if split == "validation" else ""
            raise UserError(
                f"{path}: its {split} part holds other images than that of {paths[0]}: {remedy}"
                "compare runs on the same data"
            )
        settings = as_text(config_to_dict(trained.config))
        logits, labels = trained.predict(part.data)
        calibrated = logits / trained.temperature
        right = tasks.correct(calibrated, labels)
        runs.append(
            _Run(letter, path, record, settings, folder.history(), trained.parameters, logits, calibrated, right)
        )
    assert common is not None
    return runs, common


def _row(run: _Run, labels: Tensor, photos: Tensor | None, split: str) -> dict[str, Any]:
    accuracy = int(run.right.sum()) / len(labels)
    low, high = wilson(int(run.right.sum()), len(labels))
    seconds = run.record.get("train_seconds")
    best = run.record.get("best")
    corrupted = saved_corruption_scores(run.path, split)
    return {
        "run": run,
        "accuracy": percent(accuracy),
        "interval": f"{percent(low, 1)} to {percent(high, 1)}",
        "numbers": None if photos is None else whole_number_scores(run.right, photos),
        "loss": f"{tasks.mean_loss(run.logits, labels).item():.4f}",
        "calibration_error": percent(reliability(run.calibrated, labels).error),
        # Hidden where it belongs to other weights or images, for example from before the run was resumed.
        "corrupted": percent(corrupted["mean"]) if corrupted and corrupted["accuracy"] == accuracy else None,
        "best": percent(best["val_accuracy"]) if best else "-",
        "parameters": f"{run.parameters:,}",
        "epochs": len(run.history),
        "time": "-" if seconds is None else duration(seconds),
    }


def _pairs(runs: Sequence[_Run], correct_by_run: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Each pair of runs, and whether they differ significantly in which predictions are correct, bool `[N]` each."""
    pairs = list(combinations(runs, 2))
    tests = [mcnemar(first, second) for first, second in combinations(correct_by_run, 2)]
    count = max(1, len(correct_by_run[0]))
    rows = []
    for (first, second), test, adjusted in zip(pairs, tests, holm([test.p for test in tests]), strict=True):
        better = first.letter if test.only_first > test.only_second else second.letter
        rows.append(
            {
                "pair": f"{first.letter}, {second.letter}",
                "only_first": test.only_first,
                "only_second": test.only_second,
                "difference": f"{100 * (test.only_first - test.only_second) / count:+.2f} points",
                "p": f"{test.p:.2g}",
                "adjusted": f"{adjusted:.2g}",
                "verdict": f"{better} is better" if adjusted < SIGNIFICANT else "no difference shown",
            }
        )
    return rows


def _differing(runs: Sequence[_Run]) -> list[tuple[str, list[str]]]:
    """The settings in which the runs differ, and the settings that identify each run."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    rows = []
    for key in keys:
        values = [run.settings.get(key, "-") for run in runs]
        if len(set(values)) > 1 or key in _IN_ANY_CASE:
            rows.append((key, [text.rpartition(".")[2] if key.endswith("_target_") else text for text in values]))
    return rows


def _curves(runs: Sequence[_Run]) -> list[Any]:
    histories = {run.letter: run.history for run in runs}
    return [
        svg(figures.overlaid_curves, histories, key, title)
        for key, title in _CURVES.items()
        if any(run.history[0][key] is not None for run in runs)
    ]


def _patterns(runs: Sequence[_Run]) -> list[tuple[list[bool], int]]:
    """The most frequent patterns of correct runs, each with its number of images."""
    correct_by_run = torch.stack([run.right for run in runs], dim=1).tolist()
    counts = Counter(map(tuple, correct_by_run))
    return [(list(pattern), count) for pattern, count in counts.most_common(_PATTERNS)]


def _disagreements(runs: Sequence[_Run], images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Images on which some runs are right and others wrong, one of each pattern in turn, so that rare patterns appear.

    Within a pattern, images are sorted by the largest difference in the true label's probability.
    """
    correct_by_run = torch.stack([run.right for run in runs])
    true_probabilities = torch.stack([tasks.probability_of(run.calibrated, labels) for run in runs])  # [runs, N]
    differences = true_probabilities.amax(dim=0) - true_probabilities.amin(dim=0)
    of_pattern: dict[tuple[bool, ...], list[int]] = {}
    for index in differences.argsort(descending=True).tolist():
        pattern = tuple(correct_by_run[:, index].tolist())
        if any(pattern) and not all(pattern):
            of_pattern.setdefault(pattern, []).append(index)
    in_turn = [index for row in zip_longest(*of_pattern.values()) for index in row if index is not None]
    shown = in_turn[:_SHOWN]
    said = [_predictions(run.calibrated[shown]) for run in runs]
    return [
        {
            "url": png(images[index]),
            "true": true or "nothing",
            "said": [
                {"letter": run.letter, "right": bool(correct_by_run[row, index]), "text": said[row][place]}
                for row, run in enumerate(runs)
            ],
        }
        for place, (index, true) in enumerate(zip(shown, tasks.label_texts(labels[shown]), strict=True))
    ]


def _predictions(logits: Tensor) -> list[str]:
    """Each prediction and its probability."""
    read, confidences = tasks.predicted_texts(logits), tasks.confidence(logits).tolist()
    return [f"{text or 'nothing'}, {percent(value, 0)}" for text, value in zip(read, confidences, strict=True)]


def _default_folder(paths: Sequence[Path], records: Sequence[dict[str, Any]]) -> Path:
    """A folder below outputs/comparisons/, named by the runs' truncated names and a hash of their folders."""
    fingerprint = hashlib.sha256("\n".join(str(path.resolve()) for path in paths).encode()).hexdigest()[:8]
    names = "_".join(re.sub(r"[^a-zA-Z0-9.-]", "", str(record.get("name")))[:20] for record in records)
    return Path("outputs") / "comparisons" / f"{names}_{fingerprint}"
