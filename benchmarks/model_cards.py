"""What the weights that come with the code are worth: scores them on real photos, and writes them into the model cards.

`python benchmarks/model_cards.py --help` shows the options.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reading import OURS, reader
from rounds import machine

from housenumbers import pretrained
from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_data
from housenumbers.config.sections import DataConfig
from housenumbers.data.load import load_test
from housenumbers.evaluation.corruptions import KINDS
from housenumbers.evaluation.robustness import evaluate_corruptions
from housenumbers.evaluation.score import evaluate_run
from housenumbers.evaluation.significance import wilson
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics.numbers import as_strings
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.files import read_text, write_text
from runs import ROOT

_BEGIN, _END = "<!-- measured: python benchmarks/model_cards.py data.root=FOLDER -->", "<!-- end -->"
_DATA = {pretrained.DIGITS: ("svhn_6k", "test crops"), pretrained.NUMBERS: ("svhn_6k_numbers", "test numbers")}


@dataclass
class Arguments:
    """Scores the two models that come with the code on SVHN-6k's test part, also under corruptions, and writes the
    table of each model card anew: scores, calibration, size and hash. Takes some minutes for each model.

    python benchmarks/model_cards.py data.root=FOLDER

    only=pretrained_digits this model alone
    corruptions=false      without them, in seconds
    folder=FOLDER          where the cards are: src/housenumbers/pretrained
    threads= and device= are as for evaluate.py"""

    folder: str = str(pretrained.FOLDER)
    only: Literal["pretrained_digits", "pretrained_numbers"] | None = None
    corruptions: bool = True


def table(name: str, data: DataConfig, overrides: list[str], corruptions: bool) -> str:
    """The measured part of a model's card."""
    file = pretrained.MODELS[name].file
    trained = load_trained_model(file, overrides)
    rows = {**_facts(name, trained), **_scores(name, trained, data, overrides)}
    if corruptions:
        rows["accuracy on them under corruptions"] = _under_corruptions(trained, data, overrides)
    return "\n".join([_BEGIN, "| what | value |", "| --- | --- |", *(f"| {key} | {rows[key]} |" for key in rows), _END])


def _facts(name: str, trained: TrainedModel) -> dict[str, str]:
    config, calibration = trained.config, trained.calibration
    assert calibration is not None
    accuracy, count = _percent(trained.content["record"]["val_accuracy"]), f"{int(calibration['n']):,}"
    return {
        "SHA-256": f"`{pretrained.sha256_of(trained.file)}`",
        "file": f"`{trained.file.name}`, {trained.file.stat().st_size:,} bytes",
        "parameters": f"{trained.parameters:,}",
        "training": f"`python src/train.py experiment={name}`: {config.epochs} epochs, "
        f"{config.data.size:,} rendered images for training and validation, seed {config.seed}",
        "accuracy on rendered images": f"{accuracy} of the {count} for validation",
        "temperature": f"{trained.temperature:.3f}, fitted on the same {count} rendered images",
    }


def _scores(name: str, trained: TrainedModel, data: DataConfig, overrides: list[str]) -> dict[str, str]:
    what = f"SVHN-6k's {_DATA[name][1]}"
    scores, _ = evaluate_run(trained.file, "test", overrides, data)
    rows = {f"accuracy on {what}": _of(scores)}
    if trained.config.data.has_numbers:
        rows["the same by `read.py`, which reads unsure images at five scales"] = _of(_read(trained, data))
    if numbers := scores.get("numbers"):
        rows["whole numbers put together from them"] = _of(numbers)
    if "digit_error_rate" in scores:
        rows["digit error rate on them"] = _percent(scores["digit_error_rate"])
    rows["expected calibration error on them"] = _percent(scores["calibration_error"])
    return rows


def _read(trained: TrainedModel, data: DataConfig) -> dict[str, Any]:
    numbers = load_test(data)
    read = reader(OURS, trained, numbers.images, threads=1)()  # the model keeps its own threads
    right = sum(text == true for text, true in zip(read, as_strings(numbers.labels), strict=True))
    return {"accuracy": right / len(read), "n": len(read)}


def _under_corruptions(trained: TrainedModel, data: DataConfig, overrides: list[str]) -> str:
    corrupted, _ = evaluate_corruptions(trained.file, "test", overrides, data)
    worst = min(corrupted["kinds"], key=lambda kind: corrupted["kinds"][kind]["mean"])
    return (
        f"{_percent(corrupted['mean'])} on average over {len(KINDS)} kinds at five strengths; "
        f"least under {KINDS[worst].title}, {_percent(corrupted['kinds'][worst]['mean'])}"
    )


def _of(scores: dict[str, Any]) -> str:
    low, high = wilson(round(scores["accuracy"] * scores["n"]), scores["n"])
    interval = f"95 % interval by Wilson {_percent(low)} to {_percent(high)}"
    return f"{_percent(scores['accuracy'])} of {scores['n']:,} ({interval})"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def write_card(card: Path, measured: str) -> None:
    """Replaces the measured part of a card. Raises UserError where it has none."""
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    text = read_text(card)
    if len(pattern.findall(text)) != 1:
        raise UserError(f"{card}: has no place for what is measured: write {_BEGIN} and {_END} into it")
    write_text(card, pattern.sub(lambda _: measured, text))


def main() -> None:
    with one_line_errors():
        arguments, words = parse(Arguments, sys.argv[1:], others=["data.root", "data.cache", "threads", "device"])
        of_model = [word for word in words if not word.startswith("data.")]
        print(machine())
        for name in [arguments.only] if arguments.only else list(_DATA):
            option, _ = _DATA[name]
            data = compose_data(ROOT / "conf", option, words)
            card = Path(arguments.folder) / pretrained.MODELS[name].file.with_suffix(".md").name
            if not card.is_file():
                raise UserError(
                    f"folder={arguments.folder}: has no {card.name}: copy the cards there from {pretrained.FOLDER}"
                )
            measured = table(name, data, of_model, arguments.corruptions)
            write_card(card, measured)
            print(f"{card}\n{measured}", flush=True)


if __name__ == "__main__":
    main()
