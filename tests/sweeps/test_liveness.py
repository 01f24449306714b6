"""Who is at work on a trial, and what becomes of those whose process died."""

import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from housenumbers.sweeps.liveness import give_back_orphans, mark_owner, meanwhile


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    storage = RDBStorage(f"sqlite:///{tmp_path}/study.db", heartbeat_interval=1, grace_period=1)
    return optuna.create_study(storage=storage)


def move_far_away(trial: optuna.Trial) -> None:
    """As if its process were on another machine, where it cannot be looked up."""
    _, *process = trial.user_attrs["owner"]
    trial.set_user_attr("owner", ["far-away", *process])


def test_a_process_that_died_before_its_first_epoch_is_noticed_from_another_machine(study: optuna.Study) -> None:
    trial = study.ask()
    mark_owner(trial)
    move_far_away(trial)
    assert give_back_orphans(study) == []
    time.sleep(2.5)
    assert give_back_orphans(study) == [0]
    assert give_back_orphans(study) == []


def test_parameters_that_wait_are_not_lost_where_a_process_dies_before_it_draws_them(study: optuna.Study) -> None:
    study.enqueue_trial({"optimizer.lr": 0.25}, user_attrs={"continues": 7, "continues_after": 3})
    trial = study.ask()
    mark_owner(trial)
    move_far_away(trial)
    time.sleep(2.5)
    assert give_back_orphans(study) == [0]
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert waiting.user_attrs["continues_after"] == 3
    assert study.ask().suggest_float("optimizer.lr", 0, 1) == 0.25


def test_a_database_that_is_away_for_a_moment_does_not_end_the_talk(recwarn: pytest.WarningsRecorder) -> None:
    calls = 0
    often = threading.Event()

    def ask() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            often.set()
        raise OperationalError("select 1", {}, Exception("the connection is lost"))

    with meanwhile(ask, 0.01):
        assert often.wait(5)
    assert not list(recwarn)  # pytest makes a warning of what a thread dies of
