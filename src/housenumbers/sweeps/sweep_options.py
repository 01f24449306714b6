"""Checks the options of a sweep, `hydra.sweeper`."""

from collections.abc import Mapping
from math import inf
from typing import Any

from omegaconf import DictConfig, OmegaConf

from housenumbers.config.constraints import require
from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.keep_checkpoints import KEEP_CHOICES

_AT_LEAST_1 = ("n_trials", "n_jobs", "heartbeat_seconds", "gpus_per_trial")
_INSTEAD = {"direction": "it follows from objective=", "custom_search_space": "conf/search/models.yaml shows how"}
_HYDRAS_SUBDIR = "${hydra.job.num}"  # the default


def check_options(options: Mapping[str, Any]) -> None:
    """Raises UserError where an option has an invalid value. Sampler and pruner check theirs themselves."""
    for key in _AT_LEAST_1:
        _require(_is_number(options[key], int) and options[key] >= 1, key, options[key], "a whole number, 1 or more")
    for key, bound, want in (("seed", 2**32, "from 0 to 4294967295"), ("n_startup_trials", inf, "0 or more")):
        value = options["sampler"].get(key)
        is_valid = value is None or (_is_number(value, int) and 0 <= value < bound)
        _require(is_valid, f"sampler.{key}", value, f"a whole number, {want}")
    timeout, keep, rate = (options[key] for key in ("timeout", "keep_checkpoints", "max_failure_rate"))
    is_valid = timeout is None or (_is_number(timeout, int | float) and 0 < timeout < inf)
    _require(is_valid, "timeout", timeout, "a number of seconds above 0, or null")
    _require(keep in KEEP_CHOICES, "keep_checkpoints", keep, f"one of {', '.join(KEEP_CHOICES)}")
    _require(0 <= rate <= 1, "max_failure_rate", rate, "from 0 to 1")
    for key in _INSTEAD:
        if options[key] is not None:
            raise UserError(f"hydra.sweeper.{key}: leave it out: {_INSTEAD[key]}")
    if not isinstance(options["storage"], str | None):
        raise UserError("hydra.sweeper.storage: must be the URL of a database, or null for study.db")


def check_subdir(sweep: DictConfig) -> None:
    """Raises UserError where the section `hydra.sweep` sets names for the folders of trials."""
    unresolved: Any = OmegaConf.to_container(sweep)
    if unresolved["subdir"] != _HYDRAS_SUBDIR:
        raise UserError("hydra.sweep.subdir: leave it out: a search names the folders of its trials itself")


def _require(condition: bool, key: str, value: Any, want: str) -> None:
    require(condition, f"hydra.sweeper.{key}", value, want)


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
