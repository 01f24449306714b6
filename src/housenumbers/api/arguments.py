"""Checks of the arguments of Python calls."""

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from io import IOBase
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from housenumbers.config.messages import either
from housenumbers.config.schema import DEVICES, MAX_THREADS, is_device
from housenumbers.runtime.errors import InputError
from housenumbers.runtime.files import expand_user


def as_path_or_name(name: str, value: Any, what: str) -> str:
    """A folder, or what else names a run, as text, with `~` replaced.

    Raises InputError where it is neither text nor a path, or is empty.

    pathlib takes the empty text for the working folder. `what` the argument must be, in words.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else ""
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{name}={value!r}: must be {what}")
    return str(expand_user(text))


def as_device(device: Any) -> str | None:
    """A device's name, or None. Raises InputError where it is neither."""
    text = str(device) if isinstance(device, str | torch.device) else ""
    if device is not None and not is_device(text):
        raise InputError(f"device={device!r}: must be {DEVICES}, or None")
    return text or None


def as_threads(threads: Any) -> int | None:
    """A number of threads, or None. Raises InputError where it is neither."""
    if threads is None:
        return None
    if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= int(threads) <= MAX_THREADS:
        raise InputError(f"threads={threads!r}: must be a whole number from 1 to {MAX_THREADS}, or None")
    return int(threads)


def check_flag(name: str, value: Any) -> None:
    """Raises InputError where the value is neither True nor False: any text, such as "false", would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}={value!r}: must be True or False")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raises InputError where the value is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name}={value!r}: must be {either(choices)}")


def check_probability(name: str, value: Any) -> None:
    """Raises InputError where the value is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InputError(f"{name}={value!r}: must be a number from 0 to 1")


def as_overrides(overrides: Any) -> list[str]:
    """Overrides as a list. Raises InputError where they are not words in a fixed order, of which the last one wins."""
    if isinstance(overrides, str):
        raise InputError(f"overrides: must be a list of words, such as {overrides.split()}: not {overrides!r}")
    if isinstance(overrides, Iterable) and not isinstance(overrides, bytes | Mapping | Set | IOBase):
        words = list(overrides)
        if all(isinstance(word, str) for word in words):
            return words
    raise InputError(f"overrides: must be a list of words, such as ['seed=1', 'epochs=2']: not {overrides!r}")
