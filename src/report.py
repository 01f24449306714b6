"""Makes a page to look at: of a sweep, or of a data set. `python src/report.py --help` shows how."""

import sys
from dataclasses import dataclass
from pathlib import Path

from housenumbers.command_line import parse
from housenumbers.config import composed_from
from housenumbers.errors import UserError, one_line_errors


@dataclass
class Arguments:
    """Makes a page to look at, report.html, which needs no network: the report of a study again, or of a data set.

    python src/report.py study=STUDY                a study below multirun/, by its name
    python src/report.py study=FOLDER               a sweep's folder, wherever it is
    python src/report.py study=STUDY storage=URL    a study in a database
    python src/report.py data=svhn                  what the data hold, in outputs/data/; any data.KEY=VALUE

    folder=FOLDER    where the page of a data set goes"""

    study: str | None = None
    storage: str | None = None
    data: str | None = None
    folder: str | None = None


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.*", "seed"])
        if (arguments.study is None) == (arguments.data is None):
            raise UserError("say what to look at: study=STUDY or data=OPTION (--help says more)")
        if arguments.data is not None:
            config = composed_from(
                Path(__file__).absolute().parents[1] / "conf", [f"data={arguments.data}", *overrides]
            )
            from housenumbers.reports.data_page import write_data_page

            print(write_data_page(config.data, Path(arguments.folder) if arguments.folder else None))
            return
        if overrides or arguments.folder:
            raise UserError(f"{(*overrides, 'folder')[0]}: goes with data=OPTION alone")
        from housenumbers.sweeps.report import write_report
        from housenumbers.sweeps.study import find_study, one_line_database_errors, storage_name

        with one_line_database_errors(storage_name("storage", arguments.storage)):
            study, folder = find_study(str(arguments.study), arguments.storage)
            print(write_report(study, folder))


if __name__ == "__main__":
    main()
