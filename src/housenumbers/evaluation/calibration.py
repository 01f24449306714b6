"""Calibration: the reliability of a model's probabilities, and a temperature, fitted on validation crops, for them."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from housenumbers.metrics import tasks
from housenumbers.runtime.errors import InputError

_RANGE = (0.05, 20.0)  # of temperatures: with few images, all of them right, the optimum is 0
_EDGE = 1.02  # a factor: a temperature this close to an end of the range counts as the end
_FEW = 100  # images, which determine an accuracy of 90 % to within 6 %


class Reliability(NamedTuple):
    """For each bin of confidence, `[bins]`: the number of images, the fraction that is right, and the mean confidence.

    The last two are NaN where a bin is empty. `error` is the expected calibration error.
    """

    counts: Tensor
    accuracy: Tensor
    confidence: Tensor
    error: float


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Sorts images into bins of equal width by the probability of their prediction: a label, or a whole number.

    The expected calibration error is the mean of |accuracy - confidence| over the bins, weighted by their counts:
    Naeini et al. 2015, and with 15 bins Guo et al. 2017 (arXiv:1706.04599).
    """
    confidence, right = tasks.confidence(logits), tasks.correct(logits, labels).double()
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    counts = bin_of.bincount(minlength=bins)
    accuracy = bin_of.bincount(right, bins) / counts
    mean = bin_of.bincount(confidence, bins) / counts
    gaps = (accuracy - mean).abs().nan_to_num()
    return Reliability(counts, accuracy, mean, float((counts * gaps).sum() / len(labels)))


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """`softmax(logits / temperature)` over the last dimension. Values above 1 make the model less confident."""
    return (logits / temperature).softmax(dim=-1)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature, from 0.05 to 20, with the least mean loss: the cross entropy, or the CTC loss of numbers.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, section 4.2. The model must
    not have been trained on these images. Raises InputError where there are none, or where logits are not finite, or
    are probabilities or votes.
    """
    from scipy.optimize import minimize_scalar

    _check(logits, labels)
    exact = logits.double()

    def loss(log_temperature: float) -> float:
        return tasks.mean_loss(exact / math.exp(log_temperature), labels).item()

    result = minimize_scalar(loss, bounds=[math.log(bound) for bound in _RANGE], method="bounded")
    return math.exp(result.x)


def calibrate(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The fitted `temperature`, the number `n` of images, and the calibration error before and after.

    `mistakes` is the number of wrong images. Without mistakes, the cross entropy falls as the confidence rises, and has
    no minimum. Then a temperature below 1 is limited so that the mean confidence is at most (n + 1) / (n + 2), by
    Laplace's rule of succession. Raises as `fit_temperature` does.
    """
    temperature = fit_temperature(logits, labels)
    mistakes = int((~tasks.correct(logits, labels)).sum())
    if not mistakes:
        limit = _temperature_of_confidence(logits, (len(labels) + 1) / (len(labels) + 2))
        temperature = max(temperature, min(1.0, limit))
    return {
        "temperature": temperature,
        "n": len(labels),
        "mistakes": mistakes,
        "error_before": reliability(logits, labels).error,
        "error": reliability(logits / temperature, labels).error,
    }


def calibration_caveat(calibration: Mapping[str, float]) -> str:
    """Why the temperature from `calibrate` is unreliable, in a few words. Empty where it is reliable."""
    reasons = []
    if calibration["n"] < _FEW:
        reasons.append(f"fewer than {_FEW} crops, a rough guess")
    if calibration.get("mistakes") == 0:
        reasons.append("no mistake among them, so that they do not tell how sure is too sure")
    elif not _RANGE[0] * _EDGE < calibration["temperature"] < _RANGE[1] / _EDGE:
        reasons.append(f"at the end of its range, {_RANGE[0]:g} to {_RANGE[1]:g}")
    return ", ".join(reasons)


def _temperature_of_confidence(logits: Tensor, confidence: float) -> float:
    """The temperature with this mean confidence, which falls as the temperature rises, or an end of the range."""
    from scipy.optimize import brentq

    exact = logits.double()

    def excess(log_temperature: float) -> float:
        return tasks.confidence(exact / math.exp(log_temperature)).mean().item() - confidence

    low, high = (math.log(bound) for bound in _RANGE)
    if excess(low) <= 0 or excess(high) >= 0:
        return _RANGE[0] if excess(low) <= 0 else _RANGE[1]
    return math.exp(brentq(excess, low, high))


def _check(logits: Tensor, labels: Tensor) -> None:
    fits = tasks.are_numbers(logits) == (labels.ndim == 2) and labels.shape[:1] == logits.shape[:1]
    if logits.ndim not in (2, 3) or not fits or not len(labels):
        raise InputError(f"logits must be [N, 10] and labels [N], not {list(logits.shape)} and {list(labels.shape)}")
    if logits.ndim == 2 and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise InputError(f"labels must lie in 0..{logits.shape[1] - 1}, not {labels.min()}..{labels.max()}")
    if not logits.isfinite().all():
        raise InputError("logits must be finite numbers")
    if tasks.are_probabilities(logits):
        raise InputError("logits must be what a softmax is taken of, not probabilities or votes: take their logarithm")
