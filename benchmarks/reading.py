"""How many whole numbers are read right, and how many a second: ours, digits by known boxes, and other OCR.

`python benchmarks/numbers.py --help` shows the options. CPU only.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from choices import one_of
from ocr_readers import PEERS, digits_only, letters_to_digits, missing, version
from rounds import Turns, machine, median_and_span, take_turns
from torch import Tensor
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.config.schema import TrainConfig
from housenumbers.data.image_files import split_names
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.number_image import fit_reader, without_padding
from housenumbers.evaluation.score import load_part
from housenumbers.evaluation.significance import wilson
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.evaluation.whole_numbers import photo_correctness
from housenumbers.metrics import tasks
from housenumbers.metrics.numbers import as_strings
from housenumbers.prediction.read_numbers import read_images
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.tracking.run_selection import find_run
from housenumbers.tracking.spread import mean_and_deviation

GOALS = 0.96, 500  # of ours: numbers right, and numbers/s
OURS, SINGLY, DIGITS = "ours", "ours, one at a time", "digits by known boxes"
ROUNDED = "ours, precision=bfloat16"


@dataclass
class Arguments:
    """Measures readers on the test numbers of a run of whole numbers, which all get in one session.

    python benchmarks/numbers.py run=RUN                     RUN: a run of experiment=numbers with data.root=FOLDER
    python benchmarks/numbers.py run=[RUN,RUN,RUN]           several seeds: their mean and deviation; the first's speed
    python benchmarks/numbers.py run=RUN digits=RUN          and digits by known boxes, of experiment=best data=svhn_6k
    python benchmarks/numbers.py run=RUN only=rapidocr       one peer: rapidocr, rapidocr_1 or tesseract

    rounds=3       rounds that count, after one to warm up
    threads=2      CPU threads
    n=null         the first n numbers only; null: all
    data.root=FOLDER   where the data are now

    RapidOCR comes with pip install -e '.[ocr-peers]', Tesseract with apt-get install tesseract-ocr. A peer that is not
    installed is left out, with a word."""

    digits: str | None = None
    only: Annotated[str, one_of(PEERS)] | None = None
    rounds: Count = 3
    threads: Count = 2
    n: Count | None = None


def load(run: Path, threads: int, words: Sequence[str], bfloat16: bool = False) -> TrainedModel:
    return load_trained_model(run, ["device=cpu", f"threads={threads}", *words], bfloat16)


def test_numbers(trained: TrainedModel, count: int | None) -> LabeledImages:
    data = load_part(trained, "test").data
    return data if count is None else data.subset(torch.arange(min(count, len(data.labels))))


def compete(
    name: str, run: Path, threads: int, words: Sequence[str], count: int | None, answers: Path, turns: Turns
) -> None:
    """What a contestant's process does. The numbers that it reads are written to the file `answers`."""
    torch.set_num_threads(threads)
    trained = load(run, threads, words, bfloat16=name == ROUNDED)
    images = test_numbers(trained, count).images
    read = reader(name, trained, images, threads)
    for _ in range(turns.count):
        turns.begin()
        started = time.process_time()
        texts = read()
        cpu = time.process_time() - started
        turns.end()
        answers.write_text(json.dumps({"texts": texts, "cpu": cpu}))


def reader(name: str, trained: TrainedModel, images: Tensor, threads: int) -> Callable[[], list[str]]:
    """Reads all images; what a reader is given is prepared before."""
    strips = [without_padding(image) for image in images]
    fitted = [fit_reader(strip, trained.config.data.width) for strip in strips]  # as read.py does with files
    if name in (OURS, ROUNDED):
        return lambda: [reading.number for reading in read_images(trained, fitted)]
    if name == SINGLY:
        return lambda: [reading.number for image in fitted for reading in read_images(trained, [image])]
    read = PEERS[name](threads)
    return lambda: read(strips)


