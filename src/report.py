"""Makes a sweep's report again. `python src/report.py --help` shows how."""

import sys
from dataclasses import dataclass

from omegaconf import MISSING

from housenumbers.command_line import parse
from housenumbers.errors import one_line_errors


@dataclass
class Arguments:
    """Makes the report of a study again: report.html in the sweep's folder.

    python src/report.py study=STUDY                a study below multirun/, by its name
    python src/report.py study=FOLDER               a sweep's folder, wherever it is
    python src/report.py study=STUDY storage=URL    a study in a database"""

    study: str = MISSING
    storage: str | None = None


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        from housenumbers.sweeps.report import write_report
        from housenumbers.sweeps.study import find_study, one_line_database_errors

        with one_line_database_errors():
            study, folder = find_study(arguments.study, arguments.storage)
            print(write_report(study, folder))


if __name__ == "__main__":
    main()
