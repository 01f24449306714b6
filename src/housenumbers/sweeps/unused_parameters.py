"""Detects wrong search parameters: keys that the configuration lacks, and values out of range or without an effect."""

import math

from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from housenumbers.config.constraints import check_value
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import option_dict
from housenumbers.runtime.text import plural
from housenumbers.sweeps.space import Space

_STEP = ("scheduler.step_size", "scheduler.gamma")


def drop_unknown_keys(space: Space, composed: DictConfig, typed: set[str]) -> str | None:
    """Removes keys from the space that the configuration lacks. Returns a line that names them, or None.

    Keys that were `typed` stay, so that Hydra raises its own error.
    """
    groups = {key: key.rpartition(".")[0] for key in space.always.keys() - typed if "." in key}
    absent = sorted(
        key
        for key, group in groups.items()
        if group not in space.options
        and isinstance(node := OmegaConf.select(composed, group), DictConfig)
        and key.rpartition(".")[2] not in node
    )
    for key in absent:
        del space.always[key]
    if not absent:
        return None
    options = composed.hydra.runtime.choices
    selected = sorted({f"{groups[key]}={options[groups[key]]}" for key in absent if groups[key] in options})
    return f"not searched: {', '.join(absent)}: {', '.join(selected) or 'the configuration'} has no such key"


def check_ranges(space: Space, config: TrainConfig) -> None:
    """Raises UserError where a range of the search holds numbers that the configuration does not allow.

    A continuous interval may begin or end at a limit that the configuration excludes: its ends are never drawn.
    """
    for key, distribution in space.always.items():
        for value in extremes(distribution):
            check_value(config, key, value)


def extremes(distribution: BaseDistribution) -> list[float]:
    """The least and the greatest number, or all numbers among the choices."""
    if isinstance(distribution, CategoricalDistribution):
        numbers = [choice for choice in distribution.choices if not isinstance(choice, bool)]
        return [choice for choice in numbers if isinstance(choice, int | float)]
    if isinstance(distribution, FloatDistribution) and distribution.step is None:
        low, high = distribution.low, distribution.high
        return [math.nextafter(low, high), math.nextafter(high, low)]
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return [distribution.low, distribution.high]
    return []


def unused_step_lr_parameters(space: Space, config: TrainConfig) -> str | None:
    """A line about searched parameters of StepLR whose first step comes after the last epoch, or None."""
    searched = [key for key in _STEP if key in space.always]
    scheduler = option_dict(config.scheduler)
    is_step = str(scheduler.get("_target_")).endswith(".StepLR") and scheduler.get("interval") == "epoch"
    if not searched or not is_step or {"epochs", "scheduler", "scheduler.interval"} & space.keys():
        return None
    first = _least(space.always.get("scheduler.step_size"), scheduler["step_size"])
    if first < config.epochs:
        return None
    remedy = f'narrow it: "scheduler.step_size=range(1,{config.epochs})"' if config.epochs > 1 else "pin them"
    return (
        f"searched without effect: {', '.join(searched)}: the learning rate changes after "
        f"{plural(round(first), 'epoch')} at the earliest, and epochs={config.epochs}: {remedy}, or raise epochs"
    )


def _least(distribution: BaseDistribution | None, otherwise: float) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return min((choice for choice in distribution.choices if isinstance(choice, int | float)), default=otherwise)
    return distribution.low if isinstance(distribution, IntDistribution | FloatDistribution) else otherwise
