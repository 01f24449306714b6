"""Finds the recorded curves that stand for any setting of a table's space."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from curve_table import CurveTable
from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import Space


class Lookup:
    """The curves of the setting in a table that is nearest to any setting of its space."""

    def __init__(self, table: CurveTable) -> None:
        self.table, self.space = table, read_space_of(table)
        self._scales = self._all_distributions()
        self._keys = sorted(self._scales)
        self._choices = {key for key, one in self._scales.items() if isinstance(one, CategoricalDistribution)}
        self._rows = [self._place(setting) for setting in table.settings]
        self.true = np.array([np.mean([_best(curve) for curve in one]) for one in table.curves])
        self.guessing = min(_best(curve) for one in table.curves for curve in one)

    def row(self, setting: Mapping[str, Any]) -> int:
        """The number of the nearest setting: Euclid's distance, each key from 0 to 1; another choice is 1 away."""
        place = self._place(setting)
        return min(range(len(self._rows)), key=lambda number: _distance(place, self._rows[number]))

    def _place(self, setting: Mapping[str, Any]) -> list[Any]:
        return [
            None if key not in setting else str(setting[key]) if key in self._choices else self._scaled(key, setting)
            for key in self._keys
        ]

    def _scaled(self, key: str, setting: Mapping[str, Any]) -> float:
        one: Any = self._scales[key]
        low, high, value = (float(number) for number in (one.low, one.high, setting[key]))
        if one.log:
            low, high, value = np.log([low, high, value])
        return float((value - low) / (high - low)) if high > low else 0.0

    def _all_distributions(self) -> dict[str, BaseDistribution]:
        """By key. A key that several options have is scaled as in the first one of them."""
        found = dict(self.space.always)
        for group, options in self.space.options.items():
            found[group] = CategoricalDistribution(list(options))
            for inner in options.values():
                found = inner | found
        return found


def _distance(one: Sequence[Any], other: Sequence[Any]) -> float:
    total = 0.0
    for a, b in zip(one, other, strict=True):
        total += (a - b) ** 2 if isinstance(a, float) and isinstance(b, float) else float(a != b)
    return total


def _best(curve: Mapping[str, Sequence[float]]) -> float:
    return max(curve["val_accuracy"], default=0.0)


def read_space_of(table: CurveTable) -> Space:
    """The space of a table. Raises UserError where it is not one."""
    space = Space()
    try:
        for key, value in table.space.items():
            group, equals, option = key.partition("=")
            if equals:
                inner = {name: _distribution(one) for name, one in value.items()}
                space.options.setdefault(group, {})[option] = inner
            else:
                space.always[key] = _distribution(value)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{table.task}: its space cannot be read: {error}") from None
    return space


def _distribution(value: Any) -> BaseDistribution:
    return json_to_distribution(json.dumps(value))
