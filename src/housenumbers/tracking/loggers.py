"""Loggers: pass a run's data to Weights & Biases, MLflow or a CSV table. Their libraries are imported only when used.

They have the methods of Lightning's loggers, so that Lightning's loggers work too. A custom logger needs no others.
"""

import csv
import hashlib
import io
import logging
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from housenumbers.config.values import flatten
from housenumbers.runtime.files import write_text
from housenumbers.tracking.run_folder import RunFolder

_TAG = "housenumbers_run"  # of MLflow


class Logger(Protocol):
    """The methods that a run calls. A resumed run first logs the earlier epochs again."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Called once at the start with the whole nested configuration."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Called after each epoch with `step` as the epoch, and at the end with the final scores and the last epoch."""

    def finalize(self, status: str) -> None:
        """Called at the end with "success", or with "failed" where the run failed or was interrupted."""


class CSVLogger:
    """A CSV file in the run's folder, rewritten after each epoch: a column per value, a line per step."""

    def __init__(self, folder: Path, file: str = "metrics.csv") -> None:
        if Path(file).name != file or Path(file).suffix != ".csv":  # other names may be those of the run's own files
            raise ValueError(f"file={file}: must be the name of a file in the run's folder, with the ending .csv")
        self._file = folder / file
        self._lines: dict[int, dict[str, float]] = {}

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Does nothing: the configuration is stored in the run's folder."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self._lines.setdefault(step, {"epoch": step}).update(metrics)
        text = io.StringIO()
        columns = list(dict.fromkeys(column for line in self._lines.values() for column in line))
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self._lines.values())
        write_text(self._file, text.getvalue())

    def finalize(self, status: str) -> None:
        """Does nothing: the file is complete."""


class WandbLogger:
    """A run of Weights & Biases. Offline, its files are in the run's folder and `wandb sync` uploads them."""

    def __init__(
        self,
        folder: Path,
        project: str = "housenumbers",
        entity: str | None = None,
        name: str | None = None,
        mode: str = "offline",
    ) -> None:
        if mode not in ("offline", "online"):
            raise ValueError(f"mode={mode}: must be offline or online")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else it sends errors to its makers, offline too
        import wandb

        self._wandb, self._folder = wandb, folder
        self._run: Any = None
        self._options: dict[str, Any] = {"project": project, "entity": entity, "name": name, "mode": mode}

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        quiet = self._wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        options = self._options | {"dir": str(self._folder), "id": self._run_key()}
        self._run = self._wandb.init(**options, config=params, resume="allow", settings=quiet)

    def _run_key(self) -> str:
        """The id of the run's entry: the one of an earlier version, where the folder has files of it."""
        earlier = _folder_key(self._folder)
        return earlier if any(self._folder.glob(f"wandb/*-{earlier}")) else _run_id(self._folder)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self._run.log(metrics, step=step)

    def finalize(self, status: str) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)


class MLflowLogger:
    """An MLflow run in the database or on the server at `tracking_uri`."""

    def __init__(
        self,
        folder: Path,
        tracking_uri: str = "sqlite:///mlflow.db",
        experiment: str = "housenumbers",
        name: str | None = None,
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it logs each table that it creates
        self._mlflow, self._uri, self._experiment, self._name = mlflow, tracking_uri, experiment, name
        self._folder = folder
        self._run = ""
        self._logged: set[tuple[str, int]] = set()

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        place = hashlib.sha256(f"{Path.cwd()} {self._uri}".encode()).hexdigest()[:16]
        # Processes that create the same tables at the same time conflict.
        with FileLock(Path(tempfile.gettempdir()) / f"mlflow_{place}.lock"):
            self._client = self._mlflow.MlflowClient(tracking_uri=self._uri)
            known = self._client.get_experiment_by_name(self._experiment)
            experiment = known.experiment_id if known else self._client.create_experiment(self._experiment)
        before = self._entry(experiment)
        if before is not None:
            self._run = before.info.run_id
            for key in before.data.metrics:
                self._logged |= {(key, point.step) for point in self._client.get_metric_history(self._run, key)}
            self._client.update_run(self._run, status="RUNNING")
            return
        tags = {_TAG: _run_id(self._folder)}
        self._run = self._client.create_run(experiment, run_name=self._name, tags=tags).info.run_id
        for key, value in flatten(params).items():
            self._client.log_param(self._run, key, value)

    def _entry(self, experiment: str) -> Any:
        """The MLflow run that an earlier start of this run created. None where there is none."""
        if found := self._search(experiment, _run_id(self._folder)):
            return found[0]
        started = RunFolder(self._folder).record().get("started")
        if started is None:
            return None
        # Earlier versions used the folder as the key: an older MLflow run is of another run in the same folder.
        oldest = int(datetime.fromisoformat(started).timestamp() * 1000)
        earlier = self._search(experiment, _folder_key(self._folder))
        return next((run for run in earlier if run.info.start_time >= oldest), None)

    def _search(self, experiment: str, key: str) -> list[Any]:
        return list(self._client.search_runs([experiment], f"tags.{_TAG} = '{key}'"))

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        for key, value in metrics.items():
            if (key, step) not in self._logged:  # MLflow would store both
                self._client.log_metric(self._run, key, value, step=step)
                self._logged.add((key, step))

    def finalize(self, status: str) -> None:
        if self._run:
            self._client.set_terminated(self._run, "FINISHED" if status == "success" else "FAILED")


def _run_id(folder: Path) -> str:
    """The run's id, which a resumed run keeps and another run in the same folder does not have."""
    return str(RunFolder(folder).record().get("run_id") or _folder_key(folder))


def _folder_key(folder: Path) -> str:
    """The key of a run in earlier versions: a hash of its folder."""
    return hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
