"""Who is at work on a trial, and what becomes of those whose process died."""

import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import CmaEsSampler, NSGAIIISampler, NSGAIISampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from support import ROOT, environment

from housenumbers.sweeps.heartbeat import query_periodically, record_owner, requeue_dead_trials
from housenumbers.sweeps.samplers import make_sampler
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study import counts_as_trial
from housenumbers.sweeps.trial import Trial


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return optuna.create_study(storage=opened(f"sqlite:///{tmp_path}/study.db"))


def opened(url: str) -> RDBStorage:
    return RDBStorage(url, heartbeat_interval=1, grace_period=60)


def move_far_away(trial: optuna.Trial) -> None:
    """As if its process were on another machine, where it cannot be looked up."""
    _, *process = trial.user_attrs["owner"]
    trial.set_user_attr("owner", ["far-away", *process])


def let_two_minutes_pass(study: optuna.Study) -> None:
    """As if the last heartbeats were two minutes old."""
    storage: Any = study._storage
    with storage._backend.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-2 minutes')"))


def test_a_process_that_died_before_its_first_epoch_is_noticed_from_another_machine(study: optuna.Study) -> None:
    trial = study.ask()
    record_owner(trial)
    move_far_away(trial)
    assert requeue_dead_trials(study) == []
    let_two_minutes_pass(study)
    assert requeue_dead_trials(study) == [0]
    assert requeue_dead_trials(study) == []


def test_parameters_that_wait_are_not_lost_where_a_process_dies_before_it_draws_them(study: optuna.Study) -> None:
    study.enqueue_trial({"optimizer.lr": 0.25}, user_attrs={"continues": 7, "continues_after": 3})
    trial = study.ask()
    record_owner(trial)
    move_far_away(trial)
    let_two_minutes_pass(study)
    assert requeue_dead_trials(study) == [0]
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert waiting.user_attrs["continues_after"] == 3
    assert study.ask().suggest_float("optimizer.lr", 0, 1) == 0.25


