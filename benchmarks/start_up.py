"""How long one waits before training: for help, for a configuration error, for the data at a first and a second start.

Every start is a process of its own. `python benchmarks/start_up.py --help` shows the options.
"""

import logging
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.config.schema import register_schemas
from housenumbers.config.sections import DataConfig
from housenumbers.config.validate import load_saved_config
from housenumbers.data.load import load_splits
from housenumbers.data.svhn import locate
from housenumbers.runtime.errors import one_line_errors
from housenumbers.training.reproducibility import environment

ROOT = Path(__file__).resolve().parents[1]
SVHN_IMAGES = 73_257  # in the official training file
SPLITS = ("blocks", "random")
COMMANDS = {"--help": 0, "optimizer.lr=abc": 2}  # and the exit code that each ends with


@dataclass
class Arguments:
    """Measures the wait for --help, for a configuration error, and for the data at a first and a second start.

    python benchmarks/start_up.py                    with a made-up file of SVHN's full size
    python benchmarks/start_up.py data.root=FOLDER   with FOLDER/train_32x32.mat too, official or not

    n=5   how often each is measured"""

    n: Count = 5


def command_seconds(word: str) -> float:
    """The wall time of `python src/train.py WORD`."""
    command = [sys.executable, str(ROOT / "src" / "train.py"), word]
    with tempfile.TemporaryDirectory() as folder:  # where a run would land, had it begun in spite of the error
        started = time.perf_counter()
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - started
    if ended.returncode != COMMANDS[word]:
        raise RuntimeError(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr}")
    return seconds


def load_seconds(config: DataConfig) -> float:
    """The time that `load_splits` takes in this process, without the imports that it makes on its way."""
    import scipy.io  # noqa: F401
    import sklearn.model_selection  # noqa: F401
    import torchvision.datasets  # noqa: F401

    logging.getLogger("housenumbers.data.load").setLevel(logging.ERROR)  # it warns that data.split=random leaks
    started = time.perf_counter()
    load_splits(config)
    return time.perf_counter() - started


def load_seconds_in_fresh_process(config: DataConfig) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(load_seconds, config).result()


def measure_commands(n: int, bar: tqdm) -> list[str]:
    lines = []
    for word in COMMANDS:
        bar.set_description(word)
        command_seconds(word)  # not counted: it may compile Python files that later starts find compiled
        seconds = []
        for _ in range(n):
            seconds.append(command_seconds(word))
            bar.update()
        lines.append(line(f"python src/train.py {word}", seconds))
    return lines


def measure_data(config: DataConfig, name: str, n: int, bar: tqdm) -> list[str]:
    """The waits for one file, which the operating system has in memory."""
    locate(config, "train").read_bytes()  # so that the first start does not wait for the disk alone
    lines = []
    for split in SPLITS:
        bar.set_description(f"{name}, {split}")
        first: list[float] = []
        second: list[float] = []
        for _ in range(n):
            with tempfile.TemporaryDirectory() as cache:
                cached = replace(config, split=split, cache=cache)
                for seconds in (first, second):
                    seconds.append(load_seconds_in_fresh_process(cached))
                    bar.update()
        lines += [line(f"{name}, {split}, first start", first), line(f"{name}, {split}, second start", second)]
    return lines


def write_full_size(folder: Path) -> None:
    """Writes a made-up train_32x32.mat with as many images as SVHN's."""
    import scipy.io

    rng = np.random.default_rng(0)
    # Noise of this width compresses to 0.8 of its size, as SVHN does, so inflating it takes as long. Images repeat
    # to save memory here; they are too far apart for the compression to see it.
    some = rng.normal(128, 20, (32, 32, 3, 1000)).clip(0, 255).astype(np.uint8)
    pixels = some[..., np.arange(SVHN_IMAGES) % some.shape[3]]
    labels = rng.integers(1, 11, (SVHN_IMAGES, 1), dtype=np.uint8)
    scipy.io.savemat(folder / "train_32x32.mat", {"X": pixels, "y": labels}, do_compression=True)


def line(what: str, seconds: list[float]) -> str:
    return f"{what:<46}{statistics.median(seconds):>8.2f} s   {min(seconds):.2f}..{max(seconds):.2f}, n={len(seconds)}"


def data_config(overrides: list[str]) -> DataConfig:
    """The configuration of SVHN, from files that need not be the official ones, with `overrides` for their folder."""
    with initialize_config_dir(str(ROOT / "conf")):
        composed = compose("train", ["data.verify=false", "data.download=false"])
    return load_saved_config(composed, "conf/train.yaml", overrides).data


def main() -> None:
    with one_line_errors(), tempfile.TemporaryDirectory() as made_up:
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root"])
        n = arguments.n
        register_schemas()
        files = {"made-up file": data_config([f"data.root={made_up}"])}
        if overrides:
            files["data.root"] = data_config(overrides)
            locate(files["data.root"], "train")  # fail now where it is missing
        machine = environment(torch.device("cpu"))
        print(f"{machine['cpu']}; torch {machine['versions']['torch']}; median, min..max of {n} fresh processes each")

        turns = n * len(COMMANDS) + n * len(files) * len(SPLITS) * 2
        with tqdm(total=turns, unit="start", dynamic_ncols=True, leave=False, disable=None) as bar:
            lines = measure_commands(n, bar)
            bar.set_description("writing a made-up file")
            write_full_size(Path(made_up))
            for name, config in files.items():
                lines += measure_data(config, name, n, bar)
        print(f"made-up file: {SVHN_IMAGES:,} images of noise")
        if "data.root" in files:
            print(f"data.root: {locate(files['data.root'], 'train')}")
        else:
            print("data.root: skipped, since it was not given")
        print("", *lines, sep="\n")


if __name__ == "__main__":
    main()
