"""A finished run made longer: to the bits of one that was as long from the start, or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import TINY, composed, run_in, write_mat

from housenumbers.api.run import Run
from housenumbers.config.schema import setting_tied_to_epochs
from housenumbers.runs.repeat import repeat
from housenumbers.runs.resume import resume
from housenumbers.runs.run import run
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import RESULTS, RunFolder
from housenumbers.training import distributed
from housenumbers.training.checkpoint import weights_sha256

WORDS = ("data=digits", "data.reduce=0.2", "data.batch_size=64", "model.width=4", "model.blocks=[1,1,1]", "threads=1")
# Of all that could depend on the number of epochs what does not.
STEADY = ("scheduler.step_size=1", "scheduler.warmup_epochs=1.5", "averaging=ema", "augment=rotation")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short") / "run"
    run(composed(*WORDS, *STEADY, "epochs=2"), folder)
    return folder


def test_a_longer_run_has_the_bits_of_one_that_was_as_long_from_the_start(short: Path, tmp_path: Path) -> None:
    longer = RunFolder(shutil.copytree(short, tmp_path / "longer"))
    for name in ("report.html", "evaluation_test.json", "corruptions_test.json"):
        (longer.path / name).write_text("of earlier weights")
    assert resume(longer.path, ["epochs=4"]) == 0
    whole = RunFolder(tmp_path / "whole")
    run(composed(*WORDS, *STEADY, "epochs=4"), whole.path)
    here, there = longer.record(), whole.record()
    for key in ("status", "weights_sha256", "best", "test", "calibration", "epochs"):
        assert here[key] == there[key]
    of_both = (torch.load(folder.best, weights_only=True)["model"] for folder in (longer, whole))
    first, second = of_both
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert [record["epoch"] for record in longer.history()] == [1, 2, 3, 4]
    assert longer.config().epochs == 4
    assert not list(longer.path.glob("report.html")) + list(longer.path.glob("*_test.json"))


def test_a_run_with_metrics_of_ones_own_goes_on_after_epochs_worse_than_its_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = [0.9, 0.5, 0.6]
    scores = ((accuracy, 1.0, {"margin": accuracy / 2, "undefined": None}) for accuracy in accuracies)
    monkeypatch.setattr(distributed, "validate", lambda *_: next(scores))
    folder = RunFolder(tmp_path / "run")
    run(composed(*WORDS, "epochs=2"), folder.path)
    assert resume(folder.path, ["epochs=3"]) == 0
    assert [record["val_margin"] for record in folder.history()] == [accuracy / 2 for accuracy in accuracies]
    assert Run(folder.path).history[0]["val_undefined"] is None


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["scheduler=cosine"], "scheduler.T_max"),
        (["scheduler=onecycle"], "scheduler.total_steps"),
        (["scheduler=trapezoidal"], "scheduler.total_steps"),
        (["averaging=swa", "averaging.start=0.5"], "averaging.start"),
        (["progressive.sizes=[16,32]"], "progressive.sizes"),
        (["progressive.freeze_after=[0.5]"], "progressive.freeze_after"),
        (["data=synthetic", "data.curriculum=[0.0,1.0]"], "data.curriculum"),
    ],
)
def test_what_is_spread_over_all_epochs_is_known(words: list[str], key: str) -> None:
    assert key in str(setting_tied_to_epochs(composed(*WORDS, *words)))


@pytest.mark.parametrize(
    "words", [[], ["scheduler=none"], ["scheduler=cosine", "scheduler.T_max=9"], ["averaging=ema"]]
)
def test_what_is_the_same_in_any_number_of_epochs_is_known(words: list[str]) -> None:
    assert setting_tied_to_epochs(composed(*WORDS, *words)) is None


def test_a_run_whose_epochs_would_have_been_others_is_not_made_longer(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.record_start(composed(*WORDS, "scheduler=cosine", "epochs=2"))
    folder.update(status="completed", epochs=2)
    before = folder.record()
    with pytest.raises(UserError, match=r"CosineAnnealingLR.*train anew with epochs=4"):
        resume(tmp_path, ["epochs=4"])
    assert folder.record() == before


def test_a_run_with_a_setting_that_refers_to_its_epochs_is_not_made_longer(tmp_path: Path) -> None:
    words = (*TINY, "epochs=1", "scheduler=cosine", "scheduler.T_max=${epochs}")
    assert run_in(tmp_path, "train", *words, "hydra.run.dir=run").returncode == 0
    before = contents(tmp_path / "run")
    with pytest.raises(UserError, match=r"epochs=2: scheduler\.T_max=\$\{epochs\} would be another value: train anew"):
        resume(tmp_path / "run", ["epochs=2"])
    assert contents(tmp_path / "run") == before


def test_a_repeated_run_keeps_settings_that_refer_to_other_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*TINY, "epochs=1", "scheduler=cosine", "scheduler.T_max=${epochs}")
    assert run_in(tmp_path, "train", *words, "hydra.run.dir=first").returncode == 0
    monkeypatch.chdir(tmp_path)
    second, code = repeat(Path("first"), ["threads=1"])
    assert code == 0
    first = RunFolder(Path("first")).unresolved()
    assert RunFolder(second).unresolved()["scheduler.T_max"] == first["scheduler.T_max"] == "${epochs}"
    assert RunFolder(second).record()["config"] == RunFolder(Path("first")).record()["config"]
    with pytest.raises(UserError, match=r"epochs=2: scheduler\.T_max=\$\{epochs\} would be another value"):
        resume(second, ["epochs=2"])


def test_a_run_that_stopped_early_is_not_made_longer(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.record_start(composed(*WORDS, "early_stopping.enabled=true", "epochs=9"))
    folder.update(status="completed", epochs=5)
    with pytest.raises(UserError, match="stopped early, after 5 epochs"):
        resume(tmp_path, ["epochs=12"])


def write_svhn(folder: Path, shade: int = 0) -> Path:
    folder.mkdir()
    write_mat(folder / "train_32x32.mat", 100, shade)
    write_mat(folder / "test_32x32.mat", 50, 7)
    return folder


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A completed run of two epochs, of which the first is the best, so that best.pt alone holds its weights."""
    home = tmp_path_factory.mktemp("ended")
    data = ("data=svhn", f"data.root={write_svhn(home / 'svhn')}", "data.verify=false", "data.download=false")
    folder = RunFolder(home / "run")
    run(composed(*WORDS, *data, "data.reduce=1", "epochs=1"), folder.path)
    best = torch.load(folder.best, weights_only=True)
    best["record"]["val_accuracy"] = 1.0
    torch.save(best, folder.best)
    edit(folder.last, lambda last: last["history"][0].update(val_accuracy=1.0))
    resume(folder.path, ["epochs=2"])
    assert folder.record()["best"]["epoch"] == 1
    return folder


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)


