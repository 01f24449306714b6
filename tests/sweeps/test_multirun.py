"""Plain multiruns: folders that say what varies, and the same command again."""

import json
import signal
from pathlib import Path

import pytest
import yaml
from support import TINY, Command, run_ended

from housenumbers.sweeps.multirun import folder_name

SHORT = (*TINY, "epochs=1", "hydra.sweep.dir=runs")


def folders(home: Path) -> list[str]:
    return sorted(file.parent.name for file in (home / "runs").glob("*/run.json"))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["optimizer.lr=0.003"], "0_optimizer.lr=0.003"),
        (["optimizer.lr=0.003", "data.batch_size=16"], "0_optimizer.lr=0.003_data.batch_size=16"),
        (["model.blocks=[1,1,1]", "+optimizer.x=-1"], "0_model.blocks=1-1-1_optimizer.x=-1"),
        (["data.root='/a b/é'", "name=$(x)"], "0_data.root=-ab-_name=-x-"),
    ],
)
def test_a_folder_says_what_varies_in_safe_letters(words: list[str], name: str) -> None:
    assert folder_name(0, words) == name


def test_a_folders_name_is_bounded_and_still_of_its_words() -> None:
    long = [folder_name(3, [f"data.root={'x' * 300}{end}"]) for end in "ab"]
    assert all(len(name) <= 100 for name in long)
    assert long[0] != long[1]
    assert long[0].startswith("3_data.root=xxx")


def test_the_same_multirun_again_trains_nothing_twice(command: Command, tmp_path: Path) -> None:
    done = command("train", "-m", *SHORT, "optimizer.lr=0.001,0.002")
    assert done.returncode == 0, done.stderr
    assert folders(tmp_path) == ["0_optimizer.lr=0.001", "1_optimizer.lr=0.002"]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.pt")}

    more = command("train", "-m", *SHORT, "optimizer.lr=0.003,0.001,0.002")
    assert more.returncode == 0, more.stderr
    assert more.stdout.count("completed already") == 2
    assert folders(tmp_path) == ["0_optimizer.lr=0.001", "0_optimizer.lr=0.003", "1_optimizer.lr=0.002"]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    task = yaml.safe_load((tmp_path / "runs/multirun.yaml").read_text())["hydra"]["overrides"]["task"]
    assert "optimizer.lr=0.003,0.001,0.002" in task  # all that lies beside it

    other = command("train", "-m", *SHORT, "optimizer.lr=0.003,0.001")
    assert other.returncode == 2
    (line,) = other.stderr.splitlines()
    assert "another multirun, 1_optimizer.lr=0.002" in line
    assert other.stdout == ""  # no figures of the runs that lie there


def test_an_interrupted_run_is_gone_on_with(command: Command, tmp_path: Path) -> None:
    words = ["-m", *TINY, "hydra.sweep.dir=runs", "seed=1"]
    assert run_ended(tmp_path, signal.SIGKILL, 1, *words).returncode == -signal.SIGKILL
    done = command("train", *words)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 1 of 3" in done.stdout
    assert json.loads((tmp_path / "runs/0_resnet31/run.json").read_text())["epochs"] == 3


@pytest.mark.slow
def test_a_failure_is_told_at_once_and_stands_in_the_runs_log(command: Command, tmp_path: Path) -> None:
    done = command("train", "-m", *SHORT, "optimizer=sgd", "optimizer.lr=0.001,1e30,0.002")
    assert done.returncode == 2
    told, last = done.stderr.splitlines()
    assert told.startswith("error: 1_optimizer.lr=1e+30: training loss in epoch 1: ")
    assert last == "error: 1 of 3 runs failed, 1_optimizer.lr=1e+30: see their train.log"
    log = (tmp_path / "runs/1_optimizer.lr=1e+30/train.log").read_text()
    assert "ERROR failed: training loss in epoch 1: " in log
    assert "Traceback" not in log
    assert folders(tmp_path) == ["0_optimizer.lr=0.001", "1_optimizer.lr=1e+30", "2_optimizer.lr=0.002"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1,-1"], "seed=-1"),
        (["seed=1,2", "hydra.sweep.subdir=one"], "two runs would be in one"),
        (["model=resnet31,nothing"], "nothing"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(
    words: list[str], said: str, command: Command, tmp_path: Path
) -> None:
    done = command("train", "-m", *SHORT, *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert list(tmp_path.rglob("*")) == []
