"""Whole numbers that are put together from crops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import REAL_SVHN, composed

from housenumbers.data.load import load_splits, load_test
from housenumbers.data.photos import Boxes
from housenumbers.data.svhn_numbers import put_together, squares
from housenumbers.metrics.numbers import NO_DIGIT
from housenumbers.runtime.errors import UserError

needs_real = pytest.mark.skipif(not REAL_SVHN.exists(), reason="the real crops are not beside this checkout")


def words(name: str, root: Path, tmp_path: Path, *more: str) -> tuple[str, ...]:
    return (f"data={name}", "model=number_reader", f"data.root={root}", f"data.cache={tmp_path}/cache", *more)


def boxes(*rows: tuple[int, int, int, int]) -> Boxes:
    """Of one photo: left, top, width, height."""
    left, top, width, height = torch.tensor(rows).T
    return Boxes(torch.ones_like(left), left, top, width, height, torch.zeros_like(left))


def cut(photo: Image.Image, around: Boxes) -> np.ndarray:
    """The crops of a photo, as SVHN's were made."""
    return np.stack(
        [
            np.asarray(photo.resize((32, 32), Image.Resampling.BICUBIC, tuple(square)))
            for square in squares(around).tolist()
        ]
    )


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Smooth patterns, as of a blurred photo."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(256, size=(20, 30, 3), dtype=np.uint8)).resize((240, 160))


@pytest.mark.parametrize("height", [20, 32, 60])
def test_crops_of_a_photo_show_its_part_again(photo: Image.Image, height: int) -> None:
    wide = height // 2
    around = boxes((50, 50, wide, height), (50 + wide + 1, 52, wide, height), (50 + 2 * wide, 49, wide + 3, height))
    number = put_together(cut(photo, around), around)
    left, top, right, bottom = (squares(around).numpy() * [1, 1, 1, 1]).T
    region = left.min(), top.min(), right.max(), bottom.max()
    assert number.shape == (32, round((region[2] - region[0]) * 32 / (region[3] - region[1])), 3)
    expected = np.asarray(photo.resize(number.shape[1::-1], Image.Resampling.BICUBIC, region), dtype=float)
    covered = np.zeros(number.shape[:2], bool)
    middle = slice(2, -2)  # two of the crops begin or end beyond the others' border
    covered[middle, middle] = True
    apart = abs(number - expected).mean(axis=2)
    assert np.median(apart[covered]) < 4
    assert np.quantile(apart[covered], 0.95) < 16


def test_what_no_crop_shows_is_the_nearest_pixel() -> None:
    """Digits on a slope: two corners belong to no crop."""
    around = boxes((0, 0, 10, 20), (40, 20, 10, 20))
    crops = np.stack([np.full((32, 32, 3), shade, np.uint8) for shade in (50, 200)])
    number = put_together(crops, around)
    assert set(np.unique(number)) == {50, 200}
    assert number[0, 0, 0] == number[-1, 0, 0] == 50
    assert number[0, -1, 0] == number[-1, -1, 0] == 200


def test_one_crop_is_a_number_of_its_own(photo: Image.Image) -> None:
    around = boxes((40, 40, 12, 32))
    crops = cut(photo, around)
    assert (put_together(crops, around) == crops[0]).all()


@needs_real
@pytest.mark.parametrize("name", ["svhn_6k_numbers", "svhn_numbers"])
def test_the_numbers_of_svhn_6k(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Photo 499, which is cut in two between train and test, is left out."""
    data = composed(*words(name, REAL_SVHN, tmp_path)).data
    splits, test = load_splits(data), load_test(data)
    assert splits.validation is not None
    assert len(splits.validation.labels) == 505
    assert len(splits.train.labels) == 2522 - 505 + (498 if name == "svhn_6k_numbers" else 0)
    assert len(test.labels) == 499
    assert test.images.shape == (499, 3, 32, 80)
    assert ((test.labels != NO_DIGIT).sum(dim=1).bincount().tolist()) == [0, 90, 320, 86, 2, 1]
    assert "leak" not in caplog.text
    assert test.labels[0].tolist() == [4, 7, -1, -1, -1, -1]


@needs_real
def test_reduce_keeps_the_shares_of_lengths(tmp_path: Path) -> None:
    data = composed(*words("svhn_6k_numbers", REAL_SVHN, tmp_path, "data.reduce=0.5")).data
    splits = load_splits(data)
    assert splits.validation is not None
    shares = [(part.labels != NO_DIGIT).sum(dim=1).bincount()[1:4] / len(part.labels) for part in splits[:1][0]]
    shares.append((splits.validation.labels != NO_DIGIT).sum(dim=1).bincount()[1:4] / len(splits.validation.labels))
    assert shares[0].tolist() == pytest.approx(shares[1].tolist(), abs=0.02)


def test_unknown_photos_are_one_line(tmp_path: Path) -> None:
    for more, key in (
        (["data.use_extra=only", "data.val_fraction=0"], r"data\.use_extra"),
        (["data.verify=false"], r"data\.verify=False"),
    ):
        data = composed(*words("svhn_numbers", tmp_path, tmp_path, "data.download=false", *more)).data
        with pytest.raises(UserError, match=f"{key}: the photos of these crops are not known"):
            load_splits(data)


def test_missing_files_are_one_line(tmp_path: Path) -> None:
    data = composed(*words("svhn_6k_numbers", tmp_path, tmp_path, "data.download=false")).data
    with pytest.raises(UserError, match=r"_32x32\.mat: no such file"):
        load_splits(data)
