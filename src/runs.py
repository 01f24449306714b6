"""Lists every run below outputs/ and multirun/, best first. `python src/runs.py --help` shows how."""

import json
import sys
from dataclasses import dataclass
from typing import Literal

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.runtime.errors import one_line_errors


@dataclass
class Arguments:
    """Lists every run below outputs/ and multirun/, the highest validation accuracy first.

    python src/runs.py                               a table
    python src/runs.py format=json                   everything that the runs wrote down
    python src/runs.py status=completed data=svhn    only runs that match; any key of run.json or of
    python src/runs.py name=run1 optimizer.lr=0.001  the configuration will do
    python src/runs.py limit=10                      the first ten"""

    format: Literal["table", "json"] = "table"
    limit: Count | None = None


def main() -> None:
    with one_line_errors():
        arguments, filters = parse(Arguments, sys.argv[1:], others=["*"])
        from housenumbers.tracking.run_index import all_runs, check_filters, matches, table

        unfiltered = all_runs()
        check_filters(unfiltered, filters)
        runs = [run for run in unfiltered if matches(run, filters)][: arguments.limit]
        if unfiltered and not runs:
            print(f"no run of {len(unfiltered)} has {' and '.join(filters)}", file=sys.stderr)
        print(json.dumps(runs, indent=2) if arguments.format == "json" else table(runs))


if __name__ == "__main__":
    main()
