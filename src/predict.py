"""Labels image files with a trained model. `python src/predict.py --help` shows how."""

import sys
from dataclasses import dataclass
from typing import Literal

from housenumbers.prediction.image_command import ImageCommand, Precision
from housenumbers.pretrained import DIGITS
from housenumbers.runtime import fast_process
from housenumbers.runtime.errors import one_line_errors


@dataclass
class Arguments:
    """Says which digit each image shows, and how sure the model is: its calibrated probability.

    python src/predict.py images=photo.png                      one file: any size, mode and format that Pillow reads
    python src/predict.py images=[photo.png,FOLDER]             several; of a folder all files in it and below
    python src/predict.py run=best 'images=**/*.jpg'            a pattern, by a model of yours
    find . -name '*.png' | python src/predict.py images=-       paths from standard input, one on each line

    run=last|best|NAME|FOLDER|FILE   which model, named on standard error; last is the newest completed run. Without it
                                     pretrained_digits, which comes with the code, trained on rendered images alone
    format=table|jsonl|csv           for people, or for programs: file, label, confidence and ten probabilities
    device=, threads=                replace the run's own; without threads= one thread labels up to eight images
    views=unsure|all                 with test-time augmentation: further views only of images whose label they could
                                     change, or all views of each, as for scores: exact, and several times slower
    tta=0 tta_invert=false           one view of each image: sooner still, and a little worse
    precision=float32|bfloat16       bfloat16 is sooner (some 1.5 times on CPUs with AVX-512 and bfloat16) where the
                                     device has it; nearly all answers are equal, probabilities differ a little
    Files that cannot be read are reported on standard error and skipped; the exit code is then 1."""

    run: str = DIGITS
    format: Literal["table", "jsonl", "csv"] = "table"
    views: Literal["unsure", "all"] = "unsure"
    precision: Precision = "float32"


def main() -> None:
    with one_line_errors():
        command = ImageCommand(Arguments, ["device", "threads", "tta", "tta_invert"])
        trained = command.load_model(of_numbers=False)
        with fast_process.imports_without_gc():
            from housenumbers.prediction.predict_files import format_predictions, predict_files

        all_views = command.arguments.views == "all"
        if not all_views and trained.views_note is not None:
            print(trained.views_note, file=sys.stderr)
        predictions = predict_files(trained, command.files, command.report_unreadable, all_views)
        command.print_and_exit(format_predictions(command.with_progress(predictions), command.arguments.format))


if __name__ == "__main__":
    fast_process.run_and_exit(main)
