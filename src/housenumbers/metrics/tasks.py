"""The differences between the two tasks: one digit in an image, with logits `[N, 10]`, or a whole number, `[N, T, 11]`.

All functions tell the task by the shape of the logits. Labels are classes `[N]`, or numbers `[N, 6]`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from housenumbers.metrics.classes import CLASSES, classification_scores
from housenumbers.metrics.number_scores import number_scores
from housenumbers.metrics.numbers import (
    SYMBOLS,
    as_strings,
    correct_numbers,
    divergence_from_uniform,
    negative_log_likelihoods,
    number_confidence,
    read_numbers,
)


def are_numbers(logits: Tensor) -> bool:
    """Whether the logits are of whole numbers."""
    return logits.ndim == 3


def is_shape_of_logits(shape: torch.Size, labels: Tensor) -> bool:
    """Whether logits of this shape fit the labels of as many images."""
    if labels.ndim == 1:
        return shape == (len(labels), CLASSES)
    return len(shape) == 3 and (shape[0], shape[2]) == (len(labels), SYMBOLS)


def are_probabilities(outputs: Tensor) -> bool:
    """Whether these outputs `[..., classes]` are what a softmax returns, not logits."""
    return bool(outputs.min() >= 0 and (outputs.double().sum(dim=-1) - 1).abs().max() < 1e-3)


def mean_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The mean loss in nats: cross entropy of classes `[N]` or of their shares `[N, 10]`, or the CTC loss of numbers.

    The CTC loss is a mean over numbers, not over digits. A number that needs more places than there are has no loss.
    `label_smoothing` draws classes, or the symbols at each place, towards a uniform distribution.
    """
    if not are_numbers(logits):
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    loss = negative_log_likelihoods(logits, labels, zero_infinity=True).mean()
    if label_smoothing == 0:
        return loss
    return (1 - label_smoothing) * loss + label_smoothing * divergence_from_uniform(logits).mean()


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each prediction is right, bool `[N]`. A number is right if all its digits are."""
    return correct_numbers(logits, labels) if are_numbers(logits) else logits.argmax(dim=1) == labels


def accuracy_and_loss(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The fraction of correct predictions, and `mean_loss`."""
    return int(correct(logits, labels).sum()) / len(labels), mean_loss(logits, labels).item()


def scores(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> dict[str, Any]:
    """`classification_scores` or `number_scores`. Both have accuracy, loss, n, per_class_accuracy and confusion.

    The `temperature` is for reading numbers. Classes and losses do not depend on it.
    """
    return number_scores(logits, labels, temperature) if are_numbers(logits) else classification_scores(logits, labels)


def confidence(logits: Tensor) -> Tensor:
    """The probability of each prediction, float64 `[N]`."""
    if are_numbers(logits):
        return number_confidence(logits, read_numbers(logits)).double()
    return logits.double().softmax(dim=1).amax(dim=1)


def probability_of(logits: Tensor, labels: Tensor) -> Tensor:
    """The probability of each label, `[N]`."""
    if are_numbers(logits):
        return (-negative_log_likelihoods(logits, labels)).exp()
    return logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]


def predicted_texts(logits: Tensor) -> list[str]:
    """The predictions as people write them. A number without digits is empty."""
    return as_strings(read_numbers(logits)) if are_numbers(logits) else [str(k) for k in logits.argmax(dim=1).tolist()]


def label_texts(labels: Tensor) -> list[str]:
    """The labels as people write them."""
    return as_strings(labels) if labels.ndim == 2 else [str(label) for label in labels.tolist()]


def confident_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """The indices `[M]` of wrong predictions, the most confident first."""
    mistakes = (~correct(logits, labels)).nonzero().view(-1)
    return mistakes[confidence(logits)[mistakes].argsort(descending=True)]
