"""Who hears of each epoch: what is called when, what a failure does, and who may be called at all."""

import logging
from pathlib import Path
from typing import Any

import pytest
from support import composed

from housenumbers.config.schema import TrainConfig
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.callbacks import LoggersAndCallbacks

MODULE = """
heard = []


class Recorder:
    def __init__(self, folder, fails_at=None):
        self.folder, self.fails_at = folder, fails_at

    def log_hyperparams(self, params):
        heard.append(("begin", params["name"], self.folder.name))

    def log_metrics(self, metrics, step):
        if step == self.fails_at:
            raise ConnectionError("no route\\nto host")
        heard.append((step, metrics))

    def finalize(self, status):
        heard.append(status)


def note(record):
    heard.append(("called", record.pop("epoch")))


def fail(record):
    return 1 / 0


def nothing():
    return None
"""
RECORD = {"epoch": 1, "train_loss": 2.0, "val_loss": None}
NOTE = {"_target_": "my_observers.note", "_partial_": True}


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the observers of a module outside the package, which is allowed, have heard."""
    (tmp_path / "my_observers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "my_observers.*")
    import my_observers

    my_observers.heard.clear()
    return my_observers.heard


def config(**observers: dict[str, Any]) -> TrainConfig:
    chosen = composed("name=mine")
    for key, named in observers.items():
        setattr(chosen, key, named)
    return chosen


def recorder(**options: Any) -> dict[str, Any]:
    return {"mine": {"_target_": "my_observers.Recorder", **options}}


def test_loggers_and_callbacks_hear_of_each_epoch_once(heard: list[Any], tmp_path: Path) -> None:
    with LoggersAndCallbacks(config(logger=recorder(), callbacks={"note": NOTE}), tmp_path / "run") as observers:
        observers.log_start([RECORD])
        observers.on_epoch_end(record := RECORD | {"epoch": 2})
        observers.log_metrics({"test_accuracy": 0.5}, step=2)
    assert record["epoch"] == 2  # a callback gets a copy
    loss = {"train_loss": 2.0}
    begin = ("begin", "mine", "run")
    assert heard == [begin, (1, loss), (2, loss), ("called", 2), (2, {"test_accuracy": 0.5}), "success"]


def test_a_logger_that_fails_says_so_once_and_the_run_goes_on(
    heard: list[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        LoggersAndCallbacks(config(logger=recorder(fails_at=1)), tmp_path) as observers,
    ):
        observers.log_start([])
        for epoch in (1, 2):
            observers.on_epoch_end(RECORD | {"epoch": epoch})
    (said,) = caplog.messages
    assert said.startswith("logger.mine: log_metrics: ConnectionError: no route to host (")
    assert said.endswith("the run goes on without it")
    assert len(heard) == 1


def test_a_callback_that_fails_ends_the_run_in_one_line(heard: list[Any], tmp_path: Path) -> None:
    failing = {"bad": {"_target_": "my_observers.fail", "_partial_": True}}
    chosen = config(logger=recorder(), callbacks=failing)
    with (
        pytest.raises(
            UserError,
            match=r"callbacks\.bad: called with the .*: ZeroDivisionError: .*my_observers\.py, line \d+\)",
        ),
        LoggersAndCallbacks(chosen, tmp_path) as observers,
    ):
        observers.on_epoch_end(RECORD)
    assert heard[-1] == "failed"


def test_what_cannot_be_called_is_one_line(heard: list[Any], tmp_path: Path) -> None:
    assert heard == []
    with pytest.raises(UserError, match=r"callbacks\.bad: returns a NoneType"):
        LoggersAndCallbacks(config(callbacks={"bad": {"_target_": "my_observers.nothing"}}), tmp_path)
    with pytest.raises(UserError, match=r"callbacks\.bad: .*my_observers\.missing"):
        LoggersAndCallbacks(config(callbacks={"bad": {"_target_": "my_observers.missing"}}), tmp_path)
    with pytest.raises(UserError, match=r"logger\.mine: .*colour"):
        LoggersAndCallbacks(config(logger=recorder(colour="red")), tmp_path)


def test_without_permission_nothing_of_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "")
    with pytest.raises(
        UserError, match=r"callbacks\.note: my_observers\.note: .*HOUSENUMBERS_ALLOW=my_observers\.note"
    ):
        LoggersAndCallbacks(config(callbacks={"note": NOTE}), tmp_path)
