"""Temperature scaling finds what it should, and the calibration error counts what it should."""

import pytest
import torch

from housenumbers.evaluation.calibration import calibrate, calibration_error, fit_temperature, probabilities


def honest(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn with just the probabilities that these say."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 10, generator=generator)
    return logits, torch.multinomial(logits.softmax(dim=1), 1, generator=generator).view(-1)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(factor: float) -> None:
    logits, labels = honest(20_000)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.03)


def test_calibrating_mends_overconfidence_and_keeps_labels() -> None:
    logits, labels = honest(20_000)
    found = calibrate(3 * logits, labels)
    assert found["n"] == 20_000
    assert found["error_before"] > 0.1
    assert found["error"] < 0.01
    scaled = probabilities(3 * logits, found["temperature"])
    assert torch.equal(scaled.argmax(dim=1), logits.argmax(dim=1))


def test_a_perfect_net_gets_a_finite_temperature() -> None:
    assert 0.05 <= fit_temperature(torch.eye(10) * 5, torch.arange(10)) < 0.2  # where the loss is 0 already


def test_the_error_is_the_gap_between_confidence_and_accuracy() -> None:
    sure = torch.zeros(10, 10)
    sure[:, 0], sure[:, 1] = 0.8, 0.2
    unsure = torch.full((10, 10), 0.05)
    unsure[:, 3] = 0.55
    labels = torch.tensor([0] * 6 + [1] * 4 + [3] * 10)  # 60 % right at 80 %; all right at 55 %
    assert calibration_error(torch.cat([sure, unsure]), labels) == pytest.approx((0.2 + 0.45) / 2)
