"""How much better a validation that leaks looks: the same net and seeds, three splits of SVHN-6k's training part.

`python benchmarks/leak.py --help` shows the options.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from rounds import machine
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import one_line_errors
from housenumbers.tracking.spread import mean_and_deviation
from runs import completed_run

SPLITS = ("random", "blocks", "photos")
# One view of each image, because the scores after each epoch have one, too.
COMMON = ["experiment=fast", "data.val_fraction=0.2", "tta=0", "tta_invert=false"]


@dataclass
class Arguments:
    """Trains experiment=fast's net with a fifth of SVHN-6k's training part held out by each split, over seeds, and
    prints the accuracy on validation, that on test, and how much higher the first is.

    python benchmarks/leak.py data.root=FOLDER

    seeds=10             how many; a seed also chooses what is held out
    threads=1            CPU threads
    folder=outputs/leak  where the runs go; those that are there are not run again
    epochs= and data.reduce= change all of them"""

    seeds: Count = 10
    threads: Count = 1
    folder: str = "outputs/leak"


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root", "data.reduce", "epochs"])
        print(machine(arguments.threads))
        home = Path(arguments.folder).absolute()
        validation: dict[str, list[float]] = {split: [] for split in SPLITS}
        test: dict[str, list[float]] = {split: [] for split in SPLITS}
        words = [*COMMON, f"threads={arguments.threads}", *overrides]
        jobs = [(split, seed) for seed in range(arguments.seeds) for split in SPLITS]
        for split, seed in tqdm(jobs, unit="run", disable=None):
            record = completed_run(home / f"{split}_{seed}", [*words, f"data.split={split}", f"seed={seed}"])
            validation[split].append(record["best"]["val_accuracy"])
            test[split].append(record["test"]["accuracy"])
        for split in SPLITS:
            higher = [first - second for first, second in zip(validation[split], test[split], strict=True)]
            print(
                f"{split}: validation {mean_and_deviation(validation[split])}, test {mean_and_deviation(test[split])}, "
                f"validation - test {mean_and_deviation(higher)}, n={arguments.seeds}"
            )
        for split in SPLITS[1:]:
            higher = [first - second for first, second in zip(validation["random"], validation[split], strict=True)]
            print(f"validation, random - {split}, of each seed: {mean_and_deviation(higher)}, n={arguments.seeds}")


if __name__ == "__main__":
    main()
