"""Lists every run below outputs/ and multirun/, best first. `python src/runs.py --help` shows how."""

import json
import sys
from dataclasses import dataclass

from housenumbers.config.command_line import parse
from housenumbers.runtime.errors import UserError, one_line_errors


@dataclass
class Arguments:
    """Lists every run below outputs/ and multirun/, the highest validation accuracy first.

    python src/runs.py                               a table
    python src/runs.py format=json                   everything that the runs wrote down
    python src/runs.py status=completed data=svhn    only runs that match; any key of run.json or of
    python src/runs.py name=run1 optimizer.lr=0.001  the configuration will do
    python src/runs.py limit=10                      the first ten"""

    format: str = "table"
    limit: int | None = None


def main() -> None:
    with one_line_errors():
        arguments, filters = parse(Arguments, sys.argv[1:], others=["*"])
        if arguments.format not in ("table", "json"):
            raise UserError(f"format={arguments.format}: must be table or json")
        if arguments.limit is not None and arguments.limit < 1:
            raise UserError(f"limit={arguments.limit}: must be 1 or more")
        from housenumbers.tracking.run_index import all_runs, check_filters, matches, table

        unfiltered = all_runs()
        check_filters(unfiltered, filters)
        runs = [run for run in unfiltered if matches(run, filters)][: arguments.limit]
        if unfiltered and not runs:
            print(f"no run of {len(unfiltered)} has {' and '.join(filters)}", file=sys.stderr)
        print(json.dumps(runs, indent=2) if arguments.format == "json" else table(runs))


if __name__ == "__main__":
    main()
