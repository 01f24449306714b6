"""Hydra's own flags and keys, in every mode: each works, or is refused in one line."""

import json
from pathlib import Path

import pytest
from support import TINY, Command, only_run, run_folders

OTHER_MODES = ([], ["hydra/sweeper=optuna"], ["-m", "hydra/sweeper=optuna"])
MODES = (["-m"], *(pytest.param(mode, marks=pytest.mark.slow) for mode in OTHER_MODES))
SHOWN = {
    "--cfg job": "name: digits",
    "--cfg hydra": "sweep:",
    "--cfg all": "name: digits",
    "--cfg job --resolve": "split_seed: 42",
    "--cfg job --package model": "width: 4",
    "--cfg all --package hydra --resolve": "sweep:",
    "--cfg hydra --package hydra.sweep": "subdir:",
    "--info config": "name: digits",
    "--info defaults": "train_schema",
    "--info defaults-tree": "train_schema",
    "--info plugins": "BasicLauncher",
    "--info searchpath": "/conf",
    "--info aliases": "threads=1",
    "--info all": "name: digits",
    "--info": "name: digits",
    "--hydra-help": "--multirun",
    "--help": "python src/train.py",
    "--version": "Hydra",
    "--shell-completion install=bash": "hydra_bash_completion",
}
REFUSED = {
    "--cfg jobs": "invalid choice: 'jobs'",
    "--nonsense": "--nonsense",
    "--resolve": "--resolve: goes with --cfg",
    "--package model": "--package: goes with --cfg",
    "--cfg job --package nothing": "--package nothing",
    "--cfg hydra --package model": "--package model",
    "--cfg job --package seed.x": "or it is null",
    "--cfg hydra --resolve": "--cfg all --package hydra --resolve",
    "--cfg job --info config": "one at a time",
    "--shell-completion": "--shell-completion",
    "--shell-completion install=nonsense": "bash, fish or zsh",
    "--shell-completion install=bash uninstall=bash": "needs one of",
    "--shell-completion query=bash": "COMP_LINE",
    "--config-dir nowhere": "nowhere",
    "--config-path nowhere": "nowhere",
    "--config-name nothing": "nothing",
    "--experimental-rerun nowhere": "experimental-rerun",
}


@pytest.mark.parametrize("flags", SHOWN)
@pytest.mark.parametrize("mode", MODES)
def test_what_only_shows_something_shows_it_in_every_mode(
    mode: list[str], flags: str, command: Command, tmp_path: Path
) -> None:
    done = command("train", *mode, *TINY, *flags.split())
    assert done.returncode == 0, done.stderr
    assert SHOWN[flags] in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", REFUSED)
