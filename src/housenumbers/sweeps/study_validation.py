"""Checks a study's database for corrupt or manually changed values; errors take one line."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, TrialState

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.trial import FINISHED_EPOCHS

# The trial attributes that this project writes, and their types.
_ATTRIBUTES = {
    "owner": list, "interrupted": bool, "error": str, "continues": int, "continues_after": int, "deaths": int,
    "start": int, "taken_from": list, FINISHED_EPOCHS: int,
}  # fmt: skip


@contextmanager
def one_line_study_errors(name: str) -> Iterator[None]:
    """Converts errors of Optuna and of `read_trials` about stored values to a UserError that names the study `name`."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: holds invalid values ({reason}): restore it from a backup") from None


def read_trials(study: optuna.Study) -> list[FrozenTrial]:
    """All trials of the study. Raises an error that `one_line_study_errors` converts where a trial is invalid."""
    trials = study.get_trials(deepcopy=False)
    for number, trial in enumerate(trials):
        if trial.number != number:
            raise ValueError(f"trial {trial.number} in the place of trial {number}")
        trial._validate()
        values = [*(trial.values or []), *trial.intermediate_values.values()]
        if not all(isinstance(value, float) for value in values):
            raise ValueError(f"trial {number}: a value that is no number")
        if trial.state is TrialState.COMPLETE:
            count, objectives = len(study.directions), trial.values or []
            if len(objectives) != count or not all(map(math.isfinite, objectives)):
                raise ValueError(f"trial {number}: values {trial.values}, where {count} finite numbers belong")
        for key, kind in _ATTRIBUTES.items():
            if not isinstance(trial.user_attrs.get(key, kind()), kind):
                raise ValueError(f"trial {number}: {key}={trial.user_attrs[key]}")
        _check_owner(trial)
    return trials


def _check_owner(trial: FrozenTrial) -> None:
    """Checks the attribute `owner`: host, process id and start time."""
    owner = trial.user_attrs.get("owner")
    if owner is not None and [type(part) for part in owner] not in ([str, int, float], [str, int, int]):
        raise ValueError(f"trial {trial.number}: owner={owner}")
