"""Sweeps whose processes are killed at random moments, and which the same command then completes."""

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from chaos_support.commands import Command, left_behind, processes_in
from chaos_support.kills import Faults

TRIALS = 4
_WORDS = (
    "-m", "hydra/sweeper=optuna", "data=digits", "data.reduce=0.25", "model.width=4", "model.blocks=[1,1,1]",
    "epochs=2", "threads=1", "optimizer.lr=tag(log,interval(0.0001,0.1))", "search@hydra.sweeper.params=quick",
    "hydra.sweeper.study_name=s", f"hydra.sweeper.n_trials={TRIALS}", "hydra/sweeper/pruner=none",
)  # fmt: skip
_PRUNING = (
    "hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0",
)  # fmt: skip
_MOST_KILLS = 2
_PATIENCE = 240.0  # seconds for what is left of a sweep
_ENDING = 20.0  # seconds that workers may take to notice that the command is gone
_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Sweeps:
    """The sweep, and what its trials give where nobody kills them."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        started = time.monotonic()
        ended = Command(home, "train", _WORDS).wait(_PATIENCE)
        if ended.code or ended.faults:
            raise RuntimeError(f"{ended.command}: {ended.stderr}")
        self._seconds = time.monotonic() - started
        self._weights = {_lr(trial): _weights(home, trial) for trial in _counted(home)}

    def kill(self, home: Path, chance: random.Random) -> Faults:
        """Kills the sweep, one of its workers, or all of its processes, now and then twice; then completes it."""
        workers = chance.choice((1, 1, 2))
        pruning = chance.random() < 0.4
        words = (*_WORDS, f"hydra.sweeper.n_jobs={workers}", *(_PRUNING if pruning else ()))
        faults = []
        for _ in range(chance.randint(1, _MOST_KILLS)):
            command = Command(home, "train", words)
            time.sleep(chance.uniform(0.3, self._seconds * 1.2))
            _kill(command, home, chance)
            if not command.ended() and workers == 1:
                command.kill()
            if command.ended():
                faults += left_behind(home, _ENDING)
            else:  # one of its workers was killed: the others and the command go on
                ended = command.wait(_PATIENCE)
                faults += ended.faults or left_behind(home, patience=0)
        ended = Command(home, "train", words).wait(_PATIENCE)
        faults += ended.faults or left_behind(home, patience=0)
        if not faults and ended.code:
            faults = [("not completed", f"{ended.command}: {ended.stderr}")]
        return faults or self._judged(home, pruning)

    def _judged(self, home: Path, pruning: bool) -> Faults:
        """Whether there are as many trials as configured, each of them once, and with the weights that it must have."""
        every = _study(home).trials
        trials = _counted(home)
        said = [f"{trial.number} {trial.state.name} {trial.user_attrs}" for trial in every]
        if len(trials) != TRIALS or any(not trial.state.is_finished() for trial in every):
            return [("wrong counts of trials", f"{len(trials)} instead of {TRIALS}: {said}")]
        if {_lr(trial) for trial in trials} != set(self._weights):
            return [("trials lost or doubled", f"{sorted(map(_lr, trials))} instead of {sorted(self._weights)}")]
        failed = [trial for trial in trials if trial.state is TrialState.FAIL]
        if failed or (not pruning and any(trial.state is not TrialState.COMPLETE for trial in trials)):
            return [("wrong counts of trials", f"none should fail: {said}")]
        complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        other = [trial.number for trial in complete if _weights(home, trial) != self._weights[_lr(trial)]]
        return [("other weights", f"of the trials {other}")] if other else []


def _kill(command: Command, home: Path, chance: random.Random) -> None:
    """Kills the command, or one of its workers, or all at once."""
    children = [process for process in processes_in(home) if process.pid != command.pid]
    whom = chance.choice(("command", "worker", "all"))
    if whom == "command" or not children:
        command.kill()
        return
    victims = children if whom == "all" else [chance.choice(children)]
    for process in victims:
        with suppress(psutil.Error, OSError):
            os.kill(process.pid, signal.SIGKILL)
    if whom == "all":
        command.kill()


def _study(home: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{home}/multirun/s/study.db")


def _counted(home: Path) -> list[FrozenTrial]:
    """The trials that count: those that ended by themselves."""
    trials = _study(home).trials
    return [trial for trial in trials if trial.state in _COUNTED and not trial.user_attrs.get("interrupted")]


def _lr(trial: FrozenTrial) -> Any:
    return trial.params.get("optimizer.lr")


def _weights(home: Path, trial: FrozenTrial) -> Any:
    record = json.loads((home / f"multirun/s/trial_{trial.number:04d}/run.json").read_text())
    return record["weights_sha256"]
