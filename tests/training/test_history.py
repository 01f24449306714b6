"""Early stopping and the choice of the best epoch."""

import pytest

from housenumbers.config.sections import EarlyStoppingConfig
from housenumbers.training.history import best_record, should_stop


def history(losses: list[float], accuracies: list[float] | None = None) -> list[dict[str, float]]:
    accuracies = accuracies or [0.5] * len(losses)
    pairs = enumerate(zip(losses, accuracies, strict=True), start=1)
    return [{"epoch": epoch, "val_loss": loss, "val_accuracy": accuracy} for epoch, (loss, accuracy) in pairs]


def stops_after(losses: list[float], **settings: object) -> int | None:
    config = EarlyStoppingConfig(enabled=True, **settings)  # type: ignore[arg-type]
    records = history(losses, losses if config.monitor == "val_accuracy" else None)
    return next((n for n in range(1, len(records) + 1) if should_stop(records[:n], config)), None)


@pytest.mark.parametrize(
    ("losses", "settings", "epoch"),
    [
        ([1.0, 0.9, 0.8, 0.7], {}, None),
        ([1.0, 0.96, 0.97, 0.96], {}, 4),  # no five percent below 1.0 for three epochs
        ([1.0, 0.94, 0.94, 0.94, 0.94], {}, 5),  # the second epoch set a new mark
        ([1.0, 0.99, 0.98, 0.97], {"improvement": 0.0}, None),
        ([1.0, 1.0, 1.0], {"improvement": 0.0, "patience": 2}, 3),
        ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], {"start_epoch": 3}, 6),
        ([0.5, 0.51, 0.52, 0.53], {"monitor": "val_accuracy"}, None),  # the last one is five percent above 0.5
        ([0.5, 0.51, 0.52, 0.52], {"monitor": "val_accuracy"}, 4),
    ],
)
def test_early_stopping(losses: list[float], settings: dict[str, object], epoch: int | None) -> None:
    assert stops_after(losses, **settings) == epoch


def test_early_stopping_is_off_by_default() -> None:
    assert not should_stop(history([1.0] * 50), EarlyStoppingConfig())


def test_the_best_epoch_is_the_first_of_equals() -> None:
    records = history([0.5, 0.4, 0.3, 0.4], [0.8, 0.9, 0.7, 0.9])
    assert best_record(records, "val_accuracy") is records[1]
    assert best_record(records, "val_loss") is records[2]
    assert best_record(records, "last") is records[3]


def test_without_validation_no_epoch_is_best() -> None:
    records = [{"epoch": 1, "val_loss": None, "val_accuracy": None}]
    assert best_record(records, "val_accuracy") is None
    assert best_record(records, "last") is None
