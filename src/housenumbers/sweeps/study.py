"""Studies: what belongs to one, where it is kept, and what a dead process left in it."""

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from housenumbers.errors import UserError

# Keys of the configuration that change neither results nor what is searched.
_NOT_PART_OF_A_STUDY = ("name", "device", "threads", "data.root", "data.cache", "data.download", "data.verify")


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as one dictionary with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def fixed_part(config: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The configuration that all trials of a study share, with dotted keys."""
    flat = dotted(config)
    return {key: value for key, value in sorted(flat.items()) if key not in space and key not in _NOT_PART_OF_A_STUDY}


def default_name(fixed: Mapping[str, Any]) -> str:
    """A study's name: model, data and a hash of the fixed configuration."""
    digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:8]
    return f"{fixed['model.name']}_{fixed['data.name']}_{digest}"


def open_study(
    name: str,
    storage: str,
    directions: list[Any],  # "minimize" or "maximize"
    fixed: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
) -> optuna.Study:
    """Creates the study, or opens it where there is one.

    Raises UserError where the stored one has another space, direction or fixed configuration.
    """
    study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
    identity = {
        "fixed": dict(fixed),
        "space": {key: json.loads(distribution_to_json(space[key])) for key in sorted(space)},
        "directions": directions,
    }
    for part, value in identity.items():
        stored = study.user_attrs.get(part)
        if stored is None:
            study.set_user_attr(part, value)
        elif stored != value:
            raise UserError(
                f"hydra.sweeper.study_name={name}: this study has another {_difference(part, stored, value)}: "
                "choose another hydra.sweeper.study_name, or repeat the command that began it"
            )
    return study


def _difference(part: str, stored: Any, value: Any) -> str:
    """What differs, in words, with the first key that does."""
    words = {"fixed": "configuration", "space": "search space", "directions": "objective"}[part]
    if not isinstance(stored, dict):
        return words
    return f"{words} ({min(key for key in stored.keys() | value.keys() if stored.get(key) != value.get(key))})"


def mark_owner(trial: optuna.Trial) -> None:
    """Writes down which process is at work on the trial."""
    process = psutil.Process()
    trial.set_user_attr("owner", [platform.node(), process.pid, process.create_time()])


def give_back_orphans(study: optuna.Study) -> list[int]:
    """Ends trials that say RUNNING though their process on this machine is dead, and enqueues their parameters again.

    Gives the numbers of the trials that were given back.
    """
    orphans = [trial for trial in study.get_trials(states=(TrialState.RUNNING,)) if _is_orphan(trial)]
    for trial in orphans:
        give_back(study, trial)
    return [trial.number for trial in orphans]


def give_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Ends an interrupted trial as FAIL, and enqueues one that will go on where it stopped."""
    study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(trial.params, user_attrs={"continues": trial.number})


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards n_trials: complete, pruned, and failed by themselves."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in ended if not trial.user_attrs.get("interrupted")]


def trial_folder(sweep_folder: Path, number: int) -> Path:
    return sweep_folder / f"trial_{number:04d}"


def _is_orphan(trial: FrozenTrial) -> bool:
    host, pid, created = trial.user_attrs.get("owner", [platform.node(), -1, 0.0])
    if host != platform.node():
        return False  # another machine's: not ours to judge
    try:
        return psutil.Process(pid).create_time() != created
    except (psutil.NoSuchProcess, ValueError):
        return True
