"""What a run goes on from: its own checkpoints or none, and what it says of others."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import TINY, composed, only_run, run_in

from housenumbers.evaluation.score import recalibrate
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.runs.run import run
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.files import write_json
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import weights_sha256

WORDS = (
    "data=digits", "data.reduce=0.2", "data.batch_size=64", "model.width=4", "model.blocks=[1,1,1]", "threads=1",
    "epochs=3",
)  # fmt: skip


class KilledError(Exception):
    pass


def interrupted(folder: Path, *words: str) -> Path:
    """A run that has its second epoch in its checkpoints, and no more."""

    def write_metrics(_: RunFolder, history: list[Any]) -> None:
        if len(history) == 2:
            raise KilledError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunFolder, "write_metrics", write_metrics)
        with pytest.raises(KilledError):
            run(composed(*WORDS, *words), folder)
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interrupted(tmp_path_factory.mktemp("begun") / "run")


@pytest.fixture
def folder(begun: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(begun, tmp_path / "run"))


def resume(folder: RunFolder) -> None:
    run(folder.config(), folder.path, resuming=True)


def change(file: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = torch.load(file, weights_only=True)
    edit(content)
    torch.save(content, file)


def make_first_the_best(content: dict[str, Any]) -> None:
    content["history"][0]["val_accuracy"] = 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [(["seed=43"], "seed"), (["optimizer.lr=0.01"], "optimizer.lr"), (["scheduler=cosine"], "scheduler")],
)
@pytest.mark.parametrize("with_id", [True, False])
def test_the_last_checkpoint_of_another_run_is_refused(
    folder: RunFolder, tmp_path: Path, words: list[str], said: str, with_id: bool
) -> None:
    other = RunFolder(interrupted(tmp_path / "other", *words))
    shutil.copy(other.last, folder.last)
    if not with_id:  # as earlier versions wrote them
        change(folder.last, lambda content: content.pop("run_id"))
    before = folder.last.read_bytes()
    with pytest.raises(UserError, match=r"last\.pt.* is of another run" if with_id else rf"last\.pt.*{said}"):
        resume(folder)
    assert folder.last.read_bytes() == before


def test_another_runs_best_weights_are_refused(folder: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(interrupted(tmp_path / "other", "seed=43"))
    change(folder.last, make_first_the_best)
    shutil.copy(other.best, folder.best)
    with pytest.raises(UserError, match=r"best\.pt: is of another run"):
        resume(folder)
    with pytest.raises(UserError, match=r"best\.pt: is of another run"):
        load_trained_model(folder.path)
    shutil.copy(other.best, tmp_path / "alone.pt")
    load_trained_model(tmp_path / "alone.pt")


def test_weights_of_another_epoch_are_not_taken_for_the_best(finished: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    whole, last = run.best.read_bytes(), run.last.read_bytes()
    change(run.best, lambda content: content["record"].update(epoch=99))
    with pytest.raises(UserError, match=r"best\.pt: is not of epoch \d"):
        load_trained_model(run.path)
    run.best.write_bytes(last)
    run.last.write_bytes(whole)
    for file in (run.best, run.last):
        with pytest.raises(UserError, match=rf"is not a run's {file.name}"):
            load_trained_model(file)


def negate(content: dict[str, Any]) -> None:
    content["model"]["head.bias"].neg_()


def test_edited_best_weights_of_a_finished_run_are_refused(finished: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    recalibrate(run.path, [])
    load_trained_model(run.path)  # the same weights
    change(run.best, negate)
    with pytest.raises(UserError, match=r"best\.pt: its weights are not those that the run saved"):
        load_trained_model(run.path)
    shutil.copy(run.best, tmp_path / "alone.pt")
    load_trained_model(tmp_path / "alone.pt")
    change(run.best, lambda content: content["model"].update({"head.bias": "x"}))
    with pytest.raises(UserError, match=r"best\.pt: its weights are not"):
        load_trained_model(run.path)
    write_json(run.record_file, {key: run.record()[key] for key in run.record() if key != "best_weights_sha256"})
    change(run.best, lambda content: content["model"].update({"head.bias": torch.zeros(10)}))
    load_trained_model(run.path)  # as earlier versions recorded it


def test_edited_weights_of_a_run_without_validation_are_refused(tmp_path: Path) -> None:
    assert run_in(tmp_path, "train", *TINY, "data.val_fraction=0", "epochs=1").returncode == 0
    run = RunFolder(only_run(tmp_path))
    load_trained_model(run.path)
    change(run.best, negate)
    with pytest.raises(UserError, match=r"best\.pt: its weights are not those that the run saved"):
        load_trained_model(run.path)


def test_edited_best_weights_are_refused_on_resume(folder: RunFolder) -> None:
    change(folder.last, make_first_the_best)
    change(folder.last, lambda content: content.update(best_weights_sha256="0" * 64))  # of epoch 1
    first = torch.load(folder.best, weights_only=True)
    history = torch.load(folder.last, weights_only=True)["history"]
    torch.save({**first, "record": history[0]}, folder.best)
    with pytest.raises(UserError, match=r"best\.pt: its weights are not those that the run saved"):
        resume(folder)
    change(folder.last, lambda content: content.update(best_weights_sha256=weights_sha256(first["model"])))
    resume(folder)
    assert folder.record()["best_weights_sha256"] == weights_sha256(first["model"])


def test_a_longer_run_records_its_own_best_weights(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    run(folder.config(["epochs=4"]), folder.path, resuming=True)
    content = torch.load(folder.best, weights_only=True)
    assert folder.record()["best_weights_sha256"] == weights_sha256(content["model"])
    assert torch.load(folder.last, weights_only=True)["best_weights_sha256"] == weights_sha256(content["model"])
    load_trained_model(folder.path)


def test_missing_best_weights_are_noticed_before_any_training(folder: RunFolder) -> None:
    change(folder.last, make_first_the_best)
    folder.best.unlink()
    with pytest.raises(UserError, match=r"best\.pt: is missing.*epoch 1"):
        resume(folder)
    assert len(torch.load(folder.last, weights_only=True)["history"]) == 2


def test_missing_best_weights_are_had_from_the_last_epoch_where_it_is_the_best(folder: RunFolder) -> None:
    def make_last_the_best(content: dict[str, Any]) -> None:
        content["history"][1]["val_accuracy"] = 1.0

    change(folder.last, make_last_the_best)
    folder.best.unlink()
    resume(folder)
    record = folder.record()
    assert record["status"] == "completed"
    assert record["best"]["epoch"] == 2
    assert record["test"]["n"] == 360


def first_moment(content: dict[str, Any]) -> dict[str, Any]:
    moments: dict[str, Any] = content["optimizer"]["state"][0]
    return moments


CRAFTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a moment of another shape": lambda content: first_moment(content).update(exp_avg=torch.zeros(1)),
    "a moment of another type": lambda content: first_moment(content).update(exp_avg="x"),
    "a learning rate of text": lambda content: content["optimizer"]["param_groups"][0].update(lr="x"),
    "a schedule of text": lambda content: content["scheduler"].update(last_epoch="x"),
    "no schedule": lambda content: content.update(scheduler=5),
    "no history": lambda content: content.update(history=[]),
    "a history of text": lambda content: content.update(history="x"),
    "a gap in the history": lambda content: content["history"][1].update(epoch=3),
    "no number in the history": lambda content: content["history"][1].update(val_loss=float("nan")),
    "more epochs than the run has": lambda content: content.update(
        history=[content["history"][0] | {"epoch": epoch} for epoch in range(1, 6)]
    ),
    "no seconds": lambda content: content.update(seconds=float("nan")),
    "weights of another shape": lambda content: content["model"].update({"head.bias": torch.zeros(3)}),
    "a configuration of text": lambda content: content.update(config="x"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_changed_last_checkpoint_is_refused_in_a_line(folder: RunFolder, name: str) -> None:
    change(folder.last, CRAFTED[name])
    with pytest.raises(UserError, match=r"(?s)last\.pt.*begins anew"):
        resume(folder)
    assert folder.record()["status"] == "failed"


@pytest.mark.parametrize("temperature", [-1, 0, float("nan"), float("inf"), "x", None, True, 10**400])
def test_a_temperature_that_cannot_be_is_refused(folder: RunFolder, temperature: Any) -> None:
    calibration = {"temperature": temperature, "n": 5, "error_before": 0.1, "error": 0.1}
    change(folder.best, lambda content: content.update(calibration=calibration))
    with pytest.raises(UserError, match=r"best\.pt.*temperature"):
        load_trained_model(folder.path)


@pytest.mark.parametrize("name", ["weights.pth", "weights", "run.json"])
def test_a_file_is_a_checkpoint_whatever_its_name(folder: RunFolder, tmp_path: Path, name: str) -> None:
    shutil.copy(folder.best, tmp_path / name)
    assert load_trained_model(tmp_path / name).file == tmp_path / name


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(path: Any, *arguments: Any, opened: Callable[..., int] = os.open, **more: Any) -> int:
        if str(path) == str(folder.last):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SystemExit) as ended, one_line_errors():
        resume(folder)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder.last}: {os.strerror(number)}" in line
    assert "delete" not in line
    assert "damaged" not in line


def test_a_folder_or_a_pipe_in_the_place_of_a_checkpoint_is_named(folder: RunFolder) -> None:
    folder.last.unlink()
    folder.last.mkdir()
    with pytest.raises(IsADirectoryError, match=r"last\.pt"):
        resume(folder)
    folder.last.rmdir()
    os.mkfifo(folder.last)
    with pytest.raises(UserError, match=r"last\.pt: not an ordinary file"):
        resume(folder)


def test_a_link_to_nowhere_is_no_reason_to_begin_anew(folder: RunFolder) -> None:
    folder.last.unlink()
    folder.last.symlink_to("/nowhere/last.pt")
    with pytest.raises(UserError, match=r"last\.pt: a link to /nowhere/last\.pt"):
        resume(folder)
    assert folder.last.is_symlink()


def test_a_record_without_an_id_is_compared_by_its_settings(folder: RunFolder) -> None:
    """As earlier versions wrote it; from then on it has one."""
    for file in (folder.last, folder.best):
        change(file, lambda content: content.pop("run_id"))
    write_json(folder.record_file, {key: value for key, value in folder.record().items() if key != "run_id"})
    resume(folder)
    run_id = folder.record()["run_id"]
    assert torch.load(folder.last, weights_only=True)["run_id"] == run_id


def test_a_model_too_large_for_any_machine_is_a_line(folder: RunFolder, tmp_path: Path) -> None:
    for width in (10**20, 10**9):
        shutil.copy(folder.best, tmp_path / "alone.pt")
        change(tmp_path / "alone.pt", lambda content, width=width: content["config"]["model"].update(width=width))
        with pytest.raises(UserError, match=r"alone\.pt: its model needs more memory"):
            load_trained_model(tmp_path / "alone.pt")
    with pytest.raises(UserError, match="out of memory"):
        run(composed(*WORDS, "model.input_size=10000000000"), tmp_path / "huge")
