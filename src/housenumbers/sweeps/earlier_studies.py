"""Automatic study names, and the trials of earlier studies that a new study can reuse."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from housenumbers.config.values import without_added_keys
from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.database import has_optuna_tables, one_line_database_errors, open_storage, sqlite_url
from housenumbers.sweeps.heartbeat import DATABASE_ERRORS
from housenumbers.sweeps.space import Space, contains
from housenumbers.sweeps.study import COPIED_FROM, digest, is_ours, resolve_reference
from housenumbers.sweeps.study_validation import one_line_study_errors, read_trials


def name_with_space(name: str, space: Space, storage: RDBStorage | None) -> str:
    """The `name`, with a hash of the space where a study with another space has that name in `storage`."""
    if storage is None or name not in optuna.get_all_study_names(storage):
        return name
    stored = optuna.load_study(study_name=name, storage=storage).user_attrs.get("space")
    return name if stored in (None, space.identity()) else f"{name}_{digest(space.identity())[:6]}"


def sweep_storage(folder: Path) -> RDBStorage | None:
    """The study.db in a sweep's folder; None where it is missing, or incomplete because its creator was killed."""
    database = folder / "study.db"
    with one_line_database_errors(str(database)):
        if not has_optuna_tables(database, str(database)):
            return None
        return open_storage(sqlite_url(database), 30, str(database))


def reusable_trials(
    studies: Iterator[optuna.Study],
    objectives: Sequence[str],
    fixed: Mapping[str, Any],
    space: Space,
    references: Mapping[str, str] | None = None,
) -> list[FrozenTrial]:
    """Copies of the complete trials of `studies` whose settings the new study can draw.

    Equal settings have bit-identical results but different times: returns none where time is an objective.
    """
    if "train_seconds" in objectives:
        return []
    by_params: dict[str, FrozenTrial] = {}
    for study in studies:
        attributes, trials = _read(study)
        for trial in trials if attributes.get("objectives") == list(objectives) else ():
            setting = _following(attributes["fixed"] | trial.params, attributes.get("references", {}))
            followed = _following({**setting, **fixed}, references or {})
            shared = {key: followed[key] for key in fixed}
            distributions = _drawn(setting, shared, space) if trial.state is TrialState.COMPLETE else None
            if distributions is not None:
                params = {key: _value(setting[key], distribution) for key, distribution in distributions.items()}
                copied_from = trial.user_attrs.get(COPIED_FROM, [study.study_name, trial.number])
                by_params.setdefault(str(sorted(params.items())), _copied(trial, params, distributions, copied_from))
    return list(by_params.values())


def _read(study: optuna.Study) -> tuple[dict[str, Any], list[FrozenTrial]]:
    """The study's attributes and trials; empty where the study is damaged or not created by this project."""
    with suppress(UserError, *DATABASE_ERRORS), one_line_study_errors(study.study_name):
        if is_ours(study):
            return study.user_attrs, read_trials(study)
    return {}, []


def _following(setting: Mapping[str, Any], references: Mapping[str, str]) -> dict[str, Any]:
    """The `setting`, in which the keys of `references` have the values that they follow."""
    followed = {key: resolve_reference(text, setting) for key, text in references.items() if key in setting}
    return {**setting, **followed}


def _drawn(setting: Mapping[str, Any], fixed: Mapping[str, Any], space: Space) -> Mapping[str, BaseDistribution] | None:
    """The distributions that yield this `setting`, by key; None where the space cannot yield it."""
    if any(key not in setting or _text(setting[key]) != _text(value) for key, value in fixed.items()):
        return None
    distributions = space.distributions({group: str(setting.get(group)) for group in space.groups})
    if without_added_keys(setting).keys() - fixed.keys() - distributions.keys():
        return None  # a key that the new study does not have, such as one added with +
    is_valid = all(
        key in setting and _value(setting[key], distribution) is not None for key, distribution in distributions.items()
    )
    return distributions if is_valid else None


def _value(value: Any, distribution: BaseDistribution) -> Any:
    """The equal choice of the distribution, or the value itself if it is in the range; else None.

    None is never a value: a choice of `null` is the text.
    """
    if hasattr(distribution, "choices"):
        return next((choice for choice in distribution.choices if _text(choice) == _text(value)), None)
    return value if contains(distribution, value) else None


def _text(value: Any) -> str:
    """A normalized text of a value: equal values from a file, a command line or a study have the same text."""
    return "null" if value is None else str(value).replace(" ", "").lower()


def _copied(
    trial: FrozenTrial, params: dict[str, Any], distributions: Mapping[str, BaseDistribution], copied_from: list[Any]
) -> FrozenTrial:
    return FrozenTrial(
        number=-1, trial_id=-1, state=TrialState.COMPLETE, value=None, values=trial.values,
        datetime_start=trial.datetime_start, datetime_complete=trial.datetime_complete, params=params,
        distributions=dict(distributions), user_attrs={COPIED_FROM: copied_from}, system_attrs={},
        intermediate_values=trial.intermediate_values,
    )  # fmt: skip


def earlier_studies(
    name: str, own_folder: Path, storage: RDBStorage | None, prefix: str
) -> Iterator[tuple[optuna.Study, Path]]:
    """The other studies whose names begin with `prefix`, with their folders.

    They are in `storage`, or in the sibling folders of the study's.
    """
    databases = own_folder.parent.glob(f"{prefix}*/study.db") if storage is None else ()
    folders = sorted(database.parent for database in databases if database.parent != own_folder)
    for folder in folders:
        with suppress(UserError):  # skips a damaged database
            if (other := sweep_storage(folder)) is not None:
                yield from ((study, folder) for study in _named(other, name, prefix))
    if storage is not None:
        yield from ((study, own_folder.parent / study.study_name) for study in _named(storage, name, prefix))


def _named(storage: RDBStorage, other_than: str, prefix: str) -> Iterator[optuna.Study]:
    with suppress(UserError, *DATABASE_ERRORS), one_line_study_errors("studies"):
        names = [name for name in optuna.get_all_study_names(storage) if name.startswith(prefix)]
        for name in sorted(names):
            if name != other_than:
                yield optuna.load_study(study_name=name, storage=storage)
