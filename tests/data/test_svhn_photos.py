"""Whole numbers that are cut out of photos."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import Command, composed, write_digit_struct

from housenumbers.config.sections import DataConfig
from housenumbers.data.load import load_splits, load_test
from housenumbers.data.photos import Boxes
from housenumbers.data.svhn_numbers import put_together, squares
from housenumbers.data.svhn_photos import cut_out
from housenumbers.runtime.errors import UserError

h5py = pytest.importorskip("h5py")

# Left, top, width, height and label of each digit. The second number reaches beyond its photo.
NUMBERS = [
    [(30, 20, 12, 30, 1), (44, 22, 14, 30, 10)],
    [(-1, 40, 20, 45, 7)],
    [(20, 10, 10, 20, 2), (32, 10, 10, 20, 3), (44, 11, 9, 20, 4)],
] * 8


def photo(number: int) -> Image.Image:
    """Smooth patterns, as of a blurred photo, of some size."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(256, size=(10, 14, 3), dtype=np.uint8)).resize((110 + number, 80))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the archives of the training and the test part hold."""
    root = tmp_path_factory.mktemp("photos")
    for part, count in (("train", 24), ("test", 3)):
        (root / part).mkdir()
        for number in range(count):
            photo(number).save(root / part / f"{number + 1}.png")
        write_digit_struct(root / part / "digitStruct.mat", NUMBERS[:count])
    return root


def words(root: Path, tmp_path: Path) -> list[str]:
    return [
        "data=svhn_photo_numbers", "model=number_reader", "data.download=false", f"data.root={root}",
        f"data.cache={tmp_path}/cache",
    ]  # fmt: skip


def config(root: Path, tmp_path: Path) -> DataConfig:
    return composed(*words(root, tmp_path)).data


def test_numbers_are_cut_out_of_photos(archive: Path, tmp_path: Path) -> None:
    splits, test = load_splits(config(archive, tmp_path)), load_test(config(archive, tmp_path))
    assert splits.validation is not None
    assert len(splits.train.labels) + len(splits.validation.labels) == 24
    assert test.images.shape == (3, 3, 32, 80)
    assert test.labels.tolist() == [[1, 0, -1, -1, -1, -1], [7, -1, -1, -1, -1, -1], [2, 3, 4, -1, -1, -1]]


