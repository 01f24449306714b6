"""The database that holds studies: opened, made where it is a new one, and refused where it is another program's."""

import random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import URL, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, PendingRollbackError

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.heartbeat import DATABASE_ERRORS, MISSED_HEARTBEATS

# What to do, by a word of the database's own error.
_REMEDIES = {
    "not a database": "restore it from a backup, or name a file of SQLite's (a journal file is none)",
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


def sqlite_url(database: Path) -> str:
    """The URL of a database file, whatever letters are in its path."""
    return URL.create("sqlite", database=str(database)).render_as_string()


def storage_name(key: str, url: object) -> str:
    """A database as the `key` of a command line says it, but without the password that a URL may hold."""
    return f"{key}={str(url).rpartition('@')[2]}" if url else f"{key}=null (study.db in the sweep's folder)"


def open_storage(
    url: str, heartbeat_seconds: int, name: str = "hydra.sweeper.storage", may_be_new: bool = True
) -> RDBStorage:
    """The database at `url`, with its tables made where it is a new one. One that is not new is not written into.

    Raises UserError, which calls it `name`, where it is no URL, its driver is missing, nobody answers, it holds another
    program's tables or those of another version of Optuna, or it is a new one and may not be.
    """
    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(1, _TRIES + 1):
        try:
            state = _state(url, name)
            if state is _State.EMPTY and not may_be_new:
                raise UserError(f"{name}: no studies are there: name the database that a search was given")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                return RDBStorage(
                    url,
                    engine_kwargs=waits,
                    heartbeat_interval=heartbeat_seconds,
                    grace_period=MISSED_HEARTBEATS * heartbeat_seconds,
                    skip_table_creation=state is _State.READY,  # else tables of another version would be added to
                )
        except (ArgumentError, ValueError):  # the latter of a port that is no number
            raise UserError(f"{name}: not a URL: write postgresql://USER@HOST/DATABASE, say") from None
        except ImportError:
            raise UserError(f"{name}: the driver is missing: for PostgreSQL pip install -e '.[postgres]'") from None
        except RuntimeError as error:
            if "table schema" not in str(error):
                raise
            raise UserError(
                f"{name}: its tables are those of another version of Optuna: name another database, or upgrade a copy "
                "of this one: optuna storage upgrade --storage URL"
            ) from None
        except (*DATABASE_ERRORS, AssertionError) as error:
            if attempt == _TRIES:
                raise UserError(f"{name}: cannot be opened: {_reason_and_remedy(error)}") from None
            time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("unreachable")


def is_begun(database: Path, name: str) -> bool:
    """Whether the file holds Optuna's tables, all of them. Raises UserError where it holds another program's."""
    return _state(sqlite_url(database), name) is _State.READY


class _State(Enum):
    EMPTY = "no tables"
    BEGUN = "some of Optuna's tables, or all but their version: another process makes them, or was killed at that"
    READY = "Optuna's tables and their version"


def _state(url: str, name: str) -> _State:
    """What the database holds. Raises UserError where its tables are another program's. Writes nothing."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        return _State.EMPTY  # a look would make an empty file of it
    engine = create_engine(url)
    try:
        tables = inspect(engine)
        names = set(tables.get_table_names())
        own = {*BaseModel.metadata.tables, "alembic_version"}
        columns = {column["name"] for column in tables.get_columns("studies")} if "studies" in names else set()
        if not {"study_id", "study_name"} <= columns and names - {"alembic_version"}:
            other = min(names - own, default="studies")
            raise UserError(f"{name}: holds another program's tables ({other}): name a database of its own")
        if "studies" not in names:
            return _State.EMPTY
        if "alembic_version" not in names:
            return _State.BEGUN
        with engine.connect() as connection:
            version = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).first()
        return _State.READY if version else _State.BEGUN
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
