"""Resolves `run=` in the same way for all commands, and explains the selection in one line."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from housenumbers.pretrained import MODELS
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import expand_user
from housenumbers.runtime.installation import command
from housenumbers.runtime.text import closest_ignoring_case, plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.run_list import RUN_ROOTS, all_runs, find_value

Run = Mapping[str, Any]


class SelectedRun(NamedTuple):
    """A run's folder or a checkpoint, and the reason for its selection, which is empty where the user named it."""

    path: Path
    reason: str = ""

    def print_reason(self) -> None:
        """Prints the selection on standard error. Called after success, so that an error stays a single line."""
        if self.reason:
            print(self.reason, file=sys.stderr)


def find_run(wanted: str) -> SelectedRun:
    """The run for `wanted`: a folder, a file, `last`, `best`, one of `pretrained.MODELS`, or the `name` of runs.

    Considers only runs with a checkpoint. `last`, and a name that several runs share, selects the newest run: completed
    runs come before others, and single runs before trials of a sweep. `best` selects the highest validation accuracy
    among completed runs with the data option of the newest completed run. Raises UserError where there is none.
    """
    if not wanted.strip():  # would be the working folder
        raise UserError("run=: must be a run's folder, its name, last or best, or a checkpoint")
    if wanted in MODELS:
        file, reads = MODELS[wanted]
        about = f"{reads}, a model that comes with the code, trained on rendered images alone"
        return SelectedRun(file, f"run={wanted}: {about}; run=last takes your newest run")
    path = expand_user(wanted)
    if wanted not in ("last", "best") and (path.is_file() or is_run(path)):
        return SelectedRun(path)
    runs = all_runs()
    names = {str(run["name"]) for run in runs if run.get("name")}
    if wanted not in ("last", "best"):
        runs = [run for run in runs if run.get("name") == wanted]
        if not runs and path.exists():
            return SelectedRun(path)  # the caller reports what the path lacks
    saved = [run for run in runs if RunFolder(Path(run["folder"])).best.exists()]
    if wanted == "best":
        return _best(saved)
    if not saved:
        raise UserError(f"run={wanted}: {_not_found_message(wanted, runs, names)}")
    return _newest(wanted, saved)


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run, finished or not."""
    return any(part.exists() for part in (path / "run.json", path / ".hydra", path / "checkpoints"))


def _newest(wanted: str, runs: Sequence[Run]) -> SelectedRun:
    selected = max(runs, key=lambda run: (run["status"] == "completed", not run.get("trial"), _started(run)))
    peers = [run for run in runs if _kind(run) == _kind(selected)]
    what = f"{selected['status']} {'trial' if selected.get('trial') else 'run'}"
    named = "" if wanted == "last" else f" named {wanted}"
    reason = f"the only {what}{named}" if len(peers) == 1 else f"the newest of {plural(len(peers), what)}{named}"
    newer = [run for run in runs if _started(run) > _started(selected)]
    newest = max(newer, key=_started, default=None)
    if newest is not None:
        kind = "a sweep's trial" if newest.get("trial") else f"{newest['status']}"
        reason += f"; newer, but {kind}: {newest['folder']}"
    return _with_reason(wanted, selected, reason)


def _best(runs: Sequence[Run]) -> SelectedRun:
    scored = [run for run in runs if run["status"] == "completed" and run.get("best")]  # the best is first
    if not scored:
        raise UserError(f"run=best: {_not_found_message('best', runs)}")
    data = find_value(max(scored, key=_started), "data.name")
    same_data = [run for run in scored if find_value(run, "data.name") == data]
    best, other_count = same_data[0], len(scored) - len(same_data)
    reason = f"{best['best']['val_accuracy']:.2%} of validation, the best of {len(same_data)} completed on {data}"
    reason += f", the data of the newest run; {other_count} on other data not considered" if other_count else ""
    if any(run.get("name") == "best" for run in runs):
        reason += "; one that is named best is asked for by its folder"
    return _with_reason("best", best, reason)


def _with_reason(wanted: str, run: Run, reason: str) -> SelectedRun:
    model, data = (find_value(run, key) or "?" for key in ("model.name", "data.name"))
    return SelectedRun(Path(run["folder"]), f"run={wanted}: {run['folder']} ({model} on {data}): {reason}")


def _not_found_message(wanted: str, runs: Sequence[Run], names: Iterable[str] = ()) -> str:
    """The error text where no run matches, with a remedy."""
    places = " or ".join(map(str, RUN_ROOTS))
    if wanted == "best" and runs:
        return f"no completed run with a validation part below {places}: use last, or name a folder"
    if wanted in ("last", "best"):
        advice = f"train one ({command('train')} experiment=quickstart), or name a folder"
        return f"no run with a checkpoint below {places}: {advice}"
    if runs:
        return f"no run of that name has a checkpoint yet: {runs[0]['folder']} is {runs[0]['status']}"
    fixed = ("last", "best", *MODELS)
    near = closest_ignoring_case(wanted, (*names, *fixed), 0.7)
    hint = f"did you mean {near}? " if near else ""
    return (
        f"no such folder, file or name of a run: {hint}use {', '.join(fixed)}, a run's folder or name, or a checkpoint"
    )


def _kind(run: Run) -> tuple[str, bool]:
    return run["status"], bool(run.get("trial"))


def _started(run: Run) -> str:
    return str(run.get("started", ""))