def test_a_second_start_reads_no_photo(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_test(config(archive, tmp_path))
    from housenumbers.data import svhn_photos

    monkeypatch.setattr(svhn_photos, "read_digit_struct", lambda _: pytest.fail("reads it again"))
    assert torch.equal(load_test(config(archive, tmp_path)).images, first.images)


@pytest.mark.parametrize("number", [0, 2])
def test_a_number_looks_as_if_put_together_from_its_crops(number: int) -> None:
    digits = torch.tensor(NUMBERS[number]).T
    boxes = Boxes(torch.ones_like(digits[0]), *digits)
    whole = photo(number)
    crops = [whole.resize((32, 32), Image.Resampling.BICUBIC, tuple(square)) for square in squares(boxes).tolist()]
    expected = cut_out(whole, boxes).astype(float)
    assert abs(put_together(np.stack(crops), boxes) - expected).mean() < 6
    assert expected.std() > 30


def test_beyond_the_photo_is_its_nearest_pixel() -> None:
    (digit,) = NUMBERS[1]
    boxes = Boxes(torch.tensor([1]), *torch.tensor([digit]).T)
    number = cut_out(photo(1), boxes)
    assert number.shape == (32, 32, 3)  # the square begins 14 of its 45 pixels left of the photo, and ends 5 below it
    beyond = number[:26, :9].astype(float)
    assert abs(beyond - beyond[:, :1]).max() < 2
    assert number[:26, 12:].std() > 20


def damaged(tmp_path: Path, archive: Path) -> Path:
    return Path(shutil.copytree(archive, tmp_path / "damaged"))


def test_files_that_do_not_belong_together_are_one_line(archive: Path, tmp_path: Path) -> None:
    root = damaged(tmp_path, archive)
    (root / "test" / "3.png").rename(root / "test" / "4.png")
    with pytest.raises(UserError, match=r"digitStruct\.mat: names 3 photos, .* holds 3 \(3\.png is missing\)[^\n]*$"):
        load_test(config(root, tmp_path))
    (root / "test" / "4.png").rename(root / "test" / "3.png")
    shutil.copy(root / "train" / "digitStruct.mat", root / "test")
    with pytest.raises(UserError, match=r"names 24 photos, .* holds 3 \(4\.png is missing\): it belongs to other"):
        load_test(config(root, tmp_path))
    write_digit_struct(root / "test" / "digitStruct.mat", [[(300, 20, 10, 20, 1)], *NUMBERS[1:3]])
    with pytest.raises(UserError, match=r"belongs to other photos: 1 photo here, such as 1\.png"):
        load_test(config(root, tmp_path))
    write_digit_struct(root / "test" / "digitStruct.mat", [[(10, 20, 10, 20, 1)] * 7, *NUMBERS[1:3]])
    with pytest.raises(UserError, match=r"has 7 digits in 1\.png: must be from 1 to 6: delete this folder"):
        load_test(config(root, tmp_path))
    for far in ((10, 20, 10**9, 20, 1), (10**9, 20, 10, 20, 1), (10, -(10**9), 10, 20, 1)):
        write_digit_struct(root / "test" / "digitStruct.mat", [[far], *NUMBERS[1:3]])
        with pytest.raises(UserError, match=r"a box in 1\.png that reaches far beyond the photo: delete this folder"):
            load_test(config(root, tmp_path))


def test_a_folder_without_photos_is_one_line(archive: Path, tmp_path: Path) -> None:
    root = damaged(tmp_path, archive)
    for file in (root / "test").glob("*.png"):
        file.unlink()
    with h5py.File(root / "test" / "digitStruct.mat", "w") as file:
        group = file.create_group("digitStruct")
        for name in ("name", "bbox"):
            group.create_dataset(name, (0, 1), h5py.ref_dtype)
    with pytest.raises(UserError, match=r"digitStruct\.mat: names no photos: delete this folder[^\n]*$"):
        load_test(config(root, tmp_path))


def test_damaged_files_are_one_line(archive: Path, tmp_path: Path) -> None:
    root = damaged(tmp_path, archive)
    content = bytearray((root / "test" / "2.png").read_bytes())
    content[len(content) // 2] ^= 255
    (root / "test" / "2.png").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read: .*2\.png \(broken PNG file[^\n]*\): delete this folder"):
        load_test(config(root, tmp_path))
    (root / "test" / "digitStruct.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"digitStruct\.mat: not SVHN's digitStruct\.mat, or damaged[^\n]*$"):
        load_test(config(root, tmp_path))


def test_a_missing_or_damaged_part_is_one_line_before_training(archive: Path, tmp_path: Path, command: Command) -> None:
    root = damaged(tmp_path, archive)
    shutil.rmtree(root / "test")
    done = command("train", *words(root, tmp_path), "hydra.run.dir=never")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "test/digitStruct.mat: no such file: it is in test.tar.gz: fetch it from http://ufldl" in line
    assert not list(tmp_path.rglob("never"))

    (root / "test").mkdir()
    (root / "test" / "digitStruct.mat").write_bytes((root / "train" / "digitStruct.mat").read_bytes()[:2000])
    done = command("train", *words(root, tmp_path), "hydra.run.dir=never")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "test/digitStruct.mat: not SVHN's digitStruct.mat, or damaged" in line
    assert not list(tmp_path.rglob("never"))

    shutil.rmtree(root / "test")
    (root / "test.tar.gz").touch()
    with pytest.raises(UserError, match=r"test\.tar\.gz: unpack it in"):
        load_test(config(root, tmp_path))
