"""How soon an exported model predicts: ONNX Runtime against PyTorch, one image or 250 at a time.

`python benchmarks/exported.py --help` shows the options. CPU only.
"""

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
from choices import one_of
from rounds import CONF, Turns, data_root, first_images, machine, rates_and_ratios, take_turns
from torch import Tensor

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.config.values import config_to_dict
from housenumbers.data.load import load_splits
from housenumbers.evaluation.trained_model import load_trained_model, rebuild_model
from housenumbers.metrics.views import predict_logits
from housenumbers.prediction.export import export
from housenumbers.prediction.export_formats import check_export_format
from housenumbers.runtime.errors import one_line_errors
from housenumbers.training.build import build_model
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint
from housenumbers.training.loop import initialize_from_data
from housenumbers.training.reproducibility import seed_everything

CPU = torch.device("cpu")

# How many images a round has, one by one and 250 at a time: about half a second's worth.
NETWORKS = {"fastnet": {1: 500, 250: 3000}, "resnet31": {1: 60, 250: 250}}


@dataclass
class Arguments:
    """Measures images/s of prediction: the plain model in eval mode, what predict.py makes of it, and ONNX Runtime.

    python benchmarks/exported.py                    both networks, on random images
    python benchmarks/exported.py only=fastnet       one of fastnet, resnet31 (width 64)
    python benchmarks/exported.py data.root=FOLDER   on the images of FOLDER/train_32x32.mat

    rounds=11      rounds that count, after one to warm up
    threads=2      CPU threads, of each"""

    rounds: Count = 11
    threads: Count = 2
    only: Annotated[str, one_of(NETWORKS)] | None = None


def write_model(name: str, folder: Path, threads: int) -> Path:
    """A checkpoint, and the ONNX file beside it, of a network that has seen a few rendered digits.

    What its weights are does not change the speed.
    """
    words = [f"model={name}", "data=synthetic", "data.size=2000", "data.val_fraction=0", f"threads={threads}"]
    config = compose_config(CONF, words)
    train = load_splits(config.data).train
    seed_everything(0)
    model = build_model(config.model, CPU).train()
    initialize_from_data(model, train)
    with torch.no_grad():
        for batch in train.images[:512].split(64):
            model(batch)
    save_checkpoint(folder / f"{name}.pt", {"config": config_to_dict(config), "model": model.state_dict()})
    export(load_trained_model(folder / f"{name}.pt"), "onnx", folder / f"{name}.onnx")
    return folder / f"{name}.pt"


def batches_of(count: int, size: int, root: str | None) -> tuple[Tensor, ...]:
    return first_images(count, root, seed=0).images.contiguous().split(size)


def race(
    contestant: str, checkpoint: Path, count: int, size: int, root: str | None, threads: int, turns: Turns
) -> None:
    """What a contestant's process does: it predicts the round's images."""
    torch.set_num_threads(threads)
    batches = batches_of(count, size, root)
    if contestant == "onnx runtime":
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = threads
        session = InferenceSession(checkpoint.with_suffix(".onnx"), options, providers=["CPUExecutionProvider"])
        arrays = [batch.numpy() for batch in batches]
        turns.take(lambda: [session.run(None, {"images": array}) for array in arrays])
        return
    plain = contestant == "plain"
    model = (
        rebuild_model(load_checkpoint(checkpoint), checkpoint, CPU) if plain else load_trained_model(checkpoint).model
    )
    turns.take(lambda: predict_logits(model, [(batch, batch) for batch in batches]))


CONTESTANTS = ("plain", "folded", "onnx runtime")


def main() -> None:
    with one_line_errors(), tempfile.TemporaryDirectory() as folder:
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root"])
        check_export_format("onnx", None)
        names = [arguments.only] if arguments.only else list(NETWORKS)
        root = data_root(overrides)
        batches_of(1, 1, root)  # a folder that is not there is better found before the first process starts
        torch.set_num_threads(arguments.threads)
        print(f"{machine(torch.get_num_threads())}, onnxruntime {version('onnxruntime')}", flush=True)
        for name in names:
            checkpoint = write_model(name, Path(folder), arguments.threads)
            for size, count in NETWORKS[name].items():
                contestants = {
                    each: partial(race, each, checkpoint, count, size, root, arguments.threads) for each in CONTESTANTS
                }
                title = f"{name}, batches of {size}"
                seconds = take_turns(contestants, arguments.rounds, title)
                lines = [f"{title}: {count:,} images a round, n={arguments.rounds} rounds"]
                lines += rates_and_ratios(seconds, count, "onnx runtime", dict.fromkeys(CONTESTANTS[:2]))
                print("", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
