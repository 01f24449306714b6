"""What a training with any setting of a recorded table's space would give: its learning curve and its true accuracy.

A surrogate benchmark (Eggensperger et al. 2015, doi:10.1609/aaai.v29i1.9375): a Gaussian process is fitted to the
recorded curves. A lookup of the nearest recorded setting would be unfair to searches that look around a good setting,
and the best of hundreds of noisy records is partly lucky, so that no search could be expected to reach it.
"""

import json
import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from curve_table import CurveTable
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, json_to_distribution
from settings import sobol_settings
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import Space

Floats = NDArray[np.float64]
_NEIGHBOURS = 5  # recorded settings near a new one, one of which gives the noise
_CANDIDATES = 4096  # settings among which the best one is looked for


class Training(NamedTuple):
    """Validation accuracy and seconds of each epoch, `[epochs]`; shorter where the training diverges."""

    accuracies: Floats
    seconds: Floats


class Surrogate:
    """Gaussian processes of the accuracy after each epoch, of the best epoch's, and of an epoch's seconds.

    They see the means over the table's seeds. The noise of a single training is that between the recorded seeds.
    """

    def __init__(self, table: CurveTable) -> None:
        self.table, self.space = table, read_space_of(table)
        self._scales = self._all_distributions()
        self._points = self._places(table.settings)
        curves = np.array([[_whole(curve["val_accuracy"], table.epochs) for curve in one] for one in table.curves])
        self._bests = curves.max(axis=2)  # of each training
        logits, seeds = _logit(curves), curves.shape[1]
        means = np.column_stack([logits.mean(axis=1), _logit(self._bests).mean(axis=1)])
        self._noise = (logits - logits.mean(axis=1, keepdims=True)) * (seeds / max(seeds - 1, 1)) ** 0.5
        seconds = np.log([[np.mean([np.mean(curve["seconds"] or [1e-3]) for curve in one])] for one in table.curves])
        self._accuracy, self._seconds = _Process(self._points, means), _Process(self._points, seconds)
        rows = [dict(setting) for setting in table.settings]
        truths = self.truths([*rows, *sobol_settings(self.space, _CANDIDATES)])
        self.best, self.guessing = float(truths.max()), float(self._bests.min())

    def truths(self, settings: Sequence[Mapping[str, Any]]) -> Floats:
        """The expected accuracy of the best epoch for each setting, without noise."""
        return _accuracy(self._accuracy.means(self._places(settings))[:, -1])

    def training(self, setting: Mapping[str, Any], seed: int) -> Training:
        """A training with this setting. Equal arguments return equal trainings."""
        place = self._places([setting])
        near = np.argsort(((self._points - place) ** 2).sum(axis=1))[:_NEIGHBOURS]
        rng = np.random.default_rng([seed, zlib.crc32(json.dumps(setting, sort_keys=True).encode())])
        row, run = rng.choice(near), rng.integers(self._noise.shape[1])
        curve = _accuracy(self._accuracy.means(place)[0, :-1] + self._noise[row, run])
        length = len(self.table.curves[near[0]][run]["val_accuracy"])
        seconds = np.full(self.table.epochs, np.exp(self._seconds.means(place)[0, 0]))
        return Training(curve[:length], seconds[:length])

    def errors(self) -> tuple[float, float]:
        """Of the best epoch's accuracy, over the better half of the table: the root mean squared difference between
        prediction and record where each setting is left out once, and the standard deviation of one training."""
        recorded = self._accuracy.targets[:, -1]
        better = recorded >= np.median(recorded)
        difference = _accuracy(self._accuracy.left_out()[:, -1]) - _accuracy(recorded)
        spread = self._bests[better].std(axis=1, ddof=1) if self._bests.shape[1] > 1 else np.zeros(1)
        return float(np.sqrt((difference[better] ** 2).mean())), float(np.sqrt((spread**2).mean()))

    def _places(self, settings: Sequence[Mapping[str, Any]]) -> Floats:
        """Each key from 0 to 1, one coordinate for each choice; a key that a setting lacks is in the middle."""
        return np.array([[number for key in sorted(self._scales) for number in self._coordinates(key, setting)]
                         for setting in settings])  # fmt: skip

    def _coordinates(self, key: str, setting: Mapping[str, Any]) -> list[float]:
        one: Any = self._scales[key]
        if isinstance(one, CategoricalDistribution):
            return [float(key in setting and str(setting[key]) == str(choice)) for choice in one.choices]
        if key not in setting:
            return [0.5]
        low, high, value = (float(number) for number in (one.low, one.high, setting[key]))
        if one.log:
            low, high, value = (float(np.log(number)) for number in (low, high, value))
        return [(value - low) / (high - low) if high > low else 0.0]

    def _all_distributions(self) -> dict[str, BaseDistribution]:
        """By key. A key that several options have is scaled as in the first one of them."""
        found = dict(self.space.always)
        for group, options in self.space.options.items():
            found[group] = CategoricalDistribution(list(options))
            for inner in options.values():
                found = inner | found
        return found


class _Process:
    """A Gaussian process with a length scale for each coordinate, shared by all targets."""

    def __init__(self, points: Floats, targets: Floats) -> None:
        self.targets = targets
        self._mean, self._scale = targets.mean(axis=0), targets.std(axis=0) + 1e-9
        scales = Matern(np.ones(points.shape[1]), length_scale_bounds=(0.05, 50), nu=2.5)
        kernel = ConstantKernel(1.0, (0.01, 100)) * scales + WhiteKernel(0.05, (1e-4, 1))
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # a scale at its bound will do
            process = GaussianProcessRegressor(kernel, alpha=1e-8)
            self._fitted = process.fit(points, (targets - self._mean) / self._scale)

    def means(self, points: Floats) -> Floats:
        predicted = self._fitted.predict(points).reshape(len(points), -1)
        return np.asarray(predicted * self._scale + self._mean)

    def left_out(self) -> Floats:
        """The prediction of each point from all others (Rasmussen & Williams 2006, section 5.4.2)."""
        kernel = self._fitted.kernel_(self._fitted.X_train_)
        inverse = np.linalg.inv(kernel + 1e-8 * np.eye(len(kernel)))
        scaled = (self.targets - self._mean) / self._scale
        return np.asarray((scaled - inverse @ scaled / np.diag(inverse)[:, None]) * self._scale + self._mean)


def _whole(curve: Sequence[float], epochs: int) -> list[float]:
    """The curve, without an accuracy after it diverged."""
    return [*curve, *[0.0] * (epochs - len(curve))]


def _logit(accuracies: Floats) -> Floats:
    clipped = np.clip(accuracies, 0.005, 0.995)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _accuracy(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


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
