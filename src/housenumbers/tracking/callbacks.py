"""The loggers and callbacks of a configuration, called after each epoch is saved. They do not affect the results."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from housenumbers.config.schema import TrainConfig
from housenumbers.config.targets import failure_message, instantiate_in_run
from housenumbers.config.values import config_to_dict
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.loggers import Logger

log = logging.getLogger(__name__)


class LoggersAndCallbacks:
    """The loggers and callbacks of one run. A context manager that passes the run's final status to the loggers.

    A logger that fails is disabled with one line in the log, since its data are stored elsewhere too. A callback that
    fails ends the run. Only the first process of a distributed run has loggers and callbacks.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        """Raises UserError where one of them cannot be created."""
        self._params = config_to_dict(config) if config.logger else {}
        self._loggers: dict[str, Logger] = {
            f"logger.{name}": instantiate_in_run(folder, f"logger.{name}", option)
            for name, option in config.logger.items()
        }
        self._callbacks: dict[str, Callable[[dict[str, Any]], object]] = {
            f"callbacks.{name}": instantiate_in_run(folder, f"callbacks.{name}", option)
            for name, option in config.callbacks.items()
        }
        for key, callback in self._callbacks.items():
            if not callable(callback):
                raise UserError(f"{key}: returns a {type(callback).__name__}, which cannot be called with a record")

    def __enter__(self) -> "LoggersAndCallbacks":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        status = "success" if kind is None else "failed"
        self._call_loggers("finalize", lambda logger: logger.finalize(status))

    def log_start(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Passes the configuration and, after a resume, the epochs so far to the loggers."""
        self._call_loggers("log_hyperparams", lambda logger: logger.log_hyperparams(self._params))
        for record in history:
            self.log_metrics(record, int(record["epoch"]))

    def on_epoch_end(self, record: Mapping[str, Any]) -> None:
        """Passes the epoch's record to the loggers and a copy to each callback.

        Raises UserError where a callback fails.
        """
        self.log_metrics(record, int(record["epoch"]))
        for key, callback in self._callbacks.items():
            try:
                callback(dict(record))
            except Exception as error:
                raise UserError(failure_message(key, error, "called with the epoch's record")) from None

    def log_metrics(self, values: Mapping[str, Any], step: int) -> None:
        """Passes an epoch's record, or at the last epoch the final scores, to the loggers."""
        metrics = {key: float(value) for key, value in values.items() if key != "epoch" and value is not None}
        self._call_loggers("log_metrics", lambda logger: logger.log_metrics(metrics, step=step))

    def _call_loggers(self, call: str, method: Callable[[Logger], None]) -> None:
        for key, logger in list(self._loggers.items()):
            try:
                method(logger)
            except Exception as error:  # libraries and networks raise many types
                del self._loggers[key]
                log.warning("%s: the run goes on without it", failure_message(key, error, call))
