"""How fast a search finds a good configuration: ours (pruning, two workers) against the stock plugin (neither).

The two take turns, never at once, on the same cores, space, data and sampler seeds. For each seed the stock sweep runs
its trials; then ours runs until it has reached the stock's best validation accuracy and as much time has passed.
`python benchmarks/search.py --help` shows the options.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rounds import ROOT, machine, verdict
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import one_line_errors

GOAL = 3.0
PATIENCE = 3  # times the stock sweep's whole time: then ours has not reached it
SPACE = (
    "optimizer.lr=tag(log,interval(0.0001,0.01))",
    "data.batch_size=choice(16,32,64,128)",
    "scheduler.step_size=range(2,11,2)",
    "scheduler.gamma=interval(0.05,0.5)",
)


@dataclass
class Arguments:
    """Compares the time that ours and the stock plugin take to reach the stock sweep's best validation accuracy.

    python benchmarks/search.py data.root=FOLDER     on the images of FOLDER/train_32x32.mat
    python benchmarks/search.py data=digits          on the embedded digits

    data.reduce=0.2   a fraction of them

    seeds=10       pairs of sweeps
    n_trials=16    of each stock sweep
    epochs=10      of each trial
    pruner=halving  of ours: halving, median or hyperband"""

    seeds: Count = 10
    n_trials: Count = 16
    epochs: Count = 10
    pruner: Literal["halving", "median", "hyperband"] = "halving"


@dataclass
class Searched:
    """When a sweep had which best score: (seconds since its command began, validation accuracy), one per trial."""

    completed: list[tuple[float, float]]
    seconds: float

    def best(self, within: float) -> float:
        return max((score for moment, score in self.completed if moment <= within), default=0.0)

    def reached(self, score: float) -> float | None:
        return min((moment for moment, own in self.completed if own >= score), default=None)


def completed(folder: Path, began: float) -> list[tuple[float, float]]:
    """What has been completed below a sweep's folder, by the runs' own records."""
    found = []
    for file in folder.glob("*/run.json"):
        record = json.loads(file.read_text())
        if record["status"] == "completed":
            found.append((file.stat().st_mtime - began, record["best"]["val_accuracy"]))
    return found


def stock(common: list[str], seed: int, n_trials: int, home: Path) -> Searched:
    """One sweep of the plugin as it comes."""
    began = time.time()
    words = ["hydra/sweeper=stock", f"hydra.sweeper.n_trials={n_trials}", f"hydra.sweeper.sampler.seed={seed}"]
    folder = [f"hydra.sweep.dir={home}", "hydra.sweep.subdir=${hydra.job.num}"]
    subprocess.run(
        [sys.executable, ROOT / "benchmarks/stock_sweep.py", "-m", *words, *folder, *common, *SPACE],
        check=True, capture_output=True, cwd=home,
    )  # fmt: skip
    return Searched(completed(home, began), time.time() - began)


def ours(common: list[str], seed: int, pruner: str, against: Searched, home: Path) -> Searched:
    """One sweep of ours, ended once it has passed the stock sweep in score and time, or PATIENCE times that time."""
    began = time.time()
    target = against.best(against.seconds)
    words = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=1000", "hydra.sweeper.n_jobs=2"]
    words += [f"hydra/sweeper/pruner={pruner}"]
    named = [f"hydra.sweeper.sampler.seed={seed}", f"hydra.sweep.dir={home}", "hydra.sweeper.study_name=ours"]
    space = ["search@hydra.sweeper.params=quick", *SPACE]
    process = subprocess.Popen(
        [sys.executable, ROOT / "src/train.py", "-m", *words, *named, *space, *common],
        cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while (elapsed := time.time() - began) < PATIENCE * against.seconds:
            if process.poll() is not None:
                raise RuntimeError("our sweep ended by itself")
            found = Searched(completed(home, began), elapsed)
            if elapsed >= against.seconds and found.reached(target) is not None:
                break
            time.sleep(1)
        return Searched(completed(home, began), time.time() - began)
    finally:
        process.terminate()
        process.wait()


def report(pairs: list[tuple[Searched, Searched]]) -> list[str]:
    lines = ["stock: best, reached after | ours: reached after | ratio | ours after the stock's whole time"]
    ratios, gains, missed = [], [], 0
    for theirs, own in pairs:
        target = theirs.best(theirs.seconds)
        moment, needed = theirs.reached(target), own.reached(target)
        assert moment is not None
        missed += needed is None
        ratios.append(moment / (needed or own.seconds))  # an upper bound of the ratio where it was not reached
        gains.append(own.best(theirs.seconds) - target)
        when = f"{needed:6.1f} s" if needed is not None else f"not within {own.seconds:.0f} s"
        lines.append(
            f"  {target:.4f}, {moment:6.1f} s of {theirs.seconds:.1f} s | {when} | {ratios[-1]:5.2f} | "
            f"{own.best(theirs.seconds):.4f}"
        )
    ratio, n = statistics.median(ratios), len(ratios)
    ordered = sorted(ratios)
    # The second lowest and second highest of ten enclose the median of the population with 98 %.
    interval = f", {ordered[1]:.2f}..{ordered[-2]:.2f} from the second lowest to the second highest" if n > 3 else ""
    return [
        *lines,
        f"time to the stock's best, stock / ours: median {ratio:.2f}{interval} ({verdict(ratio >= GOAL, f'{GOAL}')}); "
        f"{missed} of {n} not reached; best after equal time, ours - stock: median {statistics.median(gains):+.4f} "
        f"({min(gains):+.4f}..{max(gains):+.4f}); n={n} seeds; {machine()}",
    ]


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data", "data.root", "data.reduce"])
        overrides = [f"data.root={Path(w[10:]).absolute()}" if w.startswith("data.root=") else w for w in overrides]
        fixed = ["model.width=8", f"epochs={arguments.epochs}", "data.split=blocks", "data.download=false"]
        common = [*fixed, "data.verify=false", *overrides]
        print(machine(), " ".join(common), f"pruner: {arguments.pruner}", sep="\n", flush=True)
        pairs = []
        with tempfile.TemporaryDirectory() as temporary, tqdm(total=arguments.seeds, unit="pair", disable=None) as bar:
            for seed in range(arguments.seeds):
                homes = [Path(temporary) / f"{name}_{seed}" for name in ("stock", "ours")]
                for home in homes:
                    home.mkdir()
                theirs = stock(common, seed, arguments.n_trials, homes[0])
                pairs.append((theirs, ours(common, seed, arguments.pruner, theirs, homes[1])))
                bar.update()
        print(*report(pairs), sep="\n")


if __name__ == "__main__":
    main()
