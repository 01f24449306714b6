"""A working folder with everything that the mutations damage, made once and put back before each of them."""

import json
import random
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import scipy.io
from optuna.trial import TrialState
from PIL import Image
from sklearn.datasets import load_digits

from chaos_support.commands import Command, Ended
from chaos_support.points import Killer

_NET = ("model.width=4", "model.blocks=[1,1,1]", "threads=1", "data.batch_size=32", "data.cache=cache")
SVHN = (*_NET, "data=svhn", "data.root=svhn", "data.verify=false")
IMAGES = (*_NET, "data=folder", "data.root=images")
SWEEP = (
    "-m", "hydra/sweeper=optuna", *SVHN, "data.reduce=0.3", "epochs=1", "optimizer.lr=tag(log,interval(0.0001,0.1))",
    "search@hydra.sweeper.params=quick", "hydra.sweeper.study_name=s",
)  # fmt: skip
_IMAGES = [f"images/{label}/{label}{number}.png" for label in range(10) for number in range(10)]
_TRIALS = 2
_HALF = "before epochs._epoch_line#1"  # where the run `half` is killed: one epoch is written down


@dataclass(frozen=True)
class Question:
    """A command, and what in its answer must not depend on damage; `read` gives None where nothing is compared."""

    verb: str
    words: tuple[str, ...]
    read: Callable[[Path, Ended], Any] = lambda _, __: None

    def asked(self, home: Path, *more: str) -> tuple[Ended, Any]:
        """How the command ended, and its answer where its exit code is 0."""
        ended = Command(home, self.verb, (*self.words, *more)).wait()
        if ended.code or ended.faults:
            return ended, None
        try:
            return ended, self.read(home, ended)
        except Exception as error:  # a command that says that all is well has left something unreadable
            return ended, f"unreadable: {type(error).__name__}: {error}"


def _scores(file: str) -> Callable[[Path, Ended], Any]:
    def read(home: Path, _: Ended) -> Any:
        scores = json.loads((home / file).read_text())
        return {key: scores[key] for key in ("accuracy", "loss", "confusion", "temperature")}

    return read


def _trained(folder: str) -> Callable[[Path, Ended], Any]:
    def read(home: Path, _: Ended) -> Any:
        record = json.loads((home / folder / "run.json").read_text())
        lines = (home / folder / "metrics.jsonl").read_text().splitlines()
        losses = [(epoch["epoch"], epoch["train_loss"], epoch["val_loss"]) for epoch in map(json.loads, lines)]
        return record["status"], record["weights_sha256"], record["best"], record["test"], losses

    return read


def _lines(_: Path, ended: Ended) -> list[str]:
    return sorted(ended.stdout.splitlines())


def _other_runs(_: Path, ended: Ended) -> Any:
    """The records that `runs.py` lists, but for those of the runs that are damaged."""
    return [run for run in json.loads(ended.stdout) if run["folder"] == "outputs/other"]


def _is_equal(_: Path, ended: Ended) -> bool:
    return "bit-identical" in ended.stdout


def _study(home: Path, _: Ended) -> Any:
    storage = f"sqlite:///{home}/multirun/s/study.db"
    names = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name="s" if "s" in names else names[0], storage=storage)
    trials = [trial for trial in study.trials if not trial.user_attrs.get("interrupted")]
    return [(trial.number, trial.state is TrialState.COMPLETE, trial.values) for trial in trials[:_TRIALS]], len(trials)


QUESTIONS = {
    "evaluate": Question("evaluate", ("run=outputs/run",), _scores("outputs/run/evaluation_test.json")),
    "validation": Question(
        "evaluate", ("run=outputs/run", "split=validation"), _scores("outputs/run/evaluation_validation.json")
    ),
    "evaluate images": Question("evaluate", ("run=outputs/images",), _scores("outputs/images/evaluation_test.json")),
    "predict": Question("predict", ("run=outputs/run", f"images=[{','.join(_IMAGES)}]", "format=jsonl"), _lines),
    "table": Question("runs", ()),
    "runs": Question("runs", ("format=json",), _other_runs),
    "report": Question("report", ("run=outputs/run",)),
    "compare": Question("report", ("runs=[outputs/other,outputs/run]",)),
    "resume": Question("train", ("resume=outputs/half",), _trained("outputs/half")),
    "repeat": Question("train", ("repeat=outputs/run",), _is_equal),
    "repeat images": Question("train", ("repeat=outputs/images",), _is_equal),
    "train": Question("train", (*SVHN, "epochs=1", "hydra.run.dir=outputs/new"), _trained("outputs/new")),
    "train images": Question("train", (*IMAGES, "epochs=1", "hydra.run.dir=outputs/new"), _trained("outputs/new")),
    "sweep": Question("train", (*SWEEP, f"hydra.sweeper.n_trials={_TRIALS + 1}"), _study),
    "study": Question("report", ("study=s",), _study),
}


