"""The split that keeps photos whole, and what uses it."""

import logging
from pathlib import Path

import pytest
import torch
from support import REAL_SVHN, Command, composed, write_mat
from support import data_config as config

from housenumbers.data.load import load_splits, split_method, split_photos
from housenumbers.data.photo_split import photo_split
from housenumbers.data.photos import official_boxes
from housenumbers.runtime.errors import UserError

needs_real = pytest.mark.skipif(not REAL_SVHN.exists(), reason="the real crops are not beside this checkout")


@pytest.mark.parametrize("count", [None, 5000, 1083])
@pytest.mark.parametrize("fraction", [0.2, 0.05, 1 / 3, 0.8])
def test_the_split_is_exact_stratified_and_keeps_photos_whole(count: int | None, fraction: float) -> None:
    boxes = official_boxes("train").subset(slice(count))
    train, validation = photo_split(boxes.label, boxes.photo, fraction, seed=7)
    total = len(boxes.label)
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(total))
    assert len(validation) == round(fraction * total)
    assert not torch.isin(boxes.photo[validation], boxes.photo[train]).any()
    shares = boxes.label.bincount() * fraction
    assert (boxes.label[validation].bincount(minlength=10) - shares).abs().max() <= 3
    sizes = boxes.photo.bincount()  # of photos: those with many digits are not left for one side
    whole, held_out = (
        sizes.bincount(),
        sizes[boxes.photo[validation].unique()].bincount(minlength=len(sizes.bincount())),
    )
    assert (held_out - whole * fraction)[2:].abs().max() <= 5


def test_the_split_depends_on_its_arguments_alone() -> None:
    labels, photos = torch.arange(3000) % 10, torch.arange(3000) // 2
    first = photo_split(labels, photos, 0.2, seed=1)
    torch.manual_seed(5)
    again = photo_split(labels, photos * 7 - 100, 0.2, seed=1)  # other names of the same photos
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(photo_split(labels, photos, 0.2, seed=2)[1], first[1])


def test_photos_of_one_size_that_does_not_divide_the_share() -> None:
    labels, photos = torch.arange(300) % 10, torch.arange(300) // 3
    train, validation = photo_split(labels, photos, 0.25, seed=0)
    assert len(validation) == 75
    assert not torch.isin(photos[validation], photos[train]).any()


@pytest.mark.parametrize(
    ("labels", "fraction"),
    [(torch.arange(10), 0.2), (torch.tensor([0, 1] * 50 + [2]), 0.2), (torch.arange(40) % 10, 0.01)],
)
def test_a_class_that_cannot_be_on_both_sides_is_one_line(labels: torch.Tensor, fraction: float) -> None:
    with pytest.raises(UserError, match=rf"^data\.val_fraction={fraction}: [^\n]*one side only[^\n]*$"):
        photo_split(labels, torch.arange(len(labels)) // 2, fraction, seed=0)


@needs_real
@pytest.mark.parametrize("use_extra", ["false", "true", "only"])
def test_no_photo_of_svhn_6k_is_on_both_sides(use_extra: str, tmp_path: Path) -> None:
    arguments = {"name": "svhn_6k", "split": "photos", "use_extra": use_extra, "cache": str(tmp_path)}
    of_main = 1083 if use_extra == "only" else 5000
    whole = load_splits(config(REAL_SVHN, **arguments))
    assert whole.validation is not None
    assert len(whole.validation.labels) == round(0.2 * of_main)
    assert len(whole.train.labels) == (6083 if use_extra == "true" else of_main) - round(0.2 * of_main)
    reduced = load_splits(config(REAL_SVHN, **arguments, reduce=0.3))
    assert reduced.validation is not None
    assert len(reduced.validation.labels) == pytest.approx(0.3 * 0.2 * of_main, abs=2)
    for splits in (whole, reduced):
        photos = split_photos(config(REAL_SVHN, **arguments), splits)
        assert photos is not None
        assert not torch.isin(*photos).any()
    assert set(reduced.indices[1].tolist()) <= set(whole.indices[1].tolist())
    assert split_method(config(REAL_SVHN, **arguments)) == "photos"


def test_where_photos_are_not_known_blocks_are_used(svhn_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    by_photo, by_block = (load_splits(config(svhn_folder, split=split)) for split in ("photos", "blocks"))
    assert by_photo.sha256 == by_block.sha256
    assert caplog.text.count("data.split=photos: the photos of these images are not known") == 1
    assert split_photos(config(svhn_folder), by_photo) is None
    assert split_method(config(svhn_folder, split="photos")) == "blocks"
    assert split_method(composed("data=synthetic_numbers", "model=number_reader", "data.split=photos").data) == "random"


def test_other_data_are_split_by_blocks_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    by_photo, by_block = (
        load_splits(composed("data=digits", f"data.split={name}").data) for name in ("photos", "blocks")
    )
    assert by_photo.sha256 == by_block.sha256
    assert "split as by data.split=blocks" in caplog.text


@pytest.mark.parametrize(
    ("words", "split"),
    [
        (["data=svhn"], "random"),  # the original study's
        (["experiment=run2_batch16"], "random"),
        (["experiment=run9_tl_finetune"], "random"),
        (["data=svhn_6k"], "photos"),
        (["experiment=fast"], "photos"),
        (["experiment=best"], "photos"),
        (["experiment=transfer_finetune"], "photos"),
        (["experiment=svhn_full"], "photos"),
        (["experiment=svhn_extra"], "photos"),
        (["experiment=quickstart"], "blocks"),  # rendered
        (["experiment=fast", "data=digits"], "random"),
    ],
)
def test_presets_keep_photos_whole_but_those_of_the_study(words: list[str], split: str) -> None:
    assert composed(*words).data.split == split


def test_a_run_with_files_of_ones_own(command: Command, tmp_path: Path) -> None:
    for part, count in {"train": 300, "test": 60}.items():
        write_mat(tmp_path / f"{part}_32x32.mat", count)
    words = (f"data.root={tmp_path}", "data.download=false", "data.split=photos", "model.width=4", "epochs=1")
    done = command("train", *words, "data.verify=false", "threads=1", "data.batch_size=64")
    assert done.returncode == 0, done.stderr
    assert "photos of these images are not known" in done.stdout + done.stderr
