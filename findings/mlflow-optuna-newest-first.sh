#!/usr/bin/env bash
# MLflow: MlflowStorage gives Optuna its trials newest first: CMA-ES stops learning, and queued trials run backwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mlflow-skinny==3.17.2 optuna==5.0.0 sqlalchemy==2.1.9 alembic==1.20.1 \
    cmaes==0.13.1 plotly==7.1.0
cd "$folder"
cat > order.py <<'PYTHON'
import mlflow
import optuna
from mlflow.optuna.storage import MlflowStorage

optuna.logging.set_verbosity(optuna.logging.WARNING)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
storages = {"Optuna's own": "sqlite:///optuna.db", "MLflow's": MlflowStorage(mlflow.create_experiment("order"))}
print("mlflow", mlflow.__version__, "optuna", optuna.__version__)


def height(trial):
    return (trial.suggest_float("x", -5, 5) - 3) ** 2 + (trial.suggest_float("y", -5, 5) + 2) ** 2


def generations(storage):
    """The generation of the evolution strategy in which each trial was drawn, in the order of the trials."""
    study = optuna.create_study(storage=storage, study_name="cma", sampler=optuna.samplers.CmaEsSampler(seed=0))
    study.optimize(height, n_trials=26)
    trials = sorted(study.trials, key=lambda trial: trial.number)
    return [value for trial in trials for key, value in trial.system_attrs.items() if "generation" in key]


def queue(storage):
    """The order in which enqueued trials run, the numbers of `study.trials`, and the curve of the best value so far."""
    study = optuna.create_study(storage=storage, study_name="queue")
    for x in (8, 4, 2, 1):
        study.enqueue_trial({"x": x})
    ran = []
    study.optimize(lambda trial: ran.append(trial.suggest_int("x", 1, 9)) or ran[-1], n_trials=4)
    best = optuna.visualization.plot_optimization_history(study).data[1]
    return ran, [trial.number for trial in study.trials], dict(zip(best.x, best.y))


seen = {}
for name, storage in storages.items():
    seen[name] = generations(storage), *queue(storage)
    print(f"{name} storage\n  generations of CMA-ES: {seen[name][0]}\n  queued 8, 4, 2, 1; ran: {seen[name][1]}")
    print(f"  numbers of study.trials: {seen[name][2]}\n  best value up to each trial: {seen[name][3]}")
# Seen: the storage lists the runs as MLflow's search does, the newest first. Optuna takes the order of the numbers for
# granted: CmaEsSampler continues from the last saved state in the list, here the first one of all, so that no trial
# goes beyond the third generation, however many follow; nothing is said. enqueue_trial becomes a stack instead of a
# queue. `study.trials[0]` is the newest trial, and the figure of the best value so far shows the final one from the
# beginning. One's own code can sort by `trial.number`; what Optuna does within cannot be changed from outside.
assert seen["Optuna's own"] == (
    [number // 6 for number in range(25)],
    [8, 4, 2, 1],
    [0, 1, 2, 3],
    {0: 8, 1: 4, 2: 2, 3: 1},
)
drawn, ran, numbers, best = seen["MLflow's"]
assert drawn[:18] == [0] * 6 + [1] * 6 + [2] * 6 and set(drawn[18:]) == {2}
assert ran == [1, 2, 4, 8] and numbers == [3, 2, 1, 0] and best == dict.fromkeys(range(4), 1)
PYTHON
"$folder/venv/bin/python" -W ignore order.py 2> /dev/null
