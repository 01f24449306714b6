"""The estimate of the time left: of a clock that is set by hand."""

import logging

import pytest

from housenumbers.training.progress_bar import ProgressBar


def said(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, epochs: int, steps: int
) -> list[str]:
    """What a run says whose steps take so many seconds each."""
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    with caplog.at_level(logging.INFO), ProgressBar(epochs, steps, 0) as progress:
        for taken in seconds:
            now += taken
            progress.step(None)
    return caplog.messages


def test_steps_that_are_slow_at_first_do_not_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = said([9.0, *[4.5] * 5, *[0.1] * 94], monkeypatch, caplog, epochs=24, steps=100)
    assert lines == ["about 4 min to go, at 100 ms a step"]


def test_what_validation_adds_is_said_after_an_epoch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = [0.1] * 100
    lines = said([*epoch, 20.1, *epoch[1:]], monkeypatch, caplog, epochs=11, steps=100)
    assert lines == ["about 2 min to go, at 100 ms a step", "about 5 min to go, at 300 ms a step"]


def test_little_is_not_worth_a_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert said([0.1] * 120, monkeypatch, caplog, epochs=4, steps=30) == []
