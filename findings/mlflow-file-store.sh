#!/usr/bin/env bash
# MLflow: a folder of files, its default store for years, is refused; a metric logged again at its step is kept twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 SQLAlchemy==2.1.9 alembic==1.20.1
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true
"$folder/venv/bin/python" - 2> errors.txt <<'PYTHON' || { cat errors.txt; exit 1; }
import os

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

os.environ.pop("MLFLOW_ALLOW_FILE_STORE", None)
print("mlflow", mlflow.__version__)
try:
    MlflowClient(tracking_uri=f"file://{os.getcwd()}/mlruns").create_experiment("files")
    refused = ""
except MlflowException as error:
    refused = " ".join(str(error).split())
print("file store:", refused[:110] or "taken")

client = MlflowClient(tracking_uri="sqlite:///runs.db")
run = client.create_run(client.create_experiment("database")).info.run_id
for _ in range(2):  # as a run does that was killed and goes on from its last checkpoint
    client.log_metric(run, "loss", 0.5, step=1)
points = [(point.step, point.value) for point in client.get_metric_history(run, "loss")]
print("logged twice at step 1:", points)
# Seen: who logs to ./mlruns, as pages of years say, gets an exception now, no warning. And who tells the epochs of a
# resumed run again has to look first what is there: points of equal step are not replaced.
assert "MLFLOW_ALLOW_FILE_STORE" in refused
assert points == [(1, 0.5), (1, 0.5)]
PYTHON
