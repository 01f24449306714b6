"""Which run `run=` means: one rule for every command that takes it, and a line that says what was chosen and why."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.run_index import RUN_ROOTS, all_runs, find_value

Run = Mapping[str, Any]


class SelectedRun(NamedTuple):
    """A run's folder or a checkpoint, and why it is this one: empty where the user named it."""

    path: Path
    why: str = ""

    def tell(self) -> None:
        """Says on standard error what was chosen. For where a command has its result: an error is one line alone."""
        if self.why:
            print(self.why, file=sys.stderr)


def find_run(wanted: str, homes: Sequence[Path] = RUN_ROOTS) -> SelectedRun:
    """The run that `wanted` names: a folder, a file, `last`, `best`, or the `name` of runs below `homes`.

    Only runs with a checkpoint are chosen from. `last` is the newest, and so is a name that several have: completed
    ones come before others, and single runs before trials of a sweep. `best` has the highest validation accuracy among
    the completed ones with the same data option as the newest of these. Raises UserError where there is none.
    """
    path = Path(wanted)
    if wanted not in ("last", "best") and (path.is_file() or _is_run(path)):
        return SelectedRun(path)
    runs = all_runs(homes)
    if wanted not in ("last", "best"):
        runs = [run for run in runs if run.get("name") == wanted]
        if not runs and path.exists():
            return SelectedRun(path)  # whoever opens it says what it lacks
    saved = [run for run in runs if RunFolder(Path(run["folder"])).best.exists()]
    if wanted == "best":
        return _best(saved, homes)
    if not saved:
        raise UserError(f"run={wanted}: {_nothing(wanted, runs, homes)}")
    return _newest(wanted, saved)


def _is_run(path: Path) -> bool:
    return any(part.exists() for part in (path / "run.json", path / ".hydra", path / "checkpoints"))


def _newest(wanted: str, runs: Sequence[Run]) -> SelectedRun:
    chosen = max(runs, key=lambda run: (run["status"] == "completed", not run.get("trial"), _started(run)))
    alike = [run for run in runs if _kind(run) == _kind(chosen)]
    what = f"{chosen['status']} {'trial' if chosen.get('trial') else 'run'}"
    named = "" if wanted == "last" else f" named {wanted}"
    which = f"the only {what}{named}" if len(alike) == 1 else f"the newest of {plural(len(alike), what)}{named}"
    newer = [run for run in runs if _started(run) > _started(chosen)]
    passed_over = max(newer, key=_started, default=None)
    if passed_over is not None:
        kind = "a sweep's trial" if passed_over.get("trial") else f"{passed_over['status']}"
        which += f"; newer, but {kind}: {passed_over['folder']}"
    return _choice(wanted, chosen, which)


def _best(runs: Sequence[Run], homes: Sequence[Path]) -> SelectedRun:
    scored = [run for run in runs if run["status"] == "completed" and run.get("best")]  # the best is first
    if not scored:
        raise UserError(f"run=best: {_nothing('best', runs, homes)}")
    data = find_value(max(scored, key=_started), "data.name")
    same_data = [run for run in scored if find_value(run, "data.name") == data]
    chosen, others = same_data[0], len(scored) - len(same_data)
    which = f"{chosen['best']['val_accuracy']:.2%} of validation, the best of {len(same_data)} completed on {data}"
    which += f", the data of the newest run; {others} on other data not considered" if others else ""
    if any(run.get("name") == "best" for run in runs):
        which += "; one that is named best is asked for by its folder"
    return _choice("best", chosen, which)


def _choice(wanted: str, chosen: Run, which: str) -> SelectedRun:
    model, data = (find_value(chosen, key) or "?" for key in ("model.name", "data.name"))
    return SelectedRun(Path(chosen["folder"]), f"run={wanted}: {chosen['folder']} ({model} on {data}): {which}")


def _nothing(wanted: str, runs: Sequence[Run], homes: Sequence[Path]) -> str:
    """Why there is nothing to choose from, and what to do."""
    places = " or ".join(map(str, homes))
    if wanted == "best" and runs:
        return f"no completed run with a validation part below {places}: use last, or name a folder"
    if wanted in ("last", "best"):
        return f"no run with a checkpoint below {places}: train one (make train), or name a folder"
    if runs:
        return f"no run of that name has a checkpoint yet: {runs[0]['folder']} is {runs[0]['status']}"
    return "no such folder, file or name of a run: use last, best, a run's folder or name, or a checkpoint"


def _kind(run: Run) -> tuple[str, bool]:
    return run["status"], bool(run.get("trial"))


def _started(run: Run) -> str:
    return str(run.get("started", ""))
