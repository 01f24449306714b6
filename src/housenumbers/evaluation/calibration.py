"""Whether the probabilities of a net can be believed: confidence against accuracy."""

from typing import NamedTuple

from torch import Tensor


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
