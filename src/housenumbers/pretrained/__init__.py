"""The weights that come with the code, trained on rendered images alone. Does not import torch.

Beside each checkpoint lie its model card (`.md`) and, in `SHA256SUMS`, its hash.
"""

from pathlib import Path
from typing import NamedTuple

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import read_text, sha256_of, write_text

FOLDER = Path(__file__).resolve().parent
SUMS = FOLDER / "SHA256SUMS"  # as sha256sum writes it
DIGITS, NUMBERS = "pretrained_digits", "pretrained_numbers"  # values of `run=`


class Pretrained(NamedTuple):
    """A checkpoint of this package, and what it is of."""

    file: Path
    reads: str


MODELS = {
    NUMBERS: Pretrained(FOLDER / "numbers.pt", "whole numbers"),
    DIGITS: Pretrained(FOLDER / "digits.pt", "single digits"),
}


def pretrained_name(file: Path) -> str | None:
    """The value of `run=` that means this file. None where it is not of this package."""
    return next((name for name, model in MODELS.items() if model.file == file.resolve()), None)


def check_sha256(file: Path) -> None:
    """Raises UserError where a file of this package is missing, or is not the one in SHA256SUMS. Ignores all others."""
    if (name := pretrained_name(file)) is None:
        return
    file = MODELS[name].file  # the argument may be a link of another name
    mend = "restore it (git checkout), or install the package again"
    try:
        if sha256_of(file) != _sums().get(file.name):
            raise UserError(f"{file}: damaged: its SHA-256 is not the one in {SUMS.name}: {mend}")
    except UnicodeDecodeError:
        raise UserError(f"{SUMS}: damaged: {mend}") from None
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is missing: {mend}") from None


def record_sha256(name: str) -> None:
    """Writes the hash of the present file of `MODELS[name]` into SHA256SUMS."""
    sums = _sums() if SUMS.exists() else {}
    sums[MODELS[name].file.name] = sha256_of(MODELS[name].file)
    write_text(SUMS, "".join(f"{value}  {file}\n" for file, value in sorted(sums.items())))


def _sums() -> dict[str, str]:
    """The hash of each file name."""
    lines = [line.split() for line in read_text(SUMS).splitlines()]
    return {words[1]: words[0] for words in lines if len(words) == 2}