SAMPLERS = {
    "nsgaii": partial(NSGAIISampler, population_size=4, seed=0),
    "nsgaiii": partial(NSGAIIISampler, population_size=4, seed=0),
    "cmaes": partial(CmaEsSampler, popsize=4, seed=0),
    "cmaes with margin": partial(CmaEsSampler, popsize=4, seed=0, with_margin=True),
    "grid": partial(make_sampler, {"_target_": "optuna.samplers.GridSampler", "_partial_": True, "seed": 0},
                    Space({name: CategoricalDistribution([0.0, 1.0]) for name in "abcd"})),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_trial_that_goes_on_keeps_its_place_in_its_generation_or_grid(tmp_path: Path, name: str) -> None:
    """Else none would descend from it, and another would be trained in its place."""

    def searched(dies: int | None) -> list[float]:
        storage = opened(f"sqlite:///{tmp_path}/{dies}.db")
        study = optuna.create_study(storage=storage, sampler=SAMPLERS[name]())
        while sum(trial.state is TrialState.COMPLETE for trial in study.trials) < 16:
            trial = study.ask()
            draw = partial(trial.suggest_categorical, choices=[0.0, 1.0]) if name == "grid" else None
            draw = draw or partial(trial.suggest_float, low=-5, high=5)
            value = sum(weight * draw(key) ** 2 for weight, key in enumerate("abcd", 1))
            record_owner(trial)
            if trial.number == dies:
                host, process, created = trial.user_attrs["owner"]
                trial.set_user_attr("owner", [host, process, created - 1])  # an earlier process, which is gone
                assert requeue_dead_trials(study) == [dies]
            else:
                study.tell(trial, value)
        complete = [trial for trial in study.trials if trial.values]
        if "cmaes" in name:  # whose draws depend on the trials' numbers
            return sorted(trial.system_attrs.get(f"{prefix}:generation", -1) for trial in complete)
        return sorted(trial.values[0] for trial in complete)

    prefix = "cmawm" if "margin" in name else "cma"
    assert searched(dies=1) == searched(dies=6) == searched(dies=None)


def test_a_trial_with_several_objectives_that_gets_on_is_not_given_up(tmp_path: Path) -> None:
    """It reports no values, since Optuna does not prune it."""
    study = optuna.create_study(storage=opened(f"sqlite:///{tmp_path}/study.db"), directions=["maximize", "minimize"])
    for epochs in (10, 20, 30, 40):
        trial = study.ask()
        record_owner(trial)
        Trial(trial, objectives=2).report(0.5, epochs)
        host, process, created = trial.user_attrs["owner"]
        trial.set_user_attr("owner", [host, process, created - 1])  # an earlier process, which is gone
        assert requeue_dead_trials(study) == [trial.number]
        (waiting,) = study.get_trials(states=(TrialState.WAITING,))
        assert waiting.user_attrs["continues_after"] == epochs
        assert waiting.user_attrs["deaths"] == 1


@pytest.mark.slow
def test_whenever_what_gives_a_trial_back_is_killed_one_goes_on_with_it(tmp_path: Path) -> None:
    """Killed before each of its commits in turn, until it gets through."""
    for kill_at in range(1, 50):
        url = f"sqlite:///{tmp_path}/{kill_at}.db"
        study = optuna.create_study(study_name="s", storage=opened(url))
        trial = study.ask()
        trial.suggest_float("optimizer.lr", 0, 1)
        record_owner(trial)
        host, process, created = trial.user_attrs["owner"]
        trial.set_user_attr("owner", [host, process, created - 1])  # an earlier process, which is gone
        killed = subprocess.run(
            [sys.executable, "-c", GIVES_BACK, url, str(kill_at)],
            env=environment(PYTHONPATH=str(ROOT / "src")), capture_output=True, text=True,
        )  # fmt: skip
        requeue_dead_trials(study)
        stopped, heir = study.trials
        assert stopped.state is TrialState.FAIL
        assert stopped.user_attrs["interrupted"]
        assert heir.state is TrialState.WAITING
        assert heir.user_attrs["continues"] == 0
        assert study.ask().suggest_float("optimizer.lr", 0, 1) == stopped.params["optimizer.lr"]
        if killed.returncode != -signal.SIGKILL:
            break
    assert killed.returncode == 0, killed.stderr
    assert kill_at > 3


def test_of_two_machines_that_give_back_one_trial_at_once_one_succeeds(
    study: optuna.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one does all of it just before the first, which has found no heir, enqueues its own."""
    trial = study.ask()
    trial.suggest_float("optimizer.lr", 0, 1)
    record_owner(trial)
    move_far_away(trial)
    let_two_minutes_pass(study)
    elsewhere = optuna.load_study(study_name=study.study_name, storage=opened(f"sqlite:///{tmp_path}/study.db"))
    add = study.add_trial

    def add_late(trial: FrozenTrial) -> None:
        assert requeue_dead_trials(elsewhere) == [0]
        add(trial)

    monkeypatch.setattr(study, "add_trial", add_late)
    assert requeue_dead_trials(study) == []
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.WAITING, TrialState.FAIL]
    assert [counts_as_trial(trial) for trial in study.trials] == [False] * 3


# Gives the orphans back, and is killed before so many commits.
GIVES_BACK = """
import optuna, os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from housenumbers.sweeps.heartbeat import requeue_dead_trials
from housenumbers.sweeps.database import open_storage

_, url, left = sys.argv
left = int(left)
study = optuna.load_study(study_name="s", storage=open_storage(url, 30))

@event.listens_for(Engine, "commit")
def look(_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

assert requeue_dead_trials(study) == [0]
"""


def test_a_database_that_is_away_for_a_moment_does_not_end_the_talk(recwarn: pytest.WarningsRecorder) -> None:
    calls = 0
    often = threading.Event()

    def ask() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            often.set()
        raise OperationalError("select 1", {}, Exception("the connection is lost"))

    with query_periodically(ask, 0.01):
        assert often.wait(5)
    assert not list(recwarn)  # pytest makes a warning of what a thread dies of
