"""Opens or creates the database that holds studies, and rejects a database of another program."""

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
from housenumbers.runtime.installation import pip_install
from housenumbers.sweeps.heartbeat import DATABASE_ERRORS, MISSED_HEARTBEATS

# The remedy for each text in the database's error message.
_REMEDIES = {
    "not a database": "restore it from a backup, or name a database file of SQLite (a journal is another file)",
    "malformed": "restore it from a backup",
    "no such": "restore it from a backup",  # table or column
    "is full": "make room",
    "No space": "make room",
    "disk I/O": "make room, or repair the disk",
    "locked": "end the process that holds it",
    "readonly": "permit writing there",
    "unable to open": "permit reading and writing there, or correct the path",
}
_TRIES = 10  # to open a database: processes that create its tables at the same time conflict


def sqlite_url(database: Path) -> str:
    """The URL of a SQLite file; escapes special characters in its path."""
    return URL.create("sqlite", database=str(database)).render_as_string()


def storage_name(key: str, url: object) -> str:
    """The database as a KEY=URL text for messages, without the password in the URL."""
    return f"{key}={str(url).rpartition('@')[2]}" if url else f"{key}=null (study.db in the sweep's folder)"


def open_storage(
    url: str, heartbeat_seconds: int, name: str = "hydra.sweeper.storage", may_be_empty: bool = True
) -> RDBStorage:
    """Opens the database at `url`, and creates Optuna's tables only in an empty one.

    Raises UserError, which names it `name`, where `url` is not a URL, the driver is missing, the server does not
    answer, the tables are another program's or another Optuna version's, or it is empty and not `may_be_empty`.
    """
    engine_options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for attempt in range(1, _TRIES + 1):
        try:
            state = _state(url, name)
            if state is _State.EMPTY and not may_be_empty:
                raise UserError(f"{name}: no studies are there: name the database that a search was given")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats
                return RDBStorage(
                    url,
                    engine_kwargs=engine_options,
                    heartbeat_interval=heartbeat_seconds,
                    grace_period=MISSED_HEARTBEATS * heartbeat_seconds,
                    skip_table_creation=state is _State.READY,  # else Optuna would alter tables of another version
                )
        except (ArgumentError, ValueError):  # ValueError: the port is not a number
            raise UserError(f"{name}: not a URL: write for example postgresql://USER@HOST/DATABASE") from None
        except ImportError:
            raise UserError(f"{name}: the driver is missing: for PostgreSQL {pip_install('postgres')}") from None
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


def has_optuna_tables(database: Path, name: str) -> bool:
    """Whether the file holds all of Optuna's tables. Raises UserError where it holds another program's tables."""
    return _state(sqlite_url(database), name) is _State.READY


class _State(Enum):
    EMPTY = "no tables"
    PARTIAL = "some of Optuna's tables, or all but their version: another process is creating them, or died meanwhile"
    READY = "Optuna's tables and their version"


def _state(url: str, name: str) -> _State:
    """The state of the database. Raises UserError where the tables belong to another program. Writes nothing."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        return _State.EMPTY  # connecting would create an empty file
    engine = create_engine(url)
    try:
        inspector = inspect(engine)
        names = set(inspector.get_table_names())
        optuna_tables = {*BaseModel.metadata.tables, "alembic_version"}
        columns = {column["name"] for column in inspector.get_columns("studies")} if "studies" in names else set()
        if not {"study_id", "study_name"} <= columns and names - {"alembic_version"}:
            other = min(names - optuna_tables, default="studies")
            raise UserError(f"{name}: holds another program's tables ({other}): name a database of its own")
        if "studies" not in names:
            return _State.EMPTY
        if "alembic_version" not in names:
            return _State.PARTIAL
        with engine.connect() as connection:
            version = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).first()
        return _State.READY if version else _State.PARTIAL
    finally:
        engine.dispose()


@contextmanager
def one_line_database_errors(name: str) -> Iterator[None]:
    """Raises UserError, which names the database `name`, where it is damaged, full or unreachable."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise UserError(f"{name}: {_reason_and_remedy(error)}, and the same command goes on") from None


def _reason_and_remedy(error: Exception) -> str:
    reason = str(error.__cause__ or error).splitlines()[0]
    if isinstance(error, PendingRollbackError):  # its message is an internal detail of SQLAlchemy
        reason = "the connection was lost"
    remedies = (remedy for word, remedy in _REMEDIES.items() if word in reason)
    return f"{reason}: {next(remedies, 'start its server, or correct the URL')}"
