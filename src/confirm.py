"""Runs the best configurations of a search again on fresh seeds. `python src/confirm.py --help` shows how."""

import sys
from dataclasses import dataclass

from omegaconf import MISSING

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count
from housenumbers.config.values import MACHINE_KEYS
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.files import expand_user
from housenumbers.runtime.installation import CONF
from housenumbers.runtime.text import plural


@dataclass
class Arguments:
    """Runs the best configurations of a search again, on seeds that the search did not use and on its own split.

    python src/confirm.py study=STUDY top=3 seeds=5     a study below multirun/, or a sweep's folder
    python src/confirm.py study=STUDY storage=URL       a study in a database
    python src/confirm.py study=STUDY config_dir=FOLDER a sweep that was given --config-dir=FOLDER

    device=, threads=, data.root=FOLDER, data.cache=, data.verify= and data.download= replace the sweep's own.
    Prints mean, standard deviation and whether the difference is real; adds them to the sweep's report.
    The same command goes on after an interruption."""

    study: str = MISSING
    top: Count = 3
    seeds: Count = 5
    storage: str | None = None
    config_dir: str | None = None


def main() -> None:
    signals.install_handlers()
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=MACHINE_KEYS)
        from housenumbers.runs.run import run
        from housenumbers.sweeps.confirm import confirm
        from housenumbers.sweeps.database import one_line_database_errors, storage_name
        from housenumbers.sweeps.study import find_study

        config_dir = None if arguments.config_dir is None else expand_user(arguments.config_dir).absolute()
        if config_dir and not config_dir.is_dir():
            raise UserError(f"config_dir={config_dir}: no such folder: name the one that the sweep was given")
        with one_line_database_errors(storage_name("storage", arguments.storage)):
            study, folder = find_study(arguments.study, arguments.storage)
            result = confirm(study, folder, CONF, run, arguments.top, arguments.seeds, overrides, config_dir)
        print(f"{result['objective']} on {plural(arguments.seeds, 'fresh seed')}, mean ± standard deviation:")
        for row in result["rows"]:
            print(
                f"  trial {row['trial']}: search {row['search']}, confirmed {row['confirmed']}, "
                f"test accuracy {row['test']}: {row['difference']}"
            )
        print(f"in the report: {folder / 'report.html'}")


if __name__ == "__main__":
    main()
