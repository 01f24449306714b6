"""Compares searches on recorded learning curves, in simulated time: how far each is from the best setting, and when.

`python benchmarks/replay.py --help` shows the options; benchmarks/README.md describes tables and figures.
"""

import heapq
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import joblib
import numpy as np
import optuna
from curve_table import CurveTable
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution
from rounds import machine
from scipy.stats import trim_mean
from searchers import NAMES, SEARCHERS, Given, Job
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count, some_of
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.sweeps.space import Space

ROOT = Path(__file__).resolve().parents[1]
Floats = NDArray[np.float64]
_BOOTSTRAPS = 1000
_STOCK = "stock"


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


class Found(NamedTuple):
    """The regret of a search from `seconds` on: the true accuracy of its best completed trial below the table's best.

    True is the mean over the table's seeds. Before the first completed trial the regret is that of guessing.
    """

    seconds: list[float]
    regret: list[float]
    completed: list[float]  # when each trial was completed


class Lookup:
    """The curves of the setting in a table that is nearest to any setting of its space."""

    def __init__(self, table: CurveTable) -> None:
        self.table, self.space = table, read_space_of(table)
        self._scales = self._all_distributions()
        self._keys = sorted(self._scales)
        self._choices = {key for key, one in self._scales.items() if isinstance(one, CategoricalDistribution)}
        self._rows = [self._place(setting) for setting in table.settings]
        self.true = np.array([np.mean([_best(curve) for curve in one]) for one in table.curves])
        self.guessing = min(_best(curve) for one in table.curves for curve in one)

    def row(self, setting: Mapping[str, Any]) -> int:
        """The number of the nearest setting: Euclid's distance, each key from 0 to 1; another choice is 1 away."""
        place = self._place(setting)
        return min(range(len(self._rows)), key=lambda number: _distance(place, self._rows[number]))

    def _place(self, setting: Mapping[str, Any]) -> list[Any]:
        return [
            None if key not in setting else str(setting[key]) if key in self._choices else self._scaled(key, setting)
            for key in self._keys
        ]

    def _scaled(self, key: str, setting: Mapping[str, Any]) -> float:
        one: Any = self._scales[key]
        low, high, value = (float(number) for number in (one.low, one.high, setting[key]))
        if one.log:
            low, high, value = np.log([low, high, value])
        return float((value - low) / (high - low)) if high > low else 0.0

    def _all_distributions(self) -> dict[str, BaseDistribution]:
        """By key. A key that several options have is scaled as in the first one of them."""
        found = dict(self.space.always)
        for group, options in self.space.options.items():
            found[group] = CategoricalDistribution(list(options))
            for inner in options.values():
                found = inner | found
        return found


def _distance(one: Sequence[Any], other: Sequence[Any]) -> float:
    total = 0.0
    for a, b in zip(one, other, strict=True):
        total += (a - b) ** 2 if isinstance(a, float) and isinstance(b, float) else float(a != b)
    return total


def _best(curve: Mapping[str, Sequence[float]]) -> float:
    return max(curve["val_accuracy"], default=0.0)


def read_space_of(table: CurveTable) -> Space:
    """The space of a table. Raises UserError where it is not one."""
    space = Space()
    try:
        for key, value in table.space.items():
            group, equals, option = key.partition("=")
            if equals:
                inner = {name: _distribution(one) for name, one in value.items()}
                space.options.setdefault(group, {})[option] = inner
            else:
                space.always[key] = _distribution(value)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{table.task}: its space cannot be read: {error}") from None
    return space


def _distribution(value: Any) -> BaseDistribution:
    return json_to_distribution(json.dumps(value))


def search(lookup: Lookup, name: str, seed: int, workers: int, until: float) -> Found:
    """One search: its own computing time is added to the time of the trainings."""
    table = lookup.table
    with tempfile.TemporaryDirectory() as folder:
        given = Given(lookup.space, dict(table.settings[0]), table.epochs, seed, Path(folder))
        began = time.perf_counter()
        searcher = SEARCHERS[name](given)
        clock, order = time.perf_counter() - began, count()
        events: list[tuple[float, int, Job, int]] = []  # when a job's epoch ends; and the row

        def start(now: float) -> None:
            began = time.perf_counter()
            job = searcher.ask()
            now += time.perf_counter() - began
            row = lookup.row(job.setting)
            heapq.heappush(events, (now + _seconds(row, job.epoch), next(order), job, row))

        def _seconds(row: int, epoch: int) -> float:
            seconds = table.curves[row][seed % len(table.curves[row])]["seconds"]
            return seconds[epoch] if epoch < len(seconds) else 0.0

        for _ in range(workers):
            start(clock)
        found, best = Found([], [], []), -1.0
        while events[0][0] < until:
            now, _, job, row = heapq.heappop(events)
            curve = table.curves[row][seed % len(table.curves[row])]["val_accuracy"]
            job.epoch += 1
            began = time.perf_counter()
            diverged, goes_on = job.epoch > len(curve), False
            if not diverged:
                job.best = max(job.best, curve[job.epoch - 1])
            if diverged or job.epoch == table.epochs:
                searcher.end(job, diverged)
            else:
                goes_on = searcher.goes_on(job)
            if not diverged and job.epoch == table.epochs:
                found.completed.append(now)
                if job.best > best:
                    best = job.best
                    found.seconds.append(now)
                    found.regret.append(float(lookup.true.max() - lookup.true[row]))
            now += time.perf_counter() - began
            if goes_on:
                heapq.heappush(events, (now + _seconds(row, job.epoch), next(order), job, row))
            else:
                start(now)
    return found


