"""Compares searches on recorded learning curves, in simulated time: how far each is from the best setting, and when.

`python benchmarks/replay.py --help` shows the options; benchmarks/README.md describes tables and figures.
"""

import heapq
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import joblib
import numpy as np
import optuna
from choices import some_of
from curve_table import CurveTable
from regret import STOCK, Found, compare, draw
from rounds import ROOT, machine
from search_peers import PEER_SEARCHERS, installed, prepare
from searchers import SEARCHERS, Given, Job
from surrogate import Surrogate, Training
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.text import plural

_ALL = {**SEARCHERS, **PEER_SEARCHERS}
NAMES: Sequence[str] = tuple(_ALL)


@dataclass
class Arguments:
    """Replays searches on a table of learning curves: what each would have found after how many seconds.

    python benchmarks/replay.py                               on all tables of benchmarks/curves
    python benchmarks/replay.py table=FILE only=ours,stock    some searches, on a table of your own

    seeds=100        searches of each kind
    workers=1        trainings side by side
    trials=50        a search ends after one and a half times the mean time of so many trainings
    jobs=2           processes that this benchmark uses
    figure=FOLDER    where the figures go: TASK_WORKERS.png; none is drawn without it"""

    table: str | None = None
    only: Annotated[str, some_of(NAMES)] | None = None
    seeds: Count = 100
    workers: Count = 1
    trials: Count = 50
    jobs: Count = 2
    figure: str | None = None


def search(surrogate: Surrogate, name: str, seed: int, workers: int, until: float) -> Found:
    """One search: its own computing time, of the CPU, is added to the time of the trainings."""
    table = surrogate.table
    prepare(name)
    with tempfile.TemporaryDirectory() as folder:
        given = Given(surrogate.space, dict(table.settings[0]), table.epochs, seed, Path(folder))
        began = time.process_time()
        searcher = _ALL[name](given)
        clock, order = time.process_time() - began, count()
        events: list[tuple[float, int, Job, Training]] = []  # sorted by when a job's epoch ends

        def train_an_epoch(now: float, job: Job, training: Training) -> None:
            seconds = float(training.seconds[job.epoch]) if job.epoch < len(training.seconds) else 0.0
            heapq.heappush(events, (now + seconds, next(order), job, training))

        def start(now: float) -> None:
            began = time.process_time()
            job = searcher.ask()
            train_an_epoch(now + time.process_time() - began, job, surrogate.training(job.setting, seed))

        for _ in range(workers):
            start(clock)
        found, best = Found([], [], []), -1.0
        while events[0][0] < until:
            now, _, job, training = heapq.heappop(events)
            job.epoch += 1
            began = time.process_time()
            diverged, goes_on = job.epoch > len(training.accuracies), False
            if not diverged:
                job.best = max(job.best, float(training.accuracies[job.epoch - 1]))
            if diverged or job.epoch == table.epochs:
                searcher.end(job, diverged)
            else:
                goes_on = searcher.goes_on(job)
            now += time.process_time() - began
            if not diverged and job.epoch == table.epochs:
                found.completed.append(now)
                if job.best > best:
                    best = job.best
                    found.seconds.append(now)
                    found.regret.append(max(0.0, surrogate.best - float(surrogate.truths([job.setting])[0])))
            if goes_on:
                train_an_epoch(now, job, training)
            else:
                start(now)
    return found


def _quiet_search(surrogate: Surrogate, name: str, seed: int, workers: int, until: float) -> Found:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        return search(surrogate, name, seed, workers, until)


def replay(arguments: Arguments, file: Path, names: Sequence[str]) -> list[str]:
    table = CurveTable.read(file)
    surrogate = Surrogate(table)
    seconds = [sum(curve["seconds"]) for one in table.curves for curve in one]
    until = 1.5 * arguments.trials * float(np.mean(seconds)) / arguments.workers
    jobs = [(name, seed) for name in names for seed in range(arguments.seeds)]
    quiet = joblib.delayed(_quiet_search)
    work = joblib.Parallel(n_jobs=arguments.jobs, return_as="generator")
    results = work(quiet(surrogate, name, seed, arguments.workers, until) for name, seed in jobs)
    found: dict[str, list[Found]] = {name: [] for name in names}
    for (name, _), ended in tqdm(zip(jobs, results, strict=True), total=len(jobs), unit="search", disable=None):
        found[name].append(ended)
    title = f"{table.task}, {plural(arguments.workers, 'worker')}"
    if arguments.figure:
        draw(surrogate, found, until, title, Path(arguments.figure) / f"{table.task}_{arguments.workers}.png")
    error, spread = surrogate.errors()
    about = (
        f"{title}: {table.summary()}; n={arguments.seeds} searches each; recorded on {table.machine}; surrogate: error "
        f"{error:.2%} of the better half's settings, left out in turn; one training's standard deviation {spread:.2%}"
    )
    marks = [number for number in (20, 50) if number <= arguments.trials] or [arguments.trials]
    return [about, *compare(surrogate, found, marks, until)]


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        chosen = arguments.only.split(",") if arguments.only else list(NAMES)
        names = installed([STOCK, *(name for name in chosen if name != STOCK)])
        tables = [Path(arguments.table)] if arguments.table else sorted((ROOT / "benchmarks/curves").glob("*.json.xz"))
        if not tables:
            raise UserError(
                "table=FILE: must be given: benchmarks/curves holds none (benchmarks/curves.py records one)"
            )
        print(machine())
        for file in tables:
            print(*replay(arguments, file, names), sep="\n")


if __name__ == "__main__":
    main()
