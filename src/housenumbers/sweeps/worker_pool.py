"""Worker processes of a sweep: the sweep's own command, several times at once, here or where a launcher starts it."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from hydra.plugins.launcher import Launcher
from hydra.types import TaskFunction
from tqdm import tqdm

from housenumbers.config import targets
from housenumbers.runtime import processes
from housenumbers.sweeps.heartbeat import DATABASE_ERRORS, HOST, query_periodically
from housenumbers.sweeps.study import counted_trials, counts_as_trial, ended_line

# Set in the environment of a worker: the numbers of the processes that started it, which it ends with.
_WORKER = "HOUSENUMBERS_WORKER"
_LOOK_EVERY = 0.5  # seconds
_SOURCES = Path(__file__).parents[2]


def is_worker() -> bool:
    """Whether this process is a worker: it runs trials, and the process that started it prints the results."""
    return _WORKER in os.environ


def terminate_with_starters() -> None:
    """Ends this worker, in order, once a process that started it is gone, even one that was killed before this call."""
    processes.terminate_with([int(number) for number in os.environ[_WORKER].split(",")])


def worker_command(threads: int | None) -> list[str]:
    """The command that this process was started by, in one process, with so many threads; null: as configured."""
    more = [] if threads is None else [f"threads={threads}"]
    return [sys.executable, str(Path(sys.argv[0]).absolute()), *sys.argv[1:], *more]


def run_local_workers(command: Sequence[str], workers: int) -> None:
    """Runs `workers` processes at once, and returns when all have ended. Ends them, in order, if it is ended itself."""
    started = [_start(command, Path.cwd()) for _ in range(workers)]
    try:
        for worker in started:
            worker.wait()
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait()


def launcher_job(command: Sequence[str], outlives_this: bool = False) -> TaskFunction:
    """What a launcher has to run to start a worker, in the present working folder.

    A worker ends with its job and, where it is on this machine and not said to outlive it, with this process.
    """
    starters = [] if outlives_this else [os.getpid()]
    return functools.partial(_job, command=command, folder=Path.cwd(), host=HOST, starters=starters)


def run_launcher_workers(launcher: Launcher, workers: int) -> None:
    """Runs `workers` jobs of a launcher that was set up with a `job`: processes of joblib's or Ray's, jobs of SLURM's.

    They find the package by PYTHONPATH. Raises what stopped a job from starting.
    """
    paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    for returned in launcher.launch([["hydra.sweep.subdir=."]] * workers, 0):
        _ = returned.return_value  # raises its error


def _job(_: Any, command: Sequence[str], folder: Path, host: str, starters: Sequence[int]) -> int:
    here = starters if host == HOST else ()
    if here:
        processes.terminate_with(here)  # a launcher's idle process would stay for minutes
    return _start(command, folder, here).wait()


def _start(command: Sequence[str], folder: Path, starters: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    # Quiet, as several would talk at once: `progress` tells what they do. Errors are heard.
    # What may be called is for the user alone to say, not for a configuration's hydra.job.env_set.
    own = {
        _WORKER: ",".join(map(str, [os.getpid(), *starters])),
        "TQDM_DISABLE": "1",
        targets.VARIABLE: targets.PERMITTED,
    }
    return subprocess.Popen(command, cwd=folder, env=os.environ | own, stdout=subprocess.DEVNULL)


@contextmanager
def study_progress(
    study: optuna.Study, objectives: Sequence[str], n_trials: int, say: Callable[[str], None]
) -> Iterator[None]:
    """Meanwhile says how each trial ended, and shows a bar over all trials on a terminal."""
    seen = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    bar = tqdm(
        total=n_trials, initial=len(counted_trials(study)), unit="trial", leave=False, dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip

    def look() -> None:
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in seen:
                seen.add(trial.number)
                if "owner" in trial.user_attrs:  # else it was given up before it began
                    with tqdm.external_write_mode():
                        say(ended_line(trial, objectives))
        bar.update(sum(map(counts_as_trial, trials)) - bar.n)

    try:
        with query_periodically(look, _LOOK_EVERY):
            yield
    finally:
        with suppress(*DATABASE_ERRORS):  # the workers have told, if the database is away
            look()
        bar.close()
