"""Labels image files with a trained model. `python src/predict.py --help` shows how."""

import sys
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

from housenumbers.config.command_line import parse
from housenumbers.data.image_files import find_images, split_names
from housenumbers.runtime import fast_process
from housenumbers.runtime.errors import UserError, one_line_errors

_FEW = 8  # images that one thread labels as soon as several do, and far sooner where another process is busy


@dataclass
class Arguments:
    """Says which digit each image shows, and how sure the model is: its calibrated probability.

    python src/predict.py run=best images=photo.png             one file: any size, mode and format that Pillow reads
    python src/predict.py run=best images=[photo.png,FOLDER]    several; of a folder all files in it and below
    python src/predict.py run=best 'images=**/*.jpg'            a pattern
    find . -name '*.png' | python src/predict.py images=-       paths from standard input, one on each line

    run=last|best|NAME|FOLDER|FILE   which model; last is the newest completed run, and said on standard error
    format=table|jsonl|csv           for people, or for programs: file, label, confidence and ten probabilities
    device=, threads=                replace the run's own; without threads= one thread labels up to eight images
    views=unsure|all                 with test-time augmentation: further views only of images whose label they could
                                     change, or all views of each, as for scores: exact, and several times slower
    tta=0 tta_invert=false           one view of each image: sooner still, and a little worse
    Files that cannot be read are told on standard error and skipped; the exit code is then 1."""

    run: str = "last"
    format: Literal["table", "jsonl", "csv"] = "table"
    views: Literal["unsure", "all"] = "unsure"


def main() -> None:
    for stream in (sys.stdin, sys.stdout):  # file names may contain any bytes
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    with one_line_errors():
        arguments, others = parse(Arguments, sys.argv[1:], others=["images", "device", "threads", "tta", "tta_invert"])
        images = [word.partition("=")[2] for word in others if word.startswith("images=")]
        if not images:
            raise UserError("images=FILES: must be given: files, folders, a pattern, or - (--help says more)")
        files = find_images([word for value in images for word in split_names(value)])
        from housenumbers.tracking.run_selection import find_run

        choice = find_run(arguments.run)
        with fast_process.imports():
            from tqdm import tqdm

            from housenumbers.evaluation.trained_model import load_trained_model
            from housenumbers.prediction.predict_files import format_predictions, predict_files

        overrides = [word for word in others if not word.startswith("images=")]
        if isinstance(files, list) and len(files) <= _FEW and not any(word.startswith("threads=") for word in others):
            overrides.append("threads=1")
        trained = load_trained_model(choice.path, overrides)
        trained.check_reads_numbers(False)
        choice.tell()
        print(trained.about_temperature, file=sys.stderr)
        if arguments.views == "unsure" and trained.about_views is not None:
            print(trained.about_views, file=sys.stderr)
        unreadable: list[Path] = []

        def tell(file: Path, why: str) -> None:
            unreadable.append(file)
            tqdm.write(f"error: {file}: cannot be read: {why}", file=sys.stderr)

        total = len(files) if isinstance(files, list) else None
        hidden = True if sys.stdout.isatty() else None  # on a terminal the lines themselves show progress
        predicted = predict_files(trained, files, tell, all_views=arguments.views == "all")
        predictions = tqdm(predicted, total=total, unit="file", disable=hidden)
        for line in format_predictions(predictions, arguments.format):
            print(line)
        sys.stdout.flush()
        raise SystemExit(1 if unreadable else 0)


if __name__ == "__main__":
    fast_process.end_after(main)
