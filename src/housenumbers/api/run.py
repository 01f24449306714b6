"""Runs in Python: what a run's folder holds, and the list of all runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from housenumbers.api.arguments import as_path_or_name
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import flatten
from housenumbers.runtime.errors import InputError, UserError, os_errors_as_user_errors
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.run_list import all_runs, check_filters, matches
from housenumbers.tracking.run_selection import find_run, is_run

if TYPE_CHECKING:
    from housenumbers.api.model import Model

_SCORES = {"validation": "best", "test": "test"}  # of a record


class Run:
    """A run's folder, finished or not. Every property is read anew, so a run may be watched while it trains.

    Raises InputError where the folder is no text or path, and UserError where its files are damaged or cannot be read.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(as_path_or_name("folder", folder, "a run's folder"))
        self._files = RunFolder(self.folder)

    @property
    @os_errors_as_user_errors()
    def record(self) -> dict[str, Any]:
        """The content of `run.json`: everything that the run wrote down about itself."""
        return self._files.record()

    @property
    @os_errors_as_user_errors()
    def config(self) -> TrainConfig:
        """The configuration, checked, with attributes such as `config.optimizer.lr`."""
        return self._files.config()

    @property
    @os_errors_as_user_errors()
    def status(self) -> str:
        """running, completed, pruned, failed or interrupted."""
        return self._files.status()

    @property
    @os_errors_as_user_errors()
    def history(self) -> list[dict[str, Any]]:
        """One dictionary for each epoch: epoch, train_loss, val_loss, val_accuracy, lr, seconds and your own metrics.

        `pandas.DataFrame(run.history)` is a table of it. Raises UserError before the end of the first epoch.
        """
        return self._files.history()

    @property
    def scores(self) -> dict[str, dict[str, Any]]:
        """The scores of the best weights: "validation" as in `history`, and all final scores on the "test" part.

        Empty before the run's end. Accuracies lie on 0..1.
        """
        record = self.record
        return {part: record[key] for part, key in _SCORES.items() if record.get(key)}

    @property
    def figures(self) -> dict[str, Path]:
        """The image files that the run drew, by name: `run.figures["confusion_test"]`."""
        return {file.stem: file for file in sorted(self._files.figures.glob("*.png"))}

    def model(self, device: str | None = None) -> "Model":
        """The model with the best epoch's weights.

        Raises UserError where there are none yet, and InputError where `device` is no device's name.
        """
        from housenumbers.api.model import load_model

        return load_model(self.folder.absolute(), device)  # not a run that is called as the folder is

    def resume(self, overrides: Sequence[str] = ()) -> "Run":
        """Goes on with an interrupted run, or with a completed one and `["epochs=N"]`, as `train.py resume=` does.

        Returns this run. Raises UserError where that is not possible, and InputError where `overrides` is no list of
        words.
        """
        from housenumbers.api.resume import resume

        resume(self.folder, overrides)
        return self

    def __repr__(self) -> str:
        best = self.record.get("best")
        accuracy = f", {best['val_accuracy']:.2%} of validation" if best else ""
        return f"<Run {self.folder}: {self.status}{accuracy}>"


@os_errors_as_user_errors()
def open_run(run: str | Path) -> Run:
    """A run by its folder, its name, "last" or "best". Raises UserError where there is none, and InputError where `run`
    is no text or path, or empty.
    """
    wanted = as_path_or_name("run", run, "a run's folder, its name, last or best")
    if (Path(wanted) / "run.json").exists():
        return Run(wanted)
    path = find_run(wanted).path
    if path.is_file():
        raise UserError(f"{wanted}: a file, not a run's folder: load_model takes checkpoints")
    if not is_run(path):
        raise UserError(f"{wanted}: not a run's folder: it has no run.json")
    return Run(path)


@os_errors_as_user_errors()
def list_runs(*filters: str) -> list[dict[str, Any]]:
    """All runs below outputs/ and multirun/, the highest validation accuracy first: one flat dictionary for each.

    Its keys are the keys of `run.json`, with dots (`test.accuracy`, `config.optimizer.lr`), and `folder`. `filters` are
    KEY=VALUE as for runs.py: `list_runs("status=completed", "optimizer.lr=0.001")`. `pandas.DataFrame(list_runs())`
    is a table of them. Raises UserError for a key that no run has, or a value that its key cannot have, and InputError
    for a filter that is not KEY=VALUE.
    """
    runs = all_runs()
    for word in filters:
        if not isinstance(word, str) or "=" not in word:
            raise InputError(f"{word!r}: not KEY=VALUE: each filter is a text of its own")
    check_filters(runs, filters)
    return [flatten(run) for run in runs if matches(run, filters)]
