"""The list of runs is the same with an index of their records as without, whatever happened to either."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import command_line, environment

from housenumbers.tracking import record_cache
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.run_list import all_runs

COUNT = record_cache._WORTHWHILE + 5


def write(folder: Path, **values: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"status": "completed", "name": "first", **values}))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write(tmp_path / f"outputs/day/{number:03}", seed=number)
    return tmp_path / "outputs"


@pytest.fixture
def indexed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record_cache, "_SETTLED", 0.0)  # instead of a wait
    all_runs([home])
    assert (home / record_cache.INDEX_FILE).exists()
    return home


def without_index(home: Path) -> list[dict[str, Any]]:
    bare = home.parent / "bare"
    shutil.copytree(home, bare, symlinks=True, ignore=shutil.ignore_patterns(record_cache.INDEX_FILE))
    return [run | {"folder": run["folder"].replace(str(bare), str(home))} for run in all_runs([bare])]


def test_the_second_look_reads_no_record(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = all_runs([indexed])
    monkeypatch.setattr(RunFolder, "record", lambda _: pytest.fail("read"))
    assert all_runs([indexed]) == expected
    assert len(expected) == COUNT
    moved = indexed.rename(indexed.parent / "moved")
    assert len(all_runs([moved])) == COUNT


def edit_in_place(home: Path) -> None:
    file = home / "day/003/run.json"
    before = file.stat()
    file.write_text(file.read_text().replace("first", "other"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(home: Path) -> None:
    (home / "day/001").rename(home / "between")
    (home / "day/002").rename(home / "day/001")
    (home / "between").rename(home / "day/002")


def break_link(home: Path) -> None:
    file = home / "day/010/run.json"
    file.unlink()
    file.symlink_to("nowhere")


@pytest.mark.parametrize(
    "change",
    [
        edit_in_place,
        exchange,
        lambda home: RunFolder(home / "day/004").update(name="updated"),
        lambda home: shutil.rmtree(home / "day/005"),
        lambda home: (home / "day/006/run.json").unlink(),
        lambda home: write(home / "day/007/inner", name="new"),
        lambda home: (home / "day/008/run.json").write_text("{"),
        lambda home: write(home / "day/009", status="running"),
        break_link,
    ],
)
def test_what_changed_since_is_seen(indexed: Path, change: Callable[[Path], object]) -> None:
    before = all_runs([indexed])
    change(indexed)
    after = all_runs([indexed])
    assert after != before
    stable = [{**run, "error": None} for run in after]  # the message of a damaged record names its folder
    assert stable == [{**run, "error": None} for run in without_index(indexed)]


@pytest.mark.parametrize(
    "damaged",
    [
        lambda good: good[: len(good) // 2],
        lambda good: good.replace(b'"first"', b'"forge"', 1),
        lambda good: good[:0],
        lambda good: good + b" ",
        lambda good: b"\xff" * len(good),
    ],
)
def test_a_damaged_index_is_replaced(indexed: Path, damaged: Callable[[bytes], bytes]) -> None:
    index = indexed / record_cache.INDEX_FILE
    expected, good = all_runs([indexed]), index.read_bytes()
    index.write_bytes(damaged(good))
    assert all_runs([indexed]) == expected
    assert index.read_bytes() == good


@pytest.mark.parametrize("place", [os.mkdir, os.mkfifo])
def test_a_folder_where_no_index_can_be_written_or_read_is_listed(
    home: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(record_cache, "_SETTLED", 0.0)
    place(home / record_cache.INDEX_FILE)
    assert len(all_runs([home])) == COUNT
    assert not list(home.glob(".*.tmp"))


def test_a_read_only_folder_is_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: object) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(record_cache, "_SETTLED", 0.0)
    monkeypatch.setattr(record_cache, "write_atomically", refuse)
    assert len(all_runs([home])) == COUNT


def test_a_record_that_has_just_been_written_is_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change once more within one step of its time stamp."""
    monkeypatch.setattr(record_cache, "_SETTLED", 3600.0)
    assert len(all_runs([home])) == COUNT
    assert not (home / record_cache.INDEX_FILE).exists()


def test_few_runs_have_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_cache, "_SETTLED", 0.0)
    write(tmp_path / "run")
    assert len(all_runs([tmp_path])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_index_is_for_its_owner_alone(indexed: Path) -> None:
    assert (indexed / record_cache.INDEX_FILE).stat().st_mode & 0o777 == 0o600


def test_several_calls_at_once_while_runs_change(home: Path) -> None:
    time.sleep(record_cache._SETTLED)
    command = command_line("runs", "format=json")
    calls = [
        subprocess.Popen(command, cwd=home.parent, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for number in range(COUNT):
        RunFolder(home / f"day/{number:03}").update(name="second")
    for call in calls:
        listed = json.loads(call.communicate(timeout=60)[0])
        assert [run["seed"] for run in listed] == list(range(COUNT))
    assert {run["name"] for run in all_runs([home])} == {"second"}
