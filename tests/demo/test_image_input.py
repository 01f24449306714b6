"""Images and drawings that are handed in: which are refused, and what a drawing is cut to."""

import io
from functools import partial

import pytest
import torch
from PIL import Image, ImageDraw

from housenumbers.data.folder import read_image
from housenumbers.demo.image_input import MAX_BYTES, decode_drawing, decode_image
from housenumbers.runtime.errors import UserError


def as_file(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def sheet(paper: str, ink: str | None, box: tuple[int, int, int, int] = (40, 200, 60, 280)) -> bytes:
    canvas = Image.new("RGB", (320, 320), paper)
    if ink:
        ImageDraw.Draw(canvas).rectangle(box, fill=ink)
    return as_file(canvas)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_image_is_read_as_files_are(form: str) -> None:
    content = as_file(Image.effect_noise((50, 40), 80).convert("RGB"), form)
    assert torch.equal(decode_image(content, read_image), read_image(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not an image", "no image"),
        (b"", "no image"),
        (sheet("white", "black")[:150], "damaged"),
        (bytes(MAX_BYTES + 1), "too large: 10 MB"),
        (as_file(Image.new("1", (5001, 5000))), "too many pixels: 25 million"),
        (as_file(Image.new("1", (20_000, 20_000))), "too many pixels"),  # which Pillow itself refuses
        (as_file(Image.new("L", (20, 20)), "EPS"), "EPS"),
    ],
)
def test_what_is_refused(content: bytes, said: str) -> None:
    for decode in (decode_image, partial(decode_drawing, square=True)):
        with pytest.raises(UserError, match=said):
            decode(content, read_image)


@pytest.mark.parametrize(("paper", "ink"), [("#eeeeee", "#111111"), ("#111111", "#eeeeee")])
def test_a_drawing_is_cut_to_a_square_about_its_strokes(paper: str, ink: str) -> None:
    cut = decode_drawing(sheet(paper, ink), read_image, square=True)
    dark = (cut.float().mean(dim=0) < 127) == (ink == "#111111")
    rows, columns = dark.any(dim=1).nonzero().view(-1), dark.any(dim=0).nonzero().view(-1)
    assert cut.shape == (3, 32, 32)
    assert 25 <= len(rows) <= 28  # of 32: ten twelfths
    for inked in (rows, columns):
        assert abs(int(inked[0]) - (31 - int(inked[-1]))) <= 1  # in the middle
    elsewhere = decode_drawing(sheet(paper, ink, (240, 20, 260, 100)), read_image, square=True)
    assert torch.equal(elsewhere, cut)


def test_an_empty_canvas_says_so() -> None:
    for paper in ("#eeeeee", "#111111"):
        with pytest.raises(UserError, match="canvas is empty"):
            decode_drawing(sheet(paper, None), read_image, square=True)


def test_a_stroke_that_crosses_the_corner_is_no_paper() -> None:
    content = sheet("#eeeeee", "#111111", (0, 0, 30, 120))
    cut = decode_drawing(content, read_image, square=True)
    assert cut.float().mean() > 127
    assert cut[:, :, 0].float().mean() > 200  # the margin is paper
