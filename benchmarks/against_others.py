"""Our training loop beside those that others write: the same network, images and batch size, each in its own way.

How many images/s each trains, all taking turns; and what fastnet reaches on SVHN-6k, in how many seconds.
`python benchmarks/against_others.py --help` shows the options. CPU only.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Literal

import torch
from choices import one_of
from notes import Notes
from others import CONTESTANTS, Task, accuracy_of
from rounds import CONF, Turns, machine, median_and_span, ratio_of_rounds, take_turns
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import config_to_dict
from housenumbers.data.load import load_splits, load_test
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.tracking.spread import mean_and_deviation

BORDER = 8  # pixels around images for the accuracy, where black corners would cost the others some; speed without
WORKERS = (0, 2)  # of the others' data loaders; for the accuracy the first one, which was faster on two cores


@dataclass(frozen=True)
class Setting:
    words: list[str]  # ours; network, batch size, precision, label smoothing and augmentation hold for others, too
    batches: int  # in a round: a second or two
    epochs: tuple[int, ...]  # of the trainings whose accuracy is looked at, the shortest first; none: speed alone
    learning_rates: dict[str, tuple[float, ...]]  # of the others, to choose from in the shortest training


SETTINGS = {
    "fastnet": Setting(
        ["experiment=fast"],
        40,
        (4, 8, 12),
        {"lightning": (0.01, 0.003, 0.03, 0.1), "torchvision": (0.05, 0.02, 0.15, 0.5), "timm": (0.01, 0.003, 0.03)},
    ),
    "resnet31_w16": Setting(
        [
            "model=resnet31",
            "model.width=16",
            "scheduler=onecycle",
            "optimizer.lr=0.005",
            "label_smoothing=0.1",
            "data=svhn_6k",
            "data.batch_size=128",
            "augment=digits",
            "data.val_fraction=0",
        ],
        16,
        (),
        {"lightning": (0.005,), "torchvision": (0.05,), "timm": (0.005,)},
    ),
}


@dataclass
class Arguments:
    """Measures our loop against Lightning's Trainer, torchvision's reference loop, and timm's loader and optimizer.

    python benchmarks/against_others.py data.root=FOLDER                    everything
    python benchmarks/against_others.py data.root=FOLDER part=speed         or part=accuracy
    python benchmarks/against_others.py data.root=FOLDER network=fastnet    or network=resnet31_w16
    python benchmarks/against_others.py data.root=FOLDER only=timm          or ours, lightning, torchvision

    rounds=7       rounds that count, after one to warm up
    epochs=null    of the trainings whose accuracy is looked at, fastnet's; null: 4, 8 and 12
    seeds=10       of each of these
    threads=null   CPU threads; null: as many as torch takes by itself
    file=outputs/against_others.jsonl   where each finished training is noted; none is done again

    FOLDER holds SVHN-6k. Lightning and timm come with pip install -e '.[others]'."""

    part: Literal["all", "speed", "accuracy"] = "all"
    network: Annotated[str, one_of(SETTINGS)] | None = None
    only: Annotated[str, one_of(CONTESTANTS)] | None = None
    rounds: Count = 7
    epochs: Count | None = None
    seeds: Count = 10
    threads: Count | None = None
    file: str = "outputs/against_others.jsonl"


def configuration(name: str, arguments: Arguments, overrides: list[str], epochs: int, seed: int = 0) -> TrainConfig:
    threads = "null" if arguments.threads is None else arguments.threads
    fixed = [f"epochs={epochs}", f"seed={seed}", f"threads={threads}", "device=cpu", "data.download=false"]
    return compose_config(CONF, [*SETTINGS[name].words, *fixed, *overrides])


def learning_rates(name: str, key: str) -> tuple[float | None, ...]:
    """Those that a contestant may choose from; ours has the one of its configuration."""
    return (None,) if key == "ours" else SETTINGS[name].learning_rates[key]


def measure_speed(name: str, arguments: Arguments, overrides: list[str], chosen: list[str]) -> list[str]:
    """Images/s: a table, and how many times as fast ours is as each other, with its better number of workers."""
    config = configuration(name, arguments, overrides, arguments.rounds + 1)
    contestants = {}
    for key in chosen:
        for workers in WORKERS[:1] if key == "ours" else WORKERS:
            work = Task(config, learning_rates(name, key)[0], workers)
            label = key if key == "ours" else f"{key}, {workers} workers"
            contestants[label] = partial(race, key, work, SETTINGS[name].batches)
    seconds = take_turns(contestants, arguments.rounds)
    count = SETTINGS[name].batches * config.data.batch_size
    lines = [
        f"{name}, batch {config.data.batch_size}, {'bfloat16' if work.bfloat16 else 'float32'}: "
        f"{count:,} images a round, n={arguments.rounds} rounds after 1 to warm up"
    ]
    for label, values in seconds.items():
        lines.append(f"  {label + ', images/s':<34}{median_and_span([count / value for value in values], 0)}")
    for key in chosen if "ours" in chosen else []:
        if key != "ours":
            labels = [label for label in seconds if label.startswith(key)]
            best = min(labels, key=lambda label: statistics.median(seconds[label]))
            ratios = ratio_of_rounds(seconds, best, "ours")
            lines.append(f"  {'ours / ' + best:<34}{median_and_span(ratios, 2)}")
    return lines


def race(key: str, work: Task, batches: int, turns: Turns) -> None:
    """What a contestant's process does for the speed: a training whose epochs, of a few batches, are its turns."""
    set_threads(work)
    train = load_splits(work.config.data).train
    indices = torch.arange(batches * work.config.data.batch_size) % len(train.labels)
    CONTESTANTS[key](work, train.subset(indices), turns)


