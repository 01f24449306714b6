"""Settings that cover a search space evenly."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
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
    if isinstance(distribution, IntDistribution) and not distribution.log:
        steps = (distribution.high - distribution.low) // distribution.step + 1
        return distribution.low + distribution.step * int(at * steps)
    if isinstance(distribution, FloatDistribution) and distribution.step is None:
        if distribution.log:
            return float(distribution.low * (distribution.high / distribution.low) ** at)
        return distribution.low + at * (distribution.high - distribution.low)
    raise NotImplementedError(f"{distribution}: no task has one")
