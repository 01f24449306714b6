"""Scores a checkpoint on the test or validation part. `python src/evaluate.py --help` shows how."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_data
from housenumbers.config.overrides import check_arguments
from housenumbers.config.schema import SCORES
from housenumbers.config.values import MACHINE_KEYS
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.installation import CONF


@dataclass
class Arguments:
    """Scores a trained model again, from its checkpoint alone.

    python src/evaluate.py run=last                  the newest completed run, on the test part
    python src/evaluate.py run=best split=validation the best run on the same data as the newest
    python src/evaluate.py run=FOLDER                the best weights of a run; its name will do, too
    python src/evaluate.py run=FILE.pt               any checkpoint

    python src/evaluate.py run=last data=svhn data.root=FOLDER     on the test part of other data

    python src/evaluate.py run=FOLDER split=validation calibrate=true     fits the temperature again, which the end of
                                                     a run does, and writes it into the checkpoint
    python src/evaluate.py run=FOLDER corruptions=true     under noise, blur, other light, rotation and more, at five
                                                     strengths each; writes corruptions_SPLIT.json and an image of it

    split= is test where it is not given; of a sweep's trial, which is to be judged by validation, it is validation.
    device=, threads=, data.root=FOLDER, data.cache=, data.verify= and data.download= replace the run's own.
    Writes evaluation_SPLIT.json, or evaluation_test_on_DATA.json, into the run's folder; of FILE.pt, which is not a
    run's best, evaluation_SPLIT_FILE.json."""

    run: str = "last"
    split: Literal["test", "validation"] | None = None
    data: str | None = None
    calibrate: bool = False
    corruptions: bool = False


def main() -> None:
    with one_line_errors():
        other_data = any(override.startswith("data=") for override in sys.argv[1:])  # then all data keys are accepted
        arguments, overrides = parse(Arguments, sys.argv[1:], [*MACHINE_KEYS, "data.*"] if other_data else MACHINE_KEYS)
        if other_data:
            check_arguments([word for word in sys.argv[1:] if word.startswith("data=")])
        if other_data and arguments.split == "validation":
            raise UserError("split=validation: of other data only the test part can be scored")
        if arguments.calibrate and arguments.split != "validation":
            raise UserError("calibrate=true: is done on the validation part: add split=validation")
        from housenumbers.tracking.run_selection import find_run

        selected = find_run(arguments.run)
        folder = selected.path
        from housenumbers.evaluation.score import default_split, evaluate_run, recalibrate

        if arguments.calibrate:
            recalibrate(folder, overrides)
        other_config = None
        if other_data:
            other_config = compose_data(CONF, str(arguments.data), overrides)
            overrides = [override for override in overrides if not override.startswith("data.")]
        split = arguments.split or ("test" if other_data else default_split(folder))
        score, print_scores = evaluate_run, _print_scores
        if arguments.corruptions:
            from housenumbers.evaluation.robustness import evaluate_corruptions  # slow import

            score, print_scores = evaluate_corruptions, _print_robustness
        scores, file = score(folder, split, overrides, other_config)
        selected.print_reason()
        print(f"{folder}, {split} part" + (f" of {arguments.data}" if other_data else ""))
        print_scores(scores)
        if file is not None:
            print(f"written to {file}")


def _print_scores(scores: dict[str, Any]) -> None:
    from housenumbers.evaluation.significance import wilson  # slow import

    print(f"{scores['parameters']:,} parameters")
    interval = _in_words(wilson(round(scores["accuracy"] * scores["n"]), scores["n"]))
    print(f"accuracy {scores['accuracy']:.2%} of {scores['n']:,} ({interval})   loss {scores['loss']:.4f}")
    if numbers := scores.get("numbers"):
        _print_numbers(numbers)
    if (error_rate := scores.get("digit_error_rate")) is not None:
        _print_errors_of_digits(scores, error_rate)
    for name, value in scores.items():
        if name not in SCORES:  # a custom metric
            print(f"{name} {value}")
    print(f"calibration error {scores['calibration_error']:.2%}, temperature {scores['temperature']:.3f}")
    print("accuracy of each class")
    for label, accuracy in enumerate(scores["per_class_accuracy"]):
        print(f"  {label}  {'no images' if accuracy is None else f'{accuracy:.2%}'}")
    print("confusion: true labels down, predicted ones across")
    print("    " + "".join(f"{label:>6}" for label in range(len(scores["confusion"]))))
    for label, row in enumerate(scores["confusion"]):
        print(f"  {label} " + "".join(f"{count:>6}" for count in row))


def _print_numbers(numbers: dict[str, Any]) -> None:
    left_out = f"; {numbers['partial']:,} with digits outside of this part left out" if numbers["partial"] else ""
    if numbers["interval"] is None:
        print(f"numbers right: none is whole in this part{left_out}")
        return
    interval = _in_words(numbers["interval"])
    print(f"numbers right {numbers['accuracy']:.2%} of {numbers['n']:,} ({interval}{left_out})")


def _in_words(interval: Sequence[float]) -> str:
    low, high = interval
    return f"95 % interval {low:.2%} to {high:.2%}"


def _print_errors_of_digits(scores: dict[str, Any], error_rate: float) -> None:
    print(f"digit error rate {error_rate:.2%}: {scores['digits_missed']:,} missed, {scores['digits_added']:,} added")
    print("accuracy of numbers by their digits")
    for length, accuracy in enumerate(scores["accuracy_by_length"]):
        if accuracy is not None:
            print(f"  {length}  {accuracy:.2%}")


def _print_robustness(scores: dict[str, Any]) -> None:
    from housenumbers.evaluation.robustness import corruption_rows

    print(f"accuracy {scores['accuracy']:.2%} of {scores['n']:,}, {scores['mean']:.2%} on average under corruption")
    print("kinds of corruption down, strengths across: 0 is the images as they are")
    for title, *cells in corruption_rows(scores):
        print(f"  {title:<15}" + "".join(f"{cell:>8}" for cell in cells))


if __name__ == "__main__":
    main()
