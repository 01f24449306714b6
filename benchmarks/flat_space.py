"""A search space as the libraries of search_peers.py take it: flat, of choices, integers and numbers alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from searchers import Setting

from housenumbers.sweeps.space import Space


@dataclass(frozen=True)
class Parameter:
    """A parameter as all three libraries have it: a choice or an integer, both from 0 to `count` - 1, or a number.

    A parameter on a logarithmic scale is searched as its logarithm, because Syne Tune's kernel densities (0.16) place
    log-uniform domains linearly; for the others it is the same.
    """

    key: str
    distribution: Any  # Optuna's
    group: str | None = None  # it exists only where this group
    option: str | None = None  # has this option

    @property
    def is_choice(self) -> bool:
        return isinstance(self.distribution, CategoricalDistribution)

    @property
    def count(self) -> int | None:
        """How many values there are. None for a number."""
        one = self.distribution
        if self.is_choice:
            return len(one.choices)
        return None if one.log or one.step is None else round((one.high - one.low) / one.step) + 1

    @property
    def bounds(self) -> tuple[float, float]:
        one = self.distribution
        if isinstance(one, IntDistribution):  # its logarithm: each integer gets its share, as in Optuna
            return math.log(one.low - 0.5), math.log(one.high + 0.5)
        return (math.log(one.low), math.log(one.high)) if one.log else (one.low, one.high)

    @property
    def middle(self) -> float:
        return sum(self.bounds) / 2 if self.count is None else (self.count - 1) // 2

    def value(self, number: float) -> Any:
        """The value of the configuration for a library's number."""
        one = self.distribution
        if self.is_choice:
            return one.choices[int(number)]
        value = one.low + number * one.step if self.count else math.exp(number) if one.log else number
        value = min(max(value, one.low), one.high)  # exp(log(high)) may lie above it; or there is one value alone
        return round(value) if isinstance(one, IntDistribution) else float(value)

    def number(self, value: Any) -> float:
        """The reverse of `value`."""
        one = self.distribution
        if self.is_choice:
            return one.choices.index(value)
        return round((value - one.low) / one.step) if self.count else math.log(value) if one.log else float(value)


class FlatSpace:
    """The parameters of a space by unique names: several options may have one key, each with a range of its own."""

    def __init__(self, space: Space) -> None:
        self._space = space
        always: dict[str, BaseDistribution] = dict(space.always)
        always |= {group: CategoricalDistribution(options) for group, options in space.groups.items()}
        found = {key: Parameter(key, one) for key, one in always.items()}
        for group, options in space.options.items():
            for option, inner in options.items():
                found |= {f"{group}={option}.{key}": Parameter(key, one, group, option) for key, one in inner.items()}
        self.parameters = {name: one for name, one in found.items() if not one.distribution.single()}
        self._single = {name: one for name, one in found.items() if one.distribution.single()}  # nothing to search

    def setting(self, numbers: Mapping[str, Any]) -> Setting:
        """The setting for a library's numbers; those of options that are not chosen are ignored."""
        values = {name: one.value(numbers[name]) for name, one in self.parameters.items() if name in numbers}
        values |= {name: one.value(0) for name, one in self._single.items()}
        both = self.parameters | self._single
        return {
            both[name].key: value
            for name, value in values.items()
            if both[name].group is None or values[both[name].group] == both[name].option
        }

    def numbers(self, setting: Setting) -> dict[str, float]:
        """A library's numbers for a setting, of the parameters that it has. Empty where it is not in the space."""
        inside = self._space.setting(setting)
        if inside is None:
            return {}
        return {
            name: one.number(inside[one.key])
            for name, one in self.parameters.items()
            if one.group is None or inside[one.group] == one.option
        }
