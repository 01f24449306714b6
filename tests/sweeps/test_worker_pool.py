"""Several workers on one study: it ends at exactly n_trials, and what a dead worker left is taken over."""

import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import psutil
import pytest
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from support import SWEEP, TINY, begin_sweep, command_line, environment, only_run, run_ended, run_in, sweep
from warm import run_script

from housenumbers.sweeps import worker_pool

PINNED = ("scheduler.gamma=0.5", "hydra/sweeper/pruner=none")
LONG = ("epochs=12", "data.reduce=1")


def trials(home: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{home}/multirun/s/study.db").trials


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true value of `condition`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def running_for_epochs(home: Path, epochs: int, how_many: int) -> list[FrozenTrial]:
    """The trials at work, once `how_many` of them have finished so many epochs."""
    if not (home / "multirun/s/study.db").exists():
        return []
    try:
        found = [trial for trial in trials(home) if trial.state is TrialState.RUNNING and trial.last_step]
    except Exception:  # the tables are being made
        return []
    ready = [trial for trial in found if trial.last_step >= epochs and "owner" in trial.user_attrs]
    return ready if len(ready) >= how_many else []


def alone(home: Path, trial: FrozenTrial, *words: str) -> dict:
    """The record of a single run with the trial's parameters."""
    home.mkdir()
    chosen = [f"{key}={value}" for key, value in trial.params.items()]
    done = run_in(home, "train", *TINY, "scheduler.step_size=2", "scheduler.gamma=0.5", *words, *chosen)
    assert done.returncode == 0, done.stderr
    return json.loads((only_run(home) / "run.json").read_text())


@pytest.mark.slow
def test_two_workers_end_at_exactly_n_trials(tmp_path: Path) -> None:
    done = sweep(tmp_path, *PINNED, "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=5", "threads=null")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    complete = [trial for trial in trials(tmp_path) if trial.state is TrialState.COMPLETE]
    assert len(complete) == 5
    assert len({tuple(trial.user_attrs["owner"]) for trial in complete}) == 2
    assert len({trial.params["optimizer.lr"] for trial in complete}) == 5
    assert done.stdout.count("val_accuracy") == 6  # a line for each trial, and one for the best
    record = json.loads((tmp_path / f"multirun/s/trial_{complete[0].number:04d}/run.json").read_text())
    assert record["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
    assert record["trial"] == {"study": "s", "number": complete[0].number}


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["hydra.sweep.dir='multirun/${now:%H-%M-%S-%f}_${hydra.sweeper.study_name}'"],
        ["hydra.sweeper.study_name='s_${now:%H-%M-%S-%f}'"],
        ["threads=choice(1,2)", "objective=train_seconds"],
    ],
)
def test_workers_have_the_folder_the_name_and_the_space_of_their_command(tmp_path: Path, words: list[str]) -> None:
    more = ("epochs=1", "data.reduce=0.05", "scheduler.step_size=1", "hydra.sweeper.n_jobs=2")
    done = sweep(tmp_path, *PINNED, *more, "hydra.sweeper.n_trials=2", "threads=null", *words)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("multirun/*/trial_*/run.json"))) == 2


@pytest.mark.slow
def test_the_first_samples_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    drawn = []
    for workers in (1, 2):
        home = tmp_path / str(workers)
        home.mkdir()
        done = sweep(home, *PINNED, "epochs=1", f"hydra.sweeper.n_jobs={workers}", "hydra.sweeper.n_trials=4")
        assert done.returncode == 0, done.stderr
        drawn.append([trial.params for trial in trials(home)])
    assert drawn[0] == drawn[1]
    assert len({params["optimizer.lr"] for params in drawn[0]}) == 4


@pytest.mark.slow
def test_the_trial_of_a_killed_worker_is_taken_over_by_another_and_ends_equal(tmp_path: Path) -> None:
    process = begin_sweep(tmp_path, *PINNED, *LONG, "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=2")
    victim = wait_for(lambda: running_for_epochs(tmp_path, 2, how_many=2))[0]
    os.kill(victim.user_attrs["owner"][1], signal.SIGKILL)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"trial {victim.number}: " in output
    (heir,) = (trial for trial in trials(tmp_path) if trial.user_attrs.get("continues") == victim.number)
    assert heir.state is TrialState.COMPLETE
    assert heir.params == victim.params
    assert trials(tmp_path)[victim.number].user_attrs["interrupted"] is True
    assert "going on after epoch" in (tmp_path / f"multirun/s/trial_{heir.number:04d}/train.log").read_text()
    record = json.loads((tmp_path / f"multirun/s/trial_{heir.number:04d}/run.json").read_text())
    assert record["weights_sha256"] == alone(tmp_path / "alone", heir, *LONG)["weights_sha256"]


