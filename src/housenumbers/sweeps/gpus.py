"""Divides the GPUs that a sweep sees among its worker processes."""

import os
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_GPU = re.compile(r"\d+|GPU-.+|MIG-.+")  # an index, or the UUID or name of a device or of a part of one
_LAUNCHERS = ("BasicLauncher", "JoblibLauncher")  # others give GPUs to their jobs themselves


def gpus_of_workers(
    device: str, launcher: str, workers: int, per_trial: int
) -> tuple[list[dict[str, str]], str | None]:
    """The environment variables that give each worker its own GPUs, and a note where workers share them.

    The variables are empty where nothing is divided: no GPU is visible, `device` is another one or a certain GPU, or
    the `launcher`, a class of Hydra, gives GPUs to its jobs. Raises UserError where `per_trial` GPUs cannot be given.
    """
    nothing: list[dict[str, str]] = [{}] * workers
    if launcher not in _LAUNCHERS:
        if per_trial > 1:
            raise UserError(
                f"hydra.sweeper.gpus_per_trial={per_trial}: {launcher} gives GPUs to its jobs itself: leave it out, "
                "and set them in hydra.launcher"
            )
        return nothing, None
    if device not in ("auto", "cuda"):
        if per_trial > 1:
            raise UserError(f"hydra.sweeper.gpus_per_trial={per_trial}: needs device=auto or device=cuda, not {device}")
        return nothing, None
    gpus = visible_gpus(os.environ)
    if not gpus and per_trial == 1:
        return nothing, None
    if len(gpus) < per_trial:
        raise UserError(f"hydra.sweeper.gpus_per_trial={per_trial}: {plural(len(gpus), 'GPU')} visible: give fewer")
    shared = None
    if workers > len(gpus) // per_trial:
        each = f", {per_trial} for each trial," if per_trial > 1 else ""
        shared = f"{plural(len(gpus), 'GPU')}{each} for {plural(workers, 'worker')}: workers share them in turns"
    return [{_VISIBLE: ",".join(group)} for group in divide(gpus, workers, per_trial)], shared


def divide(gpus: Sequence[str], workers: int, per_trial: int) -> list[Sequence[str]]:
    """`per_trial` of the `gpus` for each worker. Where there are too few, workers share them in turns."""
    groups = [gpus[first : first + per_trial] for first in range(0, len(gpus) - per_trial + 1, per_trial)]
    return [groups[worker % len(groups)] for worker in range(workers)]


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that CUDA lets this process see, as names for CUDA_VISIBLE_DEVICES.

    As in CUDA, an invalid name hides those after it. Without that variable all GPUs are visible.
    """
    named = environment.get(_VISIBLE)
    if named is None:
        with signals.deferred_signals():  # an interrupted import leaves torch broken
            import torch
        return [str(index) for index in range(torch.cuda.device_count())]
    return list(takewhile(_GPU.fullmatch, map(str.strip, named.split(","))))
