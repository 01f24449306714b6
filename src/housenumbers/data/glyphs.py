"""Digits of the fonts at hand, as signed distance fields: one field serves every weight, outline and size.

Green 2007, "Improved Alpha-Tested Magnification for Vector Textures and Special Effects".
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from housenumbers.data.strokes import drawn_digits
from housenumbers.errors import UserError

# Those of matplotlib's fonts whose digits are digits, and no two alike.
_MATPLOTLIB = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSansMono",
    "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta", "cmb10", "cmr10", "cmss10", "cmti10",
    "cmtt10",
)  # fmt: skip

DETAIL = 40  # samples of a field over the height of the font's 0
MARGIN = 0.5  # heights of the 0 around a digit: as far as a field reaches
_DRAWN = 24  # fonts without a file
_OVERSAMPLING = 4  # pixels a sample where the distances are measured


@dataclass(frozen=True)
class Glyph:
    """One digit of a font. Lengths are in heights of the font's 0; y grows downwards, from its baseline."""

    field: Image.Image  # mode F: the distance to the outline, above 0 inside, sampled DETAIL times a height
    left: float  # the digit's box; the field goes MARGIN beyond it on each side
    top: float
    width: float
    height: float


Font = tuple[Glyph, ...]  # the ten digits


def font_files(choice: str) -> list[Path]:
    """The files of `matplotlib`'s fonts, which are the same everywhere; of these and the `system`'s; or of a folder.

    Raises UserError where the folder holds none.
    """
    if choice not in ("matplotlib", "system"):
        files = sorted(path for path in Path(choice).rglob("*") if path.suffix.lower() in (".ttf", ".otf"))
        if not files:
            raise UserError(f"data.fonts={choice}: no folder with .ttf or .otf files: matplotlib, system or a folder")
        return files
    import matplotlib

    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [own / f"{name}.ttf" for name in _MATPLOTLIB]
    if choice == "system":
        from matplotlib.font_manager import findSystemFonts

        files += sorted(Path(path) for path in findSystemFonts())
    return files


def load_fonts(files: list[Path]) -> tuple[list[Font], str]:
    """The fonts that have ten different digits, without doubles, and a fingerprint of their outlines.

    Raises UserError where there are none.
    """
    fonts: dict[str, Font] = {}
    for file in files:
        try:
            masks = _masks(file)
        except OSError:  # FreeType's: a font that it cannot scale, or no font
            continue
        outlines = [hashlib.sha256(mask.tobytes() + repr(mask.shape).encode()).hexdigest() for mask, *_ in masks]
        known = hashlib.sha256("".join(outlines).encode()).hexdigest()
        usable = len(set(outlines)) == 10 and all(mask.any() for mask, *_ in masks)
        if usable and known not in fonts:
            fonts[known] = tuple(_glyph(*mask) for mask in masks)
    if not fonts:
        raise UserError(f"data.fonts: none of {len(files)} font files has ten digits: matplotlib, system or a folder")
    rng = np.random.default_rng(0)
    for _ in range(_DRAWN):
        masks = [(mask, 0, -mask.shape[0]) for mask in drawn_digits(rng, DETAIL * _OVERSAMPLING)]
        outline = hashlib.sha256(b"".join(mask.tobytes() for mask, *_ in masks)).hexdigest()
        fonts[outline] = tuple(_glyph(*mask) for mask in masks)
    return list(fonts.values()), hashlib.sha256("".join(fonts).encode()).hexdigest()


def _masks(file: Path) -> list[tuple[NDArray[np.bool_], int, int]]:
    """Each digit's pixels within its box, and the box's left and top (in pixels from the baseline)."""
    pixels = DETAIL * _OVERSAMPLING
    font = ImageFont.truetype(str(file), pixels)
    _, top, _, bottom = font.getbbox("0", anchor="ls")
    font = ImageFont.truetype(str(file), round(pixels * pixels / max(bottom - top, 1)))
    masks = []
    for digit in "0123456789":
        left, top, right, bottom = map(round, font.getbbox(digit, anchor="ls"))
        canvas = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
        ImageDraw.Draw(canvas).text((-left, -top), digit, fill=255, font=font, anchor="ls")
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
