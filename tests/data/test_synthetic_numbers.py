"""Rendered whole numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import composed

from housenumbers.config.sections import DataConfig
from housenumbers.data import glyphs
from housenumbers.data.load import load_splits, load_test
from housenumbers.data.render_number import render_number, render_numbers
from housenumbers.metrics.numbers import NO_DIGIT
from housenumbers.runtime.errors import UserError

CLEAN = 150  # of black and white: the least difference between a digit and its wall


def config(tmp_path: Path, *words: str) -> DataConfig:
    words = ("data=synthetic_numbers", "model=number_reader", "data.size=40", f"data.cache={tmp_path}/cache", *words)
    return composed(*words).data


@pytest.fixture(scope="module")
def fonts() -> list[glyphs.Font]:
    files = [file for file in glyphs.font_files("matplotlib") if file.stem in ("DejaVuSans", "cmr10")]
    return glyphs.load_fonts(files, glyphs.MARKS)


def test_images_and_labels_are_a_function_of_seed_and_index(fonts: list[glyphs.Font]) -> None:
    data = render_numbers((0, 0), 0.9, fonts, range(30), width=80)
    data.check()
    assert data.images.shape == (30, 3, 32, 80)
    again = render_numbers((0, 0), 0.9, fonts, range(20, 40), width=80)
    assert torch.equal(again.images[:10], data.images[20:])
    assert torch.equal(again.labels[:10], data.labels[20:])
    easy = render_numbers((0, 0), 0.0, fonts, range(30), width=80)
    assert torch.equal(easy.labels, data.labels)
    other = render_numbers((1, 0), 0.9, fonts, range(30), width=80)
    assert not torch.equal(other.labels, data.labels)


def test_lengths_and_digits(fonts: list[glyphs.Font]) -> None:
    labels = render_numbers((0, 0), 0.0, fonts, range(600), width=32).labels
    lengths = (labels != NO_DIGIT).sum(dim=1)
    shares = lengths.bincount(minlength=6) / len(labels)
    assert shares.argmax() == 2
    assert 0 < shares[0] < 0.1  # a few show no number
    assert len(shares) == 6
    digits = labels[:, 1:][labels[:, 1:] != NO_DIGIT].bincount(minlength=10)
    assert digits.min() > digits.max() / 2
    assert (labels[:, 0] == 0).float().mean() < 0.02


def test_clean_numbers_show_as_many_digits_as_their_labels(fonts: list[glyphs.Font]) -> None:
    """Counted by the runs of columns that differ from the wall. In these fonts no digits touch, or fall apart."""
    data = render_numbers((0, 0), 0.0, fonts[:2], range(80), width=128)
    shown = []
    for image in data.images.float().mean(dim=1):
        inked = (image - image[0, 0]).abs().amax(dim=0) > CLEAN
        shown.append(int((inked[1:] & ~inked[:-1]).sum()))
    lengths = (data.labels != NO_DIGIT).sum(dim=1)
    apart = [(many, int(length)) for many, length in zip(shown, lengths, strict=True) if length and many != length]
    assert len(apart) < 8, apart  # some gaps are below zero


def test_the_frame_is_the_digits_height(fonts: list[glyphs.Font]) -> None:
    """A clean number fills four fifths of the height, as digits fill crops, and its middle is that of the image."""
    for index in range(20):
        image, digits = render_number((0, 0, index), 96, 0.0, fonts)
        pixels = image.numpy().mean(axis=0)
        inked = abs(pixels - pixels[0, 0]) > CLEAN
        if digits and len(digits) < 4:
            rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
            assert 22 <= np.ptp(rows) <= 28
            assert abs(rows.mean() - 15.5) < 2
            assert abs((columns[0] + columns[-1]) / 2 - 47.5) < 6


def test_the_parts_are_of_their_own(tmp_path: Path) -> None:
    splits, test = load_splits(config(tmp_path)), load_test(config(tmp_path))
    assert len(test.labels) == 10
    assert splits.validation is not None
    assert len(splits.train.labels) + len(splits.validation.labels) == 40
    images = [*splits.train.images, *splits.validation.images, *test.images]
    assert len({image.numpy().tobytes() for image in images}) == 50
    wider = load_test(config(tmp_path, "data.width=128"))
    assert wider.images.shape == (10, 3, 32, 128)
    assert torch.equal(wider.labels, test.labels)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["data.width=0"], "data.width=0"),
        (["data.size=5"], "data.size=5"),
        (["data.fonts=''"], "data.fonts"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, words: list[str], key: str) -> None:
    with pytest.raises(UserError, match=key):
        config(tmp_path, *words)


def test_there_is_no_extra_part(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.use_extra: data=synthetic_numbers"):
        load_splits(config(tmp_path, "data.use_extra=true"))
