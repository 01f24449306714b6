"""Labels and numbers from Python: equal to those of the commands, whatever form the images have."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import Command

import housenumbers


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Images of different looks, uint8 `[N, H, W, 3]`, without an equal pixel beside another."""
    return np.random.default_rng(0).integers(256, size=(5, 40, 70, 3), dtype=np.uint8)


def saved(folder: Path, pixels: np.ndarray) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{number}.png" for number in range(len(pixels))]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file)
    return files


def test_labels_are_those_of_the_command(tmp_path: Path, command: Command, pixels: np.ndarray) -> None:
    files = saved(tmp_path / "images", pixels)
    done = command("predict", f"images={tmp_path / 'images'}", "format=jsonl")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    labels = housenumbers.load_model(threads=1).label(files)
    assert [one._asdict() for one in labels] == told


def test_numbers_are_those_of_the_command(tmp_path: Path, command: Command, pixels: np.ndarray) -> None:
    files = saved(tmp_path / "images", pixels)
    reader = housenumbers.load_model("pretrained_numbers", threads=1)
    for words, more in (((), {}), (("find=true",), {"find": True})):
        done = command("read", f"images={tmp_path / 'images'}", "format=jsonl", *words)
        assert done.returncode == 0, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        found = [json.loads(json.dumps(one._asdict())) for one in reader.read(files, **more)]
        assert [{key: one[key] for key in told[0]} for one in found] == told


def test_all_forms_of_an_image_have_one_answer(tmp_path: Path, pixels: np.ndarray) -> None:
    files = saved(tmp_path / "images", pixels)
    forms = [
        files, list(map(str, files)), np.array(list(map(str, files))), files, files, pixels, torch.from_numpy(pixels),
        list(pixels),
        [Image.fromarray(image) for image in pixels], [files[0], *pixels[1:]], tuple(pixels),
    ]  # fmt: skip
    for name, ask in (("pretrained_digits", "label"), ("pretrained_numbers", "read")):
        model = housenumbers.load_model(name, threads=1)
        forms[3:5] = map(str, files), (one for one in pixels)  # can be gone through once
        first, *others = [[one._replace(file="") for one in getattr(model, ask)(form)] for form in forms]
        assert len(first) == len(pixels)
        assert others == [first] * len(others)
        assert [one._replace(file="") for one in getattr(model, ask)(pixels[0])] == first[:1]
        assert getattr(model, ask)([]) == []


def test_images_of_several_sizes_and_modes_are_taken_together(pixels: np.ndarray) -> None:
    images = [pixels[0], pixels[1][:20, :10], Image.fromarray(pixels[2]).convert("L"), Image.new("RGBA", (9, 9))]
    labels = housenumbers.load_model(threads=1).label(images)
    assert [one.file for one in labels] == ["images[0]", "images[1]", "images[2]", "images[3]"]
    assert all(sum(one.probabilities) == pytest.approx(1, abs=1e-5) for one in labels)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((32, 32), np.uint8), r"images\[0\]: must be \[H, W, 3\], not \[32, 32\]"),
        (np.zeros((3, 32, 32), np.uint8), r"not \[3, 32, 32\]: move the channels last"),
        (np.zeros((32, 32, 3), np.float32), "must be uint8, on 0..255, not float32"),
        (torch.zeros(32, 32, 3), "must be uint8, on 0..255, not torch.float32: scale it, .round"),
        (np.eye(32, dtype=np.uint8)[..., None].repeat(3, 2), "not 0..1: multiply the floats by 255"),
        (np.zeros((0, 32, 3), np.uint8), "must be"),
        ([5], r"images\[0\]: must be a path, .* not int"),
        (5, "must be a path, .* not int"),
        ("nowhere.png", "nowhere.png: cannot be read: No such file"),
        (Path(__file__), "cannot be read: not an image"),
    ],
)
def test_what_is_no_image_is_named(images: object, said: str) -> None:
    model = housenumbers.load_model(threads=1)
    with pytest.raises(housenumbers.InputError, match=said):
        model.label(images)  # type: ignore[arg-type]


