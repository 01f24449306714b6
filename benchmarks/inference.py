"""How much sooner networks predict with batch norms folded, and in memory that is kept.

`python benchmarks/inference.py --help` shows the options. CPU only.
"""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from choices import one_of
from rounds import CONF, Turns, data_root, first_images, machine, rates_and_ratios, take_turns
from torch import nn

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.data.batches import eval_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics.views import predict_logits
from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.runtime.errors import one_line_errors
from housenumbers.runtime.memory import disable_malloc_trimming
from housenumbers.training.build import build_model
from housenumbers.training.reproducibility import seed_everything

CPU = torch.device("cpu")
GOAL = 1.5  # ours / plain, at least

# What is run, and how many images a round has: about a second's worth.
NETWORKS: dict[str, tuple[list[str], int]] = {
    "fastnet": (["model=fastnet"], 5000),
    "resnet31_w16": (["model=resnet31", "model.width=16"], 3000),
    "resnet31": (["model=resnet31"], 500),
    "mobilenet_v3_small": (["model=mobilenet_v3_small"], 5000),
}


@dataclass
class Arguments:
    """Measures images/s of prediction: the plain model in eval mode, and what evaluate.py makes of it.

    python benchmarks/inference.py                    all networks, on random images
    python benchmarks/inference.py only=fastnet       one of fastnet, resnet31_w16, resnet31, mobilenet_v3_small
    python benchmarks/inference.py data.root=FOLDER   on the images of FOLDER/train_32x32.mat

    rounds=15      rounds that count, after one to warm up
    threads=null   CPU threads; null: as many as torch takes by itself"""

    rounds: Count = 15
    threads: Count | None = None
    only: Annotated[str, one_of(NETWORKS)] | None = None


def network(name: str) -> nn.Module:
    """With the statistics of a few random batches; what its weights are does not change the speed."""
    seed_everything(0)
    model = build_model(compose_config(CONF, NETWORKS[name][0]).model, CPU).train()
    with torch.no_grad():
        for batch in torch.randint(256, (8, 64, 3, 32, 32), dtype=torch.uint8):
            model(batch)
    return model.eval()


def images_of(name: str, root: str | None) -> LabeledImages:
    return first_images(NETWORKS[name][1], root, seed=0)


def race(keeping: bool, folding: bool, name: str, root: str | None, threads: int | None, turns: Turns) -> None:
    """What a contestant's process does: it predicts the round's images, as evaluate.py does."""
    if threads is not None:
        torch.set_num_threads(threads)
    if keeping:
        disable_malloc_trimming()
    model, data = network(name), images_of(name, root)
    if folding:
        model = fold_batch_norms(model)
    turns.take(lambda: predict_logits(model, eval_batches(data)))


CONTESTANTS = {
    "plain": partial(race, False, False),
    "memory kept": partial(race, True, False),
    "ours": partial(race, True, True),
}


def labels_that_differ(name: str, root: str | None) -> int:
    model, data = network(name), images_of(name, root)
    labels = [predict_logits(each, eval_batches(data))[0].argmax(dim=1) for each in (model, fold_batch_norms(model))]
    return int((labels[0] != labels[1]).sum())


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root"])
        names = [arguments.only] if arguments.only else list(NETWORKS)
        root = data_root(overrides)
        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        images_of(names[0], root)  # a folder that is not there is better found before the first process starts
        print(machine(torch.get_num_threads()), flush=True)
        for name in names:
            contestants = {key: partial(race_, name, root, arguments.threads) for key, race_ in CONTESTANTS.items()}
            seconds = take_turns(contestants, arguments.rounds, name)
            count = NETWORKS[name][1]
            lines = [f"{name}: {count:,} images a round, n={arguments.rounds} rounds after 1 to warm up"]
            lines += rates_and_ratios(seconds, count, "ours", {"plain": GOAL, "memory kept": None})
            lines.append(f"  labels that differ: {labels_that_differ(name, root)} of {count:,}")
            print("", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
