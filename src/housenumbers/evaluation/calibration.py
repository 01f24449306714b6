"""Calibration: probabilities that are as often right as they say, by one number fitted on validation pictures."""

import math

from torch import Tensor
from torch.nn import functional as F

_RANGE = (0.05, 20.0)  # few pictures, all of them right, would ask for a temperature of 0
_BINS = 15


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


def calibration_error(confident: Tensor, labels: Tensor) -> float:
    """How far the confidence of `confident` probabilities `[N, 10]` is from the fraction that is right, on average.

    The expected calibration error over 15 equal bins of confidence (the same paper, section 2).
    """
    confidence, predicted = confident.double().max(dim=1)
    bins = (confidence * _BINS).ceil().long() - 1
    excess = bins.bincount(confidence - (predicted == labels).double(), minlength=_BINS)
    return (excess.abs().sum() / len(labels)).item()


def calibrate(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The fitted `temperature`, the `n` pictures that it was fitted on, and the calibration error before and after."""
    temperature = fit_temperature(logits, labels)
    return {
        "temperature": temperature,
        "n": len(labels),
        "error_before": calibration_error(probabilities(logits, 1.0), labels),
        "error": calibration_error(probabilities(logits, temperature), labels),
    }