def test_a_number_that_is_not_sure_enough_is_empty(pixels: np.ndarray) -> None:
    reader = housenumbers.load_model("pretrained_numbers", threads=1)
    assert [one.number for one in reader.read(pixels, min_confidence=1.0) if one.confidence < 1] == [""] * len(pixels)
    with pytest.raises(housenumbers.InputError, match="min_confidence=2: must be a number from 0 to 1"):
        reader.read(pixels, min_confidence=2)


@pytest.mark.parametrize(("height", "least"), [(32, 4), (64, 7), (20, 3)])
def test_prepared_images_that_are_too_narrow_are_refused(height: int, least: int) -> None:
    model = housenumbers.load_model("pretrained_numbers")
    assert model.logits(torch.zeros(1, 3, height, least, dtype=torch.uint8)).shape == (1, 1, 11)
    with pytest.raises(housenumbers.InputError, match=f"must be {least} pixels wide or more, not {least - 1}"):
        model.logits(torch.zeros(1, 3, height, least - 1, dtype=torch.uint8))


def test_models_are_named_and_their_task_is_checked(pixels: np.ndarray) -> None:
    digits, numbers = housenumbers.load_model(threads=1), housenumbers.load_model("pretrained_numbers", threads=1)
    assert (digits.reads_numbers, numbers.reads_numbers) == (False, True)
    assert "single digits: fastnet" in repr(digits)
    with pytest.raises(housenumbers.UserError, match="whole numbers"):
        numbers.label(pixels)
    with pytest.raises(housenumbers.UserError, match="single digits"):
        digits.read(pixels)
    with pytest.raises(housenumbers.UserError, match="nowhere"):
        housenumbers.load_model("nowhere")
    assert digits.logits(torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, :32, :32]).shape == (5, 10)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (
            np.full((4, 4, 3), 200.0),
            r'not float64: convert it with image\.round\(\)\.clip\(0, 255\)\.astype\("uint8"\)',
        ),
        (np.full((4, 4, 3), 0.5), r'not float64: convert it with \(255 \* image\)\.round\(\)\.astype\("uint8"\)'),
        (np.zeros((4, 4, 3), np.uint16), r"not uint16: convert it"),
        (np.zeros((4, 5), np.uint8), r"not \[4, 5\]: a grey image three times: np\.stack"),
        (np.zeros((4, 5, 1), np.uint8), r"not \[4, 5, 1\]: a grey image three times: image\.repeat"),
        (np.zeros((4, 5, 4), np.uint8), r"not \[4, 5, 4\]: leave out the transparency: image\[\.\.\., :3\]"),
        (Image.new("RGB", (0, 5)), "has no pixels: 0 x 5"),
    ],
)
def test_what_is_no_image_is_told_with_the_remedy(image: object, said: str) -> None:
    model = housenumbers.load_model(threads=1)
    with pytest.raises(housenumbers.InputError, match=r"^images\[1\]: .*" + said):
        model.label([np.full((4, 4, 3), 9, np.uint8), image])  # type: ignore[list-item]


def test_an_image_of_pillow_that_is_closed_or_cut_is_one_line(tmp_path: Path, pixels: np.ndarray) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(pixels[0]).save(file)
    closed = Image.open(file)
    closed.close()
    file.write_bytes(file.read_bytes()[:500])
    for image in (closed, Image.open(file)):
        with pytest.raises(housenumbers.InputError, match=r"^images\[0\]: cannot be read: "):
            housenumbers.load_model(threads=1).label(image)


