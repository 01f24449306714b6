"""Deletes runs: whole folders, after a question, and never what other runs or a study still need."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.run_list import find_value


def delete_runs(runs: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]], confirmed: bool) -> list[Path]:
    """Deletes the folders of `runs`, of the `known` records of `all_runs`, and returns them.

    Asks first, unless `confirmed`. Raises UserError, before anything is deleted, where a run is running or a trial of a
    study, where its folder holds other runs or weights that another run starts with, or where there is nobody to ask.
    """
    folders = [Path(run["folder"]) for run in runs]
    others = [run for run in known if Path(run["folder"]) not in folders]
    for folder, run in zip(folders, runs, strict=True):
        _check(folder, run)
        _check_no_run_starts_with(folder, others)
    if not folders or not (confirmed or _confirm(folders)):
        return []
    for folder in folders:
        with RunFolder(folder).locked():  # against a resume that has started since
            shutil.rmtree(folder)
    return folders


def _check(folder: Path, run: Mapping[str, Any]) -> None:
    if run["status"] == "running":
        raise UserError(f"{folder}: is running: end it first, or leave it out, for example by status=completed")
    if run["status"] == "unreadable":
        raise UserError(f"{folder}: cannot be read ({run['error']}): leave it out, for example by status=completed")
    if run.get("trial") is not None or (folder.parent / "study.db").exists():  # a damaged record does not say
        raise UserError(f"{folder}: a trial of a study, which needs it: delete the whole sweep's folder instead")
    if others := [file.parent for file in folder.rglob("run.json") if file.parent != folder]:
        raise UserError(f"{folder}: holds another run, {others[0]}: delete it by hand")


def _check_no_run_starts_with(folder: Path, others: Sequence[Mapping[str, Any]]) -> None:
    """Raises UserError where one of the `others` starts with weights in the folder, which repeating it needs."""
    for run in others:
        source = find_value(run, "config.model.pretrained")
        if isinstance(source, str) and Path(source.removeprefix("run:")).resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"{folder}: {run['folder']} starts with its weights (model.pretrained), which repeat= needs: "
                "leave it out, or delete that run first"
            )


def _confirm(folders: Sequence[Path]) -> bool:
    """Asks on the terminal. Raises UserError where there is none."""
    for folder in folders:
        print(folder, file=sys.stderr)
    if not sys.stdin.isatty():
        raise UserError(
            f"delete=true: no terminal to ask whether {plural(len(folders), 'run')} may be deleted: add yes=true"
        )
    print(f"Delete {plural(len(folders), 'folder')} with all files? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