@pytest.mark.parametrize(
    "number",
    [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)],
)
def test_workers_end_with_the_command_that_started_them(tmp_path: Path, number: signal.Signals) -> None:
    process = begin_sweep(tmp_path, *PINNED, *LONG, "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=2")
    workers = [trial.user_attrs["owner"][1] for trial in wait_for(lambda: running_for_epochs(tmp_path, 1, 2))]
    process.send_signal(number)
    wait_for(lambda: not any(psutil.pid_exists(worker) for worker in workers), seconds=120)
    process.communicate(timeout=120)
    states = [trial.state for trial in trials(tmp_path)]
    assert TrialState.RUNNING not in states  # given back by the workers themselves
    assert states.count(TrialState.WAITING) == 2


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The workers that a command has started so far, itself or by its launcher."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if "HOUSENUMBERS_WORKER" in child.environ() and "train.py" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_workers_end_with_a_command_that_is_killed_before_they_look_for_it(tmp_path: Path, launcher: str) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra .[joblib]")
    words = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=9", f"hydra/launcher={launcher}")
    process = begin_sweep(tmp_path, *PINNED, *LONG, *words)
    workers = wait_for(lambda: len(found := workers_of(process)) == 2 and found)
    process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert (len(gone), alive) == (2, [])
    process.communicate(timeout=120)
    assert all(trial.state is TrialState.WAITING for trial in trials(tmp_path))


def test_what_a_launcher_gets_can_be_sent_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib and Ray pickle it. What Hydra makes of `_partial_: true` cannot be pickled, the grid sampler say."""
    command = [sys.executable, "-c", "import os; raise SystemExit(int(os.environ['NUMBER']))"]
    environments = [{"NUMBER": "7"}, {"NUMBER": "8"}]
    job = pickle.loads(pickle.dumps(worker_pool.launcher_job(command, environments)))
    monkeypatch.setattr(
        worker_pool, "HydraConfig", SimpleNamespace(get=lambda: SimpleNamespace(job=SimpleNamespace(num=1)))
    )
    assert job(None) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "plugin"),
    [("joblib", "joblib"), ("submitit_local", "submitit"), ("ray", "ray")],
)
def test_a_launcher_starts_the_workers(tmp_path: Path, launcher: str, plugin: str) -> None:
    if importlib.util.find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is None:
        pytest.skip(f"needs the extra of hydra/launcher={launcher}")
    words = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4", f"hydra/launcher={launcher}")
    done = sweep(tmp_path, *PINNED, *words)
    assert done.returncode == 0, done.stderr
    complete = [trial for trial in trials(tmp_path) if trial.state is TrialState.COMPLETE]
    assert len(complete) == 4
    assert len({tuple(trial.user_attrs["owner"]) for trial in complete}) == 2


@pytest.mark.slow
def test_joblib_starts_all_workers_on_one_core_and_searches_a_space_from_a_file(tmp_path: Path) -> None:
    if importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        pytest.skip("needs the extra of hydra/launcher=joblib")
    (tmp_path / "confs/experiment").mkdir(parents=True)
    preset = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      optimizer.eps: interval(1e-8,1e-7)\n"
    (tmp_path / "confs/experiment/small.yaml").write_text(preset)
    words = (*TINY, *PINNED, "hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "--config-dir", f"{tmp_path}/confs")
    one_core = partial(os.sched_setaffinity, 0, {min(os.sched_getaffinity(0))})
    searches = (("optimizer.lr", "search@hydra.sweeper.params=quick", 4), ("optimizer.eps", "experiment=small", 2))
    for key, search, count in searches:
        home = tmp_path / key
        home.mkdir()
        command = command_line("train", "-m", "hydra/sweeper=optuna", *words, search, f"hydra.sweeper.n_trials={count}")
        done = run_script(command, home, environment(), 600, one_core)
        assert done.returncode == 0, done.stderr
        (folder,) = (home / "multirun").iterdir()  # of its automatic name
        found = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.db").trials
        assert [set(trial.params) for trial in found] == [{key}] * count
        assert {trial.state for trial in found} == {TrialState.COMPLETE}
        if count == 4:
            assert len({tuple(trial.user_attrs["owner"]) for trial in found}) == 2


def test_a_launcher_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    absent = "hydra.launcher._target_=hydra_plugins.hydra_absent_launcher.Launcher"
    done = sweep(tmp_path, *PINNED, "hydra/launcher=joblib", absent)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pip install -e '.[joblib]'" in line


@pytest.mark.slow
def test_a_configuration_that_kills_its_process_again_and_again_counts_as_failed(tmp_path: Path) -> None:
    """As one that needs more memory than there is does, where the system ends processes for it."""
    for _ in range(3):
        killed = run_ended(tmp_path, signal.SIGKILL, 0, *SWEEP, *PINNED, "hydra.sweeper.n_trials=1")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = sweep(tmp_path, *PINNED, "hydra.sweeper.n_trials=1")
    assert done.returncode == 1
    assert "its process died 3 times" in trials(tmp_path)[-1].user_attrs["error"]
    assert len(trials(tmp_path)) == 3


@contextmanager
def waiting_for_its_turn(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep that is about to claim its second trial, while another process seems to be at it."""
    assert sweep(home, *PINNED, "epochs=1", "hydra.sweeper.n_trials=1").returncode == 0
    with FileLock(home / "multirun/s/.lock"):
        process = begin_sweep(home, *PINNED, "epochs=1", "hydra.sweeper.n_trials=2")
        assert process.stdout is not None
        assert "1 of 2 trials done" in process.stdout.readline()
        yield process


@pytest.mark.slow
def test_no_two_workers_claim_a_trial_at_the_same_time(tmp_path: Path) -> None:
    """SQLite would let them have the same one."""
    with waiting_for_its_turn(tmp_path) as process:
        time.sleep(1)
        assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE]
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 2


@pytest.mark.slow
def test_a_worker_that_waits_for_its_turn_can_be_ended(tmp_path: Path) -> None:
    with waiting_for_its_turn(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
