"""Tags and notes: given to a run at any time, shown and filtered by, and no part of what makes runs equal."""

import json
from pathlib import Path

import pytest
from filelock import FileLock
from support import run_in

from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.run_list import all_runs

RUN, OTHER = "outputs/run", "outputs/other"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in (RUN, OTHER):
        (tmp_path / folder).mkdir(parents=True)
        record = {"status": "completed", "name": folder, "config": {"epochs": 1, "betas": [0.9, 0.99]}}
        (tmp_path / folder / "run.json").write_text(json.dumps(record))
    return tmp_path


def give(home: Path, *words: str) -> str:
    done = run_in(home, "runs", f"run={RUN}", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names(home: Path, *filters: str) -> set[str]:
    done = run_in(home, "runs", "format=json", *filters)
    assert done.returncode == 0, done.stderr
    return {run["folder"] for run in json.loads(done.stdout)}


def test_they_are_listed_and_filtered_by(home: Path) -> None:
    before = (home / RUN / "run.json").read_bytes()
    note = "first: try # 1, ${x} é"
    assert give(home, "tags=[lr, baseline]", f"note={note}") == f"{RUN}: tags=lr,baseline note={note}"
    assert (home / RUN / "run.json").read_bytes() == before
    header, *rows = run_in(home, "runs").stdout.splitlines()
    assert header.split()[-3:] == ["tags", "note", "folder"]
    assert any("lr,baseline" in row and note in row for row in rows)
    (tagged,) = [run for run in all_runs([home / "outputs"]) if "tags" in run]
    assert (tagged["tags"], tagged["note"]) == (["lr", "baseline"], note)
    for filters in (["tags=lr"], ["tags=lr", "tags=baseline"], ["tags=[lr,baseline]"], [f"note={note}"]):
        assert names(home, *filters) == {RUN}, filters
    for filters in (["tags=l"], ["tags=[lr]"], ["tags=lr", "tags=other"], ["note=first"]):
        assert names(home, *filters) == set(), filters
    assert names(home, "tags=null") == {OTHER}


def test_each_is_replaced_and_removed_by_itself(home: Path) -> None:
    give(home, "tags=old", "note=kept")
    assert give(home, "tags=[new,new]") == f"{RUN}: tags=new note=kept"
    assert give(home, "note=null") == f"{RUN}: tags=new note=null"
    assert "note" not in run_in(home, "runs").stdout.splitlines()[0]
    assert give(home, "tags=[]") == f"{RUN}: tags=null note=null"
    assert [path.name for path in (home / RUN).iterdir()] == ["run.json"]
    assert run_in(home, "runs").stdout.splitlines()[0].split()[-2:] == ["seed", "folder"]


def test_a_list_in_the_configuration_is_a_filter_too(home: Path) -> None:
    assert names(home, "betas=[0.9,0.99]") == names(home, "betas=0.9") == {RUN, OTHER}
    assert names(home, "betas=[0.9]") == set()


def test_a_run_is_tagged_while_it_is_running(home: Path) -> None:
    with FileLock(home / RUN / ".lock"):
        give(home, "tags=now")
    RunFolder(home / RUN).update(status="failed")
    assert names(home, "tags=now", "status=failed") == {RUN}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"run={RUN}", "tags=[a b]"], "tags=['a b']: must be a list, each tag 1 to 40 letters"),
        ([f"run={RUN}", "tags=[a,,b]"], "each tag 1 to 40 letters"),
        ([f"run={RUN}", f"tags={'a' * 41}"], "each tag 1 to 40 letters"),
        ([f"run={RUN}", f"tags={','.join(map(str, range(21)))}"], "must be 20 tags at most"),
        ([f"run={RUN}", "note=two\nlines"], "must be one line of 500 characters at most"),
        ([f"run={RUN}", f"note={'a' * 501}"], "must be one line of 500 characters at most"),
        ([f"run={RUN}", "tags=a", "tags=b"], "tags: given twice: give it once, as tags=[A,B]"),
        ([f"run={RUN}", "tags=a", "status=failed"], "status: no such key with run="),
        ([f"run={RUN}", "tags=a", "delete=true"], "delete: no such key with run="),
        ([f"run={RUN}"], "add tags=[A,B] or note=TEXT"),
        (["run=nowhere", "tags=a"], "run=nowhere: no such folder"),
        (["run=outputs", "tags=a"], "outputs: not a run's folder"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(home: Path, words: list[str], said: str) -> None:
    done = run_in(home, "runs", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not list(home.rglob("tags.json"))


@pytest.mark.parametrize("text", ["{", "[]", '{"tags": "a"}', '{"tags": ["a b"]}', '{"note": 1}', "[" * 100_000])
def test_a_damaged_file_hides_no_run(home: Path, text: str) -> None:
    (home / RUN / "tags.json").write_text(text)
    done = run_in(home, "runs", "status=completed")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert "tags.json: left out (" in done.stderr
    assert give(home, "tags=a") == f"{RUN}: tags=a note=null"
    assert not run_in(home, "runs").stderr
