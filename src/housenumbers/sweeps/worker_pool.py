"""Worker processes of a sweep: parallel copies of the sweep's command, started on this machine or by a launcher."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from hydra.types import TaskFunction
from tqdm import tqdm

from housenumbers.config import targets
from housenumbers.runtime import processes
from housenumbers.sweeps.heartbeat import DATABASE_ERRORS, HOST, query_periodically
from housenumbers.sweeps.study import counted_trials, counts_as_trial, ended_line

# Environment variable of a worker: the ids of the processes that started it, whose end ends the worker.
_WORKER = "HOUSENUMBERS_WORKER"
_POLL_INTERVAL = 0.5  # seconds
_SOURCES = Path(__file__).parents[2]


def is_worker() -> bool:
    """Whether this process is a worker, which runs trials while its parent process prints the results."""
    return _WORKER in os.environ


def terminate_with_parents() -> None:
    """Shuts this worker down once a process that started it is gone, including one that died before this call."""
    processes.terminate_with([int(number) for number in os.environ[_WORKER].split(",")])


def worker_command(overrides: Sequence[str]) -> list[str]:
    """The command that started this process, with these overrides added."""
    return [sys.executable, str(Path(sys.argv[0]).absolute()), *sys.argv[1:], *overrides]


def run_local_workers(command: Sequence[str], environments: Sequence[Mapping[str, str]]) -> None:
    """Runs a process for each of the `environments` in parallel and waits for them. Terminates them if interrupted.

    Each of the `environments` holds variables that the process gets in addition to the variables of this process.
    """
    started = [_start(command, Path.cwd(), variables) for variables in environments]
    try:
        for worker in started:
            worker.wait()
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            worker.wait()


def launcher_job(
    command: Sequence[str], environments: Sequence[Mapping[str, str]], outlives_command: bool = False
) -> TaskFunction:
    """The task function with which a launcher starts a worker in the current working folder.

    Job number N gets the variables in `environments[N]`.
    A worker ends with its job and, on this machine unless `outlives_command`, with this process.
    """
    parents = [] if outlives_command else [os.getpid()]
    return functools.partial(
        _job, command=command, environments=environments, folder=Path.cwd(), host=HOST, parents=parents
    )


def run_launcher_workers(launcher: Launcher, workers: int, overrides: Sequence[str]) -> None:
    """Runs `workers` jobs of a launcher whose task function is `launcher_job`, for example joblib, Ray or SLURM.

    Hydra composes each job's configuration with these overrides, and refuses another sweeper or launcher than the
    sweep's own. The jobs find the package by PYTHONPATH. Raises the error of a job that failed to start.
    """
    paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    for returned in launcher.launch([[*overrides, "hydra.sweep.subdir=."]] * workers, 0):
        _ = returned.return_value  # raises its error


def _job(
    _: Any,
    command: Sequence[str],
    environments: Sequence[Mapping[str, str]],
    folder: Path,
    host: str,
    parents: Sequence[int],
) -> int:
    local_parents = parents if host == HOST else ()
    if local_parents:
        processes.terminate_with(local_parents)  # the launcher keeps idle processes for minutes
    return _start(command, folder, environments[HydraConfig.get().job.num], local_parents).wait()


def _start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], parents: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    # No standard output, since `study_progress` prints the progress of all workers; errors stay visible.
    # Sets the allowed targets explicitly, so that hydra.job.env_set of a configuration cannot change them.
    variables = {
        _WORKER: ",".join(map(str, [os.getpid(), *parents])),
        "TQDM_DISABLE": "1",
        targets.ALLOW_VARIABLE: targets.ALLOW_VALUE,
        **environment,
    }
    return subprocess.Popen(command, cwd=folder, env=os.environ | variables, stdout=subprocess.DEVNULL)


@contextmanager
def study_progress(
    study: optuna.Study, objectives: Sequence[str], n_trials: int, print_line: Callable[[str], None]
) -> Iterator[None]:
    """Reports each trial that ends while the block runs, and shows a progress bar on a terminal."""
    seen = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    bar = tqdm(
        total=n_trials, initial=len(counted_trials(study)), unit="trial", leave=False, dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip

    def poll() -> None:
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in seen:
                seen.add(trial.number)
                if "owner" in trial.user_attrs:  # else it was discarded before it started
                    with tqdm.external_write_mode():
                        print_line(ended_line(trial, objectives))
        bar.update(sum(map(counts_as_trial, trials)) - bar.n)

    try:
        with query_periodically(poll, _POLL_INTERVAL):
            yield
    finally:
        with suppress(*DATABASE_ERRORS):  # the workers have reported an unreachable database
            poll()
        bar.close()
