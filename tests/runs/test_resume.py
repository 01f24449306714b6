"""A finished run made longer: to the bits of one that was as long from the start, or not at all."""

import shutil
from pathlib import Path

import pytest
import torch
from support import composed

from housenumbers.config.schema import setting_tied_to_epochs
from housenumbers.runs.resume import resume
from housenumbers.runs.run import run
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import RunFolder

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


def test_a_run_that_stopped_early_is_not_made_longer(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.record_start(composed(*WORDS, "early_stopping.enabled=true", "epochs=9"))
    folder.update(status="completed", epochs=5)
    with pytest.raises(UserError, match="stopped early, after 5 epochs"):
        resume(tmp_path, ["epochs=12"])
