"""Runs are deleted after a question, and only whole."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from support import ROOT, environment, run_in

COMPLETED = {"status": "completed", "name": "kept", "config": {"epochs": 1}}


def write(home: Path, folder: str, **values: object) -> Path:
    path = home / folder
    (path / "checkpoints").mkdir(parents=True)
    (path / "checkpoints" / "best.pt").write_bytes(b"weights")
    (path / "run.json").write_text(json.dumps(COMPLETED | values))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path, "outputs/kept")
    write(tmp_path, "outputs/failed", status="failed", name="wrong")
    write(tmp_path, "outputs/failed_too", status="failed", name="wrong too")
    return tmp_path


def test_those_that_match_are_deleted_and_no_others(home: Path) -> None:
    done = run_in(home, "runs", "status=failed", "delete=true", "yes=true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["deleted outputs/failed", "deleted outputs/failed_too"]
    assert [path.name for path in (home / "outputs").iterdir()] == ["kept"]


@pytest.mark.parametrize(("answer", "left"), [("y", ["kept"]), ("n", ["failed", "failed_too", "kept"]), ("", None)])
def test_a_question_comes_first(home: Path, answer: str, left: list[str] | None) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, str(ROOT / "src" / "runs.py"), "status=failed", "delete=true"]
    with subprocess.Popen(words, cwd=home, env=environment(), stdin=theirs, stderr=subprocess.PIPE) as process:
        os.write(ours, f"{answer}\n".encode())
        _, errors = process.communicate(timeout=60)
    assert b"outputs/failed_too\nDelete 2 folders with all files? [y/N] " in errors
    assert process.returncode == 0
    assert sorted(path.name for path in (home / "outputs").iterdir()) == (left or ["failed", "failed_too", "kept"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status=failed"], "no terminal to ask whether 2 runs may be deleted: add yes=true"),
        (["yes=true"], "name what to delete"),
        (["name=trial", "yes=true"], "multirun/s/trial_0000: a trial of a study"),
        (["status=damaged", "yes=true"], "multirun/s/trial_0001: a trial of a study"),
        (["name=outer", "yes=true"], "outputs/outer: holds another run, outputs/outer/inner"),
        (["name=busy", "yes=true"], "outputs/busy: is running"),
        (["name=source", "yes=true"], "outputs/source: outputs/student starts with its weights (model.pretrained)"),
        (["name=file", "yes=true"], "outputs/file: outputs/student2 starts with its weights (model.pretrained)"),
    ],
)
def test_what_is_refused_deletes_nothing(home: Path, words: list[str], said: str) -> None:
    write(home, "multirun/s/trial_0000", name="trial", trial={"study": "s", "number": 0})
    write(home, "multirun/s/trial_0001", config=[])  # damaged
    (home / "multirun/s/study.db").touch()
    write(home, "outputs/outer", name="outer")
    write(home, "outputs/outer/inner", name="inner")
    busy = write(home, "outputs/busy", name="busy", status="running")
    weights = {
        "student": f"run:{write(home, 'outputs/source', name='source')}",
        "student2": str(write(home, "outputs/file", name="file") / "checkpoints/best.pt"),
    }
    for name, source in weights.items():
        write(home, f"outputs/{name}", name=name, config={"model": {"pretrained": source}})
    before = sorted(home.rglob("*.pt"))
    with FileLock(busy / ".lock"):
        done = run_in(home, "runs", "delete=true", *words)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert sorted(home.rglob("*.pt")) == before


def test_a_run_is_deleted_together_with_the_one_that_starts_with_its_weights(home: Path) -> None:
    source = write(home, "outputs/source", name="pair")
    write(home, "outputs/student", name="pair", config={"model": {"pretrained": f"run:{source}"}})
    done = run_in(home, "runs", "name=pair", "delete=true", "yes=true")
    assert done.stdout.splitlines() == ["deleted outputs/source", "deleted outputs/student"], done.stderr
