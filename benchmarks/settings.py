"""Settings that cover a search space evenly."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from scipy.stats import qmc

from housenumbers.sweeps.space import Space


def sobol_settings(space: Space, count: int) -> list[dict[str, Any]]:
    """`count` settings of the space, of Sobol's sequence, scrambled with the seed 0.

    Each key has a dimension, those of all options too; an option's keys are left out where another one is drawn.
    """
    keys = sorted(space.keys())
    points = qmc.Sobol(len(keys), rng=0).random_base2((count - 1).bit_length())[:count]
    return [_setting(space, dict(zip(keys, map(float, point), strict=True))) for point in points]


def _setting(space: Space, point: Mapping[str, float]) -> dict[str, Any]:
    options = {
        group: at_quantile(CategoricalDistribution(names), point[group]) for group, names in space.groups.items()
    }
    return {key: at_quantile(one, point[key]) for key, one in space.distributions(options).items()}


def at_quantile(distribution: BaseDistribution, at: float) -> Any:
    """The value at this share, from 0 to below 1, of a distribution's range, on its scale."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(at * len(distribution.choices))]
    one: Any = distribution
    if one.log:
        half = 0.5 if isinstance(one, IntDistribution) else 0  # each integer gets its share, as in Optuna
        value = float((one.low - half) * ((one.high + half) / (one.low - half)) ** at)
        return round(min(max(value, one.low), one.high)) if half else value
    if one.step is not None:
        return one.low + one.step * int(at * (round((one.high - one.low) / one.step) + 1))
    return one.low + at * (one.high - one.low)
