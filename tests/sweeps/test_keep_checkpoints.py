"""`hydra.sweeper.keep_checkpoints`: what can no longer be needed is removed, and what is missing is explained."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState, create_trial
from support import SWEEP, run_ended, run_in, sweep

from housenumbers.sweeps.keep_checkpoints import remove_unneeded_checkpoints
from housenumbers.tracking import removed_checkpoints
from housenumbers.tracking.removed_checkpoints import has_checkpoints, sizes

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def study_of(*trials: dict[str, Any], directions: tuple[str, ...] = ("maximize",)) -> optuna.Study:
    study = optuna.create_study(directions=directions)
    study.set_user_attr("overrides", ["data=digits"])
    for trial in trials:
        study.add_trial(create_trial(**trial))
    return study


def with_checkpoints(folder: Path, trials: int) -> Path:
    for number in range(trials):
        checkpoints = folder / f"trial_{number:04d}/checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "best.pt").write_bytes(b"1" * 10)
        (checkpoints / "last.pt").write_bytes(b"1" * 20)
    return folder


def kept(folder: Path) -> list[int]:
    return [number for number in range(9) if has_checkpoints(folder / f"trial_{number:04d}")]


INTERRUPTED = {"interrupted": True}


def test_only_the_best_and_what_can_go_on_is_kept(tmp_path: Path) -> None:
    study = study_of(
        {"state": COMPLETE, "value": 0.5},
        {"state": COMPLETE, "value": 0.7},
        {"state": COMPLETE, "value": 0.7},  # as good
        {"state": PRUNED},
        {"state": FAIL},
        {"state": FAIL, "user_attrs": INTERRUPTED},  # which 7 has continued to the end
        {"state": FAIL, "user_attrs": INTERRUPTED},  # which 8 will continue
        {"state": PRUNED, "user_attrs": {"continues": 5}},
        {"state": TrialState.WAITING, "user_attrs": {"continues": 6}},
    )
    folder = with_checkpoints(tmp_path, 9)
    remove_unneeded_checkpoints(study, folder, "all")
    assert kept(folder) == list(range(9))
    remove_unneeded_checkpoints(study, folder, "best")
    assert kept(folder) == [1, 2, 6, 8]
    assert sizes(folder) == (4 * 30, 5 * 30)
    remove_unneeded_checkpoints(study, folder, "none")
    assert kept(folder) == [6, 8]


def test_a_chain_of_interrupted_trials_is_kept_until_its_end(tmp_path: Path) -> None:
    chain = [
        {"state": FAIL, "user_attrs": INTERRUPTED},
        {"state": FAIL, "user_attrs": INTERRUPTED | {"continues": 0}},
        {"state": TrialState.RUNNING, "user_attrs": {"continues": 1}},
    ]
    folder = with_checkpoints(tmp_path, 3)
    remove_unneeded_checkpoints(study_of(*chain), folder, "none")
    assert kept(folder) == [0, 1, 2]
    chain[2] = {"state": COMPLETE, "value": 0.5, "user_attrs": {"continues": 1}}
    remove_unneeded_checkpoints(study_of(*chain), folder, "best")
    assert kept(folder) == [2]


def test_several_objectives_keep_their_pareto_front(tmp_path: Path) -> None:
    values = ([0.5, 2.0], [0.7, 3.0], [0.4, 2.5], [0.7, 3.0], [0.6, 3.5])
    trials = [{"state": COMPLETE, "values": pair} for pair in values]
    folder = with_checkpoints(tmp_path, 5)
    remove_unneeded_checkpoints(study_of(*trials, directions=("maximize", "minimize")), folder, "best")
    assert kept(folder) == [0, 1, 3]


def test_a_folder_in_which_a_process_is_at_work_is_left_alone(tmp_path: Path) -> None:
    folder = with_checkpoints(tmp_path, 1)
    (folder / "trial_0000/run.json").write_text(json.dumps({"status": "running"}))
    with FileLock(folder / "trial_0000/.lock"):
        remove_unneeded_checkpoints(study_of({"state": PRUNED}), folder, "none")
        assert kept(folder) == [0]
    remove_unneeded_checkpoints(study_of({"state": PRUNED}), folder, "none")
    assert kept(folder) == []


def test_a_kill_between_two_files_leaves_a_whole_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, study = with_checkpoints(tmp_path, 1), study_of({"state": PRUNED})
    unlink = Path.unlink

    def killed(file: Path, missing_ok: bool = False) -> None:
        unlink(file, missing_ok)
        if file.suffix == ".pt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_unneeded_checkpoints(study, folder, "none")
    assert kept(folder) == [0]
    assert sizes(folder)[1] == 30
    remove_unneeded_checkpoints(study, folder, "none")
    assert kept(folder) == []
    assert sizes(folder) == (0, 30)


def test_a_damaged_note_explains_nothing(tmp_path: Path) -> None:
    (tmp_path / removed_checkpoints.NOTE_FILE).write_text("[")
    assert removed_checkpoints.removal_message(tmp_path / "best.pt") is None


def test_a_command_says_why_a_checkpoint_is_missing_and_the_report_how_much_was_freed(
    searched: Path, tmp_path: Path
) -> None:
    shutil.copytree(searched / "multirun/s", tmp_path / "multirun/s")
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/multirun/s/study.db")
    remove_unneeded_checkpoints(study, tmp_path / "multirun/s", "none")
    assert run_in(tmp_path, "report", "study=s").returncode == 0
    assert "hydra.sweeper.keep_checkpoints has removed" in (tmp_path / "multirun/s/report.html").read_text()
    for command in ("evaluate", "report"):
        done = run_in(tmp_path, command, "run=multirun/s/trial_0000")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "was removed by hydra.sweeper.keep_checkpoints=none" in line
        assert "python src/train.py" in line


def test_a_killed_sweep_with_few_checkpoints_goes_on_and_ends_equal(tmp_path: Path) -> None:
    words = ("hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=2", "hydra.sweeper.keep_checkpoints=none")
    killed = run_ended(tmp_path, signal.SIGKILL, 2, *SWEEP, *words, folder="trial_0001")
    assert killed.returncode == -signal.SIGKILL
    folder = tmp_path / "multirun/s"
    assert kept(folder) == [1]
    done = sweep(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "going on after epoch 2" in "".join(log.read_text() for log in folder.glob("*/train.log"))
    assert kept(folder) == []


def test_another_word_is_one_line(tmp_path: Path) -> None:
    done = sweep(tmp_path, "hydra.sweeper.keep_checkpoints=few")
    assert done.returncode == 2
    assert done.stderr == "error: hydra.sweeper.keep_checkpoints=few: must be one of all, best, none\n"
