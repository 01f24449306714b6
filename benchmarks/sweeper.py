"""What the sweeper itself costs: beyond a trial's training, in idle workers, and as a study grows.

`python benchmarks/sweeper.py --help` shows the options.
"""

import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
from annotated_types import Ge
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from rounds import ROOT, checkout, machine, span, verdict
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import one_line_errors
from housenumbers.sweeps.database import open_storage
from housenumbers.sweeps.space import read_space
from housenumbers.sweeps.study import open_study
from housenumbers.sweeps.worker import Worker

TRAIN = ROOT / "src/train.py"
TINY = ("data=digits", "data.reduce=0.3", "model.width=4", "data.batch_size=32", "threads=1")
OVERHEAD_GOAL, IDLE_GOAL, GROWTH_GOAL = 0.15, 0.05, 1.5


@dataclass
class Arguments:
    """Measures the sweeper's own cost.

    python benchmarks/sweeper.py                 all three, the last one on SQLite
    python benchmarks/sweeper.py storage=URL     the last one in this database too: postgresql://USER@HOST/NAME
    python benchmarks/sweeper.py only=overhead   one of overhead, idle, growth
    python benchmarks/sweeper.py only=overhead old=FOLDER   beside another checkout of this project, in turns

    trials=1000    of the growing study
    short=20       trials of a sweep of which the overhead is taken
    turns=1        sweeps of so many trials for each checkout
    uneven=40      trials of 1 to 30 epochs that two workers share"""

    only: Literal["overhead", "idle", "growth"] | None = None
    storage: str | None = None
    old: str | None = None
    turns: Count = 1
    trials: Annotated[int, Ge(100)] = 1000
    short: Annotated[int, Ge(3)] = 20
    uneven: Annotated[int, Ge(2)] = 40


