"""Bins of confidence are scikit-learn's, and temperature scaling finds what it should."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from housenumbers.evaluation.calibration import (
    calibrate,
    calibration_caveat,
    fit_temperature,
    probabilities,
    reliability,
)


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


def spread(count: int, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a net that is right each time, by margins about this one."""
    labels = torch.arange(count) % 10
    logits = torch.randn(count, 10, generator=torch.Generator().manual_seed(0)) / 10
    logits[torch.arange(count), labels] += margin
    return logits, labels


@pytest.mark.parametrize("count", [3, 50, 5000])
def test_perfect_images_make_a_net_only_as_sure_as_their_number_allows(count: int) -> None:
    logits, labels = spread(count, 2.0)
    found = calibrate(logits, labels)
    assert found["mistakes"] == 0
    assert fit_temperature(logits, labels) < found["temperature"] < 1
    confidence = probabilities(logits, found["temperature"]).amax(dim=1).mean()
    assert confidence == pytest.approx((count + 1) / (count + 2), abs=1e-4)
    assert "no mistake among them" in calibration_caveat(found)
    assert calibrate(*spread(count, 20.0))["temperature"] == 1  # nor is it made less sure


def test_a_temperature_that_is_little_worth_is_said_to_be_so() -> None:
    logits, labels = honest(20_000)
    assert calibration_caveat(calibrate(logits, labels)) == ""
    assert calibration_caveat(calibrate(logits[:99], labels[:99])).startswith("fewer than 100 crops")
    for factor, wrong in ((1.0, labels.roll(1)), (1e-4, labels)):
        found = calibrate(factor * logits, wrong)
        assert calibration_caveat(found).startswith("at the end of its range, 0.05 to 20")
    assert (
        calibration_caveat({"temperature": 1.2, "n": 900, "error": 0.0, "error_before": 0.0}) == ""
    )  # of before `mistakes`


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logits, labels: (logits.softmax(dim=1), labels), "probabilities or votes"),
        (lambda _, labels: (torch.eye(10)[labels], labels), "probabilities or votes"),
        (lambda logits, labels: (logits.index_fill(0, torch.tensor([3]), torch.nan), labels), "finite"),
        (lambda logits, labels: (logits, labels - 100), r"0\.\.9"),
        (lambda logits, labels: (logits, labels[1:]), r"\[N, 10\]"),
        (lambda logits, labels: (logits[:0], labels[:0]), r"\[N, 10\]"),
    ],
)
def test_what_are_no_logits_or_labels_is_refused(
    change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]], said: str
) -> None:
    for fit in (fit_temperature, calibrate):
        with pytest.raises(ValueError, match=said):
            fit(*change(*honest(200)))
