#!/usr/bin/env bash
# Optuna: RDBStorage refuses a database that another program keeps with alembic, but adds its own tables to it first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet optuna==5.0.0 SQLAlchemy==2.1.9 alembic==1.20.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import shutil
import sqlite3
from contextlib import closing

import optuna


def tables(file):
    with closing(sqlite3.connect(file)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def refusal(file, **options):
    try:
        optuna.storages.RDBStorage(f"sqlite:///{file}", **options)
    except (RuntimeError, optuna.exceptions.StorageInternalError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    raise SystemExit(f"{file} was not refused")


# A database of another program whose tables have versions of their own, as those of MLflow and many others have.
with closing(sqlite3.connect("theirs.db")) as database, database:
    database.execute("CREATE TABLE alembic_version (version_num TEXT)")
    database.execute("INSERT INTO alembic_version VALUES ('5f2621c13b39')")
    database.execute("CREATE TABLE runs (id INTEGER)")
shutil.copy("theirs.db", "copy.db")
before = tables("theirs.db")
said = refusal("theirs.db")
added = sorted(tables("theirs.db") - before)
said_too = refusal("copy.db", skip_table_creation=True)
print("optuna", optuna.__version__)
print("refused:", said[:100])
print("refused with skip_table_creation=True:", said_too[:100])
print("tables before:", sorted(before))
print(f"added all the same ({len(added)}):", ", ".join(added))
print("added with skip_table_creation=True:", sorted(tables("copy.db") - before))
# Seen: the tables are made before the version is looked at, and stay. With skip_table_creation=True nothing is written
# (and the error speaks of a commit): look whether a database is Optuna's, and let it make tables in an empty one alone.
assert {"studies", "trials", "trial_params"} <= set(added)
assert tables("copy.db") == before
assert said.startswith("RuntimeError") and said_too.startswith("StorageInternalError")
PYTHON
