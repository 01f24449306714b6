"""How fast the project's training loop is, beside the bare step and beside the loop that people usually write.

All contestants take turns, round by round, each in a process of its own, so that a drift of the machine hits all alike
and none has the other's memory. In a round each one trains on the same number of images once, as a whole epoch; all
processes have been started before.
`python benchmarks/training_loop.py --help` shows the options. CPU only.
"""

import itertools
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from choices import one_of
from rounds import CONF, Images, Turns, first_images, machine, span, take_turns, verdict
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import option_dict
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.models.resnet import ResNet
from housenumbers.runtime.errors import one_line_errors
from housenumbers.runtime.memory import disable_malloc_trimming
from housenumbers.training.build import build_model, build_optimizer
from housenumbers.training.loop import TrainingState, batch_loss, train_epoch
from housenumbers.training.reproducibility import seed_everything

CPU = torch.device("cpu")

Contestant = Callable[[], None]  # trains on the round's images once
Speeds = dict[str, list[float]]  # each contestant's images/s, round by round


@dataclass(frozen=True)
class Setting:
    name: str
    words: list[str]
    batch_size: int
    batches: int  # in a round: some seconds' worth, and never so few that worker processes have nothing to prefetch
    bare_goal: float  # ours / bare step, at least
    usual_goal: float | None  # ours / the better usual loop, at least; null: no usual loop takes part

    @property
    def images(self) -> int:
        return self.batches * self.batch_size


def study(width: int, batch_size: int, batches: int, usual_goal: float) -> Setting:
    """The study's ResNet-31, at a width, with its rotation."""
    words = [f"model.width={width}", "augment=rotation"]
    return Setting(f"w{width}_b{batch_size}", words, batch_size, batches, 0.95, usual_goal)


SETTINGS = [
    study(64, 16, 12, 1.05),
    study(64, 128, 4, 1.15),
    study(16, 128, 12, 1.5),
    Setting("fast_b64", ["experiment=fast", "epochs=1000"], 64, 60, 0.9, None),  # a schedule that lasts for all rounds
]


@dataclass
class Arguments:
    """Measures images/s of the training loop, the bare step and the usual loop, and the ratios between them.

    python benchmarks/training_loop.py                    all settings, on random images
    python benchmarks/training_loop.py only=w64_b16       one of w64_b16, w64_b128, w16_b128 (width, batch size) and
                                                          fast_b64 (fastnet as experiment=fast trains it)
    python benchmarks/training_loop.py data.root=FOLDER   on the images of FOLDER/train_32x32.mat

    rounds=7       rounds that count, after one to warm up
    threads=null   CPU threads; null: as many as torch takes by itself"""

    rounds: Count = 7
    threads: Count | None = None
    only: Annotated[str, one_of(setting.name for setting in SETTINGS)] | None = None


# ---- The contestants: the same network from the same seed, on the same images.


def ours(config: TrainConfig, setting: Setting, train: LabeledImages) -> Contestant:
    """The project's own loop, with all that a run does between two steps."""
    disable_malloc_trimming()
    state = TrainingState.initial(config, setting.batches, CPU)
    epochs = itertools.count(1)

    def run() -> None:
        train_epoch(config, state, state.model, train, next(epochs), lambda _: None)

    return run


