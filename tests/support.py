"""What tests share: the commands as a user runs them, configurations, and SVHN files in the official format."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from warm import run_script

from housenumbers.config.compose import compose_config
from housenumbers.config.schema import TrainConfig
from housenumbers.config.sections import DataConfig

ROOT = Path(__file__).parent.parent
REAL_SVHN = ROOT.parent / "shared" / "svhn-real"

# A run of two seconds that still has everything: several steps an epoch, a last smaller batch, a validation part.
TINY = (
    "data=digits", "data.reduce=0.3", "data.batch_size=32", "model.width=4", "model.blocks=[1,1,1]", "epochs=3",
    "threads=1",
)  # fmt: skip

# A sweep over a few of them; a trial takes two seconds.
SWEEP = (
    "-m", "hydra/sweeper=optuna", *TINY, "data.reduce=0.3", "optimizer.lr=tag(log,interval(0.0001,0.1))",
    "data.batch_size=choice(16,32)", "scheduler.step_size=2", "hydra.sweeper.study_name=s",
)  # fmt: skip

# The same sweep with a pruner that ends every trial which has another epoch before it, whatever it has learnt: of its
# first six trials those with `epochs=1` complete, and those with `epochs=3` are pruned after the second one, the first
# one with a lower learning rate.
SEARCHED = (
    "epochs=choice(1,3)", "scheduler.step_size=1", "hydra/sweeper/pruner=none",
    "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.lower=2",
)  # fmt: skip

Command = Callable[..., subprocess.CompletedProcess[str]]
Report = Command  # the working folder, then the arguments


# The options of conf/model for single digits.
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml") if path.stem != "number_reader")
# Arguments of a tiny run on whole numbers.
NUMBERS = (
    "model=number_reader", "model.channels=[8,8,8,8]", "model.convolutions=[1,1,1,1]", "data=synthetic_numbers",
    "data.size=80", "data.difficulty=0.1", "epochs=1", "threads=1", "hydra.run.dir=outputs/numbers",
)  # fmt: skip


def command_line(verb: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "src" / f"{verb}.py"), *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment without what could stand between a user's shell and the command.

    The variables of `make`, for one, which runs the tests: a `make` below it would print the folders it enters.
    """
    foreign = ("HYDRA_", "PYTEST_", "MAKE", "MFLAGS")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)} | more


def run_in(folder: Path, verb: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs `python src/VERB.py ARGUMENTS` in a folder, with `more` in the environment."""
    command = command_line(verb, *arguments)
    if more:  # perhaps for a library that looks at it while it is loaded
        return subprocess.run(command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=600)
    return run_script(command, folder, environment(), timeout=600)


def run_ended(
    home: Path, number: signal.Signals | int, epochs: int, *words: str, folder: str = ""
) -> subprocess.CompletedProcess[str]:
    """Trains until a signal comes right after so many epochs of a run (in a folder whose name ends in `folder`).

    With 0 instead of a signal, the time of `hydra.sweeper.timeout` is over then.
    """
    program, *script = command_line("train", *words)
    ending = [program, str(ROOT / "tests/ended.py"), str(int(number)), str(epochs), folder]
    return run_script([*ending, *script], home, environment(), timeout=600)


def sweep(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_in(home, "train", *SWEEP, *words)


def begin_sweep(home: Path, *words: str) -> subprocess.Popen[str]:
    """The same, at work in the background."""
    return subprocess.Popen(
        command_line("train", *SWEEP, *words), cwd=home, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run_folders(home: Path) -> list[Path]:
    """All run folders below a home's outputs/ and multirun/, in the order of their names."""
    return sorted(path.parent for path in home.rglob("run.json"))


def only_run(home: Path) -> Path:
    (folder,) = run_folders(home)
    return folder


def composed(*overrides: str) -> TrainConfig:
    """The checked configuration that these command-line words compose."""
    return compose_config(ROOT / "conf", overrides)


def data_config(root: Path, **more: object) -> DataConfig:
    """A data configuration for files below `root` that are not the official ones."""
    values: dict[str, object] = {
        "name": "svhn", "batch_size": 16, "reduce": 1.0, "val_fraction": 0.2, "split": "blocks", "split_seed": 0,
        "root": str(root), "download": False, "verify": False, "use_extra": "false", "cache": str(root / "cache"),
    }  # fmt: skip
    return DataConfig(**(values | more))  # type: ignore[arg-type]


def write_mat(path: Path, count: int, shade: int = 0) -> None:
    """`count` crops with labels 1..10 in turn; red says the part, green and blue the position."""
    pixels = np.zeros((32, 32, 3, count), np.uint8)
    pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2] = shade, np.arange(count) // 256, np.arange(count) % 256
    scipy.io.savemat(path, {"X": pixels, "y": np.arange(count)[:, None] % 10 + 1})


def write_digit_struct(path: Path, photos: Sequence[Sequence[tuple[float, ...]]]) -> None:
    """SVHN's digitStruct.mat as MATLAB 7.3 writes it, of the photos 1.png, 2.png ...

    Each photo is the left, top, width, height and label (10 is 0) of its digits. A field of one digit holds its value,
    a field of several holds references to them.
    """
    import h5py

    with h5py.File(path, "w") as file:
        values = file.create_group("#refs#")
        references, names = [], []
        for photo, digits in enumerate(photos):
            group = values.create_group(f"photo{photo}")
            references.append([group.ref])
            letters = [[ord(letter)] for letter in f"{photo + 1}.png"]
            names.append([values.create_dataset(f"name{photo}", data=np.array(letters, np.uint16)).ref])
            for place, field in enumerate(("left", "top", "width", "height", "label")):
                column = [float(digit[place]) for digit in digits]
                if len(column) == 1:
                    group[field] = np.array([column])
                    continue
                each = [values.create_dataset(f"{photo}{field}{i}", data=[[value]]) for i, value in enumerate(column)]
                group.create_dataset(field, data=[[dataset.ref] for dataset in each], dtype=h5py.ref_dtype)
        file.create_dataset("digitStruct/bbox", data=references, dtype=h5py.ref_dtype)
        file.create_dataset("digitStruct/name", data=names, dtype=h5py.ref_dtype)


def rendered(page: Path, *more: str) -> str:
    """The page's document after its scripts ran. Fails where the console has anything to say."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs a browser, Debian's package chromium")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom",
            "--enable-logging=stderr", *more, f"file://{page}",
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = re.findall(r".*CONSOLE.*", done.stderr)
    assert not said, said  # the message is not made for this module, which pytest does not rewrite
    return done.stdout


def laid_out(page: Path, width: int, dark: bool = False) -> dict[str, Any]:
    """How wide the page's content is in a window of that width, and the colours of its text and background."""
    script = """frame.onload = () => {
        const page = frame.contentDocument.documentElement;
        const style = frame.contentWindow.getComputedStyle(page.querySelector("body"));
        result.textContent = JSON.stringify({wide: page.scrollWidth, text: style.color, back: style.backgroundColor});
    };
    frame.srcdoc = source.value;"""
    with tempfile.TemporaryDirectory() as folder:  # a browser's own window cannot be as narrow as a phone's
        outer = Path(folder) / "outer.html"
        outer.write_text(
            f'<iframe id="frame" style="width: {width}px; border: 0"></iframe><pre id="result"></pre>'
            f'<textarea id="source">{html.escape(page.read_text())}</textarea><script>{script}</script>'
        )
        document = rendered(outer, f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    return json.loads(html.unescape(re.findall(r'<pre id="result">(.*?)</pre>', document)[0]))