def negate(content: dict[str, Any]) -> None:
    content["model"]["head.bias"].neg_()


def contiguous(content: dict[str, Any]) -> None:
    """The kernels' averages as a program returns them that keeps no memory formats."""
    for averages in content["optimizer"]["state"].values():
        averages.update({name: value.contiguous() for name, value in averages.items()})


REFUSED: dict[str, tuple[Callable[[RunFolder], Any], list[str], str]] = {
    "no best.pt": (lambda folder: folder.best.unlink(), [], r"best\.pt: is missing"),
    "an edited best.pt": (lambda folder: edit(folder.best, negate), [], r"best\.pt: its weights are not those"),
    "no last.pt": (lambda folder: folder.last.unlink(), [], r"last\.pt: is missing"),
    "a truncated last.pt": (lambda folder: folder.last.write_bytes(folder.last.read_bytes()[:999]), [], r"last\.pt"),
    "weights of another shape in last.pt": (
        lambda folder: edit(folder.last, lambda last: last["model"].update({"head.bias": torch.zeros(3)})), [],
        r"last\.pt: does not fit this run",
    ),
    "an optimizer state in another memory format": (lambda folder: edit(folder.last, contiguous), [], "another form"),
    "a last.pt of other data": (
        lambda folder: edit(folder.last, lambda last: last.update(data_sha256="0")), [], "not those that this run",
    ),
    "a last.pt of another run": (
        lambda folder: edit(folder.last, lambda last: last.update(run_id="0")), [], "is of another run",
    ),
    "no folder of data": (lambda _: None, ["data.root=/nowhere"], "/nowhere/test_32x32.mat: no such file"),
    "other data": (lambda folder: write_svhn(folder.path / "svhn", 9), ["data.root=run/svhn"], "not those that this"),
    "no device": (lambda _: None, ["device=cuda:99"], "device=cuda"),
    "another key": (lambda _: None, ["seed=3"], "seed=3: a saved run keeps its configuration"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_finished_run_that_cannot_be_made_longer_stays_as_it_is(
    ended: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    damage, overrides, said = REFUSED[name]
    folder = RunFolder(shutil.copytree(ended.path, tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    damage(folder)
    before = contents(folder.path)
    with pytest.raises(UserError, match=said) as refused:
        resume(folder.path, [*overrides, "epochs=3"])
    assert "delete" not in str(refused.value)
    assert contents(folder.path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk"), RuntimeError("a bug")])
def test_a_finished_run_whose_extension_ends_before_it_begins_stays_as_it_is(
    ended: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    folder = RunFolder(shutil.copytree(ended.path, tmp_path / "run"))

    def fail(_: Any) -> None:
        raise error

    monkeypatch.setattr("housenumbers.runs.run.load_splits", fail)
    before = contents(folder.path)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        resume(folder.path, ["epochs=3"])
    assert contents(folder.path) == before
    assert "not made longer" in folder.log_file.read_text()


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run but its log and its lock."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name not in ("train.log", ".lock")]
    return {str(file): file.read_bytes() for file in files}


@pytest.mark.parametrize("longer", [False, True])
def test_a_finished_run_that_fails_while_it_is_made_longer_is_recorded_as_failed(
    ended: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longer: bool
) -> None:
    folder = RunFolder(shutil.copytree(ended.path, tmp_path / "run"))
    monkeypatch.setattr("housenumbers.training.loop.train_epoch", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        resume(folder.path, ["epochs=3"])
    record = folder.record()
    assert record["status"] == "failed"
    assert not record.keys() & set(RESULTS)  # which were of two epochs
    assert folder.config().epochs == 3
    monkeypatch.undo()
    resume(folder.path, ["epochs=4"] if longer else [])
    assert folder.record()["status"] == "completed"
    assert folder.record()["epochs"] == (4 if longer else 3)
    saved = torch.load(folder.best, weights_only=True)["model"]
    assert folder.record()["best_weights_sha256"] == weights_sha256(saved)
