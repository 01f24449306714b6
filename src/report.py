"""Makes a page to look at: of a run, several, a sweep, or a data set. `python src/report.py --help` shows how."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_data
from housenumbers.config.values import MACHINE_KEYS
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.files import expand_user
from housenumbers.runtime.installation import CONF


@dataclass
class Arguments:
    """Makes a page to look at, report.html, which needs no network.

    python src/report.py run=last                   what a run learnt, in its folder; also best, a name or a folder
    python src/report.py run=FOLDER split=test      its images and scores from the test part, not from validation
    python src/report.py "runs=[FOLDER,FOLDER]"     two to six runs side by side, in outputs/comparisons/
    python src/report.py study=STUDY                the report of a study below multirun/ again, by its name
    python src/report.py study=FOLDER               a sweep's folder, wherever it is
    python src/report.py study=STUDY storage=URL    a study in a database
    python src/report.py data=svhn                  what the data hold, in outputs/data/; any data.KEY=VALUE

    split=SPLIT      of run= and runs=: validation or test
    folder=FOLDER    of runs= and data=: where the page goes

    With run= and runs=, device=, threads=, data.root=FOLDER, data.cache=, data.verify= and data.download= replace the
    runs' own; nothing is downloaded without data.download=true."""

    run: str | None = None
    runs: list[str] | None = None
    study: str | None = None
    data: str | None = None
    split: Literal["test", "validation"] | None = None
    storage: str | None = None
    folder: str | None = None


# The arguments that each of the four accepts, besides keys of the configuration.
_OWN = {"run": ("split",), "runs": ("split", "folder"), "study": ("storage",), "data": ("folder",)}


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.*", "seed", *MACHINE_KEYS])
        subjects = [key for key in _OWN if getattr(arguments, key) is not None]
        if len(subjects) != 1:
            raise UserError("give one of run=RUN, runs=[RUN,RUN], study=STUDY or data=OPTION (--help says more)")
        _check(subjects[0], arguments, overrides)
        write = {"run": _run, "runs": _runs, "study": _study, "data": _data}[subjects[0]]
        print(write(arguments, overrides))


def _check(what: str, arguments: Arguments, overrides: list[str]) -> None:
    for key in ("split", "storage", "folder"):
        if getattr(arguments, key) is not None and key not in _OWN[what]:
            raise UserError(f"{key}: does not go with {what}= (--help says more)")
    for override in overrides:
        key = override.partition("=")[0]
        is_valid = {"run": key in MACHINE_KEYS, "runs": key in MACHINE_KEYS, "study": False}
        if not is_valid.get(what, key.startswith("data.") or key == "seed"):
            raise UserError(f"{override}: does not go with {what}= (--help says more)")


def _run(arguments: Arguments, overrides: list[str]) -> Path:
    from housenumbers.tracking.run_selection import find_run

    selected = find_run(str(arguments.run))
    from housenumbers.reports.run_page import write_run_page

    page = write_run_page(selected.path, arguments.split, overrides)
    selected.print_reason()
    return page


def _runs(arguments: Arguments, overrides: list[str]) -> Path:
    from housenumbers.tracking.run_selection import find_run

    selections = [find_run(run) for run in arguments.runs or []]
    from housenumbers.reports.comparison_page import write_comparison_page

    page = write_comparison_page(
        [selected.path for selected in selections], arguments.split, _folder(arguments), overrides
    )
    for selected in selections:
        selected.print_reason()
    return page


def _study(arguments: Arguments, _: list[str]) -> Path:
    from housenumbers.sweeps.database import one_line_database_errors, storage_name
    from housenumbers.sweeps.study import find_study
    from housenumbers.sweeps.study_page import write_study_page

    with one_line_database_errors(storage_name("storage", arguments.storage)):
        return write_study_page(*find_study(str(arguments.study), arguments.storage))


def _data(arguments: Arguments, overrides: list[str]) -> Path:
    data = compose_data(CONF, str(arguments.data), overrides)
    from housenumbers.reports.data_page import write_data_page

    return write_data_page(data, _folder(arguments))


def _folder(arguments: Arguments) -> Path | None:
    return expand_user(arguments.folder) if arguments.folder else None


if __name__ == "__main__":
    main()
