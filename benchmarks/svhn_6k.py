"""How soon and how well SVHN-6k is learnt: the presets and the original study's recipe, over seeds, on one machine.

`python benchmarks/svhn_6k.py --help` shows the options.
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from choices import some_of
from rounds import machine
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import one_line_errors
from housenumbers.tracking.spread import mean_and_deviation
from runs import completed_run


@dataclass(frozen=True)
class Contestant:
    """What is run, and over how many seeds if nothing else is said: fewer of what takes long."""

    words: list[str]
    seeds: int
    rendered_first: list[str] | None = None  # a run that it goes on from


CONTESTANTS = {
    "study": Contestant(["experiment=study_6k"], 2),
    "fast": Contestant(["experiment=fast"], 10),
    "fast_92": Contestant(["experiment=fast", "epochs=2"], 10),
    "fast_extra": Contestant(["experiment=fast", "data.use_extra=only", "epochs=40"], 10),
    "best": Contestant(["experiment=best"], 2),
    "best_extra": Contestant(["experiment=best", "data.use_extra=only", "epochs=200"], 5),
    "best_after_rendered": Contestant(
        ["experiment=best", "optimizer.lr=0.005"], 2, ["experiment=best", "data=synthetic", "epochs=4"]
    ),
}


@dataclass
class Arguments:
    """Trains on the 6,083 crops of SVHN-6k, and tests on its 1,001; prints accuracies and times, mean and deviation.

    python benchmarks/svhn_6k.py data.root=FOLDER                  everything
    python benchmarks/svhn_6k.py data.root=FOLDER only=fast,study  some of study, fast, fast_92, fast_extra, best,
                                                                   best_extra and best_after_rendered

    seeds=null               how many; null: ten of what takes under a minute, fewer of what takes longer
    threads=2                CPU threads
    folder=outputs/svhn_6k   where the runs go; those that are there are not run again
    epochs= and data.size= (of rendered crops) change all of them"""

    only: Annotated[str, some_of(CONTESTANTS)] | None = None
    seeds: Count | None = None
    threads: Count = 2
    folder: str = "outputs/svhn_6k"


def trained(home: Path, name: str, seed: int, words: list[str]) -> tuple[float, float]:
    """Test accuracy of a contestant, and the seconds that it has trained in all."""
    contestant = CONTESTANTS[name]
    shared = [f"seed={seed}", *(word for word in words if word.startswith(("threads=", "epochs=")))]
    own, before = (
        [*contestant.words, *shared, *(word for word in words if word.startswith(("data.root=", "data.reduce=")))],
        0.0,
    )
    if contestant.rendered_first:
        rendered = home / f"{name}_{seed}_rendered"
        size = [word for word in words if word.startswith("data.size=")]
        before = completed_run(rendered, [*contestant.rendered_first, *shared, *size])["train_seconds"]
        own.append(f"model.pretrained=run:{rendered}")
    record = completed_run(home / f"{name}_{seed}", own)
    return record["test"]["accuracy"], before + record["train_seconds"]


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(
            Arguments, sys.argv[1:], others=["data.root", "data.reduce", "data.size", "epochs"]
        )
        chosen = arguments.only.split(",") if arguments.only else list(CONTESTANTS)
        print(machine(arguments.threads))
        home = Path(arguments.folder).absolute()
        jobs = [(name, seed) for name in chosen for seed in range(arguments.seeds or CONTESTANTS[name].seeds)]
        seconds: dict[str, list[float]] = {name: [] for name in chosen}
        accuracies: dict[str, list[float]] = {name: [] for name in chosen}
        words = [f"threads={arguments.threads}", *overrides]
        for name, seed in tqdm(jobs, unit="run", disable=None):
            accuracy, took = trained(home, name, seed, words)
            accuracies[name].append(accuracy)
            seconds[name].append(took)
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
