"""Contestants that take turns, round by round, each in a process of its own; their images and their machine.

So a drift of the machine hits all alike, and none has the other's memory.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
sys.path.append(str(ROOT / "src"))  # last: src/runs.py must not hide ours

from housenumbers.config.compose import compose_config
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.mat_file import read_mat
from housenumbers.data.svhn import locate
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError
from housenumbers.training.reproducibility import environment

Seconds = dict[str, list[float]]  # of each contestant, round by round


class Turns:
    """A contestant's side: it takes `count` turns, each between `begin` and `end`. The first one warms up."""

    def __init__(self, referee: Connection, count: int) -> None:
        self._referee, self.count = referee, count
        self._started, self._left = 0.0, count

    def begin(self) -> None:
        """Waits until it is this contestant's turn."""
        self._referee.recv()
        self._started = time.perf_counter()

    def end(self) -> None:
        self._referee.send(time.perf_counter() - self._started)
        self._left -= 1
        if self._left == 0:  # a process that ends by itself takes time from the others' last turns
            self._referee.recv()

    def take(self, run: Callable[[], object]) -> None:
        """All turns, each of which is a call of `run`."""
        for _ in range(self.count):
            self.begin()
            run()
            self.end()


def take_turns(contestants: Mapping[str, Callable[[Turns], None]], rounds: int, title: str = "") -> Seconds:
    """The seconds of each contestant's turns, in each round in another order, after one round that is not counted.

    A contestant is called in a new process, so it must be picklable: a function of a module, or a `partial` of one.
    It then takes its turns, and is killed when all have had theirs. A progress bar with the `title` shows whose turn it
    is. Raises EOFError where a contestant died.
    """
    connections, processes = {}, []
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the state of the allocator
    for name, contestant in contestants.items():
        connections[name], theirs = spawn.Pipe()
        processes.append(spawn.Process(target=_compete, args=(contestant, theirs, rounds + 1)))
        processes[-1].start()
        theirs.close()  # so that a process that dies is an EOFError, not a silence

    names = list(connections)
    seconds: Seconds = {name: [] for name in names}
    turns = [(round_, name) for round_ in range(rounds + 1) for name in rotated(names, round_)]
    try:
        with tqdm(turns, unit="turn", dynamic_ncols=True, leave=False, disable=None) as bar:
            for round_, name in bar:
                bar.set_description(f"{title} {name}".strip())
                connections[name].send("go")
                took = connections[name].recv()
                if round_ > 0:  # round 0 warms up: it imports, starts worker processes, and fills caches
                    seconds[name].append(took)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return seconds


def rotated(names: Sequence[str], round_: int) -> list[str]:
    """The order of a round: another contestant begins in each."""
    first = round_ % len(names)
    return [*names[first:], *names[:first]]


def _compete(contestant: Callable[[Turns], None], referee: Connection, count: int) -> None:
    contestant(Turns(referee, count))


def data_root(overrides: Sequence[str]) -> str | None:
    """The folder in `data.root=FOLDER`. None where it is not given."""
    return next((word.partition("=")[2] for word in overrides if word.startswith("data.root=")), None)


def first_images(count: int, root: str | None, seed: int) -> LabeledImages:
    """As many images as a round takes: the first ones of the training file in the folder `root`, again from the start
    where it holds too few. Random ones where there is no folder."""
    if root is None:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return LabeledImages(images, torch.randint(10, (count,), generator=generator))
    config = compose_config(CONF, [f"data.root={root}", "data.download=false"])
    data = read_mat(locate(config.data, "train"))
    return data.subset(torch.arange(count) % len(data.labels))


class Images(Dataset[tuple[Any, int]]):
    """Images one at a time, as torchvision.datasets.SVHN gives them; the nearest pixels again in a `border`."""

    def __init__(self, data: LabeledImages, transform: Callable[[Image.Image], Any] | None, border: int = 0) -> None:
        around = ((0, 0), (border, border), (border, border), (0, 0))
        self.pixels = np.pad(data.images.numpy().transpose(0, 2, 3, 1), around, mode="edge")
        self.labels = data.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.pixels[index])
        return image if self.transform is None else self.transform(image), self.labels[index]


def checkout(key: str, folder: str) -> Path:
    """Another checkout of this project, named by the argument `key`. Raises UserError where there is none."""
    path = Path(folder).absolute()
    if not (path / "src" / "train.py").is_file():
        raise UserError(f"{key}={folder}: no checkout of this project: git worktree add {folder} COMMIT makes one")
    return path


def machine(threads: int | None = None) -> str:
    """What was measured on; and with how many `threads`, where all had so many."""
    measured = environment(torch.device("cpu"))
    used = (
        f"{processes.available_cores()} cores"
        if threads is None
        else f"{threads} threads of {processes.available_cores()} cores"
    )
    return f"{measured['cpu']}, {used}, torch {measured['versions']['torch']}"


def ratio_of_rounds(seconds: Seconds, other: str, ours: str) -> list[float]:
    """How many times as fast `ours` was as the `other`, in each round, so at about one moment."""
    return [a / b for a, b in zip(seconds[other], seconds[ours], strict=True)]


def rates_and_ratios(seconds: Seconds, count: int, ours: str, goals: Mapping[str, float | None]) -> list[str]:
    """A table: images/s of each contestant with `count` images a round, and `ours` against each key of `goals`."""
    width = max(len(f"{ours} / {name}") for name in seconds) + 10
    lines = []
    for name, values in seconds.items():
        lines.append(f"  {name + ', images/s':<{width}}{median_and_span([count / value for value in values], 0)}")
    for other, goal in goals.items():
        ratios = ratio_of_rounds(seconds, other, ours)
        met = "" if goal is None else f"   {verdict(statistics.median(ratios) >= goal, f'{goal}')}"
        lines.append(f"  {f'{ours} / {other}':<{width}}{median_and_span(ratios, 2)}{met}")
    return lines


def verdict(is_met: bool, goal: str) -> str:
    return f"goal {goal}: {'met' if is_met else 'MISSED'}"


def span(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f}..{max(values):.{digits}f}"


def median_and_span(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"
