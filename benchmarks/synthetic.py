"""How real rendered digits are: a net that has seen no photo, on real crops; and what it saves in real labels.

`python benchmarks/synthetic.py --help` shows the options.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Interval
from choices import some_of
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rounds import machine, verdict
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.evaluation.figures import TRAIN_COLOR, VALIDATION_COLOR
from housenumbers.runtime.errors import one_line_errors
from housenumbers.tracking.spread import mean_and_deviation
from runs import ROOT, completed_run

GOALS = (0.90, 0.92)
REAL = 6083  # crops to train on in SVHN-6k
EPOCHS = {100: 100, 500: 60, 1083: 40, 6083: 20}  # of training on so many real crops
CONTESTANTS = {"real crops alone": ["optimizer.lr=0.02"], "after rendered ones": ["optimizer.lr=0.005"]}


@dataclass
class Arguments:
    """Trains on rendered digits alone and scores the 1,001 real test crops of SVHN-6k; then goes on training on 100 to
    6,083 real crops, against training on those alone, and draws the accuracy over the number of real labels.

    python benchmarks/synthetic.py data.root=FOLDER
    python benchmarks/synthetic.py data.root=FOLDER only=100,500    so many real crops alone

    seeds=3                          runs of each kind
    folder=outputs/synthetic         where the runs and the figure go; runs that are there are not run again
    data.size= and epochs= change the training on rendered digits, factor= the epochs on real ones"""

    only: Annotated[str, some_of(str(count) for count in EPOCHS)] | None = None
    seeds: Count = 3
    folder: str = "outputs/synthetic"
    factor: Annotated[float, Interval(gt=0, le=10)] = 1.0


def on_real_crops(folder: Path, root: list[str]) -> float:
    """The accuracy of a run on the test crops of SVHN-6k."""
    words = [f"run={folder}", "data=svhn_6k", *root]
    subprocess.run([sys.executable, ROOT / "src/evaluate.py", *words], check=True, capture_output=True)
    return float(json.loads((folder / "evaluation_test_on_svhn_6k.json").read_text())["accuracy"])


def measure(
    home: Path, seeds: int, lengths: dict[int, int], root: list[str], overrides: list[str]
) -> tuple[list[float], dict[str, dict[int, list[float]]], list[float]]:
    """Test accuracies without a real crop, each contestant's by number of real crops, the former's seconds.

    `lengths` are the epochs of training by number of real crops.
    """
    threads = [word for word in overrides if word.startswith("threads=")]
    without: list[float] = []
    seconds: list[float] = []
    results: dict[str, dict[int, list[float]]] = {name: {count: [] for count in lengths} for name in CONTESTANTS}
    with tqdm(total=seeds * (1 + len(CONTESTANTS) * len(lengths)), unit="run", disable=None) as bar:
        for seed in range(seeds):
            rendered = home / f"rendered_{seed}"
            seconds.append(
                completed_run(rendered, ["experiment=synthetic", f"seed={seed}", *overrides])["train_seconds"]
            )
            without.append(on_real_crops(rendered, root))
            bar.update()
            for count, epochs in lengths.items():
                for name, lr in CONTESTANTS.items():
                    begin = [f"model.pretrained=run:{rendered}"] if "rendered" in name else []
                    own = [
                        "experiment=fast", *root, f"seed={seed}",
                        f"data.reduce={min(1, count / REAL)}", f"epochs={epochs}", *lr, *begin, *threads,
                    ]  # fmt: skip
                    record = completed_run(home / f"{name.replace(' ', '_')}_{count}_{seed}", own)
                    results[name][count].append(record["test"]["accuracy"])
                    bar.update()
    return without, results, seconds


def draw(results: dict[str, dict[int, list[float]]], without: list[float], file: Path) -> None:
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.add_axes((0.12, 0.13, 0.84, 0.77))
    for (name, reached), color, marker in zip(results.items(), (VALIDATION_COLOR, TRAIN_COLOR), "so", strict=True):
        means = [torch.tensor(values).mean() for values in reached.values()]
        spread = [torch.tensor(values).std(correction=min(1, len(values) - 1)) for values in reached.values()]
        axes.errorbar(list(reached), means, spread, marker=marker, color=color, capsize=3, label=name)
    mean = sum(without) / len(without)
    axes.axhline(mean, color="black", ls=":", lw=1, label=f"no real crop: {mean:.1%}")
    axes.set(
        xscale="log", xlabel="real crops with labels (logarithmic)", title="Test accuracy on SVHN-6k, 1,001 real crops"
    )
    counts = list(next(iter(results.values())))
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(file, dpi=120)


def main() -> None:
    with one_line_errors():
        arguments, words = parse(Arguments, sys.argv[1:], others=["data.root", "data.size", "epochs", "threads"])
        root = [word for word in words if word.startswith("data.root=")]
        overrides = [word for word in words if word not in root]
        print(machine())
        home = Path(arguments.folder).absolute()
        counts = [int(count) for count in arguments.only.split(",")] if arguments.only else list(EPOCHS)
        lengths = {count: max(1, round(EPOCHS[count] * arguments.factor)) for count in counts}
        without, results, seconds = measure(home, arguments.seeds, lengths, root, overrides)
        mean = sum(without) / len(without)
        verdicts = ", ".join(verdict(mean >= goal, f"{goal:.0%}") for goal in GOALS)
        print(f"rendered digits alone: {mean_and_deviation(without)} ({verdicts}), {max(seconds):.0f} s at most")
        for count in counts:
            both = ", ".join(f"{name} {mean_and_deviation(reached[count])}" for name, reached in results.items())
            print(f"{count:>5} real crops: {both}")
        draw(results, without, home / "real_labels.png")
        print(f"n={arguments.seeds}; figure: {home / 'real_labels.png'}")


if __name__ == "__main__":
    main()
