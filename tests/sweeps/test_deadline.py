"""`hydra.sweeper.timeout`: trials end after an epoch, are kept, and go on with the next call."""

import importlib.util
import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from support import SWEEP, run_ended, sweep

NO_PRUNING = "hydra/sweeper/pruner=none"


def trials(home: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{home}/multirun/s/study.db").trials


def weights(home: Path) -> dict[float, str]:
    """By learning rate, what each complete trial has learnt."""
    return {
        trial.params["optimizer.lr"]: json.loads((home / f"multirun/s/trial_{trial.number:04d}/run.json").read_text())[
            "weights_sha256"
        ]
        for trial in trials(home)
        if trial.state is TrialState.COMPLETE
    }


def test_a_sweep_goes_on_after_its_time_is_over_and_ends_equal(tmp_path: Path) -> None:
    words = (NO_PRUNING, "hydra.sweeper.n_trials=3", "hydra.sweeper.timeout=100000")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    done = sweep(whole, *words)
    assert done.returncode == 0
    assert "the time is over" not in done.stdout
    stopped = run_ended(broken, 0, 2, *SWEEP, *words, folder="trial_0001")
    assert stopped.returncode == 0, stopped.stderr
    assert not stopped.stderr
    last = stopped.stdout.splitlines()[-1]
    assert last == "hydra.sweeper.timeout=100000: the time is over: 1 of 3 trials done: the same command goes on"
    record = json.loads((broken / "multirun/s/trial_0001/run.json").read_text())
    assert record["status"] == "interrupted"
    interrupted = trials(broken)[1]
    assert interrupted.user_attrs["interrupted"] is True
    assert list(interrupted.intermediate_values) == [1, 2]
    assert TrialState.RUNNING not in {trial.state for trial in trials(broken)}
    done = sweep(broken, *words)
    assert done.returncode == 0, done.stderr
    (heir,) = (trial for trial in trials(broken) if trial.user_attrs.get("continues") == 1)
    assert heir.params == interrupted.params
    assert heir.datetime_start < trials(broken)[2].datetime_start  # before the trials that wait for their start
    assert "going on after epoch 2" in (broken / f"multirun/s/trial_{heir.number:04d}/train.log").read_text()
    assert weights(broken) == weights(whole)
    assert len(weights(whole)) == 3


def test_a_time_that_is_too_short_for_any_trial_is_named(tmp_path: Path) -> None:
    done = sweep(tmp_path, "hydra.sweeper.n_trials=2", "hydra.sweeper.timeout=0.001")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.endswith("0 of 2 trials done: no trial has started: give more time than the start of the program takes")


def test_a_trial_that_reached_its_last_epoch_is_complete(tmp_path: Path) -> None:
    words = (NO_PRUNING, "hydra.sweeper.n_trials=2", "hydra.sweeper.timeout=100000")
    stopped = run_ended(tmp_path, 0, 3, *SWEEP, *words, folder="trial_0000")
    assert "1 of 2 trials done" in stopped.stdout.splitlines()[-1]
    assert trials(tmp_path)[0].state is TrialState.COMPLETE


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "ray"])
def test_the_workers_end_in_time_and_keep_their_trials(tmp_path: Path, launcher: str) -> None:
    plugin = f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher"
    if launcher != "basic" and importlib.util.find_spec(plugin) is None:
        pytest.skip(f"needs the extra of hydra/launcher={launcher}")
    words = (
        NO_PRUNING,
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.n_trials=2",
        "epochs=5000",
        f"hydra/launcher={launcher}",
    )
    for seconds in (20, 60, 180):
        done = sweep(tmp_path, *words, f"hydra.sweeper.timeout={seconds}")
        assert done.returncode == 0, done.stderr
        assert launcher == "ray" or not done.stderr  # Ray logs there
        assert "0 of 2 trials done" in done.stdout.splitlines()[-1]
        kept = trials(tmp_path)
        assert [trial.state for trial in kept].count(TrialState.WAITING) == 2
        assert TrialState.RUNNING not in {trial.state for trial in kept}
        if any("continues" in trial.user_attrs for trial in kept):  # else the machine was too slow to begin
            return
    raise AssertionError("no trial began in time")


@pytest.mark.parametrize("value", ["0", "-1", "soon", "true", "inf", "nan"])
def test_a_wrong_budget_is_one_line(tmp_path: Path, value: str) -> None:
    done = sweep(tmp_path, f"hydra.sweeper.timeout={value}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "hydra.sweeper.timeout=" in line
    assert "seconds" in line
    assert not (tmp_path / "multirun").exists()
