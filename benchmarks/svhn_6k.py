"""How soon and how well SVHN-6k is learnt: the presets and the original study's recipe, over seeds, on one machine.

`python benchmarks/svhn_6k.py --help` shows the options.
"""

import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from housenumbers.command_line import parse
from housenumbers.errors import UserError, one_line_errors
from housenumbers.tracking.spread import mean_and_deviation
from housenumbers.training.repeatability import environment
from runs import completed_run

# What is run, and how many seeds if nothing else is said: fewer of what takes long.
CONTESTANTS: dict[str, tuple[list[str], int]] = {
    "study": (["experiment=study_6k"], 1),
    "fast": (["experiment=fast"], 10),
    "fast_92": (["experiment=fast", "epochs=2"], 10),
    "fast_extra": (["experiment=fast", "data.use_extra=only", "epochs=40"], 10),
}


@dataclass
class Arguments:
    """Trains on the 6,083 crops of SVHN-6k, and tests on its 1,001; prints accuracies and times, mean and deviation.

    python benchmarks/svhn_6k.py data.root=FOLDER                  everything
    python benchmarks/svhn_6k.py data.root=FOLDER only=fast        one of study, fast, fast_92, fast_extra

    seeds=null               how many; null: ten of what takes under a minute, one of the study's recipe
    threads=2                CPU threads
    folder=outputs/svhn_6k   where the runs go; those that are there are not run again
    epochs=                  changes all of them"""

    only: str | None = None
    seeds: int | None = None
    threads: int = 2
    folder: str = "outputs/svhn_6k"


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root", "epochs"])
        if arguments.only not in (None, *CONTESTANTS):
            raise UserError(f"only={arguments.only}: must be one of {', '.join(CONTESTANTS)}")
        if arguments.seeds is not None and arguments.seeds < 1:
            raise UserError(f"seeds={arguments.seeds}: must be 1 or more")
        measured = environment(torch.device("cpu"))
        cores = len(os.sched_getaffinity(0))
        print(f"{measured['cpu']}, {arguments.threads} threads of {cores} cores, torch {measured['versions']['torch']}")
        home = Path(arguments.folder).absolute()
        chosen = [arguments.only] if arguments.only else list(CONTESTANTS)
        jobs = [(name, seed) for name in chosen for seed in range(arguments.seeds or CONTESTANTS[name][1])]
        seconds: dict[str, list[float]] = {name: [] for name in chosen}
        accuracies: dict[str, list[float]] = {name: [] for name in chosen}
        for name, seed in tqdm(jobs, unit="run", disable=None):
            words = [*CONTESTANTS[name][0], f"seed={seed}", f"threads={arguments.threads}", *overrides]
            record = completed_run(home / f"{name}_{seed}", words)
            seconds[name].append(record["train_seconds"])
            accuracies[name].append(record["test"]["accuracy"])
        for name in chosen:
            spread = f"{min(seconds[name]):.1f}..{max(seconds[name]):.1f}"
            print(
                f"{name}: {mean_and_deviation(accuracies[name])} of 1,001, "
                f"{statistics.median(seconds[name]):.1f} s ({spread}), n={len(seconds[name])}"
            )
        if {"study", "fast"} <= set(chosen):
            ratio = statistics.median(seconds["study"]) / statistics.median(seconds["fast"])
            print(f"the study's recipe takes {ratio:.0f} times as long as fast (goal: 100)")


if __name__ == "__main__":
    main()
