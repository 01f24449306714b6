"""What each technique buys the preset `fast`: the change of accuracy and of time where it alone is changed.

By cross-validation over blocks of the training crops of SVHN-6k; the test crops are never read.
`python benchmarks/ablation.py --help` shows the options.
"""

import statistics
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import yaml
from choices import some_of
from notes import Notes
from rounds import CONF, ROOT, machine
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.data.batches import eval_batches, steps_per_epoch
from housenumbers.data.load import load_splits
from housenumbers.metrics.tasks import accuracy_and_loss
from housenumbers.metrics.views import predict_logits
from housenumbers.runtime.errors import DivergedError, one_line_errors
from housenumbers.runtime.memory import disable_malloc_trimming
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.reproducibility import seed_everything

PRESET = ROOT / "conf/experiment/fast.yaml"
# Of 50 blocks of neighbouring photos ten validate; which ones is decided by data.split_seed.
COMMON = ["data.val_fraction=0.2", "data.split=blocks", "device=cpu"]
# What is changed, by the name of its row.
ROWS = {
    "ema": ["averaging=ema"],
    "ema_097": ["averaging=ema", "averaging.decay=0.97"],
    "swa": ["averaging=swa", "averaging.start=0.5"],
    "ema_constant": ["averaging=ema", "scheduler=none", "optimizer.lr=0.01"],
    "swa_constant": ["averaging=swa", "averaging.start=0.5", "scheduler=none", "optimizer.lr=0.01"],
    "mixup": ["augment.mixup=0.2"],
    "trapezoidal": ["scheduler=trapezoidal"],
    "cosine": ["scheduler=cosine", "scheduler.interval=batch"],
    "cosine_warmup": ["scheduler=cosine", "scheduler.interval=batch", "scheduler.warmup_epochs=0.5"],
    "no_label_smoothing": ["label_smoothing=0"],
    "no_rotate": ["augment.degrees=0"],
    "no_translate": ["augment.translate=0"],
    "no_scale": ["augment.scale=0"],
    "no_inversion": ["augment.invert=0"],
    "black_corners": ["augment.padding=zeros"],
    "shear": ["augment.shear=10"],
    "colour": ["augment.color=0.3"],
    "cutout": ["augment.cutout=8"],
    "no_shifted_views": ["tta=0"],
    "no_inverted_views": ["tta_invert=false"],
    "adamw": ["optimizer=adamw", "optimizer.lr=0.01", "optimizer.weight_decay=0.05"],
    "sizes": ["progressive.sizes=[24,32]"],
    "freeze": ["progressive.freeze_after=[0.5]"],
    "micro_batches": ["micro_batches=2"],
    "no_bfloat16": ["autocast=false"],
    "narrow": ["model.channels=[16,32,96]"],
    "wide": ["model.channels=[36,72,192]"],
    "enlarged": ["model.input_size=48"],
}
BESIDE = {"cosine_warmup": "cosine"}  # rows that are compared with another one than `fast` as it is


@dataclass
class Arguments:
    """Trains `fast`, and `fast` with one thing changed, on the same crops with the same seed; prints the differences.

    python benchmarks/ablation.py data.root=FOLDER                    everything
    python benchmarks/ablation.py data.root=FOLDER only=ema,mixup     some rows; only=? lists them

    seeds=2                   each with another initialization and order of the images
    folds=5                   each with other blocks of photos to validate on
    threads=2                 CPU threads
    file=outputs/ablation.jsonl   where each finished run is noted; none is run again
    epochs=                   changes all of them"""

    only: Annotated[str, some_of(ROWS)] | None = None
    seeds: Count = 2
    folds: Count = 5
    threads: Count = 2
    file: str = "outputs/ablation.jsonl"


