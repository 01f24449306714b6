"""Constraints of the arguments that choose among names, such as the contestants of a benchmark."""

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))  # last: src/runs.py must not hide ours

from housenumbers.config.constraints import Predicate


def one_of(names: Iterable[str]) -> Predicate:
    """The constraint of a text that is one of the names."""
    known = list(names)
    return Predicate(lambda text: text in known, f"one of {', '.join(known)}")


def some_of(names: Iterable[str]) -> Predicate:
    """The constraint of a text that is some of the names, with commas between them."""
    known = list(names)
    return Predicate(lambda text: set(text.split(",")) <= set(known), f"some of {','.join(known)}")
