"""Scores a checkpoint on the test or validation part. `python src/evaluate.py --help` shows how."""

import sys
from dataclasses import dataclass
from pathlib import Path

from housenumbers.command_line import parse
from housenumbers.config import PLACE_KEYS, composed_from
from housenumbers.errors import UserError, one_line_errors


@dataclass
class Arguments:
    """Scores a trained model again, from its checkpoint alone.

    python src/evaluate.py run=last                  the newest run, on the test part
    python src/evaluate.py run=best split=validation the best run on the same data as the newest
    python src/evaluate.py run=FOLDER                the best weights of a run
    python src/evaluate.py run=FILE.pt               any checkpoint

    python src/evaluate.py run=last data=svhn data.root=FOLDER     on the test part of other data

    python src/evaluate.py run=FOLDER split=validation calibrate=true     fits the temperature again, which the end of
                                                     a run does, and writes it into the checkpoint
    device=, threads=, data.root=FOLDER, data.cache=, data.verify= and data.download= replace the run's own.
    Writes evaluation_SPLIT.json, or evaluation_test_on_DATA.json, into the run's folder."""

    run: str = "last"
    split: str = "test"
    data: str | None = None
    calibrate: bool = False


def main() -> None:
    with one_line_errors():
        elsewhere = any(word.startswith("data=") for word in sys.argv[1:])  # whose keys are then free
        arguments, overrides = parse(Arguments, sys.argv[1:], [*PLACE_KEYS, "data.*"] if elsewhere else PLACE_KEYS)
        if arguments.split not in ("test", "validation"):
            raise UserError(f"split={arguments.split}: must be test or validation")
        if elsewhere and arguments.split != "test":
            raise UserError("split=validation: of other data only the test part can be scored")
        if arguments.calibrate and arguments.split != "validation":
            raise UserError("calibrate=true: is done on the validation part: add split=validation")
        from housenumbers.tracking.index import find_run

        folder = find_run(arguments.run)
        from housenumbers.training.evaluate import calibrate_again, evaluate

        if arguments.calibrate:
            calibrate_again(folder, overrides)
        if elsewhere:
            conf = Path(__file__).absolute().parents[1] / "conf"
            other = composed_from(conf, [f"data={arguments.data}", *overrides]).data
            own = [word for word in overrides if not word.startswith("data.")]
            scores, file = evaluate(folder, arguments.split, own, other)
        else:
            scores, file = evaluate(folder, arguments.split, overrides)
        print(f"{folder}, {arguments.split} part" + (f" of {arguments.data}" if elsewhere else ""))
        print(f"accuracy {scores['accuracy']:.2%} of {scores['n']:,}   loss {scores['loss']:.4f}")
        print(f"calibration error {scores['calibration_error']:.2%}, temperature {scores['temperature']:.3f}")
        print("accuracy of each class")
        for label, accuracy in enumerate(scores["per_class_accuracy"]):
            print(f"  {label}  {'no pictures' if accuracy is None else f'{accuracy:.2%}'}")
        print("confusion: true labels down, predicted ones across")
        print("    " + "".join(f"{label:>6}" for label in range(len(scores["confusion"]))))
        for label, row in enumerate(scores["confusion"]):
            print(f"  {label} " + "".join(f"{count:>6}" for count in row))
        if file.exists():
            print(f"written to {file}")


if __name__ == "__main__":
    main()