@pytest.mark.parametrize("given", [b"bytes", {"a": 1}, {"a.png"}, 3, None])
def test_what_is_neither_an_image_nor_several_is_refused(given: object) -> None:
    with pytest.raises(
        housenumbers.InputError, match=r"^images: must be a path, an image of Pillow, a file opened in binary mode, or"
    ):
        housenumbers.load_model(threads=1).label(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("least", ["0.5", None, float("nan"), -0.1])
def test_a_confidence_is_a_number(least: object) -> None:
    with pytest.raises(housenumbers.InputError, match="must be a number from 0 to 1"):
        housenumbers.load_model("pretrained_numbers", threads=1).read([], min_confidence=least)  # type: ignore[arg-type]


class Download(io.RawIOBase):
    """A file that can be read once, from its beginning to its end, as `urllib` returns it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def readable(self) -> bool:
        return True

    def read(self, _: int | None = -1) -> bytes:
        content, self.content = self.content, b""
        return content


def test_open_files_are_images(tmp_path: Path, pixels: np.ndarray) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(pixels[0]).save(file)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(file, "photo.png")
    begun = io.BytesIO(file.read_bytes())
    begun.read(20)
    with file.open("rb") as opened, zipfile.ZipFile(tmp_path / "photos.zip").open("photo.png") as packed:
        files = [opened, packed, begun, Download(file.read_bytes())]
        labels = housenumbers.load_model(threads=1).label(files)
        assert [one.file for one in labels] == ["images[0]", "images[1]", "images[2]", "images[3]"]
        (expected,) = housenumbers.load_model(threads=1).label(file)
        assert [one._replace(file="") for one in labels] == [expected._replace(file="")] * 4
        for more in ({}, {"find": True}):
            reader = housenumbers.load_model("pretrained_numbers", threads=1)
            (reading,) = reader.read(opened, **more)
            assert reading == reader.read(file, **more)[0]._replace(file="images[0]")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(pixels[0]).save(file)
    closed = file.open("rb")
    closed.close()
    with file.open() as text:
        for given, said in (
            (text, "is a file opened as text: open it in binary mode"),
            (io.StringIO("a.png"), "is a file opened as text"),
            (closed, "cannot be read: .* closed file"),
            (io.BytesIO(b"no image"), "cannot be read: not an image"),
        ):
            with pytest.raises(housenumbers.InputError, match=r"^images\[0\]: " + said):
                housenumbers.load_model(threads=1).label(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", r"^images\[0\]: must be a path, .* not an empty text"),
        (["", "photo.png"], r"^images\[0\]: must be a path, .* not an empty text"),
        (Path(), r"^\.: is a folder: give the files in it"),
        (np.array("photo.png"), r"^images\[0\]: must be a path, .* not an array of <U9 \[\]"),
        ("a\nb.png", r"^a b\.png: cannot be read: No such file"),
    ],
)
def test_a_path_without_an_image_is_told_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(housenumbers.InputError, match=said) as raised:
        housenumbers.load_model(threads=1).label(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("given", ["false", 0, 1, None, "True"])
def test_a_flag_is_true_or_false(given: Any, pixels: np.ndarray) -> None:
    with pytest.raises(housenumbers.InputError, match=r"^find=.*: must be True or False"):
        housenumbers.load_model("pretrained_numbers", threads=1).read(pixels, find=given)
    with pytest.raises(housenumbers.InputError, match=r"^all_views=.*: must be True or False"):
        housenumbers.load_model(threads=1).label(pixels, all_views=given)


def test_a_flag_may_be_one_of_numpy(pixels: np.ndarray) -> None:
    assert housenumbers.load_model(threads=1).label(pixels[0], all_views=np.bool_(True))  # type: ignore[arg-type]


def test_a_model_of_the_other_task_names_the_method_of_its_own(pixels: np.ndarray) -> None:
    digits, numbers = housenumbers.load_model(threads=1), housenumbers.load_model("pretrained_numbers", threads=1)
    with pytest.raises(housenumbers.UserError, match="whole numbers: call read, or load a model of single digits"):
        numbers.label(pixels)
    with pytest.raises(housenumbers.UserError, match="single digits: call label, or load a model of whole numbers"):
        digits.read(pixels)