class Specimens:
    """The folder `home`: whole, whenever `restored` is called; the answers to all questions are then `truths`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._stock = home.with_name(f"{home.name}.stock")
        home.mkdir(parents=True)
        self._make()
        shutil.copytree(home, self._stock, symlinks=True)
        self.truths: dict[str, tuple[set[str], Any]] = {}

    def restored(self, keep: Collection[str] = ()) -> None:
        """Puts everything back, but for folders of `home` that are to stay as they are."""
        for path in self.home.iterdir():
            if path.name not in keep:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

        def kept(folder: str, _: list[str]) -> Collection[str]:
            return keep if Path(folder) == self._stock else ()

        shutil.copytree(self._stock, self.home, symlinks=True, ignore=kept, dirs_exist_ok=True)
        shutil.rmtree(self.home.parent / f"{self.home.name}.output", ignore_errors=True)

    def fill_cache(self, name: str) -> list[Path]:
        """The entries that the question reads: the cache tells files by inode numbers too, which are others by now."""
        before = set(self.home.glob("cache/*.pt"))
        QUESTIONS[name].asked(self.home)
        self.restored(keep=("cache", "svhn", "images"))
        return sorted(set(self.home.glob("cache/*.pt")) - before)

    def truth(self, name: str) -> tuple[set[str], Any]:
        """What the command says, line by line, and answers where nothing is damaged."""
        if name not in self.truths:
            self.restored()
            ended, answer = QUESTIONS[name].asked(self.home)
            if ended.code or ended.faults:
                raise RuntimeError(f"{ended.command} fails where nothing is damaged: {ended.stderr}")
            self.truths[name] = (said(ended), answer)
        return self.truths[name]

    def _make(self) -> None:
        _write_svhn(self.home / "svhn")
        _write_images(self.home / "images")
        runs = {
            "run": (*SVHN, "epochs=2"), "other": (*SVHN, "epochs=2", "seed=7", "optimizer.lr=0.01"),
            "images": (*IMAGES, "epochs=1"),
        }  # fmt: skip
        for name, words in runs.items():
            self._train(*words, f"name={name}", f"hydra.run.dir=outputs/{name}")
        half = (*SVHN, "epochs=2", "seed=3", "name=half", "hydra.run.dir=outputs/half")
        ended = Command(self.home, "train", half, Killer(_HALF)).wait()
        if ended.code != -9 or not (self.home / "outputs/half/checkpoints/last.pt").exists():
            raise RuntimeError(f"{_HALF} is no point after an epoch: {ended.command}")
        self._train(*SWEEP, f"hydra.sweeper.n_trials={_TRIALS}")
        ended = Command(self.home, "evaluate", ("run=outputs/run", "corruptions=true")).wait()
        if ended.code:
            raise RuntimeError(ended.stderr)

    def _train(self, *words: str) -> None:
        ended = Command(self.home, "train", words).wait()
        if ended.code or ended.faults:
            raise RuntimeError(f"{ended.command}: exit code {ended.code}: {ended.stderr}")


def said(ended: Ended) -> set[str]:
    """What a command said, in lines without their numbers."""
    return {re.sub(r"[\d.*\s]+", " ", line) for line in (ended.stdout + ended.stderr).splitlines()}


def _write_svhn(folder: Path) -> None:
    """Handwritten digits as files in SVHN's format, compressed as the official ones are."""
    folder.mkdir()
    digits = load_digits()
    pixels = np.kron(digits.images, np.ones((4, 4))) * (255 / 16)
    pixels = np.repeat(pixels.astype(np.uint8).transpose(1, 2, 0)[:, :, None], 3, axis=2)
    for part, cut in {"train": slice(0, 500), "test": slice(500, 700)}.items():
        content = {"X": pixels[..., cut], "y": np.where(digits.target[cut] == 0, 10, digits.target[cut])[:, None]}
        scipy.io.savemat(folder / f"{part}_32x32.mat", content, do_compression=True)


def _write_images(folder: Path) -> None:
    digits, chance = load_digits(), random.Random(0)
    for name in _IMAGES:
        path = folder.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = chance.choice(digits.images[digits.target == int(path.parent.name)])
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
