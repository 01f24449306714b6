"""How long `src/runs.py` takes for many runs: for the table of runs, at the first call and at the second.

Every call is a process of its own. `python benchmarks/run_list.py --help` shows the options.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.config.values import config_to_dict
from housenumbers.runtime.errors import one_line_errors
from housenumbers.runtime.versions import package_versions

TRIALS = 50  # of a sweep; of three runs two are trials
FILES = ("metrics.jsonl", "train.log", ".lock", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml")
CHECKPOINTS = ("checkpoints/best.pt", "checkpoints/last.pt", "events.out.tfevents.1795873635.host.1.0")
FIGURES = (
    "report.html",
    *(f"figures/{name}.png" for name in ("accuracy", "loss", "confusion_test", "predictions_test")),
)


@dataclass
class Arguments:
    """Measures the table of runs with made-up folders, which have the files of real ones, empty but for run.json.

    python benchmarks/run_list.py

    runs=10000   how many folders
    n=5          how often each call is measured"""

    runs: Count = 10_000
    n: Count = 5


def write_runs(home: Path, count: int) -> None:
    """Writes the folders of `count` runs below outputs/ and multirun/ in `home`."""
    config = config_to_dict(compose_config(ROOT / "conf", []))
    for number in range(count):
        trial = {"study": f"study_{number // (3 * TRIALS)}", "number": number} if number % 3 else None
        day = f"2026-{1 + number // 28 % 12:02}-{1 + number % 28:02}"
        single = f"outputs/{day}/12-00-00-{number:06}_resnet31"
        _write_run(home / (f"multirun/{trial['study']}/trial_{number:04}" if trial else single), number, trial, config)


def _write_run(folder: Path, number: int, trial: dict[str, object] | None, config: dict[str, object]) -> None:
    for part in ("checkpoints", "figures", ".hydra"):
        (folder / part).mkdir(parents=True)
    for name in (*FILES, *CHECKPOINTS, *(() if trial else FIGURES)):
        (folder / name).touch()
    accuracy = 0.9 + number % 997 / 10_000
    record = {
        "status": "completed", "name": "resnet31", "seed": number, "started": f"2026-01-01T12:00:00.{number:06}+00:00",
        "host": "host", "process": number, "config": {**config, "seed": number}, "error": None, "trial": trial,
        "run_id": f"{number:032x}", "versions": package_versions(), "git_commit": f"{number:040x}", "cpu": "a CPU" * 8,
        "threads": 2, "device": "cpu", "world_size": 1, "data_sha256": f"{number:064x}", "parameters": 20_602_250,
        "epochs": 10, "train_seconds": 1626.3, "weights_sha256": f"{number:064x}", "best_weights_sha256": "0" * 64,
        "best": {"epoch": 7, "val_loss": 0.3, "val_accuracy": accuracy},
        "test": None if trial else {"accuracy": accuracy, "loss": 0.3, "n": 1001},
        "calibration": {"temperature": 1.2, "n": 600},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record, indent=2) + "\n")


def call(home: Path) -> tuple[float, float, str]:
    """The CPU seconds and the wall time of one call of `src/runs.py`, and its standard output."""
    before, started = _cpu_seconds(), time.perf_counter()
    words = [sys.executable, str(ROOT / "src" / "runs.py")]
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, check=True)
    return _cpu_seconds() - before, time.perf_counter() - started, done.stdout


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        with tempfile.TemporaryDirectory() as folder:
            write_runs(Path(folder), arguments.runs)
            time.sleep(3)  # runs.py does not trust a file that has just been written to stay as it is
            first, *later = (call(Path(folder)) for _ in range(1 + arguments.n))
        for cpu, wall, lines in (first, *later):
            if len(lines.splitlines()) != 1 + arguments.runs or lines != first[2]:
                raise RuntimeError("a call has not listed all runs")
            print(f"{cpu:.2f} s of CPU, {wall:.2f} s")
        seconds = sorted(cpu for cpu, _, _ in later)
        print(
            f"{arguments.runs:,} runs, {os.cpu_count()} cores: first call {first[0]:.2f} s of CPU, later calls "
            f"{statistics.median(seconds):.2f} s ({seconds[0]:.2f}..{seconds[-1]:.2f}, n={arguments.n})"
        )


if __name__ == "__main__":
    main()