def bare_step(config: TrainConfig, setting: Setting, train: LabeledImages) -> Contestant:
    """Forward, backward and optimizer step, built as the project builds them, on one batch that is ready."""
    disable_malloc_trimming()
    model = build_model(config.model, CPU).train()
    optimizer = build_optimizer(config.optimizer, model, CPU)
    images = train.images[: setting.batch_size].float().contiguous(memory_format=torch.channels_last)
    labels = train.labels[: setting.batch_size]

    def run() -> None:
        for _ in range(setting.batches):
            loss = batch_loss(config, model, images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def usual_loop(config: TrainConfig, setting: Setting, train: LabeledImages, workers: int) -> Contestant:
    """What tutorials teach: single images through PIL, a DataLoader, a look at loss and accuracy after each batch."""
    changes = transforms.Compose(
        [transforms.RandomRotation(10), transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    loader = DataLoader(
        Images(train, changes), setting.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    model = ResNet(option_dict(config.model)["width"]).train()
    model.normalize = nn.Identity()  # type: ignore[assignment]  # the transforms do it
    optimizer = torch.optim.Adam(model.parameters(), lr=option_dict(config.optimizer)["lr"])

    def run() -> None:
        total_loss, correct, seen = 0.0, 0, 0
        for images, labels in loader:
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)

    return run


CONTESTANTS: dict[str, Callable[[TrainConfig, Setting, LabeledImages], Contestant]] = {
    "ours": ours,
    "bare step": bare_step,
    "usual, 0 workers": partial(usual_loop, workers=0),
    "usual, 2 workers": partial(usual_loop, workers=2),
}


# ---- Measuring


def compete(name: str, config: TrainConfig, setting: Setting, real: bool, turns: Turns) -> None:
    """What a contestant's process does."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    train = first_images(setting.images, config.data.root if real else None, config.seed)
    turns.take(CONTESTANTS[name](config, setting, train))


def contestants_of(setting: Setting) -> list[str]:
    return [name for name in CONTESTANTS if setting.usual_goal or not name.startswith("usual")]


def measure(config: TrainConfig, setting: Setting, real: bool, rounds: int) -> Speeds:
    """Lets the contestants take turns."""
    contestants = {name: partial(compete, name, config, setting, real) for name in contestants_of(setting)}
    seconds = take_turns(contestants, rounds, setting.name)
    return {name: [setting.images / taken for taken in values] for name, values in seconds.items()}


def config_for(setting: Setting, threads: int | None, overrides: list[str]) -> TrainConfig:
    """The configuration of this setting, with `overrides` for the data's folder."""
    chosen = [*setting.words, f"data.batch_size={setting.batch_size}"]
    fixed = ["device=cpu", f"threads={'null' if threads is None else threads}", "data.download=false"]
    return compose_config(CONF, [*chosen, *fixed, *overrides])


# ---- Reporting


def report(setting: Setting, speeds: Speeds, machine: str) -> list[str]:
    """A table, then one line that can be quoted."""
    goals = {"bare step": setting.bare_goal}
    usual = [name for name in speeds if name.startswith("usual")]
    if setting.usual_goal:
        goals[max(usual, key=lambda name: statistics.median(speeds[name]))] = setting.usual_goal
    n = len(speeds["ours"])
    lines = [
        f"{' '.join(setting.words)}, batch {setting.batch_size}: "
        f"{setting.images} images a round, n={n} rounds after 1 to warm up",
        f"  {'':<26}{'median':>8}   min..max",
    ]
    for name, values in speeds.items():
        lines.append(f"  {name + ', images/s':<26}{statistics.median(values):>8.1f}   {span(values, 1)}")
    quoted = []
    for other, goal in goals.items():
        ratios = [a / b for a, b in zip(speeds["ours"], speeds[other], strict=True)]  # of one round, so of one moment
        ratio = statistics.median(ratios)
        met = verdict(ratio >= goal, f"{goal:.2f}")
        lines.append(f"  {'ours / ' + other:<26}{ratio:>8.3f}   {span(ratios, 3)}   {met}")
        quoted.append(f"{ratio:.2f} times {other} ({span(ratios, 2)}; {met})")
    speed = statistics.median(speeds["ours"])
    return [*lines, f"{setting.name}: ours {speed:.1f} images/s, {', '.join(quoted)}; n={n}; {machine}"]


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root"])
        settings = [setting for setting in SETTINGS if arguments.only in (None, setting.name)]

        configs = [config_for(setting, arguments.threads, overrides) for setting in settings]
        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        real = bool(overrides)
        measured_on = machine(torch.get_num_threads())
        print(measured_on)
        print(f"images: {configs[0].data.root if real else 'random (the speed does not depend on what they show)'}")
        for setting, config in zip(settings, configs, strict=True):
            lines = report(setting, measure(config, setting, real, arguments.rounds), measured_on)
            print("", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
