#!/usr/bin/env bash
# Optuna: the pruners compare a trial with infeasible ones, too. Where models over the budget are better, almost all
# within it are pruned, though set_constraint has told Optuna that the others do not count.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math

import optuna
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
BUDGET, TRIALS, SEEDS = 24, 60, 10
print("optuna", optuna.__version__, "TPE,", TRIALS, "trials,", SEEDS, "seeds, width 8 to 256, at most", BUDGET)


def accuracy(width, rate, epoch):
    """Wider networks are better, and the best learning rate is 0.01."""
    final = 1 - 0.6 / math.sqrt(width) - 0.01 * abs(math.log10(rate) + 2)
    return final * (1 - math.exp(-(epoch + 1) / 3))


def objective(trial):
    width = trial.suggest_int("width", 8, 256, log=True)
    rate = trial.suggest_float("rate", 1e-4, 1, log=True)
    trial.set_constraint("width", width - BUDGET)  # known before the first report
    for epoch in range(10):
        trial.report(accuracy(width, rate, epoch), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy(width, rate, 9)


class Feasible(MedianPruner):
    """The median of the trials within the budget."""

    def prune(self, study, trial):
        class View:
            direction = study.direction

            def get_trials(self, **options):
                return [t for t in study.get_trials(**options) if all(v <= 0 for v in t.constraints.values())]

        return super().prune(View(), trial)


print("best possible", round(accuracy(BUDGET, 0.01, 9), 3))
found = {}
for pruner in (NopPruner, MedianPruner, SuccessiveHalvingPruner, HyperbandPruner, Feasible):
    feasible, finished, over, best = 0, 0, [0, 0], []
    for seed in range(SEEDS):
        study = optuna.create_study(  # Hyperband chooses its brackets by the name
            study_name=f"study {seed}", direction="maximize", sampler=TPESampler(seed=seed), pruner=pruner()
        )
        study.optimize(objective, n_trials=TRIALS)
        for trial in study.trials:
            done = trial.state == TrialState.COMPLETE
            if trial.constraints["width"] <= 0:
                feasible, finished = feasible + 1, finished + done
            else:
                over = [over[0] + 1, over[1] + done]
        try:
            best.append(study.best_value)
        except ValueError as error:
            assert "feasible" in str(error)
            best.append(None)
    known = [value for value in best if value is not None]
    found[pruner] = finished / feasible, over[1] / over[0], best.count(None), sum(known) / len(known)
    print(f"{pruner.__name__:23}: finished {finished} of {feasible} within the budget, {over[1]} of {over[0]} over it; "
          f"seeds without a result {best.count(None)}, mean of the others {found[pruner][3]:.3f}")

assert found[NopPruner][2] == 0 and found[NopPruner][3] > 0.835
assert found[Feasible][2] == 0 and found[Feasible][0] > 0.2 and found[Feasible][3] > 0.835
for pruner in (MedianPruner, SuccessiveHalvingPruner, HyperbandPruner):
    assert found[pruner][0] < 0.1 and found[pruner][1] > 2 * found[pruner][0]
    assert found[pruner][3] < 0.83
assert found[MedianPruner][2] >= 1 and found[SuccessiveHalvingPruner][2] >= 3
# Seen: samplers and best_trial prefer feasible trials, and half of all are. The pruners do not look at constraints: the
# median, or the best quarter, is that of networks over the budget, of which more finish than of those within it. Some
# seeds end without any result, the others with a worse one than without a pruner, or than with the median of the
# feasible trials alone.
PYTHON
