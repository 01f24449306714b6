"""Tests whether a difference in accuracy on the same images is significant."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class McNemar(NamedTuple):
    """The numbers of images that only the first and only the second of two models gets right, and the p-value."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Tensor, second: Tensor) -> McNemar:
    """McNemar's test (1947), exact and two-sided, from the images that each model gets right, bool `[N]`.

    If both are equally good, an image that only one gets right belongs to either with probability 1/2. p is 1 where
    there is none. The test compares these two models, not models trained with other seeds.
    """
    from scipy.stats import binomtest  # imported here: it takes half a second

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differing = only_first + only_second
    p = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for multiple tests, in their order: Holm 1979, a step-down form of Bonferroni's."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a fraction."""
    from scipy.stats import binomtest

    low, high = binomtest(right, count).proportion_ci(0.95, "wilson")
    return float(low), float(high)
