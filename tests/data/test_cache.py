"""Decoded arrays on disk: what was damaged or replaced is noticed, said and made again."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support import data_config as config
from support import write_mat

from housenumbers.data.cache import cached
from housenumbers.data.cache_entry import file_state
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_splits, load_test


def entry_of(folder: Path) -> Path:
    (entry,) = (folder / "cache").glob("*.pt")
    return entry


def labeled_images(shade: int = 0) -> LabeledImages:
    images = torch.arange(40 * 3 * 4 * 4, dtype=torch.int64).add(shade).to(torch.uint8).view(40, 3, 4, 4)
    return LabeledImages(images, torch.arange(40) % 10)


def unexpected() -> LabeledImages:
    raise AssertionError("is made though the entry is whole")


def test_a_whole_entry_is_read_and_bound_to_its_key(tmp_path: Path) -> None:
    made, sha256 = cached("some", "key", str(tmp_path), labeled_images)
    read, same = cached("some", "key", str(tmp_path), unexpected)
    assert torch.equal(read.images, made.images)
    assert torch.equal(read.labels, made.labels)
    assert sha256 == same == labeled_images().sha256()
    assert not torch.equal(cached("some", "other key", str(tmp_path), lambda: labeled_images(1))[0].images, made.images)


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_gives_no_other_data(tmp_path: Path, seed: int) -> None:
    """Bytes inverted, zeroed, cut out or doubled at random places of the file, its directory and its pickle too."""
    _, sha256 = cached("some", "key", str(tmp_path), labeled_images)
    (entry,) = tmp_path.glob("*.pt")
    rng = np.random.default_rng(seed)
    content = bytearray(entry.read_bytes())
    begin = int(rng.integers(len(content)))
    piece = content[begin : begin + int(rng.choice([1, 8, 300]))]
    damaged = [bytes(byte ^ 255 for byte in piece), bytes(len(piece)), b"", piece * 2][seed % 4]
    content[begin : begin + len(piece)] = damaged
    entry.write_bytes(content)
    data, same = cached("some", "key", str(tmp_path), labeled_images)
    assert sha256 == same == data.sha256()
    cached("some", "key", str(tmp_path), unexpected)


def test_inverted_pixels_are_noticed_and_said(svhn_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = load_splits(config(svhn_folder))
    entry = entry_of(svhn_folder)
    content = np.fromfile(entry, np.uint8)
    content[300_000:500_000] ^= 255
    content.tofile(entry)
    second = load_splits(config(svhn_folder))
    assert torch.equal(second.train.images, first.train.images)
    assert second.sha256 == first.sha256
    (said,) = [record.getMessage() for record in caplog.records if str(entry) in record.getMessage()]
    assert "damaged" in said
    assert "made again" in said


def test_an_edited_entry_is_not_believed(tmp_path: Path) -> None:
    """Well-formed, with the SHA-256 and the checksum of what it held before."""
    made, sha256 = cached("some", "key", str(tmp_path), labeled_images)
    (entry,) = tmp_path.glob("*.pt")
    whole = torch.load(entry, weights_only=True)
    edits = [
        {"labels": whole["labels"].roll(1)}, {"images": 255 - whole["images"]}, {"sha256": "0" * 64},
        {"images": whole["images"].view(40, 3, 2, 8)}, {"labels": whole["labels"].int()},
        {"images": whole["images"].transpose(2, 3)}, {"images": [1]}, {"labels": None},
    ]  # fmt: skip
    for edit in edits:
        torch.save(whole | edit, entry)
        data, same = cached("some", "key", str(tmp_path), labeled_images)
        assert torch.equal(data.images, made.images)
        assert torch.equal(data.labels, made.labels)
        assert same == sha256
    for other in ([1, 2], {}, "text"):
        torch.save(other, entry)
        assert cached("some", "key", str(tmp_path), labeled_images)[1] == sha256


def test_the_entry_of_another_file_is_not_believed(svhn_folder: Path) -> None:
    load_splits(config(svhn_folder))
    of_train = entry_of(svhn_folder).read_bytes()
    test = load_test(config(svhn_folder))
    (entry,) = (svhn_folder / "cache").glob("test*.pt")
    entry.write_bytes(of_train)
    assert torch.equal(load_test(config(svhn_folder)).images, test.images)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    _, sha256 = cached("some", "key", str(tmp_path), labeled_images)
    (entry,) = tmp_path.glob("*.pt")
    entry.unlink()
    make(entry)
    assert cached("some", "key", str(tmp_path), labeled_images)[1] == sha256
    assert "cannot be read" in caplog.text
    assert "damaged" not in caplog.text


def replace_alike(file: Path, other: Path) -> None:
    """Puts `other` in the place of `file`, with the same size and modification time."""
    status = file.stat()
    assert other.stat().st_size == status.st_size
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def write_alike(file: Path, content: bytes) -> None:
    """Writes into the file itself; size and modification time stay."""
    status = file.stat()
    assert len(content) == status.st_size
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_mat_file_replaced_by_one_of_equal_size_and_time_is_read_anew(svhn_folder: Path, tmp_path: Path) -> None:
    file = svhn_folder / "test_32x32.mat"
    first = load_test(config(svhn_folder))
    write_mat(tmp_path / "other.mat", 120, shade=7)
    replace_alike(file, tmp_path / "other.mat")
    second = load_test(config(svhn_folder))
    assert (second.images[:, 0] == 7).all()
    write_mat(tmp_path / "other.mat", 120, shade=8)
    write_alike(file, (tmp_path / "other.mat").read_bytes())
    assert (load_test(config(svhn_folder)).images[:, 0] == 8).all()
    assert torch.equal(second.labels, first.labels)


def test_the_state_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"1234")
    before = file_state(file)
    assert file_state(file) == before
    shutil.copy(file, tmp_path / "b")
    replace_alike(file, tmp_path / "b")
    assert file_state(file) != before


def test_what_a_killed_process_left_of_an_entry_is_removed_with_it(tmp_path: Path) -> None:
    cached("some", "key", str(tmp_path), labeled_images)
    (entry,) = tmp_path.glob("*.pt")
    left, of_another = (tmp_path / f".{name}.{'0' * 32}.tmp" for name in (entry.name, "other-1.pt"))
    for file in (left, of_another):
        file.touch()
        os.utime(file, (0, 0))
    entry.unlink()
    cached("some", "key", str(tmp_path), labeled_images)
    assert not left.exists()
    assert of_another.exists()  # perhaps its process is at work
