#!/usr/bin/env bash
# Optuna: NSGA-II, NSGA-III and CMA-ES never learn from an enqueued trial that names all parameters; NSGA does if one
# is left out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0 cmaes==0.13.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import optuna
from optuna.samplers import CmaEsSampler, NSGAIIISampler, NSGAIISampler, TPESampler

optuna.logging.set_verbosity(optuna.logging.ERROR)
print("optuna", optuna.__version__)
NAMES = [f"x{number}" for number in range(8)]


def loss(trial):
    return sum((trial.suggest_float(name, -5, 5) - 0.2) ** 2 for name in NAMES)


known = dict.fromkeys(NAMES, 0.3)  # a setting from earlier work, of loss 0.08
queues = {"nothing": None, "all eight": known, "all but x7": {name: known[name] for name in NAMES[:-1]}}


def search(sampler, queued, trials):
    study = optuna.create_study(sampler=sampler)
    if queued:
        study.enqueue_trial(queued)
    study.optimize(loss, n_trials=trials)
    return study.trials


evolution = {
    "NSGA-II": (lambda seed: NSGAIISampler(population_size=20, seed=seed), 240),
    "NSGA-III": (lambda seed: NSGAIIISampler(population_size=20, seed=seed), 240),
    "CMA-ES": (lambda seed: CmaEsSampler(seed=seed), 120),
    "TPE": (lambda seed: TPESampler(seed=seed), 60),
}
best, later = {}, {}
for name, (make, trials) in evolution.items():
    print(f"{name}, best loss among the trials after the first, of {trials}, for three seeds")
    for text, queued in queues.items():
        runs = [search(make(seed), queued, trials) for seed in range(3)]
        best[name, text] = [round(min(trial.value for trial in run[1:]), 3) for run in runs]
        later[name, text] = [[trial.params for trial in run[1:]] for run in runs]
        print(f"  queued {text:10}: loss of trial 0 {runs[0][0].value:6.3f}, best later {best[name, text]}")
        if name.startswith("NSGA"):
            assert any("generation" in key for key in runs[0][0].system_attrs) == (text != "all eight")
generations = {}
for text, queued in queues.items():
    study = optuna.create_study(sampler=CmaEsSampler(seed=0))
    study.optimize(loss, n_trials=30)
    if queued:
        study.enqueue_trial(queued)
    study.optimize(loss, n_trials=1)
    generations[text] = study.trials[30].system_attrs.get("cma:generation")
print("generation of CMA-ES in which trial 30 was drawn, if it was queued:", generations)
# Seen: the joint sampling of a trial happens when the first parameter is asked for that the queue does not fix, and
# these samplers note the generation of a trial there. A queued trial that fixes everything has none, so it is in no
# population and never a parent, also where it is the best trial of the study by far. The other trials are those of the
# study without it, to the bit, one place later. If one parameter is left to the sampler, the trial is an individual as
# all others, and its values are found again. CMA-ES does the same with a trial queued later; those before its first
# generation (n_startup_trials, by default one) it never counts. study.best_trial, the figures and TPE know the trial.
for name in ("NSGA-II", "NSGA-III"):
    for queued, nothing in zip(later[name, "all eight"], later[name, "nothing"]):
        assert queued[1:] == nothing[:-1]
    assert best[name, "all eight"] == best[name, "nothing"] and min(best[name, "all eight"]) > 2
    assert max(best[name, "all but x7"]) < 1
assert later["CMA-ES", "all eight"] == later["CMA-ES", "nothing"] == later["CMA-ES", "all but x7"]
assert generations == {"nothing": 2, "all eight": None, "all but x7": 2}
assert max(best["TPE", "all eight"]) < min(best["TPE", "nothing"])
PYTHON
