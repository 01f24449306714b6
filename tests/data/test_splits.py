"""Splits: stratified, repeatable, and without leaks where they promise so."""

import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from support import composed, data_config

from housenumbers.data.load import load_splits
from housenumbers.data.splits import block_split, leakage_warning, random_split, stratified_subset
from housenumbers.metrics.numbers import NO_DIGIT
from housenumbers.runtime.errors import UserError


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(1000) % 10


def test_random_split_is_stratified_and_repeats(labels: torch.Tensor) -> None:
    train, validation = random_split(labels, 0.2, seed=1)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(1000))
    assert labels[validation].bincount().tolist() == [20] * 10
    assert torch.equal(random_split(labels, 0.2, seed=1)[1], validation)
    assert not torch.equal(random_split(labels, 0.2, seed=2)[1], validation)


def test_random_split_equals_the_studys_call(labels: torch.Tensor) -> None:
    from sklearn.model_selection import train_test_split

    train, validation = random_split(labels, 0.2, seed=42)
    expected = train_test_split(range(1000), test_size=0.2, random_state=42, stratify=labels)
    assert [train.tolist(), validation.tolist()] == [sorted(part) for part in expected]


@pytest.mark.parametrize("count", [60, 999, 5000])
def test_no_photo_is_on_both_sides_of_a_block_split(count: int) -> None:
    train, validation = block_split(count, 0.2, seed=3)
    assert len(validation) == pytest.approx(0.2 * count, rel=0.7)
    # Photos hold up to six crops: two crops of one photo are at most five places apart.
    distances = (train.view(-1, 1) - validation.view(1, -1)).abs()
    assert distances.min() > 5
    assert len(train) + len(validation) > 0.8 * count
    assert torch.equal(block_split(count, 0.2, seed=3)[0], train)


def test_too_few_crops_for_blocks() -> None:
    with pytest.raises(UserError, match=r"data\.split=blocks"):
        block_split(30, 0.2, seed=0)


def test_reduced_keeps_every_classs_share(labels: torch.Tensor) -> None:
    uneven = labels[torch.arange(1000) % 20 < 15]
    kept = stratified_subset(torch.arange(len(uneven)), uneven, 0.1, seed=0)
    assert (uneven[kept].bincount() * 10).tolist() == pytest.approx(uneven.bincount().tolist(), abs=10)
    assert kept.tolist() == sorted(kept.tolist())
    assert stratified_subset(kept, uneven, 1.0, seed=0) is kept


def test_numbers_are_stratified_by_their_lengths() -> None:
    numbers = torch.full((1001, 6), NO_DIGIT)
    for place in range(1000):
        numbers[place, : 1 + place % 4] = place % 10
    numbers[1000] = 7  # the only one with six digits: it can be on either side
    train, validation = random_split(numbers, 0.2, seed=1)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(1001))
    lengths = (numbers[validation[validation < 1000]] != NO_DIGIT).sum(dim=1).bincount()
    assert lengths.tolist() == pytest.approx([0, 50, 50, 50, 50], abs=1)
    kept = stratified_subset(train, numbers, 0.1, seed=0)
    assert (numbers[kept] != NO_DIGIT).sum(dim=1).bincount(minlength=5)[1:5].tolist() == pytest.approx([20] * 4, abs=1)
    with pytest.raises(UserError, match=r"data.val_fraction=0.05: of 20 numbers, 1 would be on one side: too few"):
        random_split(numbers[:2].repeat(10, 1), 0.05, seed=0)
    remedy = (
        r"val_fraction=0.97: of 200 crops, 6 would be on one side: too few for every class: choose .* nearer to 0.5"
    )
    with pytest.raises(UserError, match=remedy):
        random_split(torch.arange(200) % 10, 0.97, seed=0)


def test_a_class_with_one_member_is_one_line() -> None:
    with pytest.raises(UserError, match=r"data.val_fraction=0.2: 101 crops, 1 of the rarest class, 2: too few"):
        random_split(torch.tensor([0] * 50 + [1] * 50 + [2]), 0.2, seed=0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=svhn"], "leaks"),
        (["data=svhn_6k", "data.split=random"], "leaks"),
        (["data=svhn", "data.verify=false"], "may leak"),
        (["data=svhn", "data.split=blocks"], None),
        (["data=svhn", "data.val_fraction=0"], None),
        (["data=folder", "data.root=mine"], None),
        (["data=digits"], None),
        (["data=synthetic", "data.split=random"], None),
    ],
)
def test_a_leak_is_told_of_data_that_are_known_alone(words: list[str], said: str | None) -> None:
    leak = leakage_warning(composed(*words).data)
    assert leak is None if said is None else leak.startswith(f"data.split=random {said}:")


@pytest.mark.parametrize(("count", "fraction"), [(288, 0.97), (288, 0.999), (60, 0.85), (1149, 0.995)])
def test_a_fraction_near_one_keeps_all_classes(count: int, fraction: float) -> None:
    labels = torch.arange(count) % 10
    kept = stratified_subset(torch.arange(count), labels, fraction, 0)
    assert len(kept) == math.ceil(fraction * count)
    assert torch.equal(kept, kept.unique())
    counts = labels[kept].bincount()
    assert counts.max() - counts.min() <= 2


def test_a_class_that_the_blocks_leave_out_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of a file that is sorted by class."""
    pixels = np.zeros((32, 32, 3, 400), np.uint8)
    scipy.io.savemat(tmp_path / "train_32x32.mat", {"X": pixels, "y": np.arange(400)[:, None] * 10 // 400 + 1})
    with pytest.raises(UserError, match=r"no crop of 5 is left to train on.*data\.split=random"):
        load_splits(data_config(tmp_path, split_seed=1))
    for seed in range(2, 20):
        with suppress(UserError):
            load_splits(data_config(tmp_path, split_seed=seed))
    assert "is left to validate" in caplog.text


def test_a_validation_part_that_is_too_small_to_be_reduced_names_its_fraction() -> None:
    with pytest.raises(UserError, match=r"^data\.val_fraction=0\.03, data\.reduce=0\.05: of 44 crops"):
        load_splits(composed("data=digits", "data.val_fraction=0.03", "data.reduce=0.05").data)
