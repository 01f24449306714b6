"""Transfer learning on SVHN-6k: frozen against fine-tuned against from scratch; and what caching features saves.

`python benchmarks/transfer.py --help` shows the options.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rounds import machine, verdict
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import steps_per_epoch
from housenumbers.data.load import load_splits
from housenumbers.runtime.errors import one_line_errors
from housenumbers.runtime.memory import disable_malloc_trimming
from housenumbers.tracking.spread import mean_and_deviation
from housenumbers.training import distributed
from housenumbers.training.loop import TrainingState, train_epoch
from housenumbers.training.transfer import cache_frozen_features
from runs import ROOT, completed_run

CPU = torch.device("cpu")
RESNET = ["experiment=transfer_finetune", "model=resnet31", "model.width=32", "model.input_size=32"]
RENDERED = [*RESNET, "data=synthetic", "epochs=2", "autocast=true", "tta=0"]  # what "rendered" contestants go on from
CONTESTANTS = {
    "EfficientNet-Lite0, frozen": ["experiment=transfer_frozen"],
    "EfficientNet-Lite0, fine-tuned": ["experiment=transfer_finetune"],
    "EfficientNet-Lite0, from scratch": ["experiment=transfer_finetune", "model.pretrained=false"],
    "ResNet-31 of width 32, from scratch": RESNET,
    "ResNet-31 of width 32, rendered crops, frozen": [*RESNET, "augment=none", "model.freeze=true"],
    "ResNet-31 of width 32, rendered crops, fine-tuned": [*RESNET, "optimizer.lr=0.0005"],
}
GOALS = {"EfficientNet-Lite0, frozen": 0.65, "EfficientNet-Lite0, fine-tuned": 0.95}
CACHING_GOAL = 10.0


@dataclass
class Arguments:
    """Trains on SVHN-6k, with ImageNet weights, after rendered crops and from scratch, and scores the 1,001 test crops.

    python benchmarks/transfer.py data.root=FOLDER                 all of it
    python benchmarks/transfer.py data.root=FOLDER only=caching    one of accuracy, caching

    seeds=3                   runs of each contestant
    folder=outputs/transfer   where the runs go; those that are there are not run again
    data=, data.reduce=, epochs= and threads= change all of them alike; data.size= the rendered crops"""

    only: Literal["accuracy", "caching"] | None = None
    seeds: Count = 3
    folder: str = "outputs/transfer"


def accuracy(home: Path, seeds: int, overrides: list[str], of_rendered: list[str]) -> list[str]:
    """Test accuracy and training time of each contestant, each run a command of its own, the contestants in turn."""
    accuracies: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with tqdm(total=seeds * len(CONTESTANTS), unit="run", disable=None) as bar:
        for seed in range(seeds):
            rendered = home / f"rendered_{seed}"
            completed_run(rendered, [*RENDERED, f"seed={seed}", *of_rendered])
            for place, (name, words) in enumerate(CONTESTANTS.items()):
                begin = [f"model.pretrained=run:{rendered}"] if "rendered" in name else []
                record = completed_run(home / f"{place}_{seed}", [*words, *begin, f"seed={seed}", *overrides])
                accuracies[name].append(record["test"]["accuracy"])
                seconds[name].append(record["train_seconds"])
                bar.update()
    lines = []
    for name, reached in accuracies.items():
        goal = GOALS.get(name)
        met = "" if goal is None else f" ({verdict(statistics.fmean(reached) >= goal, f'{goal:.0%}')})"
        lines.append(f"{name}: {mean_and_deviation(reached)}{met}, {statistics.median(seconds[name]):.0f} s; n={seeds}")
    return lines


def caching(config: TrainConfig) -> list[str]:
    """An epoch of the frozen run on features that were computed before, against one that computes them, in turn."""
    distributed.setup_device(config)  # its threads
    disable_malloc_trimming()  # as every run does
    train = load_splits(config.data).train
    state = TrainingState.initial(config, steps_per_epoch(train, config.data.batch_size), CPU)
    began = time.perf_counter()
    network, features, _ = cache_frozen_features(config, state.model, train, None)
    once = time.perf_counter() - began
    times: dict[str, list[float]] = {"cached": [], "computed": []}
    for epoch in range(1, 4):
        for name, (net, data) in {"cached": (network, features), "computed": (state.model, train)}.items():
            began = time.perf_counter()
            train_epoch(config, state, net, data, epoch, lambda _: None)
            times[name].append(time.perf_counter() - began)
    ratio = statistics.median(times["computed"]) / statistics.median(times["cached"])
    met = verdict(ratio >= CACHING_GOAL, f"{CACHING_GOAL:.0f}")
    return [
        f"an epoch that computes features {statistics.median(times['computed']):.2f} s, on cached ones "
        f"{statistics.median(times['cached']):.3f} s: {ratio:.0f} times ({met}); "
        f"computing them once {once:.1f} s; n=3 epochs each"
    ]


def main() -> None:
    with one_line_errors():
        arguments, words = parse(
            Arguments, sys.argv[1:], others=["data", "data.root", "data.reduce", "data.size", "epochs", "threads"]
        )
        of_rendered = [word for word in words if word.startswith(("data.size=", "epochs=", "threads="))]
        overrides = [word for word in words if not word.startswith("data.size=")]
        print(machine())
        if arguments.only != "caching":
            lines = accuracy(Path(arguments.folder).absolute(), arguments.seeds, overrides, of_rendered)
            print(*lines, sep="\n", flush=True)
        if arguments.only != "accuracy":
            config = compose_config(ROOT / "conf", ["experiment=transfer_frozen", "scheduler=none", *overrides])
            print(*caching(config), sep="\n")


if __name__ == "__main__":
    main()
