"""Confidence against accuracy."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from housenumbers.evaluation.calibration import reliability


def sharp_logits(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (count,), generator=generator)
    logits = torch.randn(count, 10, generator=generator)
    logits[torch.arange(count), labels] += 2
    return logits, labels


@pytest.mark.parametrize("bins", [5, 15])
def test_bins_are_those_of_scikit_learn(bins: int) -> None:
    logits, labels = sharp_logits(3000)
    found = reliability(logits, labels, bins)
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    right = (predicted == labels).numpy()
    accuracy, mean = calibration_curve(right, confidence.numpy(), n_bins=bins)
    filled = found.counts > 0
    np.testing.assert_allclose(found.accuracy[filled], accuracy, atol=1e-12)
    np.testing.assert_allclose(found.confidence[filled], mean, atol=1e-12)
    weights = found.counts[filled].numpy() / len(labels)
    assert found.error == pytest.approx((weights * np.abs(accuracy - mean)).sum())
    assert found.counts.sum() == 3000


def test_certainty_is_in_the_last_bin() -> None:
    logits = torch.zeros(4, 10)
    logits[:, 3] = 1000.0
    found = reliability(logits, torch.tensor([3, 3, 3, 1]))
    assert found.counts[-1] == 4
    assert found.error == pytest.approx(0.25)
