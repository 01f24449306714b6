"""Studies: their identity, name and storage, and which of their trials count."""

import hashlib
import json
import re
import shlex
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from housenumbers.config.compose import assignment
from housenumbers.config.schema import OBJECTIVES
from housenumbers.config.values import MACHINE_KEYS, OBSERVERS, flatten, without_added_keys
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import expand_user
from housenumbers.runtime.installation import command
from housenumbers.sweeps.database import one_line_database_errors, open_storage, sqlite_url, storage_name
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study_validation import one_line_study_errors, read_trials

# Keys of the configuration that change neither the results nor the search space.
_NOT_PART_OF_A_STUDY = ("name", *MACHINE_KEYS)
# The study attributes, with their types, that all commands of a study share.
_IDENTITY = {"fixed": dict, "space": dict, "directions": list}
COPIED_FROM = "taken_from"  # of a trial that was not trained: the study and number of the trial with its results
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_OURS = _IDENTITY | {"objectives": list, "overrides": list}


def fixed_config(
    config: Mapping[str, Any], explicit: Mapping[str, Any], space: Space, varying: Container[str] = ()
) -> dict[str, Any]:
    """The configuration that all trials of a study share, with dotted keys.

    Of a group whose option is searched, only the keys in `explicit` are shared: a preset or the command line sets them.
    `varying_keys` are not shared.
    """
    searched = space.keys() | set(_NOT_PART_OF_A_STUDY)
    below = _below_searched(space)
    flat = without_added_keys(flatten(config))
    shared = {key: value for key, value in flat.items() if not key.startswith(below) and key not in varying}
    shared |= {key: value for key, value in explicit.items() if key.startswith(below)}
    return {
        key: value for key, value in sorted(shared.items()) if key not in searched and not key.startswith(OBSERVERS)
    }


def varying_keys(variants: Sequence[Mapping[str, Any]]) -> set[str]:
    """The keys whose values differ between unresolved configurations, such as those of several presets."""
    flat = [flatten(variant) for variant in variants]
    absent = object()
    return {key for one in flat for key in one if any(other.get(key, absent) != one[key] for other in flat)}


def references(unresolved: Mapping[str, Any], space: Space, varying: Container[str] = ()) -> dict[str, str]:
    """The shared keys that follow others, with their interpolations: `data.split_seed` with `${seed}`, say.

    `fixed_config` has the values that they have in no trial in particular.
    """
    searched, below = space.keys(), _below_searched(space)

    def follows(text: Any) -> bool:
        names = _REFERENCE.findall(text) if isinstance(text, str) else ()
        return any(name in searched or name.startswith(below) or name in varying for name in names)

    flat = flatten(unresolved)
    return {key: flat[key] for key in sorted(flat) if follows(flat[key]) and not key.startswith(below)}


def _below_searched(space: Space) -> tuple[str, ...]:
    """The prefixes of the keys that a searched group has."""
    searched = space.keys()
    return tuple(f"{key}." for key in searched)


def resolve_reference(text: str, values: Mapping[str, Any]) -> str:
    """The `text` with the `values` in the place of its interpolations."""
    return _REFERENCE.sub(lambda reference: str(values.get(reference[1], reference[0])), text)


def default_name(fixed: Mapping[str, Any]) -> str:
    """A study's name: model, data and a hash of the fixed configuration."""
    return f"{default_prefix(fixed)}{digest(fixed)[:8]}"


def default_prefix(fixed: Mapping[str, Any]) -> str:
    """The prefix of the default names of all studies with the same model and data."""
    return f"{fixed.get('model.name', 'models')}_{fixed.get('data.name', 'data')}_"


def digest(values: Mapping[str, Any]) -> str:
    """A hash of plain data."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def open_study(
    name: str,
    storage: RDBStorage,
    objectives: Sequence[str],
    fixed: Mapping[str, Any],
    space: Space,
    references: Mapping[str, str] | None = None,
) -> tuple[optuna.Study, bool]:
    """Creates or opens the study. Also returns whether this process created it; exactly one process does.

    Raises UserError, and writes nothing, where the stored study has another space, objective or fixed configuration,
    or is not a study of this project's sweeps. A study of an earlier version, without references, accepts all.
    """
    directions: list[Any] = [OBJECTIVES[objective] for objective in objectives]
    identity = {
        "fixed": dict(fixed), "space": space.identity(), "directions": directions, "references": dict(references or {})
    }  # fmt: skip
    with one_line_study_errors(f"hydra.sweeper.study_name={name}"):
        try:
            study, is_new = optuna.create_study(study_name=name, storage=storage, directions=directions), True
        except DuplicatedStudyError:
            study, is_new = optuna.load_study(study_name=name, storage=storage), False
        trials = read_trials(study)  # before the attributes, which another process may be writing
        stored = study.user_attrs
    if (trials or not stored.keys() <= identity.keys()) and not _is_marked(stored, _IDENTITY):
        raise UserError(
            f"hydra.sweeper.study_name={name}: is not a study of this project's sweeps: nothing was written into it: "
            "choose another hydra.sweeper.study_name"
        )
    # An empty study without all attributes: its creator may have been killed before it wrote them.
    known = stored | {"directions": [direction.name.lower() for direction in study.directions]}
    for part, value in identity.items():
        if known.get(part, value) != value:
            raise UserError(
                f"hydra.sweeper.study_name={name}: this study has another {_difference(part, known[part], value)}: "
                "choose another hydra.sweeper.study_name, or repeat the command that began it"
            )
    for part in identity.keys() - stored.keys():
        study.set_user_attr(part, identity[part])
    return study, is_new


def _is_marked(attributes: Mapping[str, Any], marks: Mapping[str, type]) -> bool:
    """Whether the attributes contain all `marks` with the right types."""
    return all(isinstance(attributes.get(key), kind) for key, kind in marks.items())


def _difference(part: str, stored: Any, value: Any) -> str:
    """The differing part in words, with the first differing key."""
    words = {"space": "search space", "directions": "objective"}.get(part, "configuration")
    if not isinstance(stored, dict):
        return words
    return f"{words} ({min(key for key in stored.keys() | value.keys() if stored.get(key) != value.get(key))})"


def trial_folder(sweep_folder: Path, number: int) -> Path:
    return sweep_folder / f"trial_{number:04d}"


def is_copied_trial(trial: FrozenTrial) -> bool:
    """Whether the trial copies the results of an equal trial. Such a trial has no folder."""
    return COPIED_FROM in trial.user_attrs


def counts_as_trial(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards n_trials: it completed, was pruned, or failed without an interruption."""
    return trial.state.is_finished() and not trial.user_attrs.get("interrupted")


def counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards n_trials."""
    return [trial for trial in study.get_trials(deepcopy=False) if counts_as_trial(trial)]


def describe_trial(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    """The end of a trial, in words."""
    if trial.state is TrialState.COMPLETE:
        source = (
            " of trial {1} of {0}, which is equal".format(*trial.user_attrs[COPIED_FROM])
            if is_copied_trial(trial)
            else ""
        )
        return ", ".join(f"{name} {value:.4f}" for name, value in zip(objectives, trial.values, strict=True)) + source
    if trial.state is TrialState.PRUNED:
        return f"pruned after epoch {trial.last_step}"
    if trial.user_attrs.get("interrupted"):
        return "interrupted"
    return f"failed: {trial.user_attrs.get('error', 'unknown')}"


def assignments(params: Mapping[str, Any]) -> list[str]:
    """A trial's parameters as overrides."""
    return [assignment(key, value) for key, value in params.items()]


def ended_line(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    """The line that a sweep prints when a trial ends."""
    return f"trial {trial.number}: {' '.join(assignments(trial.params))}: {describe_trial(trial, objectives)}"


def trial_overrides(study: optuna.Study, params: Mapping[str, Any]) -> list[str]:
    """The overrides of a trial with `params`: the study's shared overrides, then the parameters."""
    return [*study.user_attrs["overrides"], *assignments(params)]


def repeat_command(study: optuna.Study, params: Mapping[str, Any]) -> str:
    """The command that runs a trial's configuration as a single run outside the study."""
    names = {"config_dir": "--config-dir", "config_name": "--config-name"}
    flags = [f"{flag}={study.user_attrs[name]}" for name, flag in names.items() if study.user_attrs.get(name)]
    return shlex.join([*command("train").split(), *flags, *trial_overrides(study, params)])


def best_first(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials sorted by the (first) objective, ties by number."""
    sign = -1 if study.directions[0] is StudyDirection.MAXIMIZE else 1
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda trial: sign * trial.values[0])


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The best trial, or the Pareto front with several objectives; empty where no trial completed."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return study.best_trials if len(study.directions) > 1 else [study.best_trial]


def find_study(wanted: str, url: str | None = None) -> tuple[optuna.Study, Path]:
    """A study and its sweep's folder, found by the study's name below multirun/ or by the folder.

    Raises UserError where there is none, or where `url` or the folder's study.db holds no study of this project.
    """
    given = expand_user(wanted)
    folder = given if given.is_dir() else Path("multirun") / wanted
    database = folder / "study.db"
    if url is None and not database.exists():
        raise UserError(
            f"study={wanted}: no {database}: name a study below multirun/ or its folder, or give storage=URL"
        )
    display_name = storage_name("storage", url)
    storage = open_storage(url or sqlite_url(database.absolute()), 30, display_name, may_be_empty=False)
    with one_line_database_errors(display_name), one_line_study_errors(f"study={wanted}"):
        names = optuna.get_all_study_names(storage)
        name = wanted if wanted in names else folder.name
        if url is None and len(names) == 1:  # the folder may have been renamed
            name = names[0]
        if name not in names:
            raise UserError(f"study={wanted}: no such study: use one of {', '.join(sorted(names)) or 'none'}")
        study = optuna.load_study(study_name=name, storage=storage)
        read_trials(study)
        if not is_ours(study):
            raise UserError(f"study={wanted}: not a study of this project's sweeps")
    folder.mkdir(parents=True, exist_ok=True)
    return study, folder


def is_ours(study: optuna.Study) -> bool:
    """Whether a sweep of this project created the study and wrote all its attributes."""
    attributes = study.user_attrs
    if not _is_marked(attributes, _OURS):
        return False
    objectives = attributes["objectives"]
    known = all(objective in OBJECTIVES for objective in objectives)
    return known and [OBJECTIVES[objective] for objective in objectives] == attributes["directions"]
