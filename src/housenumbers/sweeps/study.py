"""Studies: what belongs to one, where it is kept, and which of its trials count."""

import hashlib
import json
import random
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, PendingRollbackError

from housenumbers.config import PLACE_KEYS, dotted
from housenumbers.errors import UserError
from housenumbers.sweeps.liveness import DATABASE_ERRORS, MISSED_HEARTBEATS
from housenumbers.sweeps.space import Space

# Keys of the configuration that change neither results nor what is searched.
_NOT_PART_OF_A_STUDY = ("name", *PLACE_KEYS)
# What to do, by a word of the database's own error.
_REMEDIES = {
    "not a database": "restore it from a backup",
    "malformed": "restore it from a backup",
    "no such": "restore it from a backup",  # table or column
    "is full": "make room",
    "No space": "make room",
    "disk I/O": "make room, or mend the disk",
    "locked": "end the process that holds it",
    "readonly": "permit writing there",
    "unable to open": "permit reading and writing there, or correct the path",
}
_TRIES = 10  # to open a database: processes that make its tables at the same time are in each other's way


def fixed_part(config: Mapping[str, Any], overrides: Mapping[str, str], space: Space) -> dict[str, Any]:
    """The configuration that all trials of a study share, with dotted keys.

    Of a group whose option is searched only what the `overrides` say is shared.
    """
    searched = space.keys() | set(_NOT_PART_OF_A_STUDY)
    groups = tuple(f"{group}." for group in space.groups)
    shared = {key: value for key, value in dotted(config).items() if not key.startswith(groups)}
    shared |= {key: value for key, value in overrides.items() if key.startswith(groups)}
    return {key: value for key, value in sorted(shared.items()) if key not in searched}


def default_name(fixed: Mapping[str, Any]) -> str:
    """A study's name: model, data and a hash of the fixed configuration."""
    digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:8]
    return f"{fixed.get('model.name', 'models')}_{fixed['data.name']}_{digest}"


def sqlite_url(database: Path) -> str:
    """The URL of a database file, whatever letters are in its path."""
    return URL.create("sqlite", database=str(database)).render_as_string()


def storage_name(key: str, url: object) -> str:
    """A database as the `key` of a command line says it, but without the password that a URL may hold."""
    return f"{key}={str(url).rpartition('@')[2]}" if url else f"{key}=null (study.db in the sweep's folder)"


def open_storage(
    url: str, heartbeat_seconds: int, name: str = "hydra.sweeper.storage", may_be_new: bool = True
) -> RDBStorage:
    """The database at `url`, with its tables made where it is a new one.

    Raises UserError, which calls it `name`, where it is no URL, its driver is missing, nobody answers, or it is a new
    one and may not be.
    """
    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(1, _TRIES + 1):
        try:
            if not may_be_new and not _holds_studies(url):
                raise UserError(f"{name}: no studies are there: name the database that a search was given")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                return RDBStorage(
                    url,
                    engine_kwargs=waits,
                    heartbeat_interval=heartbeat_seconds,
                    grace_period=MISSED_HEARTBEATS * heartbeat_seconds,
                )
        except (ArgumentError, ValueError):  # the latter of a port that is no number
            raise UserError(f"{name}: not a URL: write postgresql://USER@HOST/DATABASE, say") from None
        except ImportError:
            raise UserError(f"{name}: the driver is missing: for PostgreSQL pip install -e '.[postgres]'") from None
        except (*DATABASE_ERRORS, AssertionError) as error:
            if attempt == _TRIES:
                raise UserError(f"{name}: cannot be opened: {_reason_and_remedy(error)}") from None
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("unreachable")


def _holds_studies(url: str) -> bool:
    """Whether there are tables for studies. A look alone would make an empty file of an SQLite database."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        return False
    engine = create_engine(url)
    try:
        return inspect(engine).has_table("studies")
    finally:
        engine.dispose()


@contextmanager
def one_line_database_errors(name: str) -> Iterator[None]:
    """Makes a UserError, which calls it `name`, of a database that is damaged, full or away."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise UserError(f"{name}: {_reason_and_remedy(error)}, and the same command goes on") from None


def _reason_and_remedy(error: Exception) -> str:
    reason = str(error.__cause__ or error).splitlines()[0]
    if isinstance(error, PendingRollbackError):  # what it says is for programmers
        reason = "the connection was lost"
    remedies = (remedy for word, remedy in _REMEDIES.items() if word in reason)
    return f"{reason}: {next(remedies, 'start its server, or correct the URL')}"