def regrets(lookup: Lookup, found: Sequence[Found], at: Floats) -> Floats:
    """The regret of each search at these seconds, `[searches, seconds]`."""
    worst = float(lookup.true.max() - lookup.guessing)
    rows = []
    for one in found:
        index = np.searchsorted(one.seconds, at, side="right")
        rows.append(np.array([worst, *one.regret])[index])
    return np.stack(rows)


def first_below(at: Floats, iqm: Floats, target: float) -> float:
    """The first of the seconds `at` with a regret of at most `target`. Infinite where there is none."""
    below = np.flatnonzero(iqm <= target)
    return float(at[below[0]]) if len(below) else float("inf")


def compare(
    lookup: Lookup, found: Mapping[str, Sequence[Found]], trials: Sequence[int], until: float, seed: int = 0
) -> list[str]:
    """A table: the regret at the end, and when each search reaches the regret of the stock one after so many trials."""
    at = np.geomspace(until / 1000, until, 500)
    matrices = {name: regrets(lookup, searches, at) for name, searches in found.items()}
    columns = [f"stock's regret after {number} trials: time, stock / this" for number in trials]
    lines = [
        f"| search | regret after {until:,.0f} s | {' | '.join(columns)} |",
        f"| --- | --- |{' --- |' * len(columns)}",
    ]
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(found[_STOCK]), size=(_BOOTSTRAPS, len(found[_STOCK])))
    moments = [_moment(found[_STOCK], number) for number in trials]
    for name, matrix in matrices.items():
        finals = [trim_mean(matrix[draw, -1], 0.25) for draw in draws]
        cells = [f"{trim_mean(matrix[:, -1], 0.25):.2%} ({_interval(finals, '.2%')})"]
        for moment in moments:
            if moment > until:
                cells.append("not measured")
                continue
            whole = _ratio(at, matrices[_STOCK], matrix, moment)
            ratios = [_ratio(at, matrices[_STOCK][draw], matrix[draw], moment) for draw in draws]
            cells.append(f"{whole:.2f} ({_interval(ratios, '.2f')})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _moment(stock: Sequence[Found], number: int) -> float:
    """When the stock search has completed so many trials: the median. Infinite where most have not."""
    times = [one.completed[number - 1] if len(one.completed) >= number else float("inf") for one in stock]
    return float(np.median(times))


def _ratio(at: Floats, stock: Floats, other: Floats, moment: float) -> float:
    """How many times sooner `other` reaches the regret that `stock` has at `moment`. 0 where it never does."""
    target = float(trim_mean(stock[:, np.searchsorted(at, moment, side="right") - 1], 0.25))
    stocks, others = (first_below(at, trim_mean(matrix, 0.25, axis=0), target) for matrix in (stock, other))
    return stocks / others


def _interval(values: Sequence[float], form: str) -> str:
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{low:{form}}..{high:{form}}"


def draw(lookup: Lookup, found: Mapping[str, Sequence[Found]], until: float, title: str, file: Path) -> None:
    """The interquartile mean of the regret over time, with bootstrapped intervals of 95 %."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    at = np.geomspace(until / 200, until, 200)
    figure = Figure(figsize=(7.2, 4.4))
    axes = figure.add_axes((0.11, 0.12, 0.62, 0.78))
    rng = np.random.default_rng(0)
    for name, searches in found.items():
        matrix = regrets(lookup, searches, at)
        draws = rng.integers(len(searches), size=(200, len(searches)))
        boot = np.stack([trim_mean(matrix[one], 0.25, axis=0) for one in draws])
        low, high = np.percentile(boot, [2.5, 97.5], axis=0)
        line = axes.plot(at, trim_mean(matrix, 0.25, axis=0), lw=2.2 if name == "ours" else 1.2, label=name)[0]
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.15, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="seconds, simulated", ylabel="regret, interquartile mean", title=title)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def _quiet_search(lookup: Lookup, name: str, seed: int, workers: int, until: float) -> Found:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        return search(lookup, name, seed, workers, until)


def replay(arguments: Arguments, file: Path, names: Sequence[str]) -> list[str]:
    table = CurveTable.read(file)
    lookup = Lookup(table)
    seconds = [sum(curve["seconds"]) for one in table.curves for curve in one]
    until = 1.5 * arguments.trials * float(np.mean(seconds)) / arguments.workers
    jobs = [(name, seed) for name in names for seed in range(arguments.seeds)]
    work = joblib.Parallel(n_jobs=arguments.jobs, return_as="generator")
    results = work(joblib.delayed(_quiet_search)(lookup, name, seed, arguments.workers, until) for name, seed in jobs)
    found: dict[str, list[Found]] = {name: [] for name in names}
    for (name, _), one in tqdm(zip(jobs, results, strict=True), total=len(jobs), unit="search", disable=None):
        found[name].append(one)
    title = f"{table.task}, {arguments.workers} workers"
    if arguments.figure:
        draw(lookup, found, until, title, Path(arguments.figure) / f"{table.task}_{arguments.workers}.png")
    about = f"{title}: {table.summary()}; n={arguments.seeds} searches each; recorded on {table.machine}"
    marks = [number for number in (20, 50) if number <= arguments.trials] or [arguments.trials]
    return [about, *compare(lookup, found, marks, until)]


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        chosen = arguments.only.split(",") if arguments.only else list(NAMES)
        names = [_STOCK, *(name for name in chosen if name != _STOCK)]
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
