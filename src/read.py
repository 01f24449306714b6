"""Reads whole numbers from image files with a trained model. `python src/read.py --help` shows how."""

import sys
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from housenumbers.config.command_line import parse
from housenumbers.data.image_files import find_images, split_names
from housenumbers.runtime import fast_process
from housenumbers.runtime.errors import UserError, one_line_errors

_FEW = 8  # images that one thread reads as soon as several do, and far sooner where another process is busy


@dataclass
class Arguments:
    """Reads the whole number that each image shows, and says how sure the model is: its calibrated probability.

    python src/read.py run=last images=plate.png               one file: any size, mode and format that Pillow reads
    python src/read.py run=last images=[plate.png,FOLDER]      several; of a folder all files in it and below
    python src/read.py run=last 'images=**/*.jpg'              a pattern
    find . -name '*.png' | python src/read.py images=-         paths from standard input, one on each line

    run=last|best|NAME|FOLDER|FILE   which model; last is the newest completed run, and said on standard error
    format=table|jsonl|csv           for people, or for programs: file, number, confidence, and that of each digit
    min_confidence=0.9               leaves a number empty that is less sure
    device=, threads=                replace the run's own; without threads= one thread reads up to eight images
    An image is to show the number and little else: it is scaled to a height of 32 pixels. Where there is no number it
    is empty, and its confidence the probability that there is one after all.
    Files that cannot be read are told on standard error and skipped; the exit code is then 1."""

    run: str = "last"
    format: Literal["table", "jsonl", "csv"] = "table"
    min_confidence: Annotated[float, Interval(ge=0, le=1)] = 0.0


def main() -> None:
    for stream in (sys.stdin, sys.stdout):  # file names may contain any bytes
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    with one_line_errors():
        arguments, others = parse(Arguments, sys.argv[1:], others=["images", "device", "threads"])
        images = [word.partition("=")[2] for word in others if word.startswith("images=")]
        if not images:
            raise UserError("images=FILES: must be given: files, folders, a pattern, or - (--help says more)")
        files = find_images([word for value in images for word in split_names(value)])
        from housenumbers.tracking.run_selection import find_run

        choice = find_run(arguments.run)
        with fast_process.imports():
            from tqdm import tqdm

            from housenumbers.evaluation.trained_model import load_trained_model
            from housenumbers.prediction.read_numbers import format_readings, read_files

        overrides = [word for word in others if not word.startswith("images=")]
        if isinstance(files, list) and len(files) <= _FEW and not any(word.startswith("threads=") for word in others):
            overrides.append("threads=1")
        trained = load_trained_model(choice.path, overrides)
        trained.check_reads_numbers(True)
        choice.tell()
        print(trained.about_temperature, file=sys.stderr)
        unreadable: list[Path] = []

        def tell(file: Path, why: str) -> None:
            unreadable.append(file)
            tqdm.write(f"error: {file}: cannot be read: {why}", file=sys.stderr)

        total = len(files) if isinstance(files, list) else None
        hidden = True if sys.stdout.isatty() else None  # on a terminal the lines themselves show progress
        readings = tqdm(
            read_files(trained, files, tell, arguments.min_confidence), total=total, unit="file", disable=hidden
        )
        for line in format_readings(readings, arguments.format):
            print(line)
        sys.stdout.flush()
        raise SystemExit(1 if unreadable else 0)


if __name__ == "__main__":
    fast_process.end_after(main)
