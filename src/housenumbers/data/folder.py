"""Custom images, in a folder for each class: any size, mode and format that Pillow reads."""

import inspect
import struct
import sys
import warnings
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data.cache import cached, pillow_build
from housenumbers.data.cache_entry import file_state
from housenumbers.data.class_folders import class_root, has_split_folders, labelled_files
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.splits import stratified_split
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import open_file
from housenumbers.runtime.text import first_few, plural

if TYPE_CHECKING:
    from PIL import Image

_SIZE = 32
_PNG = b"\x89PNG\r\n\x1a\n"  # the beginning of such a file
_TEST_FRACTION = 0.2  # where the folder is not split; always the same images


def read_folder(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The `part` (train, validation, test or extra) of the images below `data.root`, and its SHA-256.

    The root holds folders `0` to `9`, or folders `train`, `test` and optionally `val` and `extra` that hold such
    folders. Without part folders, a random but fixed fifth of each class is the test part. Images are sorted by name,
    so that crops of one photo stay together if their names are similar.
    Raises UserError where there are no such folders, there is only one class, or files cannot be read.
    """
    root = Path(config.root)
    home = class_root(root, part)
    files = labelled_files(home)
    if len({label for _, label in files}) < 2:
        raise UserError(f"{home}: holds images of one class alone, or none: there is nothing to tell apart")
    # The decoded images depend on the names and states of all files, and on the code that reads them.
    states = [(str(path.relative_to(home)), *(file_state(path) if path.exists() else ())) for path, _ in files]
    key = [states, pillow_build(), inspect.getsource(sys.modules[read_image.__module__])]
    data, sha256 = cached(home.resolve().name, f"{home.resolve()} {key}", config.cache, lambda: _read(files))
    if has_split_folders(root):
        return data, sha256
    train, test = stratified_split(
        torch.arange(len(files)), data.labels, _TEST_FRACTION, 0, "data=folder: its test part"
    )
    data = data.subset(train if part == "train" else test)
    return data, data.sha256()


def _read(files: list[tuple[Path, int]]) -> LabeledImages:
    """Decodes all files. Raises UserError that names the unreadable ones."""
    images = torch.empty(len(files), 3, _SIZE, _SIZE, dtype=torch.uint8)
    failed = []
    bar = tqdm(files, desc="reading images", unit="file", leave=False, disable=None)
    with warnings.catch_warnings(action="ignore"):
        for position, (path, _) in enumerate(bar):
            try:
                images[position] = read_image(path)
            except Exception as error:  # Pillow's parsers raise many types on damaged bytes
                failed.append(f"{path} ({error_reason(error)})")
    if failed:
        count = f"{len(failed)} of {plural(len(files), 'file')}"
        raise UserError(f"{count} cannot be read: {first_few(failed)}: mend or remove them")
    return LabeledImages(images, torch.tensor([label for _, label in files]))


def read_image(file: Path | IO[bytes]) -> torch.Tensor:
    """An image file as uint8 `[3, 32, 32]` RGB: upright, the first frame of several, on white where it is transparent.

    Other shapes than squares keep their aspect ratio, and their border is repeated. Raises Pillow's errors where the
    file cannot be read. The caller has to silence Pillow's warnings, since warning filters are not thread-safe.
    """
    with open_file(file) if isinstance(file, Path) else nullcontext(file) as stream:
        check_sums(stream)
        image = upright_rgb(stream)
    return square_image(image)


def square_image(image: "Image.Image") -> torch.Tensor:
    """An RGB image as uint8 `[3, 32, 32]`. Keeps its aspect ratio, and repeats its border."""
    from PIL import Image

    scale = _SIZE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))
    if width != height:
        left, top = (_SIZE - width) // 2, (_SIZE - height) // 2
        pixels = np.pad(pixels, ((top, _SIZE - height - top), (left, _SIZE - width - left), (0, 0)), mode="edge")
    return torch.tensor(pixels).permute(2, 0, 1)


def upright_rgb(file: IO[bytes], least: int = _SIZE * 8) -> "Image.Image":
    """The first image of a file, turned as its camera was held, on white where it is transparent.

    A large JPEG is decoded at a fraction of its size, which saves time, with both sides of `least` pixels or more.
    """
    from PIL import Image

    with Image.open(file) as opened:
        opened.draft("RGB", (least, least))
        return as_rgb(opened)


def as_rgb(image: "Image.Image") -> "Image.Image":
    """An image of any mode as RGB, turned as its camera was held, on white where it is transparent."""
    from PIL import Image

    image.load()  # which turns a TIFF, and then removes its orientation
    image = _upright(image)
    if image.mode.startswith(("I", "F")):  # 16 bits and more: scale the whole range to 0..255
        image = _eight_bits(image)
    if image.mode == "La":  # a TIFF's, which Pillow converts to this mode alone
        image = image.convert("LA")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def _upright(image: "Image.Image") -> "Image.Image":
    """The image turned as its camera was held. Without a readable note of that, as it is.

    `ImageOps.exif_transpose` also writes all notes anew, and fails where one of them has an unusual type.
    """
    from PIL import ExifTags, Image

    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged notes beside a whole image
        return image
    turns = (
        Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
    )  # fmt: skip
    return image.transpose(turns[orientation - 2]) if isinstance(orientation, int) and 2 <= orientation <= 8 else image


def check_sums(file: IO[bytes]) -> None:
    """Raises where the checksums in a PNG do not match.

    Pillow decodes pixels without checking them, and detects damage only where the image is incomplete. Its own check
    (`Image.verify`) accepts a file without its end, and opens the file a second time, which takes a seventh of the time
    for a small image.
    """
    if file.read(len(_PNG)) == _PNG:
        kind = b""
        while kind != b"IEND":
            length, kind = struct.unpack(">I4s", _read_exactly(file, 8))
            content = _read_exactly(file, length)
            if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(_read_exactly(file, 4), "big"):
                raise SyntaxError(f"broken PNG file (bad header checksum in {kind!r})")  # the type that Pillow raises
    file.seek(0)


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    if len(content := file.read(size)) < size:
        raise SyntaxError("broken PNG file (truncated)")
    return content


def error_reason(error: Exception) -> str:
    """Why an image could not be read, in one line."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # Pillow's message shows the opened file as a Python object
        return "not an image, or damaged at its beginning"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which the caller names
    return " ".join(str(error).split()) or type(error).__name__


def _eight_bits(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if image.mode != "F" and low >= 0:  # otherwise there is no fixed range: take the image's range
        low, high = 0.0, 255.0 if high < 256 else max(high, 65535.0)
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255 / max(high - low, 1e-12))
    if "transparency" in image.info:
        scaled[values == image.info["transparency"]] = 255  # white, as other transparent pixels
    return Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))
