"""The table of the photos that official crops come from."""

import sys
import zipfile
from pathlib import Path

import pytest
import torch
from support import REAL_SVHN, ROOT
from support import data_config as config

sys.path.append(str(ROOT / "benchmarks"))  # last: no module there hides ours

from photo_table import write_table

from housenumbers.data import photos
from housenumbers.data.mat_file import read_mat
from housenumbers.data.photos import boxes_of, official_boxes
from housenumbers.runtime.errors import UserError

needs_real = pytest.mark.skipif(not REAL_SVHN.exists(), reason="the real crops are not beside this checkout")


def test_the_table_has_every_official_crop() -> None:
    train, test = official_boxes("train"), official_boxes("test")
    assert [len(column) for column in train] == [73_257] * 6
    assert [len(column) for column in test] == [26_032] * 6
    for boxes, photos_in_all in ((train, 33_402), (test, 13_068)):
        assert boxes.photo.diff().min() == 0  # crops of one photo are neighbours
        assert boxes.photo.unique().tolist() == list(range(1, photos_in_all + 1))
        assert boxes.photo.bincount().max() <= 6
        assert int(boxes.width.min()) > 0
        assert boxes.label.unique().tolist() == list(range(10))
    assert [int(column[0]) for column in train] == [1, 246, 77, 81, 219, 1]
    assert [int(column[-1]) for column in test[:1]] == [13_068]


@needs_real
@pytest.mark.parametrize("part", ["train", "extra", "test"])
def test_the_labels_are_those_of_the_real_crops(part: str) -> None:
    boxes = boxes_of(config(REAL_SVHN, name="svhn_6k"), part)
    assert boxes is not None
    assert torch.equal(boxes.label, read_mat(REAL_SVHN / f"{part}_32x32.mat").labels)


def test_photos_have_different_numbers_where_parts_are_joined(tmp_path: Path) -> None:
    six = [boxes_of(config(tmp_path, name="svhn_6k"), part) for part in ("train", "extra", "test")]
    official = [boxes_of(config(tmp_path, verify=True), part) for part in ("train", "test")]
    for parts in (six, official):
        seen: set[int] = set()
        for boxes in parts:
            assert boxes is not None
            here = set(boxes.photo.tolist())
            assert not here & seen
            seen |= here


def test_of_other_data_the_photos_are_not_known(tmp_path: Path) -> None:
    assert boxes_of(config(tmp_path, verify=True), "extra") is None
    assert boxes_of(config(tmp_path), "train") is None  # somebody's own files
    assert boxes_of(config(tmp_path, name="folder"), "train") is None


def test_the_table_is_not_changed_through_what_was_read() -> None:
    official_boxes("test").photo.zero_()
    assert official_boxes("test").photo[0] == 1


@pytest.mark.parametrize("content", [None, b"", b"\xfd7zXZ", "cut"])
def test_a_damaged_table_is_one_line(
    content: bytes | str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "photos.xz"
    if content is not None:
        damaged.write_bytes(photos.TABLE.read_bytes()[:-100] if content == "cut" else content)  # type: ignore[arg-type]
    monkeypatch.setattr(photos, "TABLE", damaged)
    photos._table.cache_clear()
    try:
        with pytest.raises(UserError, match=r"photos\.xz: damaged or missing: [^\n]*again$"):
            official_boxes("train")
    finally:
        photos._table.cache_clear()


def test_a_table_is_written_and_read_again(tmp_path: Path) -> None:
    rows = {part: torch.stack(official_boxes(part), dim=1).numpy() for part in ("train", "test")}  # type: ignore[arg-type]
    checksum = write_table(tmp_path / "photos.xz", rows)  # type: ignore[arg-type]
    assert checksum == photos._SHA256


def test_the_table_is_small_and_in_the_wheel(wheel: Path) -> None:
    assert photos.TABLE.stat().st_size < 500_000
    assert "housenumbers/data/photos.xz" in zipfile.ZipFile(wheel).namelist()
