"""What was changed by hand in a study's database, told in one line before anything is made of it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from housenumbers.runtime.errors import UserError

# The attributes of trials that are ours, and their types.
_ATTRIBUTES = {
    "owner": list, "interrupted": bool, "error": str, "continues": int, "continues_after": int, "deaths": int,
    "start": int, "taken_from": list,
}  # fmt: skip


@contextmanager
def one_line_study_errors(name: str) -> Iterator[None]:
    """Makes a UserError, which calls the study `name`, of what Optuna or a check says of values that it reads."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: holds what cannot be read ({reason}): restore it from a backup") from None


def read_trials(study: optuna.Study) -> list[FrozenTrial]:
    """All trials of the study.

    Raises one of the errors that `one_line_study_errors` expects where a trial is not as Optuna wrote it.
    """
    trials = study.get_trials(deepcopy=False)
    for number, trial in enumerate(trials):
        if trial.number != number:
            raise ValueError(f"trial {trial.number} in the place of trial {number}")
        trial._validate()
        values = [*(trial.values or []), *trial.intermediate_values.values()]
        if not all(isinstance(value, float) for value in values):
            raise ValueError(f"trial {number}: a value that is no number")
        if trial.state is TrialState.COMPLETE:
            _check_objectives(trial, len(study.directions))
        for key, kind in _ATTRIBUTES.items():
            if not isinstance(trial.user_attrs.get(key, kind()), kind):
                raise ValueError(f"trial {number}: {key}={trial.user_attrs[key]}")
        _check_owner(trial)
    return trials


def _check_objectives(trial: FrozenTrial, count: int) -> None:
    values: Any = trial.values
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ValueError(f"trial {trial.number}: values {values}, where {count} finite numbers belong")


def _check_owner(trial: FrozenTrial) -> None:
    """Which machine and process, and when that began."""
    owner = trial.user_attrs.get("owner")
    if owner is not None and [type(part) for part in owner] not in ([str, int, float], [str, int, int]):
        raise ValueError(f"trial {trial.number}: owner={owner}")
