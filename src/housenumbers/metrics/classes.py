"""Metrics of single digits, from their logits."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

CLASSES = 10


def fraction(part: int, whole: int) -> float | None:
    """`part` / `whole`, or None where there is nothing to divide by."""
    return part / whole if whole else None


def classification_scores(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """`accuracy`, `loss`, `n`, `per_class_accuracy` (null for a class with no image) and `confusion`.

    `confusion[i][j]` counts images of class i that were predicted as j.
    """
    correct = int((logits.argmax(dim=1) == labels).sum())
    pairs = labels * CLASSES + logits.argmax(dim=1)
    confusion = pairs.bincount(minlength=CLASSES**2).view(CLASSES, CLASSES).tolist()
    per_class = [fraction(row[label], sum(row)) for label, row in enumerate(confusion)]
    return {
        "accuracy": correct / len(labels),
        "loss": F.cross_entropy(logits, labels).item(),
        "n": len(labels),
        "per_class_accuracy": per_class,
        "confusion": confusion,
    }


def precision_recall(confusion: list[list[int]]) -> list[tuple[float | None, float | None]]:
    """The precision (None where never predicted) and recall (None where there is no image) of each class."""
    columns = zip(*confusion, strict=True)
    return [
        (fraction(row[label], sum(column)), fraction(row[label], sum(row)))
        for label, (row, column) in enumerate(zip(confusion, columns, strict=True))
    ]
