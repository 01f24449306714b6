"""The file format of recorded learning curves: JSON, compressed with xz. benchmarks/README.md describes its keys."""

import json
import lzma
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))  # last: src/runs.py must not hide ours

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_atomically

FORMAT = 1
_DIGITS = {"val_accuracy": 4, "val_loss": 4, "seconds": 3}  # places that are kept
Curves = dict[str, list[float]]  # val_accuracy, val_loss and seconds, for each epoch


@dataclass(frozen=True)
class CurveTable:
    """The curves of `settings[i]` with seed `s` are `curves[i][s]`: equally long lists, one value for each epoch.

    A curve that is shorter than `epochs` is of a training that diverged after it.
    """

    task: str
    fixed: Sequence[str]  # overrides of the configuration that all trainings share
    machine: str
    epochs: int
    space: Mapping[str, Any]  # by key, or GROUP=OPTION: distributions as Optuna writes them in JSON
    settings: Sequence[Mapping[str, Any]]
    curves: Sequence[Sequence[Curves]]
    format: int = FORMAT

    @classmethod
    def of(
        cls,
        task: str,
        fixed: Sequence[str],
        machine: str,
        space: Mapping[str, Any],
        settings: Sequence[Mapping[str, Any]],
        curves: Mapping[tuple[int, int], Curves | None],
    ) -> "CurveTable":
        """A table of those settings that all seeds have been recorded of. Raises UserError where there is none."""
        seeds = range(1 + max(seed for _, seed in curves))
        whole = [number for number in range(len(settings)) if all(curves[number, seed] for seed in seeds)]
        if not whole:
            raise UserError(f"{task}: no setting has been trained with every seed yet: go on with the same command")
        found = [[_rounded(curves[number, seed] or {}) for seed in seeds] for number in whole]
        epochs = max(len(curve["seconds"]) for one in found for curve in one)
        return cls(task, list(fixed), machine, epochs, dict(space), [settings[number] for number in whole], found)

    def write(self, file: Path) -> None:
        text = json.dumps(asdict(self), separators=(",", ":"))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda opened: opened.write(lzma.compress(text.encode(), preset=9)))

    @classmethod
    def read(cls, file: Path) -> "CurveTable":
        """Raises UserError where the file is missing, or is no such table."""
        try:
            content = json.loads(lzma.decompress(file.read_bytes()))
            table = cls(**content | {"space": _with_options(content["space"])})
            if table.format != FORMAT:
                raise UserError(f"{file}: a table of format {table.format}: this version reads format {FORMAT}")
            table._check()
        except FileNotFoundError:
            raise UserError(f"table={file}: no such file: benchmarks/curves.py makes one") from None
        except (OSError, lzma.LZMAError, ValueError, TypeError, KeyError, AssertionError) as error:
            raise UserError(f"table={file}: no table of curves ({type(error).__name__}: {error})") from None
        return table

    def _check(self) -> None:
        assert len(self.settings) == len(self.curves) > 0, "as many settings as curves, and at least one"
        seeds = {len(one) for one in self.curves}
        assert len(seeds) == 1, f"equally many seeds for each setting, not {seeds}"
        for number, setting in enumerate(self.settings):
            missing = {key.partition("=")[0] for key in self.space} - setting.keys()
            assert not missing, f"settings[{number}] has no {', '.join(sorted(missing))}"
        for one in self.curves:
            for curve in one:
                lengths = {len(curve[name]) for name in _DIGITS}
                assert len(lengths) == 1, "equally long lists"
                assert lengths.pop() <= self.epochs, f"no curve longer than {self.epochs} epochs"

    def summary(self) -> str:
        finals = [curve["val_accuracy"][-1] for one in self.curves for curve in one if len(curve["seconds"])]
        diverged = sum(len(curve["seconds"]) < self.epochs for one in self.curves for curve in one)
        seconds = sum(sum(curve["seconds"]) for one in self.curves for curve in one)
        return (
            f"{len(self.settings)} settings, {len(self.curves[0])} seeds, {self.epochs} epochs; "
            f"last validation accuracy {min(finals):.2%} to {max(finals):.2%}; {diverged} diverged; "
            f"{seconds / 3600:.2f} hours of training"
        )


def _with_options(space: Mapping[str, Any]) -> dict[str, Any]:
    """The space with GROUP=OPTION for each choice of a GROUP that is written as a parameter beside its options."""
    groups = {key.partition("=")[0] for key in space if "=" in key} & space.keys()
    options = {f"{group}={choice}": {} for group in groups for choice in space[group]["attributes"]["choices"]}
    return options | {key: value for key, value in space.items() if key not in groups}


def _rounded(curve: Mapping[str, Sequence[float]]) -> Curves:
    return {name: [round(value, places) for value in curve[name]] for name, places in _DIGITS.items()}
