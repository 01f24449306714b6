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


def test_paired_values_are_a_run_each_and_go_on_as_others(command: Command, tmp_path: Path) -> None:
    pairs = "zip(optimizer.lr=0.001,0.002 data.batch_size=16,32)"
    words = [word for word in SHORT if not word.startswith("data.batch_size=")]
    done = command("train", "-m", *words, "seed=1,2", pairs)
    assert done.returncode == 0, done.stderr
    of_first, of_second = "optimizer.lr=0.001_data.batch_size=16", "optimizer.lr=0.002_data.batch_size=32"
    names = [f"0_{of_first}_seed=1", f"1_{of_first}_seed=2", f"2_{of_second}_seed=1", f"3_{of_second}_seed=2"]
    assert folders(tmp_path) == names
    settings = [json.loads((tmp_path / "runs" / name / "run.json").read_text())["config"] for name in names]
    found = [(config["optimizer"]["lr"], config["data"]["batch_size"], config["seed"]) for config in settings]
    assert found == [(0.001, 16, 1), (0.001, 16, 2), (0.002, 32, 1), (0.002, 32, 2)]

    again = command("train", "-m", *words, pairs, "seed=2,1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("completed already") == 4
    assert folders(tmp_path) == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "zip(seed=1,2 epochs=1,2,3)"], "seed has 2, epochs has 3"),
        (["-m", "zip(seed=1,2 nokey=1,2)"], "nokey: no such key"),
        (["-m", "zip(seed=1,2 model=resnet31,nothing)"], "model=nothing: no such option"),
        (["zip(seed=1,2 epochs=1,2)"], "add -m"),
        (["-m", "zip(seed=1,2 epochs=1,2)", "hydra/sweeper=optuna"], "hydra/sweeper=optuna chooses its own values"),
        (["-m", "zip(seed=1,2 optimizer.lr=1,2)", "optimizer.lr=3"], "optimizer.lr: is given twice"),
        (["-m", "zip(seed=1,2 seed=3,4)"], "seed: is given twice"),
        (["-m", "zip(seed=1,2 epochs=interval(1,2))"], "must be KEY=VALUE,VALUE"),
        (["-m", "zip(seed=1,2 hydra.job.chdir=true,false)"], "Hydra's own keys"),
        (["-m", "zip(name=a b,c)"], "b,c: must be KEY=VALUE,VALUE, and a value with spaces in quotes"),
        (["-m", "zip()"], "must be zip(KEY=VALUE,VALUE"),
        (["-m", "zip(seed=1,2"], "must be zip(KEY=VALUE,VALUE"),
        (["-m", "zip(seed=1,2", "epochs=1,2)"], "in quotes: 'zip(seed=1,2 epochs=1,2)'"),
        (["-m", "hydra.sweeper.zip=seed"], "must be a list of texts"),
    ],
)
def test_pairs_that_cannot_run_are_one_line_before_anything_runs(
    words: list[str], said: str, command: Command, tmp_path: Path
) -> None:
    settings = [word for word in TINY if not word.startswith("epochs=")]
    done = command("train", *settings, *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert list(tmp_path.rglob("*")) == []


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
