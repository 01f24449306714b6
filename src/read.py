"""Reads whole numbers from image files with a trained model. `python src/read.py --help` shows how."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from housenumbers.prediction.image_command import MIN_CONFIDENCE, ImageCommand, Precision
from housenumbers.pretrained import NUMBERS
from housenumbers.runtime import fast_process
from housenumbers.runtime.errors import one_line_errors


@dataclass
class Arguments:
    """Reads the whole number that each image shows, and says how sure the model is: its calibrated probability.

    python src/read.py images=plate.png                        one file: any size, mode and format that Pillow reads
    python src/read.py images=[plate.png,FOLDER]               several; of a folder all files in it and below
    python src/read.py run=last 'images=**/*.jpg'              a pattern, by a model of yours
    find . -name '*.png' | python src/read.py images=-         paths from standard input, one on each line

    run=last|best|NAME|FOLDER|FILE   which model, named on standard error; last is the newest completed run. Without it
                                     pretrained_numbers, which comes with the code, trained on rendered images alone
    format=table|jsonl|csv           for people, or for programs: file, number, confidence, and that of each digit
    min_confidence=0.2               leaves a number empty that is less sure
    find=true                        looks for the number in larger photos first, and tells its box: left, top, width
                                     and height in pixels
    device=, threads=                replace the run's own; without threads= one thread reads up to eight images
    precision=float32|bfloat16       bfloat16 is sooner (some 1.5 times on CPUs with AVX-512 and bfloat16) where the
                                     device has it; nearly all answers are equal, probabilities differ a little
    Without find=true an image is to show the number and little else: it is scaled to a height of 32 pixels. Where there
    is no number it is empty, and its confidence that of the most probable one.
    Files that cannot be read are reported on standard error and skipped; the exit code is then 1."""

    run: str = NUMBERS
    format: Literal["table", "jsonl", "csv"] = "table"
    min_confidence: Annotated[float, Interval(ge=0, le=1)] = MIN_CONFIDENCE
    find: bool = False
    precision: Precision = "float32"


def main() -> None:
    with one_line_errors():
        command = ImageCommand(Arguments, ["device", "threads"])
        trained = command.load_model(of_numbers=True)
        with fast_process.imports_without_gc():
            from housenumbers.prediction.find_numbers import find_files
            from housenumbers.prediction.read_numbers import format_readings, read_files

        arguments = command.arguments
        read = find_files if arguments.find else read_files
        readings = read(trained, command.files, command.report_unreadable, arguments.min_confidence)
        command.print_and_exit(format_readings(command.with_progress(readings), arguments.format, arguments.find))


if __name__ == "__main__":
    fast_process.run_and_exit(main)