def measure_accuracy(name: str, arguments: Arguments, overrides: list[str], chosen: list[str]) -> list[str]:
    """What the trainings of each contestant reach on the test part, and the seconds that each takes.

    The others' learning rates are chosen before, in the shortest of the trainings, on blocks of the training part.
    """
    lengths = SETTINGS[name].epochs if arguments.epochs is None else (arguments.epochs,)
    rates = {key: learning_rates(name, key) for key in chosen}
    choices = [(key, rate) for key in chosen for rate in rates[key] if len(rates[key]) > 1]
    # All contestants in turn, so that a drift of the machine hits all alike.
    trainings = [(key, epochs, seed) for seed in range(arguments.seeds) for epochs in lengths for key in chosen]
    notes = Notes(Path(arguments.file))
    with tqdm(total=len(choices) + len(trainings), unit="training", leave=False, disable=None) as bar:

        def trained(key: str, rate: float | None, epochs: int, seed: int, *more: str) -> dict[str, float]:
            config = configuration(name, arguments, [*overrides, *more], epochs, seed)
            run = {"contestant": key, "learning_rate": rate, "border": BORDER, "config": config_to_dict(config)}
            result: dict[str, float] = notes.result(run, partial(alone, key, Task(config, rate, WORKERS[0], BORDER)))
            bar.update()
            return result

        validated = {
            (key, rate): trained(key, rate, lengths[0], 0, "data.val_fraction=0.2")["accuracy"] for key, rate in choices
        }
        best = {key: max(rates[key], key=lambda rate, key=key: validated.get((key, rate), 0.0)) for key in chosen}
        tested = {(key, epochs, seed): trained(key, best[key], epochs, seed) for key, epochs, seed in trainings}

    lines = [f"{name}: accuracy on validation blocks after {lengths[0]} epochs, one seed"] if validated else []
    lines += [f"  {f'{key}, lr {rate}':<34}{accuracy:.2%}" for (key, rate), accuracy in validated.items()]
    lines.append(f"{name}: test accuracy, and seconds of training")
    for epochs in lengths:
        for key in chosen:
            runs = [tested[key, epochs, seed] for seed in range(arguments.seeds)]
            accuracies, seconds = ([run[what] for run in runs] for what in ("accuracy", "seconds"))
            said = f"{mean_and_deviation(accuracies)} in {median_and_span(seconds, 1)} s, n={len(runs)} seeds"
            lines.append(f"  {f'{key}, {epochs} epochs':<34}{said}")
    return lines


def alone(key: str, work: Task) -> dict[str, float]:
    """`train_and_score` in a process of its own, which does not outlive this one for long. EOFError where it died."""
    context = get_context("forkserver")  # its server has the libraries loaded, and computes nothing
    context.set_forkserver_preload(["others", "sklearn.model_selection", "torch._dynamo"])
    received, sent = context.Pipe(duplex=False)
    process = context.Process(target=train_and_score, args=(key, work, sent))
    process.start()
    sent.close()
    try:
        result: dict[str, float] = received.recv()
    finally:
        process.kill()
        process.join()
    return result


def train_and_score(key: str, work: Task, result: Connection) -> None:
    """Sends the accuracy of what a training gives, on its validation part or, where there is none, the test part; and
    its seconds."""
    set_threads(work)
    clock, splits = StopWatch(), load_splits(work.config.data)
    model = CONTESTANTS[key](work, splits.train, clock)
    held_out = load_test(work.config.data) if splits.validation is None else splits.validation
    result.send({"accuracy": accuracy_of(model, held_out, work), "seconds": clock.seconds})


class StopWatch:
    """The time from the first `begin` to the last `end`."""

    started: float | None = None
    seconds = 0.0

    def begin(self) -> None:
        if self.started is None:
            self.started = time.perf_counter()

    def end(self) -> None:
        assert self.started is not None
        self.seconds = time.perf_counter() - self.started


def set_threads(work: Task) -> None:
    if work.config.threads is not None:
        torch.set_num_threads(work.config.threads)


def check(arguments: Arguments) -> None:
    if arguments.part == "accuracy" and arguments.network and not SETTINGS[arguments.network].epochs:
        raise UserError(f"network={arguments.network}: its speed alone is measured: set part=speed, or network=fastnet")
    for package in ("lightning", "timm"):
        if arguments.only in (None, package) and find_spec(package) is None:
            raise UserError(f"only={package}: is not installed: pip install -e '.[others]', or set only=ours")


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.*", "model.*"])
        check(arguments)
        chosen = [arguments.only] if arguments.only else list(CONTESTANTS)
        names = [arguments.network] if arguments.network else list(SETTINGS)
        load_splits(configuration(names[0], arguments, overrides, 1).data)  # better now than in four processes
        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        print(machine(torch.get_num_threads()), flush=True)
        for name in names:
            if arguments.part != "accuracy":
                print("", *measure_speed(name, arguments, overrides, chosen), sep="\n", flush=True)
            if arguments.part != "speed" and SETTINGS[name].epochs:
                print("", *measure_accuracy(name, arguments, overrides, chosen), sep="\n", flush=True)


if __name__ == "__main__":
    main()
