"""Metrics from logits and labels."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10


@torch.inference_mode()
def predict_logits(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], shift: int = 0, invert: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits, float32 `[N, 10]`, and labels `[N]` of all batches, on the CPU. Leaves the model in eval mode.

    Logits are means over the `test_time_views` of each image.
    """
    model.eval()
    logits, labels = [], []
    for images, targets in batches:
        views = test_time_views(images, shift, invert)
        outputs = [model(view.contiguous(memory_format=torch.channels_last)).float() for view in views]
        logits.append(torch.stack(outputs).mean(dim=0))
        labels.append(targets)
    return torch.cat(logits).cpu(), torch.cat(labels).cpu()


def test_time_views(images: Tensor, shift: int, invert: bool) -> list[Tensor]:
    """The images. With a `shift` above 0 also the images shifted by this many pixels in each of four directions.

    Repeats the pixels at the border. With `invert` also all these views with light and dark swapped (test-time
    augmentation).
    """
    views = [images] if shift == 0 else [images, *_shifted(images, shift)]
    return [*views, *(255 - view for view in views)] if invert else views


def _shifted(images: Tensor, pixels: int) -> Iterator[Tensor]:
    for dim in (2, 3):
        places = torch.arange(images.shape[dim], device=images.device)
        for step in (-pixels, pixels):
            yield images.index_select(dim, (places + step).clamp(0, images.shape[dim] - 1))


def accuracy_and_loss(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The fraction of correct labels, and the mean cross entropy in nats."""
    correct = int((logits.argmax(dim=1) == labels).sum())
    return correct / len(labels), F.cross_entropy(logits, labels).item()


def classification_scores(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """`accuracy`, `loss`, `n`, `per_class_accuracy` (null for a class with no image) and `confusion`.

    `confusion[i][j]` counts images of class i that were predicted as j.
    """
    accuracy, loss = accuracy_and_loss(logits, labels)
    pairs = labels * CLASSES + logits.argmax(dim=1)
    confusion = pairs.bincount(minlength=CLASSES**2).view(CLASSES, CLASSES).tolist()
    per_class = [row[label] / sum(row) if sum(row) else None for label, row in enumerate(confusion)]
    return {
        "accuracy": accuracy,
        "loss": loss,
        "n": len(labels),
        "per_class_accuracy": per_class,
        "confusion": confusion,
    }


def confident_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """The indices `[M]` of wrongly classified images, the most confident first."""
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    mistakes = (predicted != labels).nonzero().view(-1)
    return mistakes[confidence[mistakes].argsort(descending=True)]


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
