#!/usr/bin/env bash
# Optuna: PatientPruner prunes only values that become worse: a flat curve never, and a higher min_delta prunes less.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import optuna
from optuna.pruners import MedianPruner, PatientPruner

optuna.logging.set_verbosity(optuna.logging.ERROR)
print("optuna", optuna.__version__)
STEPS = 50
good = [0.5 + 0.009 * step for step in range(STEPS)]
curves = {
    "flat": [0.1] * STEPS,  # the accuracy of a network that always answers with the same of ten classes
    "rises by 1e-9 a step": [0.1 + 1e-9 * step for step in range(STEPS)],
    "falls by 1e-9 a step": [0.1 - 1e-9 * step for step in range(STEPS)],
    "rises by 0.001 a step": [0.1 + 0.001 * step for step in range(STEPS)],
    "falls by 0.001 a step": [0.9 - 0.001 * step for step in range(STEPS)],
}


def pruned_at(pruner, values):
    """The first step at which a trial of these accuracies is pruned, after five complete good ones."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for curve in [good] * 5 + [values]:
        trial, decision = study.ask(), None
        for step, value in enumerate(curve):
            trial.report(value, step)
            if decision is None and trial.should_prune():
                decision = step
        study.tell(trial, curve[-1])
    return decision


seen = {}
for name, values in curves.items():
    seen[name] = [
        pruned_at(pruner, values)
        for pruner in (
            MedianPruner(),
            PatientPruner(MedianPruner(), patience=3),
            PatientPruner(None, patience=3),
            PatientPruner(None, patience=3, min_delta=0.01),
        )
    ]
    print(f"{name:22} pruned at: median, patient median, patience alone, min_delta=0.01:", seen[name])
# Seen: its documentation describes early stopping, of a trial that improves by less than a threshold. The code prunes
# if the best of the last patience + 1 values is worse than the best one before by more than min_delta. Equal is not
# worse, so a collapsed network runs to its end, also where the median would have stopped it at once; and min_delta is
# the loss that is allowed, not the improvement that is asked for.
assert seen["flat"] == [0, None, None, None]
assert seen["rises by 1e-9 a step"] == [0, None, None, None]
assert seen["falls by 1e-9 a step"] == [0, 4, 4, None]
assert seen["rises by 0.001 a step"] == [0, None, None, None]  # 0.004 in patience + 1 steps, less than min_delta
assert seen["falls by 0.001 a step"][2:] == [4, 14]
PYTHON