def fraction(right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"{right / count:.2%} of {count} right, 95 % interval {low:.1%} to {high:.1%}"


def accuracy_of_runs(runs: Sequence[Path], arguments: Arguments, words: Sequence[str]) -> list[str]:
    """A line for each run and, where there are several, their mean."""
    lines, accuracies = [], []
    for run in tqdm(runs, unit="run", leave=False, disable=None):
        trained = load(run, arguments.threads, words)
        data = test_numbers(trained, arguments.n)
        texts = reader(OURS, trained, data.images, arguments.threads)()
        right = sum(text == true for text, true in zip(texts, as_strings(data.labels), strict=True))
        accuracies.append(right / len(texts))
        lines.append(f"  {f'{OURS}, seed {trained.config.seed}':<46}{fraction(right, len(texts))}")
    if len(runs) > 1:
        lines.append(f"  {f'{OURS}, n={len(runs)} runs':<46}{mean_and_deviation(accuracies)}")
    met = "met" if statistics.fmean(accuracies) >= GOALS[0] else "MISSED"
    return [*lines, f"  {'':<46}goal {GOALS[0]:.0%}: {met}"]


def accuracy_by_boxes(run: Path, arguments: Arguments, words: Sequence[str]) -> str:
    """Of a model of single digits: a number is right where all its crops are. Raises UserError for other data."""
    trained = load(run, arguments.threads, words)
    trained.check_reads_numbers(False)
    part = load_part(trained, "test")
    if part.photos is None:
        raise UserError(f"digits={run}: the photos of its test crops are not known: take a run with data=svhn_6k")
    logits, labels = trained.predict(part.data)
    scores = photo_correctness(tasks.correct(logits, labels), part.photos).scores()
    return f"  {DIGITS + f' ({trained.config.name})':<46}{fraction(scores['right'], scores['n'])}"


def measure(runs: Sequence[Path], arguments: Arguments, words: Sequence[str]) -> list[str]:
    """Accuracies and speeds of ours and of the peers that are installed, as lines."""
    trained = load(runs[0], arguments.threads, words)
    truth = as_strings(test_numbers(trained, arguments.n).labels)
    chosen = [arguments.only] if arguments.only else list(PEERS)
    left_out = {name: why for name in chosen if (why := missing(name))}
    names = [OURS, ROUNDED, SINGLY, *(name for name in chosen if name not in left_out)]
    with tempfile.TemporaryDirectory() as home:
        answers = {name: Path(home, f"{number}.json") for number, name in enumerate(names)}
        contestants = {
            name: partial(compete, name, runs[0], arguments.threads, words, arguments.n, answers[name])
            for name in names
        }
        seconds = take_turns(contestants, arguments.rounds)
        found = {name: json.loads(answers[name].read_text()) for name in names}

    lines = accuracy_of_runs(runs, arguments, words)
    right = sum(text == true for text, true in zip(found[ROUNDED]["texts"], truth, strict=True))
    lines.append(f"  {f'{ROUNDED}, seed {trained.config.seed}':<46}{fraction(right, len(truth))}")
    for name in names[3:]:
        for how, of_text in (("", digits_only), (", letters as digits", letters_to_digits)):
            if name == "tesseract" and how:
                continue  # it was told that there are digits only
            texts = [of_text(text) for text in found[name]["texts"]]
            right = sum(text == true for text, true in zip(texts, truth, strict=True))
            lines.append(f"  {version(name) + how:<46}{fraction(right, len(truth))}")
    lines += [f"  {name + ': left out':<46}{why}" for name, why in left_out.items()]
    lines += ["", f"numbers/s, {len(truth)} numbers a round, n={arguments.rounds} rounds"]
    for name in names:
        rates = [len(truth) / value for value in seconds[name]]
        met = ("met" if statistics.median(rates) >= GOALS[1] else "MISSED") if name in (OURS, ROUNDED) else None
        cpu = f"   {found[name]['cpu'] / len(truth) * 1000:.1f} ms of CPU time each" if name != "tesseract" else ""
        lines.append(f"  {name:<46}{median_and_span(rates, 0)}{cpu}" + (f"   goal {GOALS[1]}: {met}" if met else ""))
    return lines


def check_of_numbers(runs: Sequence[Path], arguments: Arguments, words: Sequence[str]) -> TrainConfig:
    for run in runs:
        load(run, arguments.threads, words).check_reads_numbers(True)
    return load(runs[0], arguments.threads, words).config


def main() -> None:
    with one_line_errors():
        arguments, others = parse(Arguments, sys.argv[1:], others=["run", "data.*"])
        given = [word.partition("=")[2] for word in others if word.startswith("run=")]
        if not given:
            raise UserError("run=RUN: must be given: a run of experiment=numbers, or several as [RUN,RUN]")
        words = [word for word in others if not word.startswith("run=")]
        runs = [find_run(name).path for value in given for name in split_names(value)]
        digits = None if arguments.digits is None else find_run(arguments.digits).path
        config = check_of_numbers(runs, arguments, words)
        by_boxes = [] if digits is None else [accuracy_by_boxes(digits, arguments, words)]
        print(f"{machine(arguments.threads)}; data={config.data.name}, test part", flush=True)
        print(*measure(runs, arguments, words), *by_boxes, sep="\n")