@dataclass(frozen=True)
class Job:
    """A run: what is changed, with which seed, validated on which fold."""

    words: tuple[str, ...]
    seed: int
    fold: int


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root", "data.reduce", "epochs"])
        chosen = arguments.only.split(",") if arguments.only else list(ROWS)
        torch.set_num_threads(arguments.threads)
        disable_malloc_trimming()
        print(machine(arguments.threads))

        more = [*COMMON, f"threads={arguments.threads}", *overrides]
        pairs = [(seed, fold) for seed in range(arguments.seeds) for fold in range(arguments.folds)]
        rows = {"fast": [], **{name: ROWS[name] for row in chosen for name in (BESIDE.get(row, row), row)}}
        # All rows of a pair in turn, so that a drift of the machine hits all alike.
        jobs = {
            (name, *pair): Job((*preset_without(words), *more, *words), *pair)
            for pair in pairs
            for name, words in rows.items()
        }
        notes = Notes(Path(arguments.file))
        bar = tqdm(jobs.items(), unit="run", disable=None)
        done = {key: notes.result(asdict(job), partial(run, job)) for key, job in bar}
        print("| changed | accuracy | time | n |\n| --- | --- | --- | --- |")
        base = [done["fast", *pair] for pair in pairs]
        mean = statistics.fmean(result["accuracy"] for result in base)
        seconds = statistics.median(result["seconds"] for result in base)
        print(f"| nothing: `fast` | {mean:.2%} | {seconds:.1f} s | {len(pairs)} |")
        for name in chosen:
            beside = BESIDE.get(name, "fast")
            print(row(name, [done[beside, *pair] for pair in pairs], [done[name, *pair] for pair in pairs]))


def preset_without(words: list[str]) -> list[str]:
    """The preset as words, without what it says of a group that `words` swap: another option has other keys."""
    preset = yaml.safe_load(PRESET.read_text())
    swapped = {word.partition("=")[0] for word in words}
    options = {
        group.removeprefix("override /"): name for line in preset.pop("defaults") for group, name in line.items()
    }
    said = [f"{group}={name}" for group, name in options.items() if group not in swapped]
    for key, value in preset.items():
        if isinstance(value, dict):
            said += [f"{key}.{name}={item}" for name, item in value.items() if key not in swapped]
        else:
            said.append(f"{key}={value}")
    return said


def run(job: Job) -> dict[str, float]:
    """The accuracy of the last weights on the fold's validation crops, and the seconds that training took.

    A run whose loss is not finite is as good as chance.
    """
    config = compose_config(CONF, [*job.words, f"seed={job.seed}", f"data.split_seed={job.fold}"])
    splits = load_splits(config.data)
    seed_everything(config.seed)
    steps = steps_per_epoch(splits.train, config.data.batch_size)
    state = TrainingState.initial(config, steps, torch.device("cpu"))
    try:
        for _ in fit(config, state, splits.stages, None, lambda _: None):
            pass
    except DivergedError:
        return {"accuracy": 0.1, "seconds": state.seconds}
    assert splits.validation is not None
    state.model.load_state_dict(state.weights())
    scored = predict_logits(state.model, eval_batches(splits.validation), config.tta, config.tta_invert)
    return {"accuracy": accuracy_and_loss(*scored)[0], "seconds": state.seconds}


def row(name: str, base: list[dict[str, float]], changed: list[dict[str, float]]) -> str:
    """A row of the table: differences and ratios are taken within each pair of runs."""
    both = list(zip(base, changed, strict=True))
    gains = [100 * (new["accuracy"] - old["accuracy"]) for old, new in both]
    deviation = f" ± {statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    ratio = statistics.median(new["seconds"] / old["seconds"] for old, new in both)
    changes = f"`{' '.join(ROWS[name])}`" + (f", beside `{BESIDE[name]}`" if name in BESIDE else "")
    return f"| {name}: {changes} | {statistics.fmean(gains):+.2f}{deviation} % | {ratio:.2f} | {len(gains)} |"


if __name__ == "__main__":
    main()
