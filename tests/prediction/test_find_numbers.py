"""The number in a larger photo is found: where it is, at any size, by a stand-in that reads coloured blocks."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support import Command
from torch import Tensor

from housenumbers.prediction import find_numbers
from housenumbers.prediction.find_numbers import Box, Photo, find_number, iou, read_photo
from housenumbers.prediction.read_numbers import Reading, format_readings

RED, BLUE, GREY = (230, 20, 20), (20, 20, 230), (120, 120, 120)  # 7, 3 and no digit


class BlockReader:
    """Reads a red block as 7 and a blue one as 3, where its top and bottom, or most of it and one of them, are seen."""

    config = SimpleNamespace(data=SimpleNamespace(width=80))

    def __init__(self) -> None:
        self.largest = 0

    def logits(self, images: Tensor, may_be_dark: bool, **_: bool) -> Tensor:
        assert may_be_dark
        assert images.dtype == torch.uint8
        assert images.shape[1:3] == (3, 32)
        self.largest = max(self.largest, images.numel())
        pixels = images[..., : images.shape[3] // 4 * 4].float()
        red, green, blue = pixels.unflatten(3, (-1, 4)).mean(dim=4).unbind(dim=1)
        logits = torch.full((len(images), red.shape[2], 11), -10.0)
        logits[..., 10] = 5
        for digit, strong, weak in ((7, red, blue), (3, blue, red)):
            block = (strong > 150) & (weak < 90) & (green < 90)
            share, cut_off = block.float().mean(dim=1), block[:, 0].int() + block[:, -1].int()
            is_read = ((share > 0.4) & (cut_off == 0)) | ((share > 0.8) & (cut_off < 2))
            logits[..., digit] = torch.where(is_read, 10.0, -10.0)
        return logits


def photo(width: int, height: int, blocks: list[tuple[Box, tuple[int, int, int]]]) -> np.ndarray:
    pixels = np.full((height, width, 3), GREY, np.uint8)
    for (left, top, right, bottom), colour in blocks:
        pixels[round(top) : round(bottom), round(left) : round(right)] = colour
    return pixels


def number(left: float, top: float, size: float) -> tuple[Box, list[tuple[Box, tuple[int, int, int]]]]:
    """A 73 with digits of this height: its box and blocks."""
    digit = 0.6 * size
    seven = Box(left, top, left + digit, top + size)
    three = Box(left + 0.8 * size, top, left + 0.8 * size + digit, top + size)
    return Box(left, top, three.right, top + size), [(seven, RED), (three, BLUE)]


def area(reading: Reading) -> Box:
    assert reading.box is not None
    left, top, width, height = reading.box
    return Box(left, top, left + width, top + height)


@pytest.mark.parametrize(
    ("size", "left", "top", "high"),
    [
        ((320, 240), 20, 30, 17),
        ((640, 480), 500, 400, 24),
        ((640, 480), 100, 200, 60),
        ((480, 640), 10, 578, 40),
        ((320, 240), 40, 60, 110),
        ((90, 60), 15, 12, 33),
    ],
)
def test_a_number_is_found_where_it_is(size: tuple[int, int], left: int, top: int, high: int) -> None:
    true, blocks = number(left, top, high)
    found = find_number(BlockReader(), Photo(photo(*size, blocks), (1.0, 1.0)))
    assert found.number == "73"
    assert found.confidence > 0.5
    assert len(found.digits) == 2
    assert iou(area(found), true) > 0.5


@pytest.mark.parametrize("name", ["large.png", "large.jpg", "turned.jpg"])
def test_the_box_is_in_the_pixels_of_the_upright_file(name: str, tmp_path: Path) -> None:
    true, blocks = number(1000, 2000, 400)
    image = Image.fromarray(photo(3000, 4000, blocks))
    exif = Image.Exif()
    if name.startswith("turned"):
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[0x0112] = 6  # to be shown turned back
    image.save(tmp_path / name, exif=exif)
    taken = read_photo(tmp_path / name)
    assert taken.pixels.shape[0] > taken.pixels.shape[1]
    assert taken.pixels.size <= 3 * 640 * 480 * 1.01
    reader = BlockReader()
    found = find_number(reader, taken)
    assert found.number == "73"
    assert iou(area(found), true) > 0.5
    assert reader.largest <= 3 * 32 * 10_000


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (30_000, 1), (6000, 20), (20, 6000), (7, 400), (64, 64), (320, 240)])
def test_a_photo_without_a_number_gives_an_empty_one(size: tuple[int, int]) -> None:
    reader = BlockReader()
    assert find_number(reader, Photo(photo(*size, []), (1.0, 1.0))) == Reading("", "", 0.0, [])
    assert reader.largest <= 3 * 32 * 10_000


def test_a_wide_photo_is_read_in_tiles() -> None:
    true, blocks = number(1015 / 1.45, 12, 20)  # across the end of the first tile
    found = find_number(BlockReader(), Photo(photo(5000, 44, blocks), (1.0, 1.0)))
    assert found.number == "73"
    assert iou(area(found), true) > 0.5


def test_another_number_in_the_photo_takes_from_the_confidence() -> None:
    _, blocks = number(40, 40, 40)
    alone = find_number(BlockReader(), Photo(photo(640, 480, blocks), (1.0, 1.0)))
    both = photo(640, 480, [*blocks, (Box(400, 300, 424, 340), BLUE)])
    beside = find_number(BlockReader(), Photo(both, (1.0, 1.0)))
    assert beside.number == "73"
    assert 0.5 < beside.confidence < alone.confidence - 0.1


def test_two_numbers_that_are_as_good_share_the_confidence() -> None:
    blocks = [block for left, top in ((40, 40), (400, 300)) for block in number(left, top, 40)[1]]
    found = find_number(BlockReader(), Photo(photo(640, 480, blocks), (1.0, 1.0)))
    assert found.confidence == pytest.approx(0.5, abs=0.15)


def test_a_digit_that_only_one_band_shows_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Box(100, 100, 130, 150)
    pixels = photo(320, 240, [(block, RED)])
    assert find_number(BlockReader(), Photo(pixels, (1.0, 1.0))).number == "7"
    band = Box(105, 90, 125, 160)
    monkeypatch.setattr(find_numbers, "detect", lambda *_: [find_numbers.Detection("7", 0.9, band)])
    found = find_number(BlockReader(), Photo(pixels, (1.0, 1.0)))
    assert (found.number, found.box) == ("", None)
    assert 0.1 < found.confidence < 0.5


def test_bands_cover_the_photo() -> None:
    for height, width in ((480, 640), (22, 300), (8, 8), (4000, 10), (50, 50)):
        heights = find_numbers.band_heights(height, width)
        assert heights == sorted(heights)
        assert heights[-1] == min(height, 2 * width)
        assert all(b / a <= 2**0.5 + 1e-9 for a, b in pairwise(heights))
    assert find_numbers.band_heights(7, 100) == find_numbers.band_heights(100, 3) == []


FOUND = [Reading("a.png", "12", 0.9, [0.95, 0.96], (3, 4, 50, 60)), Reading("b.png", "", 0.1, [])]


def test_formats_have_the_box_where_it_was_looked_for() -> None:
    rows = list(csv.reader(format_readings(FOUND, "csv", with_box=True)))
    assert rows[0][-4:] == ["left", "top", "width", "height"]
    assert rows[1][-4:] == ["3", "4", "50", "60"]
    assert rows[2][-4:] == [""] * 4
    assert {len(row) for row in rows} == {13}
    assert [json.loads(line)["box"] for line in format_readings(FOUND, "jsonl", with_box=True)] == [
        [3, 4, 50, 60],
        None,
    ]
    header, first, second = format_readings(FOUND, "table", with_box=True)
    assert first.index("3, 4, 50, 60") == header.index("left, top")
    assert first.index("a.png") == second.index("b.png") == header.index("file")


def test_formats_have_no_box_elsewhere() -> None:
    assert "box" not in json.loads(next(iter(format_readings(FOUND, "jsonl"))))
    assert "left" not in next(iter(format_readings(FOUND, "csv")))
    assert "left" not in next(iter(format_readings(FOUND, "table")))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((180, 120)).save(folder / "noise.jpg")
    Image.new("RGB", (3, 2)).save(folder / "tiny.png")
    return folder


def test_read_py_finds_numbers(numbers_run: Path, photos: Path, command: Command) -> None:
    done = command("read", f"run={numbers_run}", f"images={photos}", "find=true", "format=jsonl")
    assert done.returncode == 0, done.stderr
    noise, tiny = map(json.loads, done.stdout.splitlines())
    assert set(noise) == {"file", "number", "confidence", "digits", "box"}
    assert bool(noise["number"]) == (noise["box"] is not None) == (noise["confidence"] >= 0.5)
    assert (tiny["number"], tiny["confidence"], tiny["box"]) == ("", 0.0, None)
    unsure = command("read", f"run={numbers_run}", f"images={photos}", "find=true", "format=csv", "min_confidence=1")
    rows = list(csv.DictReader(unsure.stdout.splitlines()))
    assert [(row["number"], row["left"], row["digit1"]) for row in rows] == [("", "", "")] * 2


def test_an_unreadable_photo_is_told_and_skipped(numbers_run: Path, photos: Path, command: Command) -> None:
    (photos / "broken.png").write_bytes((photos / "tiny.png").read_bytes()[:40])
    done = command("read", f"run={numbers_run}", f"images={photos}", "find=true", "format=csv")
    assert done.returncode == 1
    assert f"error: {photos / 'broken.png'}: cannot be read: " in done.stderr
    assert len(done.stdout.splitlines()) == 3
