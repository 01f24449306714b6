#!/usr/bin/env bash
# Syne Tune: AskTellScheduler cannot drive ASHA, BOHB or ASHACQR: the first tell raises KeyError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet syne-tune==0.16.0
cd "$folder"
cat > ask_tell.py <<'PYTHON'
import syne_tune
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import ASHA, BOHB, RandomSearch
from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

SPACE = {"x": uniform(0, 1)}
print("syne-tune", syne_tune.__version__)
single = AskTellScheduler(RandomSearch(SPACE, metrics=["m"]))
single.tell(single.ask(), {"m": 0.5})
for scheduler in (ASHA, BOHB):
    search = AskTellScheduler(scheduler(SPACE, metric="m", time_attr="epoch", max_t=9))
    trial = search.ask()
    try:
        search.tell(trial, {"m": 0.5, "epoch": 1})
    except KeyError as error:
        print(f"{scheduler.__name__}: tell raises KeyError: {error}")
    else:
        raise SystemExit(f"{scheduler.__name__}: tell works now")
# Seen: its ask never calls on_trial_add, and its tell calls on_trial_complete alone, so these schedulers do not know the
# trial. Called by hand, in the order of Syne Tune's own Tuner, they work.
from datetime import datetime

from syne_tune.backend.trial_status import Trial

scheduler = ASHA(SPACE, metric="m", time_attr="epoch", max_t=9)
trial = Trial(0, scheduler.suggest().config, datetime.now())
scheduler.on_trial_add(trial)
decision = scheduler.on_trial_result(trial, {"m": 0.5, "epoch": 1})
print("by hand:", decision)
assert decision in ("CONTINUE", "STOP")
PYTHON
"$folder/venv/bin/python" -W ignore ask_tell.py
