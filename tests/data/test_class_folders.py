"""Folders of one's own: each is used, named or refused."""

from pathlib import Path

import pytest
import torch
from support import TINY, Command, data_config
from test_folder import digit, write_classes

from housenumbers.config.sections import DataConfig
from housenumbers.data.load import load_splits, load_test
from housenumbers.runtime.errors import UserError


def config(root: Path, **more: object) -> DataConfig:
    return data_config(root, name="folder", cache=str(root / ".cache"), **more)


def write_split(root: Path, *others: str) -> None:
    for part in ("train", "test", *others):
        write_classes(root / part, 3)


@pytest.mark.parametrize("names", [("Test", "Train"), ("digit_0", "digit_1"), ("0.png", "1.png")])
def test_what_is_there_instead_of_classes_is_named(names: tuple[str, str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"has no images: it must hold .*; it holds {', '.join(names)}"):
        load_splits(config(tmp_path))


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_validates(tmp_path: Path, name: str) -> None:
    write_split(tmp_path)
    write_classes(tmp_path / name, 2)
    splits = load_splits(config(tmp_path))
    assert len(splits.train.labels) == 30
    assert splits.validation is not None
    assert splits.validation.labels.bincount().tolist() == [2] * 10
    alone = load_splits(config(tmp_path, val_fraction=0.3, split="random", split_seed=5))
    assert alone.sha256 == splits.sha256, "nothing is split off"
    digit(3, shade=99).save(next((tmp_path / name / "3").iterdir()))
    assert load_splits(config(tmp_path)).sha256 != splits.sha256


def test_extra_joins_training_and_reduce_acts_on_both_sides(tmp_path: Path) -> None:
    write_split(tmp_path, "extra", "val")
    splits = load_splits(config(tmp_path, use_extra="true", reduce=0.5))
    assert splits.validation is not None
    assert (len(splits.train.labels), len(splits.validation.labels)) == (30, 15)
    alone = load_splits(config(tmp_path, use_extra="only"))
    assert alone.validation is not None
    assert (len(alone.train.labels), len(alone.validation.labels)) == (30, 30)


def test_no_validation_is_what_was_asked_for_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_split(tmp_path, "val")
    assert load_splits(config(tmp_path, val_fraction=0)).validation is None
    assert f"{tmp_path / 'val'}: not used, since data.val_fraction=0" in caplog.text


def test_two_validation_folders_are_one_too_many(tmp_path: Path) -> None:
    write_split(tmp_path, "val", "validation")
    with pytest.raises(UserError, match="val and validation: only one"):
        load_splits(config(tmp_path))


@pytest.mark.parametrize("part", ["", "train", "test", "val", "extra"])
def test_a_folder_10_is_refused(tmp_path: Path, part: str) -> None:
    """SVHN's own label of the digit 0: a model would never see one."""
    if part:
        write_split(tmp_path, "val", "extra")
    else:
        write_classes(tmp_path, 5)
    (tmp_path / part / "0").rename(tmp_path / part / "10")
    read = load_test if part == "test" else load_splits
    with pytest.raises(UserError, match=r"10: .*rename it to 0"):
        read(config(tmp_path, use_extra="true" if part == "extra" else "false"))


def test_an_empty_folder_10_harms_nobody(tmp_path: Path) -> None:
    write_classes(tmp_path, 5)
    (tmp_path / "10").mkdir()
    (tmp_path / "10/.DS_Store").touch()
    assert load_splits(config(tmp_path)).train.labels.unique().tolist() == list(range(10))


def test_other_folders_and_empty_classes_are_named_in_one_line_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_split(tmp_path)
    for name in ("Val", "train/unsure", "train/11", "test/misc", "train/.git", "train/__MACOSX", ".cache"):
        (tmp_path / name).mkdir()
    digit(1).save(tmp_path / "train" / "loose.png")
    (tmp_path / "README.txt").write_text("which is no image")
    for file in (tmp_path / "train/7").iterdir():
        file.unlink()
    for file in (tmp_path / "test/3").iterdir():
        file.unlink()
    (tmp_path / "test/3").rmdir()
    load_splits(config(tmp_path, val_fraction=0))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 5, lines
    assert f"{tmp_path}: not used: Val/ (" in lines[0]
    assert f"{tmp_path / 'train'}: not used: 11/, unsure/, loose.png (" in lines[1]
    assert lines[2] == f"{tmp_path / 'train'}: holds no images of 7"
    assert f"{tmp_path / 'test'}: not used: misc/ (" in lines[3]
    assert lines[4] == f"{tmp_path / 'test'}: holds no images of 3"


def test_a_test_part_alone_can_be_scored_but_not_trained_on(tmp_path: Path) -> None:
    write_classes(tmp_path / "test", 3)
    assert len(load_test(config(tmp_path)).labels) == 30
    with pytest.raises(UserError, match=r"train has no images: it must hold"):
        load_splits(config(tmp_path))


def test_parts_beside_classes_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, 5)
    write_classes(tmp_path / "test", 5)
    with pytest.raises(UserError, match="holds test beside folders of classes: move the classes into"):
        load_splits(config(tmp_path))


def test_classes_beside_parts_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_split(tmp_path)
    write_classes(tmp_path, 1)
    load_splits(config(tmp_path, val_fraction=0))
    assert f"{tmp_path}: not used: 0/, 1/, 2/, 3/, 4/ and 5 more" in caplog.text


def test_hidden_copies_are_no_twins(tmp_path: Path) -> None:
    write_classes(tmp_path / ".data", 10)
    plain = load_splits(config(tmp_path / ".data"))
    for label in range(10):
        copies = tmp_path / ".data" / str(label) / ".ipynb_checkpoints"
        copies.mkdir()
        for file in (tmp_path / ".data" / str(label)).glob("*.png"):
            (copies / f"{file.stem}-checkpoint.png").write_bytes(file.read_bytes())
    again = load_splits(config(tmp_path / ".data"))
    assert again.sha256 == plain.sha256
    assert torch.equal(again.train.images, plain.train.images)


def test_what_is_left_out_stands_in_the_log_of_a_run(command: Command, tmp_path: Path) -> None:
    write_split(tmp_path / "mine", "val", "misc")
    done = command("train", *TINY, "data=folder", "data.root=mine", "data.reduce=1", "epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "run/train.log").read_text()
    assert "mine: not used: misc/" in log
    assert "mine/val: validates" in log
    assert "30 images to train, 30 to validate" in log
    assert "leak" not in log
    evaluated = command("evaluate", "run=run", "split=validation")
    assert evaluated.returncode == 0, evaluated.stderr
    page = command("report", "data=folder", "data.root=mine")
    assert page.returncode == 0, page.stderr
    (written,) = (tmp_path / "outputs/data").glob("*/report.html")
    assert "The validation part is a folder of its own" in written.read_text()
