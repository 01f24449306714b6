"""How soon `python src/predict.py` labels one image, from the start of the process to its end.

`python benchmarks/one_image.py --help` shows the options.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rounds import ROOT, Seconds, checkout, machine, median_and_span, ratio_of_rounds, rotated, verdict
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import one_line_errors

GOAL = 2.0
MODELS = {
    "fastnet, ten views": ["experiment=fast", "data=synthetic", "data.size=600", "epochs=1"],
    "resnet31 of width 8": ["data=digits", "model.width=8", "epochs=1"],
}
FLOOR = "import torch"


@dataclass
class Arguments:
    """Measures the wall time of a `python src/predict.py` that labels one image.

    python benchmarks/one_image.py              beside that of a `python -c "import torch"`
    python benchmarks/one_image.py old=FOLDER   and of another checkout of this project, in turns

    n=20   how often each is measured"""

    n: Count = 20
    old: str | None = None


def train(source: Path, home: Path, words: Sequence[str]) -> list[str]:
    """Trains with this checkout, and returns the command by which it labels the image at `home`."""
    run = home / "run"
    command = [sys.executable, str(source / "src/train.py"), *words, f"hydra.run.dir={run}"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return [sys.executable, str(source / "src/predict.py"), f"run={run}", f"images={home / 'image.png'}"]


def wall_seconds(command: Sequence[str], home: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=home, capture_output=True, check=True)
    return time.perf_counter() - started


def measure(checkouts: dict[str, Path], words: Sequence[str], n: int) -> Seconds:
    """The seconds of each contestant, round by round, in each round in another order, after one that is not counted."""
    with tempfile.TemporaryDirectory() as temporary:
        commands = {}
        for name, source in checkouts.items():
            home = Path(temporary, name)
            home.mkdir()
            pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(home / "image.png")
            commands[name] = train(source, home, words)
        commands[FLOOR] = [sys.executable, "-c", FLOOR]
        names = list(commands)
        seconds: Seconds = {name: [] for name in names}
        for round_ in tqdm(range(n + 1), unit="round", leave=False, disable=None):
            for name in rotated(names, round_):
                took = wall_seconds(commands[name], Path(temporary))
                if round_ > 0:
                    seconds[name].append(took)
    return seconds


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        checkouts = {"ours": ROOT}
        if arguments.old is not None:
            checkouts["old"] = checkout("old", arguments.old)
        print(f"{machine()}; n={arguments.n} fresh processes each", flush=True)
        for model, words in MODELS.items():
            seconds = measure(checkouts, words, arguments.n)
            print(f"\n{model}")
            for name, values in seconds.items():
                print(f"  {name + ', s':<20}{median_and_span(values, 2)}")
            for name in list(seconds)[1:]:
                ratios = ratio_of_rounds(seconds, name, "ours")
                met = f"   {verdict(float(np.median(ratios)) >= GOAL, f'{GOAL}')}" if name == "old" else ""
                print(f"  {name + ' / ours':<20}{median_and_span(ratios, 2)}{met}", flush=True)


if __name__ == "__main__":
    main()
