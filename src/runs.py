"""Lists every run below outputs/ and multirun/, best first, and deletes runs. `python src/runs.py --help` shows how."""

import json
import sys
from dataclasses import dataclass
from typing import Literal

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import UserError, one_line_errors


@dataclass
class Arguments:
    """Lists every run below outputs/ and multirun/, the highest validation accuracy first.

    python src/runs.py                               a table
    python src/runs.py format=json                   everything that the runs wrote down
    python src/runs.py status=completed data=svhn    only runs that match; any key of run.json or of
    python src/runs.py name=run1 optimizer.lr=0.001  the configuration will do
    python src/runs.py limit=10                      the first ten
    python src/runs.py status=failed delete=true     deletes the runs that match, with all files; asks first,
                                                     unless yes=true"""

    format: Literal["table", "json"] = "table"
    limit: Count | None = None
    delete: bool = False
    yes: bool = False


def main() -> None:
    with one_line_errors():
        arguments, filters = parse(Arguments, sys.argv[1:], others=["*"])
        from housenumbers.tracking.run_deletion import delete_runs
        from housenumbers.tracking.run_index import all_runs, check_filters, matches, table

        unfiltered = all_runs()
        check_filters(unfiltered, filters)
        runs = [run for run in unfiltered if matches(run, filters)][: arguments.limit]
        if unfiltered and not runs:
            print(f"no run of {len(unfiltered)} has {' and '.join(filters)}", file=sys.stderr)
        if arguments.delete:
            if not filters:
                raise UserError("delete=true: name what to delete: status=failed, or folder=RUN_FOLDER")
            for folder in delete_runs(runs, arguments.yes):
                print(f"deleted {folder}")
            return
        print(json.dumps(runs, indent=2) if arguments.format == "json" else table(runs))


if __name__ == "__main__":
    main()
