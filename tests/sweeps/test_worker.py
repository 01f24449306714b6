"""How a trial continues an interrupted one: its place among the trials, and its checkpoints."""

from pathlib import Path

import optuna
import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from housenumbers.sweeps.heartbeat import record_owner, requeue_trial
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.worker import Worker, _copy_checkpoints
from housenumbers.tracking.removed_checkpoints import NOTE_FILE


def test_all_but_the_note_is_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "trial/checkpoints"
    source.mkdir()
    for name in ("last.pt", "best.pt", NOTE_FILE):
        (source / name).write_text(name)
    _copy_checkpoints(source, target)
    assert {file.name: file.read_text() for file in target.iterdir()} == {"last.pt": "last.pt", "best.pt": "best.pt"}


def test_what_could_not_be_copied_leaves_no_part_and_names_the_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "trial/checkpoints"
    source.mkdir()
    (source / "best.pt").write_text("best")
    (source / "last.pt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError) as error:
        _copy_checkpoints(source, target)
    assert error.value.filename == str(source / "last.pt")
    assert not list(target.parent.iterdir())


def test_with_fewer_trials_the_interrupted_one_goes_on_and_the_start_trials_do_not(tmp_path: Path) -> None:
    """Trials 0 and 1 are complete, 2 is interrupted, 3 to 5 wait; then n_trials is lowered from 6 to 3."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db", heartbeat_interval=30)
    study = optuna.create_study(study_name="s", storage=storage)
    for number in range(6):
        study.enqueue_trial({"optimizer.lr": 0.1 * number})
    for _ in range(2):
        study.tell(study.ask(), 0.5)
    interrupted = study.ask()
    record_owner(interrupted)
    assert requeue_trial(study, study.trials[2])

    space = Space({"optimizer.lr": FloatDistribution(0, 1)})
    worker = Worker(
        study, space, [], ["val_loss"], tmp_path, BasicLauncher(), 3, max_failure_rate=1, earlier=[],
        print_line=lambda _: None,
    )  # fmt: skip
    continuing = worker._ask()
    assert continuing is not None
    assert continuing.user_attrs["continues"] == 2
    assert worker._ask() is None  # no place is left for trial 3
    study.tell(continuing, 0.5)
    assert [trial.number for trial in study.trials if trial.state is TrialState.COMPLETE] == [0, 1, 6]
