"""The steps that predict.py and read.py share: from the command line to lines about image files.

Imports torch late.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from housenumbers.config.command_line import parse
from housenumbers.data.image_files import find_images, split_names
from housenumbers.runtime import fast_process
from housenumbers.runtime.errors import UserError

if TYPE_CHECKING:
    from housenumbers.evaluation.trained_model import TrainedModel

# Of read.py: below it a number is not reported. Of 400 parts of photos without a number, 146 have a most probable
# number, and 13 one above this; of 2,522 real numbers, 9 are read right with less (docs/numbers.md).
MIN_CONFIDENCE = 0.2
Precision = Literal["float32", "bfloat16"]  # of a trained model's arithmetic
_FEW = 8  # images: one thread labels them as fast as several, and much faster where another process is busy


class ImageCommand:
    """The parsed arguments of a command about the image files in `images=`, by the model in `run=`.

    `schema` describes the arguments, `model_keys` are the keys of the run's configuration that they may replace.
    Raises UserError for wrong arguments, and files that are not there.
    """

    def __init__(self, schema: type[Any], model_keys: Sequence[str]) -> None:
        for stream in (sys.stdin, sys.stdout):  # file names may contain any bytes
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="surrogateescape")
        self.arguments, others = parse(schema, sys.argv[1:], others=["images", *model_keys])
        images = [word.partition("=")[2] for word in others if word.startswith("images=")]
        if not images:
            raise UserError("images=FILES: must be given: files, folders, a pattern, or - (--help says more)")
        self.files = find_images([word for value in images for word in split_names(value)])
        self._overrides = [word for word in others if not word.startswith("images=")]
        self._unreadable = 0

    def load_model(self, of_numbers: bool) -> "TrainedModel":
        """The model, announced on standard error. Raises UserError where it is of the other task."""
        from housenumbers.tracking.run_selection import find_run

        selected = find_run(self.arguments.run)
        with fast_process.imports_without_gc():
            from housenumbers.evaluation.trained_model import load_trained_model

        few = isinstance(self.files, list) and len(self.files) <= _FEW
        threads = ["threads=1"] if few and not any(word.startswith("threads=") for word in self._overrides) else []
        bfloat16 = self.arguments.precision == "bfloat16"
        trained = load_trained_model(selected.path, [*threads, *self._overrides], bfloat16)
        trained.check_reads_numbers(of_numbers)
        selected.print_reason()
        if bfloat16 and not trained.bfloat16:
            print(f"precision=bfloat16: {trained.device} has no instructions for it: float32", file=sys.stderr)
        print(trained.temperature_note, file=sys.stderr)
        return trained

    def report_unreadable(self, file: Path, why: str) -> None:
        """Prints on standard error that a file cannot be read, and why."""
        from tqdm import tqdm

        self._unreadable += 1
        tqdm.write(f"error: {file}: cannot be read: {why}", file=sys.stderr)

    def with_progress(self, results: Iterator[Any]) -> Iterable[Any]:
        """The results for the files, with a progress bar. On a terminal the printed lines show the progress."""
        from tqdm import tqdm

        total = len(self.files) if isinstance(self.files, list) else None
        return tqdm(results, total=total, unit="file", disable=True if sys.stdout.isatty() else None)

    def print_and_exit(self, lines: Iterator[str]) -> None:
        """Prints the lines. Exits with 1 where a file could not be read, else 0."""
        for line in lines:
            print(line)
        sys.stdout.flush()
        raise SystemExit(1 if self._unreadable else 0)
