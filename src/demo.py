"""Serves a page to try trained models on. `python src/demo.py --help` shows how."""

import sys
from dataclasses import dataclass

from housenumbers.pretrained import NUMBERS
from housenumbers.runtime import signals
from housenumbers.runtime.errors import one_line_errors


@dataclass
class Arguments:
    """A page to try a model: drop, paste or draw a number or a digit, and see what the model reads, and how sure it is.

    python src/demo.py                  serves it to this machine alone, until Ctrl-C, and prints its address
    python src/demo.py run=best port=0  on any free port

    run=last|best|NAME|FOLDER|FILE   which model is selected first; without it pretrained_numbers. The page offers
                                     the two models that come with the code, and all saved runs
    trials=true                      and the trials of sweeps
    port=7860, host=127.0.0.1        where it is served; others can see it with host=0.0.0.0
    device=, threads=                replace the run's own
    It downloads nothing, and keeps no image."""

    run: str = NUMBERS
    host: str = "127.0.0.1"
    port: int = 7860
    trials: bool = False


def main() -> None:
    signals.install_handlers()  # before slow imports
    with one_line_errors(), signals.one_line_exit():
        from housenumbers.config.command_line import parse
        from housenumbers.demo.server_socket import address, check_installed, listen

        arguments, overrides = parse(Arguments, sys.argv[1:], others=["device", "threads"])
        check_installed()
        from housenumbers.tracking.run_selection import find_run

        selected = find_run(arguments.run)
        with listen(arguments.host, arguments.port) as listener:
            with signals.deferred_signals():  # an interrupted import leaves a partial module or raises another error
                from housenumbers.demo.answers import Models
                from housenumbers.demo.server import serve

            models = Models(selected.path, overrides, arguments.trials)
            selected.print_reason()
            print(f"{address(listener)} (Ctrl-C ends it)", flush=True)
            serve(models, listener)


if __name__ == "__main__":
    main()
