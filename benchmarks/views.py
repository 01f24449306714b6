"""How much sooner crops are labeled with further views only where they could change the label: `experiment=fast`.

`python benchmarks/views.py --help` shows the options. CPU only.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rounds import Turns, machine, rates_and_ratios, take_turns
from torch import Tensor
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.evaluation.calibration import reliability
from housenumbers.evaluation.few_views import predict_with_few_views
from housenumbers.evaluation.score import load_part
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics.tasks import accuracy_and_loss
from housenumbers.runtime.errors import one_line_errors

ALL, FEW, ONE = "all views", "views where needed", "one view"
ROUNDED = "views where needed, bfloat16"  # precision=bfloat16 of predict.py
_BATCH = 500  # images at a time, as in predict.py


@dataclass
class Arguments:
    """Trains `experiment=fast` and labels its test crops: all ten views of each, as many as needed, as many in bfloat16
    (in float32 where the CPU has no instructions for it), or one.

    python benchmarks/views.py data.root=FOLDER                  SVHN-6k
    python benchmarks/views.py data=synthetic data.size=6000     rendered crops

    Other keys of `data` and of the run are taken as well: data.val_fraction=0.2, label_smoothing=0
    seeds=3      runs, from seed 1
    n=4000       images in a round, of the first run: its test crops, again from the start where they are too few
    rounds=9     rounds that count, after one to warm up
    threads=2    CPU threads
    folder=outputs/views    where runs are kept; a finished one is not trained again"""

    seeds: Count = 3
    n: Count = 4000
    rounds: Count = 9
    threads: Count = 2
    folder: str = "outputs/views"


def predict(trained: TrainedModel, images: Tensor, how: str) -> Tensor:
    return torch.cat([trained.logits(batch, all_views=how == ALL) for batch in images.split(_BATCH)])


def race(how: str, run: Path, count: int, threads: int, turns: Turns) -> None:
    """What a contestant's process does: it predicts the round's images."""
    words = [f"threads={threads}", *(["tta=0", "tta_invert=false"] if how == ONE else [])]
    trained = load_trained_model(run, words, bfloat16=how == ROUNDED)
    images = load_part(trained, "test").data.images
    images = images[torch.arange(count) % len(images)]
    turns.take(lambda: predict(trained, images, how))


def compare(run: Path, threads: int) -> tuple[str, dict[str, int], int]:
    """A line about a run's test crops, the labels of each contestant that differ from those of all views, and crops."""
    trained, rounded = (load_trained_model(run, [f"threads={threads}"], bfloat16) for bfloat16 in (False, True))
    test = load_part(trained, "test").data
    models = {ALL: trained, FEW: trained, ROUNDED: rounded}
    logits = {how: predict(model, test.images, how) for how, model in models.items()}
    labels = {how: each.argmax(dim=1) for how, each in logits.items()}
    differ = {how: int((labels[ALL] != labels[how]).sum()) for how in (FEW, ROUNDED)}
    scores = [
        f"{how}: accuracy {accuracy:.2%}, loss {loss:.4f}, calibration error {reliability(each, test.labels).error:.2%}"
        for how, each in logits.items()
        for accuracy, loss in [accuracy_and_loss(each, test.labels)]
    ]
    views = f"{differ[FEW]} of {len(test.labels):,} labels differ; {views_of(trained, test):.2f} views of a crop"
    return "; ".join([f"  {run.name}", views, *scores]), differ, len(test.labels)


def views_of(trained: TrainedModel, data: LabeledImages) -> float:
    """The mean number of views that an image goes through."""
    seen: list[int] = []
    counting = trained.model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    assert trained.stopping_rule is not None
    predict_with_few_views(trained.model, data.images, trained.stopping_rule)
    counting.remove()
    return sum(seen) / len(data.labels)


def train(arguments: Arguments, words: Sequence[str]) -> list[Path]:
    from runs import completed_run  # not in a contestant's process, which finds src/runs.py first

    runs = [Path(arguments.folder) / f"seed={seed}" for seed in range(1, arguments.seeds + 1)]
    for seed, run in enumerate(tqdm(runs, unit="run", leave=False, disable=None), 1):
        completed_run(run, ["experiment=fast", f"threads={arguments.threads}", *words, f"seed={seed}"])
    return runs


def main() -> None:
    with one_line_errors():
        arguments, words = parse(
            Arguments, sys.argv[1:], others=["data", "data.*", "label_smoothing", "model", "model.*"]
        )
        runs = train(arguments, words)
        print(machine(arguments.threads), flush=True)
        compared = [compare(run, arguments.threads) for run in runs]
        print(*(line for line, _, _ in compared), sep="\n")
        count = sum(crops for *_, crops in compared)
        for how in (FEW, ROUNDED):
            equal = 1 - sum(differ[how] for _, differ, _ in compared) / count
            print(f"  equal labels, {how}: {equal:.3%} of {count:,}", flush=True)
        kinds = (ALL, FEW, ROUNDED, ONE)
        contestants = {how: partial(race, how, runs[0], arguments.n, arguments.threads) for how in kinds}
        seconds = take_turns(contestants, arguments.rounds)
        print(f"{arguments.n:,} images a round, n={arguments.rounds} rounds")
        print(*rates_and_ratios(seconds, arguments.n, FEW, {ALL: 4.0, ONE: None, ROUNDED: None}), sep="\n")


if __name__ == "__main__":
    main()
