"""Lists every run below outputs/ and multirun/, best first; tags and deletes runs.

`python src/runs.py --help` shows how.
"""

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
    python src/runs.py tags=baseline                 those with this tag
    python src/runs.py status=failed delete=true     deletes the runs that match, with all files; asks first,
                                                     unless yes=true

    python src/runs.py run=RUN tags=[A,B]            gives one run these tags instead of those that it has, and
    python src/runs.py run=RUN note="first try"      a note; null removes them"""

    format: Literal["table", "json"] = "table"
    limit: Count | None = None
    delete: bool = False
    yes: bool = False
    run: str | None = None


def main() -> None:
    with one_line_errors():
        arguments, filters = parse(Arguments, sys.argv[1:], others=["*"])
        if arguments.run is not None:
            _tag(arguments.run, [word for word in sys.argv[1:] if not word.startswith("run=")])
            return
        from housenumbers.tracking.run_deletion import delete_runs
        from housenumbers.tracking.run_list import all_runs, check_filters, matches, table

        unfiltered = all_runs()
        check_filters(unfiltered, filters)
        runs = [run for run in unfiltered if matches(run, filters)][: arguments.limit]
        if unfiltered and not runs:
            print(f"no run of {len(unfiltered)} has {' and '.join(filters)}", file=sys.stderr)
        if arguments.delete:
            if not filters:
                raise UserError("delete=true: name what to delete: status=failed, or folder=RUN_FOLDER")
            for folder in delete_runs(runs, unfiltered, arguments.yes):
                print(f"deleted {folder}")
            return
        print(json.dumps(runs, indent=2) if arguments.format == "json" else table(runs))


def _tag(wanted: str, words: list[str]) -> None:
    from housenumbers.tracking.run_folder import enclosing_run
    from housenumbers.tracking.run_selection import find_run
    from housenumbers.tracking.tags import parse_tags, set_tags

    values = parse_tags(words)
    if not values:
        raise UserError(f"run={wanted}: add tags=[A,B] or note=TEXT, which this run gets (folder=FOLDER is a filter)")
    selected = find_run(wanted)
    folder = enclosing_run(selected.path) or selected.path
    given = set_tags(folder, values)
    selected.print_reason()
    print(f"{folder}: tags={','.join(given.get('tags', [])) or 'null'} note={given.get('note', 'null')}")


if __name__ == "__main__":
    main()
