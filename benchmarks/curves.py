"""Records the learning curves of many settings, so that searches can be compared without training: replay.py.

`python benchmarks/curves.py --help` shows the options; benchmarks/README.md describes the tables.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import joblib
import torch
from annotated_types import Ge
from curve_table import CurveTable
from notes import Notes
from rounds import CONF, ROOT, machine
from settings import sobol_settings
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.data.load import load_splits
from housenumbers.runtime.errors import DivergedError, one_line_errors
from housenumbers.runtime.memory import disable_malloc_trimming
from housenumbers.sweeps.space import read_space
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.reproducibility import seed_everything

# Crops of no photo are on two sides; as many for validation as for training, since few would rank by chance.
_COMMON = ("data=svhn_6k", "data.split=blocks", "data.val_fraction=0.5", "device=cpu", "threads=1")


@dataclass(frozen=True)
class Task:
    """What is trained, by overrides of the configuration; the space; and the setting that is recorded first."""

    fixed: tuple[str, ...]
    space: Mapping[str, Any]  # as in a file of conf/search
    start: Mapping[str, Any]  # the setting of the composed configuration, where it lies in the space
    reduce: float = 0.2  # of the crops
    groups: Mapping[str, Any] = field(default_factory=dict)


_LR = "tag(log, interval(0.0001, 0.01))"
TASKS = {
    "resnet31": Task(
        fixed=("model=resnet31", "model.width=8", "epochs=20"),
        space={
            "optimizer.lr": _LR,
            "scheduler.step_size": "range(5,21,5)",
            "scheduler.gamma": "interval(0.05,0.5)",
            "data.batch_size": "choice(16,32,64,128)",
        },
        start={"optimizer.lr": 0.0013, "scheduler.step_size": 10, "scheduler.gamma": 0.1, "data.batch_size": 16},
    ),
    "fastnet": Task(
        fixed=("experiment=fast", "epochs=8", "tta=0", "tta_invert=false", "autocast=false"),
        space={
            "optimizer.lr": "tag(log, interval(0.001, 0.1))",
            "optimizer.weight_decay": "tag(log, interval(0.001, 0.5))",
            "data.batch_size": "choice(16,32,64,128)",
            "label_smoothing": "interval(0,0.3)",
            "model.channels": "choice([8,16,32],[16,32,64],[24,48,128])",
        },
        start={
            "optimizer.lr": 0.02, "optimizer.weight_decay": 0.05, "data.batch_size": 64, "label_smoothing": 0.1,
            "model.channels": "[24,48,128]",
        },
    ),
    "optimizers": Task(
        fixed=("model=fastnet", "model.channels=[16,32,64]", "scheduler=cosine", "augment=digits", "epochs=12"),
        space={"data.batch_size": "choice(16,32,64,128)"},
        groups={
            "optimizer": {
                "adam": {"optimizer": {"lr": _LR}},
                "adamw": {"optimizer": {"lr": _LR, "weight_decay": "tag(log, interval(0.001, 0.5))"}},
                "sgd": {"optimizer": {"lr": "tag(log, interval(0.005, 0.5))", "momentum": "choice(0.8,0.9,0.95)"}},
                "muon": {"optimizer": {"lr": "tag(log, interval(0.001, 0.1))"}},
            }
        },
        start={"data.batch_size": 16, "optimizer": "adam", "optimizer.lr": 0.0013},
    ),
}  # fmt: skip


@dataclass
class Arguments:
    """Trains each setting of a space, drawn by Sobol's sequence, with each seed, and keeps the curves of validation.

    python benchmarks/curves.py data.root=FOLDER task=resnet31    ResNet-31 with eight channels, the default space
    python benchmarks/curves.py data.root=FOLDER task=fastnet     the recipe of experiment=fast
    python benchmarks/curves.py data.root=FOLDER task=optimizers  the optimizer is a choice

    settings=400                     the first is that of the composed configuration
    seeds=2                          trainings of each
    jobs=2                           trainings side by side, of one thread each
    file=benchmarks/curves/TASK.json.xz   the table; written whenever the command ends, from all that is recorded
    folder=outputs/curves            where each training is noted; none is done twice
    epochs= and data.reduce= change the trainings"""

    task: Literal["resnet31", "fastnet", "optimizers"] = "resnet31"
    settings: Annotated[int, Ge(2)] = 400
    seeds: Count = 2
    jobs: Count = 2
    file: str | None = None
    folder: str = "outputs/curves"


def train(words: tuple[str, ...]) -> dict[str, Any]:
    """Each epoch's validation accuracy, loss and seconds. A run that diverges has a shorter curve.

    The seconds are the CPU time of the one thread that trains, so other work on the machine does not change them.
    """
    config = compose_config(CONF, words)
    torch.set_num_threads(1)
    disable_malloc_trimming()
    splits = load_splits(config.data)
    seed_everything(config.seed)
    steps = -(-len(splits.train.labels) // config.data.batch_size)
    state = TrainingState.initial(config, steps, torch.device("cpu"))
    curve: dict[str, list[float]] = {"val_accuracy": [], "val_loss": [], "seconds": []}
    began = time.process_time()
    try:
        for record in fit(config, state, splits.stages, splits.validation, lambda _: None):
            ended = time.process_time()
            measured = {**record, "seconds": ended - began}
            for name, values in curve.items():
                values.append(measured[name])
            began = ended
    except DivergedError:
        pass
    return curve


def record(jobs: int, wanted: Mapping[tuple[int, int], tuple[str, ...]], notes: Notes) -> Iterator[None]:
    """Trains what is not noted yet, and yields after each training."""
    missing = [words for words in wanted.values() if notes.get({"words": words}) is None]
    work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    for words, curve in work(joblib.delayed(_train_named)(words) for words in missing):
        notes.result({"words": words}, partial(dict, curve))
        yield


def _train_named(words: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Any]]:
    return words, train(words)


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root", "data.reduce", "epochs"])
        task = TASKS[arguments.task]
        fixed = (*_COMMON, *task.fixed, f"data.reduce={task.reduce}", *overrides)
        compose_config(CONF, fixed)  # a mistake ends it here
        space, _, _ = read_space({**task.space, "choose": task.groups}, [])
        settings = [dict(task.start), *sobol_settings(space, arguments.settings - 1)]
        wanted = {
            (number, seed): (*fixed, *(f"{key}={value}" for key, value in setting.items()), f"seed={seed}")
            for number, setting in enumerate(settings)
            for seed in range(arguments.seeds)  # innermost: an unfinished table has whole settings
        }
        notes = Notes(Path(arguments.folder) / f"{arguments.task}.jsonl")
        try:
            for _ in tqdm(record(arguments.jobs, wanted, notes), unit="training", disable=None):
                pass
        finally:
            curves = {job: notes.get({"words": words}) for job, words in wanted.items()}
            said = tuple(word for word in fixed if not word.startswith("data.root="))
            table = CurveTable.of(arguments.task, said, machine(1), space.identity(), settings, curves)
            file = Path(arguments.file or ROOT / f"benchmarks/curves/{arguments.task}.json.xz")
            table.write(file)
            print(f"{file}: {table.summary()}")


if __name__ == "__main__":
    main()
