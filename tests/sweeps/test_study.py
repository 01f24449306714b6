"""Studies and databases that are not ours: refused in one line, and not written into."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from support import run_in, sweep

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.database import open_storage
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study import find_study, open_study

SPACE = Space({"optimizer.lr": FloatDistribution(0.001, 0.1, log=True)})


def opened(database: Path, objectives: tuple[str, ...] = ("val_accuracy",)) -> optuna.Study:
    study, _ = open_study("mine", open_storage(f"sqlite:///{database}", 30), objectives, {"epochs": 1}, SPACE)
    return study


def created(database: Path, *directions: Any) -> optuna.Study:
    return optuna.create_study(study_name="mine", storage=f"sqlite:///{database}", directions=directions)


def of_another_program(database: Path) -> None:
    created(database, "maximize").optimize(lambda trial: trial.suggest_float("optimizer.lr", 0.001, 0.1), n_trials=2)


def of_the_stock_sweeper(database: Path) -> None:
    """It writes the overrides that all trials share into each of them, and nothing into the study."""
    study = created(database, "maximize")
    trial = study.ask({"optimizer.lr": FloatDistribution(0.001, 0.1, log=True)})
    trial.set_user_attr("data", "digits")
    study.tell(trial, 0.5)


def of_two_objectives(database: Path) -> None:
    study = created(database, "maximize", "minimize")
    study.tell(study.ask(), [0.5, 1.0])


def with_a_trial_at_work(database: Path) -> None:
    created(database, "maximize").ask()


def with_attributes_alone(database: Path) -> None:
    created(database, "maximize").set_user_attr("contributors", ["someone"])


def empty_to_minimize(database: Path) -> None:
    created(database, "minimize")


def empty_of_two_objectives(database: Path) -> None:
    created(database, "maximize", "minimize")


def with_our_attributes_of_other_types(database: Path) -> None:
    study = opened(database)
    study.tell(study.ask(), 0.5)
    study.set_user_attr("space", "everything")


FOREIGN = [
    of_another_program, of_the_stock_sweeper, of_two_objectives, with_a_trial_at_work, with_attributes_alone,
    empty_to_minimize, empty_of_two_objectives, with_our_attributes_of_other_types,
]  # fmt: skip


@pytest.mark.parametrize("make", FOREIGN)
def test_a_foreign_study_is_not_written_into(make: Callable[[Path], None], tmp_path: Path) -> None:
    database = tmp_path / "own.db"
    make(database)
    before = database.read_bytes()
    with pytest.raises(UserError, match=r"^hydra\.sweeper\.study_name=mine: .*choose another hydra\.sweeper"):
        opened(database)
    assert database.read_bytes() == before
    with pytest.raises(UserError, match="study=mine: not a study of this project's sweeps"):
        find_study("mine", f"sqlite:///{database}")
    assert database.read_bytes() == before


def test_neither_the_search_nor_its_reports_take_a_foreign_study(tmp_path: Path) -> None:
    of_another_program(tmp_path / "own.db")
    before = (tmp_path / "own.db").read_bytes()
    storage = "storage=sqlite:///own.db"
    for done in (
        sweep(tmp_path, "hydra.sweeper.study_name=mine", f"hydra.sweeper.{storage}"),
        run_in(tmp_path, "report", "study=mine", storage),
        run_in(tmp_path, "confirm", "study=mine", storage),
    ):
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "not a study of this project's sweeps" in line
    assert (tmp_path / "own.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["own.db"]


def test_an_empty_study_with_the_same_objective_is_begun(tmp_path: Path) -> None:
    """As `optuna create-study` makes it, or a process that is killed at once."""
    created(tmp_path / "own.db", "maximize")
    study = opened(tmp_path / "own.db")
    identity = {"fixed": {"epochs": 1}, "space": SPACE.identity(), "directions": ["maximize"], "references": {}}
    assert study.user_attrs == identity


def test_a_study_of_its_own_joins_the_foreign_ones_of_a_database(tmp_path: Path) -> None:
    of_another_program(tmp_path / "own.db")
    url = f"sqlite:///{tmp_path}/own.db"
    study, is_new = open_study("ours", open_storage(url, 30), ["val_accuracy"], {"epochs": 1}, SPACE)
    assert is_new
    assert len(optuna.load_study(study_name="mine", storage=url).trials) == 2
    assert open_study("ours", open_storage(url, 30), ["val_accuracy"], {"epochs": 1}, SPACE)[1] is False
    assert study.trials == []


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ("CREATE TABLE runs (id INTEGER); CREATE TABLE alembic_version (version_num TEXT)", r"program's tables \(runs"),
        ("CREATE TABLE studies (patient TEXT)", r"another program's tables \(studies\)"),
        (None, "those of another version of Optuna"),
    ],
    ids=["other tables", "a table of the same name", "another version of Optuna"],
)
def test_a_database_of_another_kind_is_not_written_into(statements: str | None, said: str, tmp_path: Path) -> None:
    database = tmp_path / "own.db"
    if statements is None:
        of_another_program(database)
        statements = "UPDATE alembic_version SET version_num = 'v2.6.0.a'; DROP TABLE trial_heartbeats"
    with sqlite3.connect(database) as connection:
        connection.executescript(statements)
    before = database.read_bytes()
    for may_be_empty in (True, False):
        with pytest.raises(UserError, match=said):
            open_storage(f"sqlite:///{database}", 30, may_be_empty=may_be_empty)
    assert database.read_bytes() == before


def test_a_journal_file_is_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("housenumbers.sweeps.database._TRIES", 1)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "own.log"))
    optuna.create_study(storage=optuna.storages.JournalStorage(backend)).ask()
    before = (tmp_path / "own.log").read_bytes()
    with pytest.raises(UserError, match=r"not a database: .*\(a journal is another file\)"):
        open_storage(f"sqlite:///{tmp_path}/own.log", 30)
    assert (tmp_path / "own.log").read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE study_user_attributes SET value_json = '{'",
        "UPDATE study_user_attributes SET value_json = '[1]' WHERE key = 'fixed'",
        "UPDATE study_directions SET direction = 'SIDEWAYS'",
        "UPDATE trials SET state = 'DONE'",
        "UPDATE trials SET datetime_start = 'yesterday'",
        "UPDATE trials SET number = NULL",
        "UPDATE trial_params SET distribution_json = 'FloatDistribution(0, 1)'",
        "UPDATE trial_params SET param_value = 'x'",
        "UPDATE trial_params SET param_value = 1e9",
        "UPDATE trial_values SET value = 'good'",
        "UPDATE trial_values SET value_type = 'GOOD'",
        "DELETE FROM trial_values",
        "UPDATE trial_intermediate_values SET intermediate_value = 'x'",
        "UPDATE trial_user_attributes SET value_json = '7'",
    ],
)
def test_values_that_were_edited_in_a_study_are_one_line(statement: str, searched: Path, tmp_path: Path) -> None:
    database = tmp_path / "s/study.db"
    database.parent.mkdir()
    shutil.copy(searched / "multirun/s/study.db", database)
    known = find_study(str(database.parent))[0].user_attrs
    with sqlite3.connect(database) as connection:
        connection.executescript(statement)
    said = r"restore it from a backup|not a study of this project|no such study"
    with pytest.raises(UserError, match=said):
        find_study(str(database.parent))
    space: Any = SimpleNamespace(identity=lambda: known["space"])
    with pytest.raises(UserError, match=said):
        open_study("s", open_storage(f"sqlite:///{database}", 30), known["objectives"], known["fixed"], space)


def test_the_commands_tell_an_edited_study_in_one_line(searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path / "home")
    with sqlite3.connect(tmp_path / "home/multirun/s/study.db") as connection:
        connection.execute("UPDATE trial_values SET value = 'good'")
    for done in (run_in(tmp_path / "home", "report", "study=s"), sweep(tmp_path / "home", "hydra.sweeper.n_trials=7")):
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "restore it from a backup" in line