def open_study(
    name: str,
    storage: RDBStorage,
    directions: list[Any],  # "minimize" or "maximize"
    fixed: Mapping[str, Any],
    space: Space,
) -> tuple[optuna.Study, bool]:
    """Creates the study, or opens it where there is one. Gives also whether this process created it: one alone does.

    Raises UserError where the stored one has another space, direction or fixed configuration.
    """
    try:
        study, is_new = optuna.create_study(study_name=name, storage=storage, directions=directions), True
    except DuplicatedStudyError:
        study, is_new = optuna.load_study(study_name=name, storage=storage), False
    identity = {
        "fixed": dict(fixed),
        "space": space.identity(),
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
    return study, is_new


def _difference(part: str, stored: Any, value: Any) -> str:
    """What differs, in words, with the first key that does."""
    words = {"fixed": "configuration", "space": "search space", "directions": "objective"}[part]
    if not isinstance(stored, dict):
        return words
    return f"{words} ({min(key for key in stored.keys() | value.keys() if stored.get(key) != value.get(key))})"


def trial_folder(sweep_folder: Path, number: int) -> Path:
    return sweep_folder / f"trial_{number:04d}"


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards n_trials: it is complete, pruned, or failed by itself."""
    return trial.state.is_finished() and not trial.user_attrs.get("interrupted")


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards n_trials."""
    return [trial for trial in study.get_trials(deepcopy=False) if counts(trial)]


def described(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    """How a trial ended, in words."""
    if trial.state is TrialState.COMPLETE:
        return ", ".join(f"{name} {value:.4f}" for name, value in zip(objectives, trial.values, strict=True))
    if trial.state is TrialState.PRUNED:
        return f"pruned after epoch {trial.last_step}"
    if trial.user_attrs.get("interrupted"):
        return "interrupted"
    return f"failed: {trial.user_attrs.get('error', 'unknown')}"


def assignments(params: Mapping[str, Any]) -> list[str]:
    """A trial's parameters as words of a command."""
    return [f"{key}={value}" for key, value in params.items()]


def quoted(text: object) -> str:
    """The text as a value in an override, whatever characters it has."""
    escaped = str(text).replace("'", "\\'")
    return f"'{escaped}'"


def ended_line(trial: FrozenTrial, objectives: Sequence[str]) -> str:
    """What a sweep says of a trial that has ended."""
    return f"trial {trial.number}: {' '.join(assignments(trial.params))}: {described(trial, objectives)}"


def words_of(study: optuna.Study, params: Mapping[str, Any]) -> list[str]:
    """The overrides that make a configuration of the study: those that all trials share, and its own."""
    return [*study.user_attrs["overrides"], *assignments(params)]


def command(study: optuna.Study, params: Mapping[str, Any]) -> str:
    """The command that runs a configuration of the study alone, outside it."""
    return shlex.join(["python", "src/train.py", *words_of(study, params)])


def best_first(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials by the (first) objective, the earlier of equals first."""
    sign = -1 if study.directions[0] is StudyDirection.MAXIMIZE else 1
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda trial: sign * trial.values[0])


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The best trial, or the Pareto front where there are several objectives; empty where none completed."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return study.best_trials if len(study.directions) > 1 else [study.best_trial]


def find_study(wanted: str, url: str | None = None) -> tuple[optuna.Study, Path]:
    """The study of a sweep and the sweep's folder: by the study's name below multirun/, or by the folder.

    Raises UserError where there is none, or where `url` or the folder's study.db holds no study of this project.
    """
    folder = Path(wanted) if Path(wanted).is_dir() else Path("multirun") / wanted
    database = folder / "study.db"
    if url is None and not database.exists():
        raise UserError(
            f"study={wanted}: no {database}: name a study below multirun/ or its folder, or give storage=URL"
        )
    storage = open_storage(url or sqlite_url(database.absolute()), 30, storage_name("storage", url), may_be_new=False)
    names = optuna.get_all_study_names(storage)
    name = wanted if wanted in names else folder.name
    if url is None and len(names) == 1:  # the folder's own, which may have been renamed
        name = names[0]
    if name not in names:
        raise UserError(f"study={wanted}: no such study: use one of {', '.join(sorted(names)) or 'none'}")
    study = optuna.load_study(study_name=name, storage=storage)
    if "objectives" not in study.user_attrs:
        raise UserError(f"study={wanted}: not a study of this project's sweeps")
    folder.mkdir(parents=True, exist_ok=True)
    return study, folder
