#!/usr/bin/env bash
# Optuna: copy_study breaks a study of NSGA-II or NSGA-III, because the copy keeps the trial ids of the other storage:
# it breeds from other trials than the best, or begins again at random.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0 sqlalchemy==2.1.9 alembic==1.20.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import statistics

import optuna
from optuna.samplers import NSGAIISampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)
print("optuna", optuna.__version__)
BEFORE, AFTER = 302, 300  # the search is copied after two trials of the sixteenth generation


def loss(trial):
    return sum((trial.suggest_float(f"x{number}", -5, 5) - 1) ** 2 for number in range(8))


def study_in(storage, seed):
    sampler = NSGAIISampler(population_size=20, seed=seed)
    return optuna.create_study(storage=storage, study_name="s", sampler=sampler, load_if_exists=True)


def storage_with(trials):
    """A storage that holds another study, of this number of trials."""
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="t").optimize(lambda trial: trial.suggest_float("x", 0, 1), trials)
    return storage


def parents(study):
    """The numbers of the trials from which the next one is bred."""
    generation = max(trial.system_attrs["NSGAIISampler:generation"] for trial in study.trials)
    return [trial.number for trial in study.sampler.get_parent_population(study, generation)]


searches = []
for seed in range(4):
    searches.append(InMemoryStorage())
    study_in(searches[seed], seed).optimize(loss, n_trials=BEFORE)
places = {
    "an empty storage": InMemoryStorage,
    "an empty SQLite file": lambda: "sqlite:///new.db",  # its ids begin at 1, those in memory and in a journal at 0
    "a journal with one trial": lambda: JournalStorage(JournalFileBackend("one.log")),
    "a storage with 400 trials": lambda: storage_with(400),
}
right = parents(study_in(searches[0], 0))
print("parents before the copy:", right)
seen = {}
for name, make in places.items():
    place = make()
    if "journal" in name:
        optuna.create_study(storage=place, study_name="t").optimize(lambda trial: trial.suggest_float("x", 0, 1), 1)
    optuna.copy_study(from_study_name="s", from_storage=searches[0], to_storage=place)
    seen[name] = parents(study_in(place, 0))
    print(f"  in {name}: {seen[name]}")

cost = {}
for name, others in {"an empty storage": 0, "a storage with 400 trials": 400}.items():
    recovered, following, last = [], [], []
    for seed, search in enumerate(searches):
        place = storage_with(others)
        optuna.copy_study(from_study_name="s", from_storage=search, to_storage=place)
        study = study_in(place, seed + 100)
        best = study.best_value
        study.optimize(loss, n_trials=AFTER)
        values = [trial.value for trial in study.trials[BEFORE:]]
        recovered.append(next((index + 1 for index, value in enumerate(values) if value < best), None))
        following.append(round(statistics.mean(values[:18])))
        last.append(round(min(values), 2))
    cost[name] = recovered, following, last
    print(f"continued in {name}, four seeds: mean loss of the next 18 trials {following}")
    print(f"  a better trial than the best before the copy after {recovered} trials; best of {AFTER}: {last}")
# Seen: the samplers keep the parents of each generation as trial ids in an attribute of the study; copy_study copies
# the attribute and gives the trials new ids. Only between two storages that count alike, such as two new SQLite files,
# are they the same trials. In a storage with one trial more, each parent is the trial before the right one; in one with
# many there is none, and the rest of the generation is random. Selection takes parents and children of the last
# generation, so the best trials of all earlier ones never come back. study.best_trial and all figures look right.
assert seen["an empty storage"] == right
assert seen["an empty SQLite file"] == seen["a journal with one trial"] == [number - 1 for number in right]
assert seen["a storage with 400 trials"] == []
assert max(cost["an empty storage"][1]) < 20 and min(cost["a storage with 400 trials"][1]) > 50
assert max(cost["an empty storage"][0]) < 50
assert all(number is None or number > 100 for number in cost["a storage with 400 trials"][0])
PYTHON
