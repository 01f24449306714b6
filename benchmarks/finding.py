"""How well `read.py find=true` finds and reads house numbers in larger photos, and how long that takes.

`python benchmarks/finding.py --help` shows the options. CPU only.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rounds import machine
from scenes import Scene, empty_scene, pasted_scene, rendered_scene
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.data.glyphs import MARKS, font_files, load_fonts
from housenumbers.data.number_image import without_padding
from housenumbers.evaluation.score import load_part
from housenumbers.evaluation.significance import wilson
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics.numbers import as_strings
from housenumbers.prediction.find_numbers import Box, Photo, find_number, iou
from housenumbers.prediction.read_numbers import Reading
from housenumbers.runtime.errors import one_line_errors
from housenumbers.tracking.run_selection import find_run

LEVELS = (0.5, 0.7, 0.9)  # of confidence, from which numbers are counted


@dataclass
class Arguments:
    """Measures find=true on photos of walls with windows, leaves and letters, 320x240 to 640x480 pixels.

    python benchmarks/finding.py run=RUN            RUN: a run of experiment=numbers with data.root=FOLDER

    rendered: numbers on the wall, with digits of 16 to 80 pixels. pasted: test numbers, in a rendered wall. empty: no
    number.

    pasted=RUN     whose data's test numbers are pasted, instead of the run's own
    n=100          photos of each kind
    seed=0         of the photos
    threads=1      CPU threads
    data.root=FOLDER   where the data are now"""

    run: str = "last"
    pasted: str | None = None
    n: Count = 100
    seed: int = 0
    threads: Count = 1


class Outcome(NamedTuple):
    scene: Scene
    reading: Reading
    seconds: float  # of CPU time


def scenes(pasted: TrainedModel, arguments: Arguments) -> dict[str, Iterator[Scene]]:
    fonts = load_fonts(font_files("matplotlib"), MARKS)
    test = load_part(pasted, "test").data
    strips, numbers = [without_padding(image) for image in test.images], as_strings(test.labels)
    order = np.random.default_rng(arguments.seed).permutation([place for place, text in enumerate(numbers) if text])

    def paste(index: int) -> Scene:
        place = order[index % len(order)]
        return pasted_scene((arguments.seed, 1, index), strips[place], numbers[place], fonts)

    make: dict[str, Callable[[int], Scene]] = {
        "rendered": lambda index: rendered_scene((arguments.seed, 0, index), fonts),
        "pasted": paste,
        "empty": lambda index: empty_scene((arguments.seed, 2, index), fonts),
    }
    return {kind: map(one, range(arguments.n)) for kind, one in make.items()}


def find(trained: TrainedModel, scene: Scene) -> Outcome:
    started = time.process_time()
    reading = find_number(trained, Photo(np.asarray(scene.photo), (1.0, 1.0)))
    return Outcome(scene, reading, time.process_time() - started)


def is_located(outcome: Outcome) -> bool:
    """Whether the middle of the box lies in the true one."""
    if outcome.reading.box is None or outcome.scene.box is None:
        return False
    left, top, width, height = outcome.reading.box
    x, y, true = left + width / 2, top + height / 2, outcome.scene.box
    return true.left <= x <= true.right and true.top <= y <= true.bottom


def is_right(outcome: Outcome) -> bool:
    return is_located(outcome) and outcome.reading.number == outcome.scene.number


def union_share(outcome: Outcome) -> float:
    assert outcome.reading.box is not None
    assert outcome.scene.box is not None
    left, top, width, height = outcome.reading.box
    return iou(Box(left, top, left + width, top + height), Box(*outcome.scene.box))


def summary(kind: str, outcomes: Sequence[Outcome]) -> list[str]:
    """What was found in photos of a kind. Those that show no number, as a few rendered ones, are counted apart."""
    shown = [each for each in outcomes if each.scene.number]
    empty = [each for each in outcomes if not each.scene.number]
    lines = [f"{kind}, n={len(outcomes)}"]
    if shown:
        count = len(shown)
        for what, hits in (("found and read right", is_right), ("found", is_located)):
            right = sum(map(hits, shown))
            low, high = wilson(right, count)
            lines.append(f"  {what:<26}{right / count:.1%} of {count}, 95 % interval {low:.1%} to {high:.1%}")
        for level in LEVELS:
            told = [each for each in shown if each.reading.number and each.reading.confidence >= level]
            right = sum(map(is_right, told))
            lines.append(f"  {f'confidence from {level}':<26}{len(told)} told, {right} of them right")
        if located := [each for each in shown if is_located(each)]:
            shares = statistics.median(map(union_share, located))
            lines.append(f"  {'boxes in common':<26}{shares:.0%} of their union, median")
    if empty:
        told = ", ".join(
            f"{sum(bool(each.reading.number) and each.reading.confidence >= level for each in empty)} from {level}"
            for level in LEVELS
        )
        lines.append(f"  {f'{len(empty)} without a number':<26}a number told in: {told}")
    seconds = [each.seconds for each in outcomes]
    lines.append(f"  {'CPU time of a photo':<26}{statistics.median(seconds):.1f} s, up to {max(seconds):.1f} s")
    return lines


def load(run: str, threads: int, words: Sequence[str]) -> TrainedModel:
    trained = load_trained_model(find_run(run).path, ["device=cpu", f"threads={threads}", *words])
    trained.check_reads_numbers(True)
    return trained


def main() -> None:
    with one_line_errors():
        arguments, words = parse(Arguments, sys.argv[1:], others=["data.*"])
        trained = load(arguments.run, arguments.threads, words)
        pasted = trained if arguments.pasted is None else load(arguments.pasted, arguments.threads, words)
        print(machine(arguments.threads), flush=True)
        for kind, made in scenes(pasted, arguments).items():
            bar = tqdm(made, total=arguments.n, desc=kind, unit="photo", leave=False, disable=None)
            print(*summary(kind, [find(trained, scene) for scene in bar]), sep="\n", flush=True)


if __name__ == "__main__":
    main()
