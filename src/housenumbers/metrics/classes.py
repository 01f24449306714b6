"""Metrics of single digits, from their logits."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

CLASSES = 10


def classification_scores(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """`accuracy`, `loss`, `n`, `per_class_accuracy` (null for a class with no image) and `confusion`.

    `confusion[i][j]` counts images of class i that were predicted as j.
    """
    correct = int((logits.argmax(dim=1) == labels).sum())
    pairs = labels * CLASSES + logits.argmax(dim=1)
    confusion = pairs.bincount(minlength=CLASSES**2).view(CLASSES, CLASSES).tolist()
    per_class = [row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)]
    return {
        "accuracy": correct / len(labels),
        "loss": F.cross_entropy(logits, labels).item(),
        "n": len(labels),
        "per_class_accuracy": per_class,
        "confusion": confusion,
    }


def precision_recall(confusion: list[list[int]]) -> list[tuple[float | None, float | None]]:
    """The precision (None where never predicted) and recall (None where there is no image) of each class."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    present = [sum(row) for row in confusion]
    return [
        (
            confusion[label][label] / predicted[label] if predicted[label] else None,
            confusion[label][label] / present[label] if present[label] else None,
        )
        for label in range(len(confusion))
    ]
