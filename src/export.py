"""Writes a trained model as one file that runs without this project. `python src/export.py --help` shows how."""

import sys
from dataclasses import dataclass
from typing import Literal

from housenumbers.config.command_line import parse
from housenumbers.pretrained import DIGITS
from housenumbers.runtime import signals
from housenumbers.runtime.errors import one_line_errors
from housenumbers.runtime.files import expand_user


@dataclass
class Arguments:
    """Writes a trained model as one file that other programs run, without this project and without its configuration.

    python src/export.py run=best                    model.onnx in the run's folder, for ONNX Runtime and others
    python src/export.py run=best format=torch       model.pt2, for PyTorch alone
    python src/export.py run=best format=weights     model.pt, a small checkpoint (float16) for this project's run=
    python src/export.py run=FOLDER file=digits.onnx where it goes; a folder that is not there is made, and named

    run=last|best|NAME|FOLDER|FILE   which model, named on standard error; last is the newest completed run. Without it
                                     pretrained_digits, which comes with the code; there is pretrained_numbers, too
    threads=, data.root=FOLDER, data.cache= and data.verify= replace the run's own
    Images, uint8 [N, 3, 32, 32] RGB, go in; calibrated probabilities [N, 10] come out. The file is loaded again and
    compared with the model on test crops, or rendered digits where the run's data are not there; a checkpoint on the
    validation part. One that disagrees is not kept; the exit code is then 2."""

    run: str = DIGITS
    format: Literal["onnx", "torch", "weights"] = "onnx"
    file: str | None = None


def main() -> None:
    signals.install_handlers()  # SIGTERM, too, removes a partial file
    with one_line_errors(), signals.one_line_exit():
        others = ["threads", "data.root", "data.cache", "data.verify"]
        arguments, overrides = parse(Arguments, sys.argv[1:], others)
        file = None if arguments.file is None else expand_user(arguments.file)
        from housenumbers.prediction.export_formats import check_export_format, topmost_missing_folder

        check_export_format(arguments.format, file)
        from housenumbers.tracking.run_selection import find_run

        selected = find_run(arguments.run)
        from housenumbers.evaluation.trained_model import load_trained_model
        from housenumbers.prediction.export import export, summary
        from housenumbers.prediction.export_weights import export_weights

        trained = load_trained_model(selected.path, [*overrides, "device=cpu"])
        selected.print_reason()
        print(trained.temperature_note, file=sys.stderr)
        folder = None if file is None else topmost_missing_folder(file)
        is_checkpoint = arguments.format == "weights"
        exported = export_weights(trained, file) if is_checkpoint else export(trained, arguments.format, file)
        if folder is not None:
            print(f"{folder}: this folder was made", file=sys.stderr)
        print(summary(exported))


if __name__ == "__main__":
    main()
