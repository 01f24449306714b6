"""The command `housenumbers`: starts the scripts of src/, which a wheel holds in housenumbers/commands."""

import os
import subprocess
import sys
from pathlib import Path

import housenumbers
from housenumbers.runtime.text import closest

_PACKAGE = Path(__file__).resolve().parent
_SCRIPTS = _PACKAGE / "commands" if (_PACKAGE / "commands").is_dir() else _PACKAGE.parent
COMMANDS = {
    "train": "trains a network, or searches for settings",
    "predict": "says which digit each image file shows",
    "read": "reads whole numbers from image files",
    "demo": "serves a page to try models on",
    "evaluate": "scores a trained model",
    "report": "makes a page of a run, of several, or of data",
    "runs": "lists all runs",
    "confirm": "trains a search's best settings with fresh seeds",
    "export": "writes a model as a file for other programs",
}


def main() -> None:
    """Starts a script with the other arguments, in this process's place."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        lines = [f"  housenumbers {name:<10}{text}" for name, text in COMMANDS.items()]
        print("Recognises street-view house numbers.\n", *lines, "", sep="\n")
        print("housenumbers COMMAND --help says more; so does docs/ of the source code.")
        return
    if name == "--version":
        print(f"housenumbers {housenumbers.__version__}")
        return
    if name not in COMMANDS:
        near = closest(name, COMMANDS, 0.6)
        remedy = f"did you mean {near}?" if near else f"use one of {', '.join(COMMANDS)}"
        print(f"error: {name}: no such command: {remedy}", file=sys.stderr)
        raise SystemExit(2)
    command = [sys.executable, str(_SCRIPTS / f"{name}.py"), *sys.argv[2:]]
    if os.name == "nt":  # there a process cannot replace itself
        raise SystemExit(subprocess.call(command))
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
