#!/usr/bin/env bash
# MLflow: one user attribute of 8000 characters in MlflowStorage makes all trials of its Optuna study unreadable.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 optuna==5.0.0 sqlalchemy==2.1.9 alembic==1.20.1
cd "$folder"
cat > attribute.py <<'PYTHON'
import mlflow
import optuna
from mlflow.optuna.storage import MlflowStorage

optuna.logging.set_verbosity(optuna.logging.ERROR)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
experiment = mlflow.create_experiment("attribute")
print("mlflow", mlflow.__version__, "optuna", optuna.__version__)


def search(storage, name, length):
    """A study of three trials, the last of which keeps a text of this length, a training log for example."""
    study = optuna.create_study(storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(seed=0))
    for text in ("", "", "a" * length):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.set_user_attr("log", text)
        study.tell(trial, trial.params["x"])
    return "told"


def outcome(function):
    try:
        return function()
    except Exception as error:
        return type(error).__name__


def later(storage, name):
    """What is left of the study for another process: its number of trials, its best one, and the next one."""
    study = optuna.load_study(storage=storage, study_name=name)
    got = lambda: len(study.trials), lambda: study.best_trial.number, lambda: study.ask().number
    return [outcome(get) for get in got]


seen = {}
for length in (7998, 7999):
    for kind, storage in (("Optuna's", lambda: "sqlite:///optuna.db"), ("MLflow's", lambda: MlflowStorage(experiment))):
        name = f"{length} characters"
        seen[kind, length] = outcome(lambda: search(storage(), name, length)), later(storage(), name)
        print(f"{kind} storage, a text of {name}:", *seen[kind, length])
# Seen: an attribute becomes a tag of the run, as JSON, and MLflow cuts tags at 8000 characters, with a line in the log.
# The two quotation marks count, so a text of 7999 characters loses the second one. The storage parses the attributes of
# all trials whenever it is asked for any: the result of this trial cannot be told, and the earlier trials, the best one
# and the next one are out of reach, in each later process too. Optuna's own storage keeps such texts.
whole, broken = ("told", [3, 0, 3]), ("JSONDecodeError", ["JSONDecodeError"] * 3)
assert [seen["Optuna's", length] for length in (7998, 7999)] == [whole, whole]
assert seen["MLflow's", 7998] == whole and seen["MLflow's", 7999] == broken
client = mlflow.MlflowClient()
for run in client.search_runs([experiment]):
    if len(run.data.tags.get("user_log", "")) == 8000 and not run.data.tags["user_log"].endswith('"'):
        client.delete_tag(run.info.run_id, "user_log")
trials = optuna.load_study(storage=MlflowStorage(experiment), study_name="7999 characters").trials
states = {trial.number: trial.state.name for trial in trials}
print("with the cut tag deleted in MLflow:", states)
assert states == {0: "COMPLETE", 1: "COMPLETE", 2: "RUNNING"}
PYTHON
"$folder/venv/bin/python" -W ignore attribute.py 2> /dev/null
