"""Checks the options of a sweep, `hydra.sweeper`."""

from collections.abc import Mapping
from math import inf
from typing import Any

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.keep_checkpoints import KEEP

_AT_LEAST_1 = ("n_trials", "n_jobs", "heartbeat_seconds", "gpus_per_trial")
_INSTEAD = {"direction": "it follows from objective=", "custom_search_space": "conf/search/models.yaml shows how"}


def check_options(options: Mapping[str, Any]) -> None:
    """Raises UserError where an option has an invalid value. Sampler and pruner check theirs themselves."""
    for key in _AT_LEAST_1:
        if not _is_number(options[key], int) or options[key] < 1:
            raise UserError(f"hydra.sweeper.{key}={options[key]}: must be a whole number, 1 or more")
    for key in ("seed", "n_startup_trials"):
        value = options["sampler"].get(key)
        if value is not None and (not _is_number(value, int) or value < 0):
            raise UserError(f"hydra.sweeper.sampler.{key}={value}: must be a whole number, 0 or more")
    timeout = options["timeout"]
    if timeout is not None and not (_is_number(timeout, int | float) and 0 < timeout < inf):
        raise UserError(f"hydra.sweeper.timeout={timeout}: must be a number of seconds above 0, or null")
    if options["keep_checkpoints"] not in KEEP:
        raise UserError(
            f"hydra.sweeper.keep_checkpoints={options['keep_checkpoints']}: must be one of {', '.join(KEEP)}"
        )
    for key in _INSTEAD:
        if options[key] is not None:
            raise UserError(f"hydra.sweeper.{key}: leave it out: {_INSTEAD[key]}")
    if not 0 <= options["max_failure_rate"] <= 1:
        raise UserError(f"hydra.sweeper.max_failure_rate={options['max_failure_rate']}: must be from 0 to 1")
    if not isinstance(options["storage"], str | None):
        raise UserError("hydra.sweeper.storage: must be the URL of a database, or null for study.db")


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
