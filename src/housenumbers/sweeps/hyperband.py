"""Hyperband whose brackets follow from a seed and a trial's place in the study, not from the study's name."""

from types import SimpleNamespace
from typing import Any

import optuna
from optuna.pruners import HyperbandPruner
from optuna.trial import FrozenTrial


class SeededHyperbandPruner(HyperbandPruner):
    """Optuna's Hyperband (Li et al. 2018, arXiv:1603.06560), repeatable in a study of any name.

    Optuna chooses a trial's bracket by a hash of the study's name and the trial's number. Here the seed replaces the
    name. A trial that continues an interrupted trial gets the bracket of that trial. Later trials get the same
    brackets as without the interruption.
    """

    def __init__(self, seed: int | None, **options: Any) -> None:
        super().__init__(**options)
        self._seed = seed
        self._positions: list[int] = []  # by trial number; entries never change

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        seeded: Any = SimpleNamespace(study_name=f"seed {self._seed}")
        placed: Any = SimpleNamespace(number=self._position(study, trial.number))
        return super()._get_bracket_id(seeded, placed)

    def _position(self, study: optuna.Study, number: int) -> int:
        """The trial's number in the same study without interruptions."""
        if number >= len(self._positions):
            for trial in study._storage.get_all_trials(study._study_id, deepcopy=False)[len(self._positions) :]:
                continued = trial.user_attrs.get("continues")
                next_position = max(self._positions, default=-1) + 1
                self._positions.append(next_position if continued is None else self._positions[continued])
        return self._positions[number]
