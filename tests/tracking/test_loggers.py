"""Loggers as options: what each keeps of a run, through its own library, also after a resume."""

import csv
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import composed

from housenumbers.config.values import config_to_dict
from housenumbers.preflight import check_targets
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.loggers import CSVLogger, Logger, MLflowLogger, WandbLogger

HISTORY = [
    {"train_loss": 2.0, "val_loss": 1.5, "val_accuracy": 0.5},
    {"train_loss": 1.0, "val_loss": 1.25, "val_accuracy": 0.75},
]


def log(logger: Logger, epochs: int, status: str = "success") -> None:
    logger.log_hyperparams(config_to_dict(composed("optimizer.lr=0.5")))
    for step, metrics in enumerate(HISTORY[:epochs], start=1):
        logger.log_metrics(metrics, step=step)
    if epochs == len(HISTORY):
        logger.log_metrics({"test_accuracy": 0.25}, step=epochs)
    logger.finalize(status)


def interrupted_and_resumed(make: type[Logger], folder: Path, **options: str) -> None:
    log(make(folder, **options), 1, "failed")
    log(make(folder, **options), 2)


def test_csv_is_a_line_an_epoch(tmp_path: Path) -> None:
    interrupted_and_resumed(CSVLogger, tmp_path)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["val_loss"]) for row in rows] == [1.5, 1.25]
    assert [row["test_accuracy"] for row in rows] == ["", "0.25"]


@pytest.mark.slow
def test_wandb_is_written_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    interrupted_and_resumed(WandbLogger, tmp_path, name="mine")
    files = list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # one run, in two parts
    assert b"val_accuracy" in b"".join(file.read_bytes() for file in files)


@pytest.mark.slow
def test_mlflow_has_each_value_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    interrupted_and_resumed(MLflowLogger, tmp_path, tracking_uri=uri, name="mine")
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("housenumbers").experiment_id
    (run,) = client.search_runs([experiment])
    assert (run.info.status, run.info.run_name, run.data.params["optimizer.lr"]) == ("FINISHED", "mine", "0.5")
    points = client.get_metric_history(run.info.run_id, "val_loss")
    assert sorted((point.step, point.value) for point in points) == [(1, 1.5), (2, 1.25)]
    assert run.data.metrics["test_accuracy"] == 0.25


def write_record(folder: Path, run_id: str, started: datetime) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"run_id": run_id, "started": started.isoformat()}))


def mlflow_runs(uri: str) -> list[Any]:
    client = pytest.importorskip("mlflow").MlflowClient(tracking_uri=uri)
    return list(client.search_runs([client.get_experiment_by_name("housenumbers").experiment_id]))


@pytest.mark.slow
def test_mlflow_has_an_entry_for_each_run_in_a_folder_that_is_used_again(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    uri, folder = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "run"
    for run_id in ("first", "second"):
        write_record(folder, run_id, datetime.now(UTC))
        interrupted_and_resumed(MLflowLogger, folder, tracking_uri=uri)
    assert [run.data.metrics["val_loss"] for run in mlflow_runs(uri)] == [1.25, 1.25]


@pytest.mark.slow
@pytest.mark.parametrize(("age", "count"), [(timedelta(hours=1), 1), (timedelta(hours=-1), 2)])
def test_mlflow_goes_on_with_the_entry_of_an_earlier_version(tmp_path: Path, age: timedelta, count: int) -> None:
    """Its key is the folder: it is taken for this run's where it is not older than the run."""
    mlflow = pytest.importorskip("mlflow")
    uri, folder = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "run"
    client = mlflow.MlflowClient(tracking_uri=uri)
    key = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    client.create_run(client.create_experiment("housenumbers"), tags={"housenumbers_run": key})
    write_record(folder, "this", datetime.now(UTC) - age)
    interrupted_and_resumed(MLflowLogger, folder, tracking_uri=uri)
    assert len(mlflow_runs(uri)) == count


@pytest.mark.slow
def test_wandb_has_an_entry_for_each_run_in_a_folder_that_is_used_again(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    for run_id in ("first", "second"):
        write_record(tmp_path, run_id, datetime.now(UTC))
        interrupted_and_resumed(WandbLogger, tmp_path)
    files = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert {file.name for file in files} == {"run-first.wandb", "run-second.wandb"}


@pytest.mark.slow
def test_wandb_goes_on_with_the_entry_of_an_earlier_version(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    interrupted_and_resumed(WandbLogger, tmp_path)  # without a record, the key is the folder as in earlier versions
    write_record(tmp_path, "this", datetime.now(UTC))
    interrupted_and_resumed(WandbLogger, tmp_path)
    assert len({file.name for file in tmp_path.glob("wandb/offline-run-*/*.wandb")}) == 1


@pytest.mark.parametrize("name", ["none", "csv", "wandb", "mlflow", "[csv,wandb]"])
def test_each_is_an_option(name: str) -> None:
    config = composed(f"logger={name}")
    assert list(config.logger) == [] if name == "none" else name.strip("[]").split(",")


def test_what_needs_an_extra_says_so_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"logger=mlflow: mlflow is not installed: pip install -e '\.\[mlflow\]'"):
        check_targets(composed("logger=mlflow"))


def test_a_bad_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file=\.\./x"):
        CSVLogger(tmp_path, "../x")


@pytest.mark.parametrize("file", ["run.json", "metrics.jsonl", "", "csv", ".csv", "a/b.csv"])
def test_a_csv_file_that_could_be_another_one_of_the_run_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(ValueError, match=r"must be the name of a file in the run's folder, with the ending \.csv"):
        CSVLogger(tmp_path, file)
