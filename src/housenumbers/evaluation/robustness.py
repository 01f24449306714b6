"""The accuracy of a trained model on corrupted images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.evaluation.corruption_figure import corruption_figure
from housenumbers.evaluation.corruptions import KINDS, STRENGTHS, corrupt
from housenumbers.evaluation.figures import save_figure
from housenumbers.evaluation.score import load_part_or_other_data, scores_file_name, try_to_write
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics import tasks
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import read_text, write_json

_CHUNK = 250  # corrupted images in memory at once, without effect on their pixels


def evaluate_corruptions(
    run: Path, split: str, overrides: Sequence[str], other_data: DataConfig | None = None
) -> tuple[dict[str, Any], Path | None]:
    """Scores a run as `evaluate_run` does, and again under each kind of corruption at each strength.

    Returns the scores and their file, `corruptions_SPLIT.json`, or None where it could not be written. Also writes a
    figure with the same name to `figures/`.
    `accuracy` is on the original images, `mean` over all kinds and strengths. `kinds` has the `accuracy` of each
    strength and their `mean`. For `overrides` and errors, see `load_trained_model`.
    """
    trained = load_trained_model(run, overrides)
    data = load_part_or_other_data(trained, split, other_data).data
    clean = _count_correct(trained, data) / len(data.labels)
    kinds: dict[str, dict[str, Any]] = {}
    total = len(KINDS) * len(STRENGTHS) * len(data.labels)
    with tqdm(total=total, desc="corrupting", unit="crop", leave=False, disable=None, dynamic_ncols=True) as bar:
        for kind, corruption in KINDS.items():
            accuracy = [_accuracy(trained, data, kind, strength, bar) for strength in STRENGTHS]
            kinds[kind] = {"amounts": corruption.amounts, "accuracy": accuracy, "mean": sum(accuracy) / len(accuracy)}
    scores = {
        "split": split,
        "checkpoint": str(trained.file),
        "n": len(data.labels),
        "accuracy": clean,
        "mean": sum(kind["mean"] for kind in kinds.values()) / len(kinds),
        "kinds": kinds,
    }
    file = trained.output_folder / scores_file_name("corruptions", trained, split, other_data)
    if not try_to_write(lambda: write_json(file, scores)):
        return scores, None
    figure = corruption_figure(scores, data.images[0])
    try_to_write(lambda: save_figure(file.parent / "figures" / f"{file.stem}.png", figure))
    return scores, file


def corruption_rows(scores: dict[str, Any]) -> list[list[str]]:
    """A table of percentages: a header, the kinds with their strengths and mean, and the mean of all."""
    rows = [["", *map(str, (0, *STRENGTHS)), "mean"]]
    clean = f"{scores['accuracy']:.1%}"
    for name, kind in scores["kinds"].items():
        rows.append([KINDS[name].title, clean, *(f"{value:.1%}" for value in kind["accuracy"]), f"{kind['mean']:.1%}"])
    by_strength = zip(*(kind["accuracy"] for kind in scores["kinds"].values()), strict=True)
    means = [sum(values) / len(values) for values in by_strength]
    rows.append(["mean", clean, *(f"{value:.1%}" for value in means), f"{scores['mean']:.1%}"])
    return rows


def saved_corruption_scores(run: Path, split: str) -> dict[str, Any] | None:
    """The scores that `evaluate_corruptions` wrote for a run's own part, or None. Raises UserError if damaged."""
    file = run / f"corruptions_{split}.json"
    try:
        scores = json.loads(read_text(file))
        corruption_rows(scores)
        is_complete = all(len(kind["accuracy"]) == len(STRENGTHS) for kind in scores["kinds"].values())
        if not (is_complete and scores["kinds"] and isinstance(scores["n"], int)):
            raise ValueError("not what evaluate.py writes")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: damaged ({error!r}): delete it") from None
    return scores


def _accuracy(trained: TrainedModel, data: LabeledImages, kind: str, strength: int, bar: "tqdm[Any]") -> float:
    correct = 0
    for first in range(0, len(data.labels), _CHUNK):
        chunk = data.subset(slice(first, first + _CHUNK))
        corrupted = corrupt(chunk.images, kind, strength, first)
        correct += _count_correct(trained, chunk._replace(images=corrupted))
        bar.update(len(chunk.labels))
    return correct / len(data.labels)


def _count_correct(trained: TrainedModel, data: LabeledImages) -> int:
    """The number of correct predictions."""
    logits, labels = trained.predict(data)
    return int(tasks.correct(logits / trained.temperature, labels).sum())
