"""Whether the probabilities of a net can be believed; and one number, fitted on validation crops, that mends them."""

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

_RANGE = (0.05, 20.0)  # of temperatures: few pictures, all of them right, would ask for one of 0


class Reliability(NamedTuple):
    """Of each bin of confidence, `[bins]`: how many pictures, the fraction that is right, and the mean confidence.

    Both are NaN where a bin is empty. `error` is the expected calibration error.
    """

    counts: Tensor
    accuracy: Tensor
    confidence: Tensor
    error: float


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Sorts pictures, by the probability of their predicted label, into bins of equal width.

    The expected calibration error is the mean of |accuracy - confidence| over the bins, weighted by their counts:
    Naeini et al. 2015, and with 15 bins Guo et al. 2017 (arXiv:1706.04599).
    """
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    counts = bin_of.bincount(minlength=bins)
    accuracy = bin_of.bincount((predicted == labels).double(), bins) / counts
    mean = bin_of.bincount(confidence, bins) / counts
    gaps = (accuracy - mean).abs().nan_to_num()
    return Reliability(counts, accuracy, mean, float((counts * gaps).sum() / len(labels)))


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """`softmax(logits / temperature)`, `[N, 10]`. Above 1 it makes the net less sure; the label stays the same."""
    return (logits / temperature).softmax(dim=1)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature, from 0.05 to 20, whose probabilities have the least cross entropy.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 4.2. The pictures must be
    others than those that the net was trained on.
    """
    from scipy.optimize import minimize_scalar

    exact = logits.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(exact / math.exp(log_temperature), labels).item()

    found = minimize_scalar(loss, bounds=[math.log(bound) for bound in _RANGE], method="bounded")
    return math.exp(found.x)


def calibrate(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The fitted `temperature`, the `n` pictures that it was fitted on, and the calibration error before and after."""
    temperature = fit_temperature(logits, labels)
    return {
        "temperature": temperature,
        "n": len(labels),
        "error_before": reliability(logits, labels).error,
        "error": reliability(logits / temperature, labels).error,
    }
