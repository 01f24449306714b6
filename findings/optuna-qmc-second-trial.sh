#!/usr/bin/env bash
# Optuna: the first Sobol point that QMCSampler tries is the low corner of the space, in the second trial.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.suggest_int("batch_size", 8, 128)
    trial.suggest_float("gamma", 0.1, 0.9)
    return 0.0


def points(**options):
    study = optuna.create_study(sampler=optuna.samplers.QMCSampler(seed=0, **options))
    study.optimize(objective, n_trials=4)
    return [trial.params for trial in study.trials]


plain, other, scrambled = points(), points(independent_sampler=optuna.samplers.RandomSampler(seed=1)), points(scramble=True)
print("optuna", optuna.__version__)
for number, params in enumerate(plain):
    print(number, params)
print("with scramble=True, trial 1:", scrambled[1])
# Seen: trial 0 comes from the independent (random) sampler, since the space is not known before it. The sequence
# begins with trial 1, unscrambled by default, and its first point is zero: every parameter at its lower bound, in
# every study, whatever the seed.
corner = {"lr": 1e-5, "batch_size": 8, "gamma": 0.1}
assert plain[1] == corner and other[1] == corner
assert plain[0] != other[0] and plain[1:] == other[1:]
assert scrambled[1] != corner
PYTHON
