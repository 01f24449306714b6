"""Checks and decodes uploaded images and drawings in the same way as predict.py reads files."""

import io
from collections.abc import Callable
from typing import IO, TypeVar

from PIL import Image, ImageChops, UnidentifiedImageError

from housenumbers.data.folder import error_reason, read_image
from housenumbers.runtime.errors import UserError

Decoded = TypeVar("Decoded")
MAX_BYTES = 10_000_000
MAX_PIXELS = 25_000_000  # a phone's photo has 12 million
_FAINT = 32  # grey levels: the largest difference from the paper that does not count as ink
_MARGIN = 0.1  # around the strokes, as a fraction of the crop's height without it


def decode_image(content: bytes, read: Callable[[IO[bytes]], Decoded]) -> Decoded:
    """An image's bytes as `read` reads a file.

    Raises UserError where they are not an image, or it is too large.
    """
    if len(content) > MAX_BYTES:
        raise UserError(f"This file is too large: {MAX_BYTES // 10**6} MB at most.")
    try:
        with Image.open(io.BytesIO(content)) as opened:  # reads only the header
            if opened.width * opened.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if opened.format == "EPS":
                raise UserError("This is an EPS file, which is a program, and not run here.")
        return read(io.BytesIO(content))
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"This image has too many pixels: {MAX_PIXELS // 10**6} million at most.") from None
    except UnidentifiedImageError:
        raise UserError("This is no image that can be read here. PNG, JPEG, WebP and the like can.") from None
    except Exception as error:  # Pillow's parsers raise many types for damaged bytes
        raise UserError(f"This image is damaged: {error_reason(error)}") from None


def decode_drawing(content: bytes, read: Callable[[IO[bytes]], Decoded], square: bool) -> Decoded:
    """Like `decode_image`, for strokes on uniform paper, dark on light or light on dark: crops a margin around them.

    The crop is a `square`, as digits are read, or as wide as the strokes of a number.
    Also raises UserError where nothing is drawn.
    """
    decode_image(content, read_image)
    with Image.open(io.BytesIO(content)) as opened:
        canvas = opened.convert("L")
    shades = canvas.histogram()
    paper = shades.index(max(shades))  # not the corner's, which a stroke may cross
    ink = ImageChops.difference(canvas, Image.new("L", canvas.size, paper)).point(lambda shade: 255 * (shade > _FAINT))
    box = ink.getbbox()
    if box is None:
        raise UserError("The canvas is empty: draw a digit or a number.")
    strokes = canvas.crop(box)
    width, height = [max(strokes.size)] * 2 if square else strokes.size
    border = round(2 * _MARGIN * height)
    width, height = width + border, height + border
    cut = Image.new("L", (width, height), paper)
    cut.paste(strokes, ((width - strokes.width) // 2, (height - strokes.height) // 2))
    file = io.BytesIO()
    cut.save(file, "PNG")
    return decode_image(file.getvalue(), read)