@pytest.mark.parametrize("mode", MODES)
def test_what_has_no_meaning_is_refused_in_one_line(
    mode: list[str], flags: str, command: Command, tmp_path: Path
) -> None:
    done = command("train", *mode, *TINY, *flags.split())
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert REFUSED[flags] in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["seed=1,2"], ["hydra/sweeper=optuna", "optimizer.lr=interval(0.1,0.2)"]])
def test_of_a_multirun_what_its_runs_share_is_shown(words: list[str], command: Command) -> None:
    done = command("train", "-m", *words, "epochs=7", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "epochs: 7" in done.stdout
    assert "seed: 42" in done.stdout


def test_info_before_other_words_is_refused_in_one_line(command: Command) -> None:
    done = command("train", "--info", *TINY)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--info" in line


@pytest.mark.parametrize(
    "flag", ["--config-dir", "--config-path", "--config-name", "--package", "--experimental-rerun"]
)
def test_a_flag_without_its_value_is_named(flag: str, command: Command) -> None:
    done = command("train", "--cfg", "job", flag, "")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert flag in line


def test_a_configuration_that_is_no_yaml_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("a: [1")
    done = command("train", "--config-path", str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "train.yaml") in line


@pytest.mark.parametrize(
    ("hydra", "overrides"), [("x: {", "[]"), ("x: 1", "[]"), ("hydra: {job: {config_name: train}}", "a: 1")]
)
def test_a_damaged_run_to_run_again_is_named(hydra: str, overrides: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/hydra.yaml").write_text(hydra)
    (tmp_path / ".hydra/overrides.yaml").write_text(overrides)
    done = command("train", "--experimental-rerun", str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / ".hydra") in line


SHORT = (*TINY, "epochs=1")
# Keys of Hydra's own, and where the run lands with them.
KEYS = {
    "hydra.run.dir=here": "here",
    "hydra.run.dir=a/b=c": "a/b=c",
    "hydra.run.dir=here hydra.output_subdir=.hydra": "here",
    "hydra.run.dir=here hydra.output_subdir=other": "here",
    "hydra.run.dir=here hydra.job.name=mine": "here",
    "hydra.run.dir=here hydra.verbose=true": "here",
    "hydra.run.dir=here hydra/job_logging=default": "here",
    "hydra.run.dir=here hydra/job_logging=disabled hydra/hydra_logging=disabled": "here",
    "hydra.run.dir=here hydra/job_logging=stdout": "here",
    "hydra.run.dir=here +hydra.job.env_set.MINE=1": "here",
    "hydra.run.dir=here hydra.job.chdir=true": "here",
    "-m hydra.sweep.dir=there hydra.sweep.subdir=x": "there/x",
    "-m hydra.sweep.dir=there hydra.sweep.subdir=${hydra.job.num}": "there/0",
    "-m hydra.sweep.dir=there hydra.job.chdir=true": "there/0_resnet31",
    "hydra.mode=MULTIRUN hydra.sweep.dir=there": "there/0_resnet31",
}


FAST = ("hydra.run.dir=here hydra.job.chdir=true", "-m hydra.sweep.dir=there hydra.job.chdir=true")


@pytest.mark.parametrize(
    "words", [pytest.param(words, marks=[pytest.mark.slow] * (words not in FAST)) for words in KEYS]
)
def test_hydras_keys_work_and_results_lie_where_they_say(words: str, command: Command, tmp_path: Path) -> None:
    done = command("train", *words.split(), *SHORT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert only_run(tmp_path) == tmp_path / KEYS[words]
    folder = only_run(tmp_path)
    assert json.loads((folder / "run.json").read_text())["status"] == "completed"
    assert (folder / ".hydra" / "config.yaml").exists()
    assert "test accuracy" in (folder / "train.log").read_text()
    assert done.stdout.count("\n") < 20  # nothing of other libraries' debug lines


def test_relative_paths_mean_the_folder_in_which_the_command_is_given(
    command: Command, tmp_path: Path, svhn_folder: Path
) -> None:
    words = ["data=svhn", f"data.root={svhn_folder.relative_to(tmp_path)}", "data.cache=cache", "data.download=false"]
    words += ["data.verify=false", "model.width=4", "epochs=1", "threads=1", "data.reduce=1", "hydra.job.chdir=true"]
    assert command("train", *words, "hydra.run.dir=here").returncode == 0
    assert command("train", "-m", *words, "hydra.sweep.dir=there", "hydra.sweep.subdir=x").returncode == 0
    for folder in run_folders(tmp_path):
        data = json.loads((folder / "run.json").read_text())["config"]["data"]
        assert (data["root"], data["cache"]) == (str(svhn_folder), str(tmp_path / "cache"))
        assert not (folder / "cache").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.mode=SIDEWAYS"], "hydra.mode"),
        (["hydra.nonsense=1"], "hydra.nonsense"),
        (["hydra.run.nonsense=1"], "nonsense"),
        (["hydra.job.chdir=perhaps"], "hydra.job.chdir"),
        (["hydra/job_logging=nonsense"], "hydra/job_logging"),
        (["hydra/sweeper=nonsense", "-m"], "hydra/sweeper"),
        (["hydra/launcher=nonsense", "-m"], "hydra/launcher"),
        (["hydra.sweeper.max_batch_size=0", "-m"], "hydra.sweeper.max_batch_size"),
        (["hydra.sweeper.n_trials=3", "-m"], "hydra.sweeper.n_trials"),
        (["hydra.run.dir=/dev/null/x"], "/dev/null/x"),
        (["hydra.sweep.dir=/dev/null/x", "-m"], "/dev/null/x"),
    ],
)
def test_a_key_that_cannot_be_is_one_line(words: list[str], said: str, command: Command) -> None:
    done = command("train", *SHORT, *words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