def sweep(home: Path, script: Path, *words: str) -> Path:
    """Runs a sweep with `home` as its folder."""
    command = [sys.executable, script, "-m", *TINY, *words, f"hydra.sweep.dir={home}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return home


def overhead(home: Path, n: int, turns: int, old: Path | None) -> list[str]:
    """The overhead of a trial here, and in the checkout `old`, whose sweeps take turns with ours."""
    costs: dict[str, list[float]] = {"here": []} | ({} if old is None else {"old": []})
    for turn in range(turns):
        for name in costs if turn % 2 == 0 else reversed(list(costs)):
            folder = home / f"{name}{turn}"
            folder.mkdir()
            costs[name] += trial_costs(folder, TRAIN if name == "here" or old is None else old / "src/train.py", n)
    lines = []
    for name, values in costs.items():
        median = statistics.median(values)
        met = f"; {verdict(median < OVERHEAD_GOAL, f'{OVERHEAD_GOAL} s')}" if name == "here" else ""
        said = "" if name == "here" else f", {old}"
        lines.append(
            f"overhead of a trial beyond its training{said}: {median:.3f} s ({span(values, 3)}{met}); n={len(values)}"
        )
    if old is not None:
        lines.append(f"old / here: {statistics.median(costs['old']) / statistics.median(costs['here']):.2f}")
    return lines


def trial_costs(home: Path, script: Path, n: int) -> list[float]:
    """From the start of one trial to the start of the next, in seconds, without the training in between."""
    words = ["optimizer.lr=interval(0.001,0.01)", "epochs=1", "hydra/sweeper/pruner=none", "hydra.sweeper.study_name=s"]
    sweep(home, script, "hydra/sweeper=optuna", *words, f"hydra.sweeper.n_trials={n}")
    trials = optuna.load_study(study_name="s", storage=f"sqlite:///{home}/study.db").trials
    costs = []
    for trial, following in pairwise(trials[1:]):  # the first one imports
        record = json.loads((home / f"trial_{trial.number:04d}" / "run.json").read_text())
        assert trial.datetime_start is not None
        assert following.datetime_start is not None
        between = (following.datetime_start - trial.datetime_start).total_seconds()
        costs.append(between - record["train_seconds"])
    return costs


def idle(home: Path, n: int) -> list[str]:
    """The share of two workers' time, from the first trial's start to the last one's end, that is spent in no trial."""
    lengths = ("optimizer.lr=interval(0.001,0.01)", "epochs=choice(1,3,10,30)")
    own = home / "ours"
    own.mkdir()
    words = ["hydra/sweeper/pruner=none", "hydra.sweeper.study_name=s", "search@hydra.sweeper.params=quick"]
    sweep(own, TRAIN, "hydra/sweeper=optuna", *lengths, *words, f"hydra.sweeper.n_trials={n}",
          "hydra.sweeper.n_jobs=2")  # fmt: skip
    trials = optuna.load_study(study_name="s", storage=f"sqlite:///{own}/study.db").trials
    spans = [(t.datetime_start.timestamp(), t.datetime_complete.timestamp()) for t in trials]  # type: ignore[union-attr]
    share = idle_share(spans)
    met = verdict(share < IDLE_GOAL, f"{IDLE_GOAL:.0%}")
    lines = [f"idle share of two workers, trials of 1 to 30 epochs: {share:.1%} ({met}); n={n} trials"]
    if find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        return [*lines, "stock batches of two: not measured, needs pip install -e '.[joblib]'"]
    theirs = home / "stock"
    theirs.mkdir()
    sweep(theirs, ROOT / "benchmarks/stock_sweep.py", "hydra/sweeper=stock", *lengths, f"hydra.sweeper.n_trials={n}",
          "hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "hydra.sweep.subdir=${hydra.job.num}")  # fmt: skip
    spans = []
    for file in theirs.glob("*/run.json"):
        began = datetime.fromisoformat(json.loads(file.read_text())["started"]).timestamp()
        spans.append((began, file.stat().st_mtime))
    return [
        *lines,
        f"the stock plugin's batches of two (joblib), the same space: {idle_share(spans):.1%}; n={n} trials",
    ]


def idle_share(spans: Sequence[tuple[float, float]]) -> float:
    whole = max(end for _, end in spans) - min(start for start, _ in spans)
    return 1 - sum(end - start for start, end in spans) / (2 * whole)


class NoOp(Launcher):
    """Runs nothing, at once, and notes when it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def setup(self, **_: Any) -> None: ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:  # noqa: ARG002
        self.asked.append(time.perf_counter())
        return [
            JobReturn(overrides=list(words), status=JobStatus.COMPLETED, _return_value=0.5) for words in job_overrides
        ]


def growth(home: Path, url: str, n: int) -> list[str]:
    """The time from one trial to the next in a study that grows; random sampler, no pruner, no training."""
    space, _, _ = read_space({}, ["optimizer.lr=interval(0.001,0.01)", "data.batch_size=choice(16,32)"])
    study, _ = open_study(f"growth-{uuid.uuid4().hex[:8]}", open_storage(url, 30), ["val_accuracy"], {}, space)
    study.sampler, study.pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
    launcher = NoOp()
    Worker(study, space, [], ["val_accuracy"], home, launcher, n, 1.0, [], lambda _: None).work()
    times = [after - before for before, after in pairwise(launcher.asked)]
    early, late = times[n // 20 : 3 * n // 20], times[-n // 10 :]
    ratio = statistics.median(late) / statistics.median(early)
    met = verdict(ratio <= GROWTH_GOAL, f"{GROWTH_GOAL}")
    return [
        f"{url.partition(':')[0]}: around trial {n // 10} {1000 * statistics.median(early):.1f} ms a trial, "
        f"around {n} {1000 * statistics.median(late):.1f} ms: {ratio:.2f} times ({met}); "
        f"n={len(early)} and {len(late)}"
    ]


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("housenumbers").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        old = None if arguments.old is None else checkout("old", arguments.old)
        print(machine(), flush=True)
        with tempfile.TemporaryDirectory() as temporary, tqdm(total=3, unit="part", leave=False, disable=None) as bar:
            for name in ("overhead", "idle", "growth"):
                home = Path(temporary) / name
                home.mkdir()
                lines: list[str] = []
                if arguments.only not in (None, name):
                    continue
                bar.set_description(name)
                if name == "overhead":
                    lines = overhead(home, arguments.short, arguments.turns, old)
                elif name == "idle":
                    lines = idle(home, arguments.uneven)
                else:
                    for url in filter(None, [f"sqlite:///{home}/study.db", arguments.storage]):
                        lines += growth(home, url, arguments.trials)
                bar.update()
                bar.clear()
                print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
