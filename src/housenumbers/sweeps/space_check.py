"""Composes examples of a search's trials before the first one: as a check, and to learn what all trials share."""

from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from housenumbers.config.compose import assignment
from housenumbers.config.messages import one_line
from housenumbers.config.validate import validate_composed
from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import Space


def searched_groups(space: Space, own: dict[str, str]) -> dict[str, list[str]]:
    """The groups of the configuration whose options are searched, with these options. `own` are its own options."""
    choices = {
        key: [str(choice) for choice in value.choices]
        for key, value in space.always.items()
        if key in own and isinstance(value, CategoricalDistribution)
    }
    return choices | space.groups


def first_options(groups: dict[str, list[str]], own: dict[str, str]) -> list[str]:
    """The first option of each searched group whose own option is not searched: no trial has that one."""
    return [assignment(group, options[0]) for group, options in groups.items() if own[group] not in options]


def check_samples(space: Space, first: Sequence[str], compose: Callable[[list[str]], DictConfig]) -> None:
    """Composes each value of each choice, and one value of each range.

    Raises for unknown keys and options, and for unsuitable values.
    """
    for overrides in space.samples():
        chosen = {override.partition("=")[0] for override in overrides}
        sample = compose([*(word for word in first if word.partition("=")[0] not in chosen), *overrides])
        if any(override.startswith("+") for override in overrides):  # which Hydra adds, known or not
            validate_composed(sample)


def with_each_option(
    space: Space, groups: dict[str, list[str]], compose: Callable[[list[str]], DictConfig]
) -> list[DictConfig]:
    """The configurations of a trial with each option of each searched group, and an example of all other parameters.

    Raises UserError where a parameter does not exist with an option.
    """
    first = {group: options[0] for group, options in groups.items()}
    return [
        _composed(space, {**first, group: option}, f"{group}={option}", compose)
        for group, options in groups.items()
        for option in options
    ]


def _composed(
    space: Space, options: dict[str, str], about: str, compose: Callable[[list[str]], DictConfig]
) -> DictConfig:
    examples = {key: _example(value) for key, value in space.distributions(options).items()}
    try:
        return compose([assignment(key, value) for key, value in (examples | options).items()])
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(
            f"{about}: {one_line(error)}: search it with the option that has it, by `choose` in a file of conf/search"
        ) from None


def _example(distribution: BaseDistribution) -> object:
    """A value of the distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    return low if isinstance(distribution, IntDistribution) else (low + high) / 2
