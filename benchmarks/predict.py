"""How many crops a second `src/predict.py` labels: PNG files of 32x32 pixels, with fastnet.

`python benchmarks/predict.py --help` shows the options.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.config.values import config_to_dict
from housenumbers.data.image_files import list_files
from housenumbers.data.load import load_splits
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.prediction.predict_files import predict_files
from housenumbers.runtime.errors import one_line_errors
from housenumbers.training.build import build_model
from housenumbers.training.checkpoint import save_checkpoint
from housenumbers.training.loop import initialize_from_data
from housenumbers.training.reproducibility import environment

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Arguments:
    """Measures how many PNG files of 32x32 pixels are labelled in a second, with an untrained fastnet.

    python benchmarks/predict.py                      20,000 rendered crops
    n=20000      how many
    rounds=5     how often each is measured
    threads=2    of torch
    tta=1 tta_invert=true   so many views of each crop, as models of experiment=fast have"""

    n: Annotated[int, Ge(100)] = 20_000
    rounds: Count = 5
    threads: Count = 2


def write_files(folder: Path, arguments: Arguments, views: Sequence[str]) -> Path:
    """`n` files in folders of a thousand, and a checkpoint, whose path is given."""
    words = ["data=synthetic", "data.size=2000", "data.val_fraction=0", "model=fastnet", f"threads={arguments.threads}"]
    config = compose_config(ROOT / "conf", [*words, *views])
    train = load_splits(config.data).train
    for number in range(arguments.n):
        file = folder / "images" / str(number // 1000) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(train.images[number % len(train.images)].permute(1, 2, 0).numpy()).save(file)
    model = build_model(config.model, torch.device("cpu"))
    initialize_from_data(model, train)
    save_checkpoint(folder / "untrained.pt", {"config": config_to_dict(config), "model": model.state_dict()})
    return folder / "untrained.pt"


def command_seconds(checkpoint: Path, images: Path, count: int) -> float:
    """The wall time of the command, from its start to its end."""
    command = [sys.executable, str(ROOT / "src/predict.py"), f"run={checkpoint}", f"images={images}", "format=csv"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode or len(done.stdout.splitlines()) != count + 1:
        raise RuntimeError(done.stderr)
    return seconds


def inside_seconds(checkpoint: Path, images: Path) -> float:
    """The time from a loaded model and a list of files to the last prediction, in this process."""
    trained, files = load_trained_model(checkpoint), list_files(images)
    started = time.perf_counter()
    for _ in predict_files(trained, files, lambda file, why: sys.exit(f"{file}: {why}")):
        pass
    return time.perf_counter() - started


def model_seconds(checkpoint: Path, count: int) -> float:
    """The time that the model alone takes for as many crops in memory."""
    trained = load_trained_model(checkpoint)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    started = time.perf_counter()
    trained.logits(images)
    return time.perf_counter() - started


def main() -> None:
    with one_line_errors(), tempfile.TemporaryDirectory() as folder:
        arguments, views = parse(Arguments, sys.argv[1:], others=["tta", "tta_invert"])
        checkpoint, images = write_files(Path(folder), arguments, views), Path(folder) / "images"
        command_seconds(checkpoint, images, arguments.n)  # not counted: files and libraries are then in memory
        measured: dict[str, list[float]] = {"command": [], "without its start": [], "model alone": []}
        for _ in range(arguments.rounds):
            measured["command"].append(command_seconds(checkpoint, images, arguments.n))
            measured["without its start"].append(inside_seconds(checkpoint, images))
            measured["model alone"].append(model_seconds(checkpoint, arguments.n))
        machine = environment(torch.device("cpu"))
        print(f"{machine['cpu']}; {machine['threads']} threads; torch {machine['versions']['torch']}")
        network = " ".join(["fastnet", *views])
        print(f"{arguments.n:,} files of 32x32, {network}; median, min..max of {arguments.rounds} rounds")
        for what, seconds in measured.items():
            rates = sorted(arguments.n / each for each in seconds)
            print(f"{what:<18}{statistics.median(rates):>8,.0f} crops/s   {rates[0]:,.0f}..{rates[-1]:,.0f}")


if __name__ == "__main__":
    main()
