"""Digits and marks of the available fonts as signed distance fields: one field serves every weight, outline and size.

Green 2007, "Improved Alpha-Tested Magnification for Vector Textures and Special Effects".
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from housenumbers.data.image_files import list_files
from housenumbers.data.strokes import drawn_digits
from housenumbers.runtime.errors import UserError

# matplotlib's fonts that have ten different digits.
_MATPLOTLIB = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono",
    "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta", "cmb10", "cmr10", "cmss10", "cmti10",
    "cmtt10",
)  # fmt: skip

DETAIL = 40  # samples of a field per height of the font's 0
MARGIN = 0.5  # the margin of a field around a digit, in heights of the 0
_DRAWN = 24  # the number of fonts that are drawn without a font file
_OVERSAMPLING = 4  # pixels per sample while the distances are measured


@dataclass(frozen=True)
class Glyph:
    """A digit or a mark of a font. Lengths are in heights of the font's 0; y grows downwards, from its baseline."""

    field: Image.Image  # mode F: the distance to the outline, above 0 inside, with DETAIL samples per height
    left: float  # the digit's box; the field extends MARGIN beyond it on each side
    top: float
    width: float
    height: float


Font = tuple[Glyph, ...]  # the ten digits, then marks, of which a font may lack some
MARKS = "ABCDFKa-/#"  # what stands around numbers and does not look like a digit


def font_files(choice: str) -> list[Path]:
    """The files of `matplotlib`'s fonts, equal on all machines; of these and the `system`'s fonts; or of a folder.

    Raises UserError where the folder holds none.
    """
    if choice not in ("matplotlib", "system"):
        files = [path for path in list_files(Path(choice)) if path.suffix.lower() in (".ttf", ".otf")]
        if not files:
            raise UserError(f"data.fonts={choice}: a folder with .ttf or .otf files, or matplotlib, or system")
        return files
    package = importlib.util.find_spec("matplotlib")  # not imported: a cached start does not need it
    assert package is not None
    assert package.origin is not None
    font_folder = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"
    files = [font_folder / f"{name}.ttf" for name in _MATPLOTLIB]
    if choice == "system":
        from matplotlib.font_manager import findSystemFonts

        files += sorted(Path(path) for path in findSystemFonts())
    return files


def load_fonts(files: list[Path], marks: str = "") -> list[Font]:
    """The fonts with ten different digits, without duplicates, and some fonts that need no file; with their `marks`.

    Raises UserError where the files hold none.
    """
    pixels = DETAIL * _OVERSAMPLING
    fonts: dict[str, Font] = {}
    for file in files:
        try:
            masks = _masks(file, "0123456789" + marks)
        except OSError:  # from FreeType: not scalable, or not a font
            continue
        digits = masks[:10]
        outlines = [hashlib.sha256(mask.tobytes() + repr(mask.shape).encode()).hexdigest() for mask, *_ in digits]
        if len(set(outlines)) == 10 and all(mask.any() for mask, *_ in digits):
            fonts.setdefault("".join(outlines), tuple(_glyph(*mask) for mask in masks if mask[0].any()))
    if not fonts:
        raise UserError(f"data.fonts: none of {len(files)} font files has ten digits: matplotlib, system or a folder")
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWN):
        masks = [(mask, 0, -pixels) for mask in drawn_digits(rng, pixels, marks)]
        drawn.append(tuple(_glyph(*mask) for mask in masks))
    return [*fonts.values(), *drawn]


def _masks(file: Path, characters: str) -> list[tuple[NDArray[np.bool_], int, int]]:
    """Each character's pixels within its box, and the box's left and top (in pixels from the baseline)."""
    pixels = DETAIL * _OVERSAMPLING
    font = ImageFont.truetype(str(file), pixels)
    _, top, _, bottom = font.getbbox("0", anchor="ls")
    font = ImageFont.truetype(str(file), round(pixels * pixels / max(bottom - top, 1)))
    masks = []
    for character in characters:
        left, top, right, bottom = map(round, font.getbbox(character, anchor="ls"))
        canvas = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
        ImageDraw.Draw(canvas).text((-left, -top), character, fill=255, font=font, anchor="ls")
        masks.append((np.asarray(canvas) > 127, left, top))
    return masks


def _glyph(mask: NDArray[np.bool_], left: int, top: int) -> Glyph:
    from scipy.ndimage import distance_transform_edt

    pixels = DETAIL * _OVERSAMPLING
    padded = np.pad(mask, round(MARGIN * pixels))
    distance = distance_transform_edt(padded) - distance_transform_edt(~padded)
    field = Image.fromarray((distance / pixels).astype(np.float32))
    field = field.resize((max(1, field.width // _OVERSAMPLING), max(1, field.height // _OVERSAMPLING)))
    return Glyph(field, left / pixels, top / pixels, mask.shape[1] / pixels, mask.shape[0] / pixels)
