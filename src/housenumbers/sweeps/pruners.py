"""Successive halving and Hyperband for studies whose trials may be interrupted and continued by other trials."""

import copy
from types import SimpleNamespace
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from housenumbers.sweeps.space import Space
from housenumbers.sweeps.unused_parameters import extremes


class HalvingPruner(SuccessiveHalvingPruner):
    """Optuna's successive halving, in which an interrupted trial does not compete with the one that continues it."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return super().prune(_without_interrupted(study), trial)


class SeededHyperbandPruner(HyperbandPruner):
    """Optuna's Hyperband (Li et al. 2018, arXiv:1603.06560), repeatable in a study of any name.

    Optuna chooses a trial's bracket by a hash of the study's name and the trial's number. Here the seed replaces the
    name. A trial that continues an interrupted trial gets the bracket of that trial, and competes in its place. Later
    trials get the same brackets as without the interruption.
    """

    def __init__(self, seed: int | None, **options: Any) -> None:
        super().__init__(**options)
        self._seed = seed
        self._positions: list[int] = []  # by trial number; entries never change

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        seeded: Any = SimpleNamespace(study_name=f"seed {self._seed}")
        placed: Any = SimpleNamespace(number=self._position(study, trial.number))
        return super()._get_bracket_id(seeded, placed)

    def _try_initialization(self, study: optuna.Study) -> None:
        super()._try_initialization(study)
        options: dict[str, Any] = {
            "min_resource": self._min_resource, "reduction_factor": self._reduction_factor,
            "bootstrap_count": self._bootstrap_count,
        }  # fmt: skip
        brackets = range(len(self._pruners))
        self._pruners = [HalvingPruner(**options, min_early_stopping_rate=bracket) for bracket in brackets]

    def _position(self, study: optuna.Study, number: int) -> int:
        """The trial's number in the same study without interruptions."""
        if number >= len(self._positions):
            for trial in study._storage.get_all_trials(study._study_id, deepcopy=False)[len(self._positions) :]:
                continued = trial.user_attrs.get("continues")
                next_position = max(self._positions, default=-1) + 1
                self._positions.append(next_position if continued is None else self._positions[continued])
        return self._positions[number]


def pruner_options(composed: DictConfig, space: Space) -> Any:
    """The pruner's options for trials of the `composed` configuration: `${epochs}` is the most epochs of any trial."""
    config = copy.deepcopy(composed)
    for key, distribution in space.always.items():
        if numbers := extremes(distribution):
            OmegaConf.update(config, key.lstrip("+"), max(numbers), force_add=True)
    return config.hydra.sweeper.pruner


def _without_interrupted(study: optuna.Study) -> Any:
    """What successive halving uses of a study, without trials that others continue or that were not needed."""

    def get_trials(deepcopy: bool) -> list[FrozenTrial]:
        return [trial for trial in study.get_trials(deepcopy) if not trial.user_attrs.get("interrupted")]

    return SimpleNamespace(get_trials=get_trials, direction=study.direction, _storage=study._storage)
