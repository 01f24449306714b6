"""Renders one street-number crop as a poor photo: a pure function of its key, the difficulty and the fonts.

The random numbers do not depend on the difficulty, which only scales their effects: a crop becomes harder, but shows
the same scene. Lengths are in heights of a digit, light is in 0..1, x grows to the right and y downwards.
"""

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from housenumbers.data.defects import ALL_DEFECTS, Defects
from housenumbers.data.glyphs import DETAIL, MARGIN, Font, Glyph

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]  # [3, 3], homogeneous coordinates

SIZE = 32
_CANVAS = 64  # the side of the scene's canvas, in pixels
_Y, _X = (np.mgrid[0:_CANVAS, 0:_CANVAS] + 0.5).astype(np.float32)
_BLUE_TO_YELLOW = np.array([0.35, 0.1, -0.45], np.float32)  # in which the colours of light and paint vary most
_GREEN_TO_RED = np.array([0.4, -0.25, -0.15], np.float32)


def render_many(
    key: tuple[int, ...],
    difficulty: float,
    fonts: Sequence[Font],
    indices: Sequence[int],
    defects: Defects = ALL_DEFECTS,
) -> NDArray[np.uint8]:
    """The crops of these indices, uint8 `[N, 32, 32, 3]`. A crop's label is the last digit of its index."""
    return np.stack([render((*key, index), index % 10, difficulty, fonts, defects) for index in indices])


def render(
    key: tuple[int, ...], label: int, difficulty: float, fonts: Sequence[Font], defects: Defects = ALL_DEFECTS
) -> NDArray[np.uint8]:
    """A crop, uint8 `[32, 32, 3]`, whose middle digit is `label`; `difficulty` from 0 (clean) to 1."""
    rng = np.random.default_rng(key)
    severity = difficulty * rng.uniform(0.5, 1)  # most photos are better than the worst one
    font = fonts[int(rng.integers(len(fonts)))]
    string = _string(rng, font, label, difficulty, defects)
    view = _view(rng, font[label], severity, defects)
    scene = _scene(rng, string, view, severity, defects)
    return _photograph(rng, scene, severity, defects)


def _string(
    rng: Generator, font: Font, label: int, difficulty: float, defects: Defects
) -> list[tuple[Glyph, float, float]]:
    """Digits with their left and top. The first is `label`, centred at the origin. Others may stand beside it."""
    target = font[label]
    left, top = -target.width / 2, -target.height / 2
    string = [(target, left, top)]
    baseline = top - target.top
    gap = rng.uniform(*defects.gap)
    others, lots = rng.integers(10, size=(2, 2)), rng.random((2, 2))
    for side, digits, side_lots in zip((-1, 1), others, lots, strict=True):
        edge = left if side < 0 else left + target.width
        for digit, lot, chance in zip(digits, side_lots, defects.neighbours, strict=True):
            if lot > chance * min(1, 2 * difficulty):
                break
            glyph = font[digit]
            edge += side * gap
            string.append((glyph, edge - glyph.width if side < 0 else edge, baseline + glyph.top))
            edge += side * glyph.width
    return string


def _view(rng: Generator, target: Glyph, severity: float, defects: Defects) -> Matrix:
    """Maps canvas pixels to the scene: the crop is a square around the target's box, in perspective."""
    angle, shear, stretch, tilt_x, tilt_y, shift_x, shift_y = rng.normal(size=7) * severity
    side = max(target.height, target.width) / (0.8 + severity * (defects.zoom_in - defects.zoom_out * rng.beta(1.5, 3)))
    frame = np.array([[side, 0, -side / 2], [0, side, -side / 2], [0, 0, 1]]) @ np.diag([1 / _CANVAS, 1 / _CANVAS, 1])
    frame[:2, 2] += defects.shift * side * np.array([shift_x, shift_y])
    cos, sin = math.cos(defects.rotation * angle), math.sin(defects.rotation * angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    slant = np.array([[math.exp(0.15 + defects.stretch * stretch), defects.shear * shear, 0], [0, 1, 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [defects.tilt * tilt_x, defects.tilt * tilt_y, 1]])
    return slant @ turn @ tilt @ frame


def _distance(string: list[tuple[Glyph, float, float]], view: Matrix) -> Array:
    """The distance to the outline of the nearest digit, above 0 inside, at each canvas pixel."""
    nearest = np.full((_CANVAS, _CANVAS), -MARGIN, np.float32)
    for glyph, left, top in string:
        to_field = np.array([[DETAIL, 0, DETAIL * (MARGIN - left)], [0, DETAIL, DETAIL * (MARGIN - top)], [0, 0, 1]])
        matrix = to_field @ view
        field = glyph.field.transform(
            (_CANVAS, _CANVAS),
            Image.Transform.PERSPECTIVE,
            tuple((matrix / matrix[2, 2]).ravel()[:8]),
            Image.Resampling.BILINEAR,
            fillcolor=-MARGIN,
        )
        nearest = np.maximum(nearest, np.asarray(field))
    return nearest


def _scene(
    rng: Generator, string: list[tuple[Glyph, float, float]], view: Matrix, severity: float, defects: Defects
) -> Array:
    """The digits on their wall, float `[H, W, 3]` in 0..1."""
    paper, ink, edge = _colours(rng, severity, defects)
    wall = _wall(rng, paper, ink, view, string, severity, defects)
    distance = _distance(string, view)
    sharp = _CANVAS / math.sqrt(abs(np.linalg.det(view[:2, :2])) * _CANVAS**2)  # canvas pixels per height
    weight = severity * rng.normal(0, defects.stroke_weight)

    offset = rng.normal(0, defects.shadow_offset, size=2)  # of a shadow, or of the side of a raised digit
    softness = rng.uniform(*defects.shadow_softness)
    depth = rng.uniform(*defects.shadow_depth) * (rng.random() < defects.shadow * severity)
    shift = np.roll(distance, tuple((offset * sharp).astype(int)), axis=(0, 1))
    wall = wall * (1 - depth * np.clip((shift + softness / 2) / softness, 0, 1)[..., None])

    outline = rng.uniform(*defects.outline_width)
    if rng.random() < defects.outline * severity:
        wall = _over(wall, edge, np.clip((distance + weight + outline) * sharp + 0.5, 0, 1))
    face = np.broadcast_to(ink, wall.shape)
    gloss = rng.normal(0, defects.gloss, size=2) * severity
    face = face + ((_X / _CANVAS - 0.5) * gloss[0] + (_Y / _CANVAS - 0.5) * gloss[1])[..., None]
    return _over(wall, face, np.clip((distance + weight) * sharp + 0.5, 0, 1))


def _over(below: Array, above: Array, alpha: Array) -> Array:
    return below + (above - below) * alpha[..., None]


def _colours(rng: Generator, severity: float, defects: Defects) -> tuple[Array, Array, Array]:
    """The colours of the wall, the digits and an outline: light on dark or dark on light, rarely saturated."""
    contrast = 0.9 - severity * defects.low_contrast * (0.9 - 0.07 - 0.7 * rng.beta(1, 2.5))
    middle = rng.uniform(contrast / 2, 1 - contrast / 2)
    sign = rng.choice((-1, 1))
    lightness = (middle - sign * contrast / 2, middle + sign * contrast / 2, rng.uniform(0, 1))
    cast = rng.normal(size=2) * defects.light_colour  # the colour of the light, shared by all
    colours = []
    for light in lightness:
        tint = rng.normal(size=2) * rng.exponential(defects.paint_colour)
        chroma = (cast[0] + tint[0]) * _BLUE_TO_YELLOW + (cast[1] * 0.5 + tint[1]) * _GREEN_TO_RED
        colours.append((light + severity * chroma * (0.3 + light)).astype(np.float32))
    return colours[0], colours[1], colours[2]


def _wall(
    rng: Generator,
    paper: Array,
    ink: Array,
    view: Matrix,
    string: list[tuple[Glyph, float, float]],
    severity: float,
    defects: Defects,
) -> Array:
    """The wall behind the digits: a plate with optional edges, boards or bricks, and stains."""
    points = np.stack([_X.ravel(), _Y.ravel(), np.ones(_X.size, np.float32)])
    mapped = view @ points
    x, y = ((mapped[:2] / mapped[2]).reshape(2, _CANVAS, _CANVAS)).astype(np.float32)
    wall = np.broadcast_to(paper, (_CANVAS, _CANVAS, 3)).astype(np.float32)

    stains = rng.normal(0, 1, size=(6, 6)).astype(np.float32)
    stains = np.asarray(Image.fromarray(stains).resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC))
    wall = wall + (defects.stains * severity * rng.uniform() * stains)[..., None]

    period, phase, across = rng.uniform(*defects.joint_period), rng.uniform(), rng.random() < 0.7
    joint = ((y if across else x) / period + phase) % 1 < rng.uniform(*defects.joint_width)
    if rng.random() < defects.joints:
        wall = wall + severity * rng.normal(0, defects.joint_depth) * joint[..., None]

    beyond = (paper + rng.normal(0, defects.plate_contrast) + rng.normal(0, 0.05, size=3)).astype(np.float32)
    plate = rng.random(4) < defects.plate_edge
    margins = rng.uniform(*defects.plate_margin, size=4)
    left = min(left for _, left, _ in string)
    right = max(left + glyph.width for glyph, left, _ in string)
    outside = [left - margins[0] - x, x - right - margins[1], -0.5 - margins[2] - y, y - 0.5 - margins[3]]
    edge = np.full_like(x, -1)
    for has_edge, out in zip(plate, outside, strict=True):
        if has_edge:
            edge = np.maximum(edge, out)
    middle, across, down = (left + right) / 2, (right - left) / 2 + margins[0], 0.6 + margins[2]
    if rng.random() < defects.oval_plate:
        edge = (np.hypot((x - middle) / across, y / down) - 1).astype(np.float32) * down
    sharp = _CANVAS / 1.2
    wall = _over(wall, beyond, severity**0.5 * np.clip(edge * sharp + 0.5, 0, 1))
    line, inset = rng.uniform(*defects.frame_width), rng.uniform(0, 0.08)
    if rng.random() < defects.frame:  # a line around the plate
        wall = _over(wall, ink, severity**0.5 * np.clip((line - abs(edge + inset)) * sharp + 0.5, 0, 1))
    return wall


def _photograph(rng: Generator, scene: Array, severity: float, defects: Defects) -> NDArray[np.uint8]:
    """A small, blurred, noisy, compressed photo of the scene, enlarged to SIZE."""
    slope = rng.normal(0, defects.light_slope, size=2) * severity
    light = 1 + (_X / _CANVAS - 0.5) * slope[0] + (_Y / _CANVAS - 0.5) * slope[1]
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-0.4, 0.4)
    border = ((_X / _CANVAS - 0.5) * math.cos(angle) + (_Y / _CANVAS - 0.5) * math.sin(angle) - offset) * 30
    depth = rng.uniform(*defects.cast_shadow_depth) * (rng.random() < defects.cast_shadow)
    light = light * (1 - severity * depth * np.clip(border + 0.5, 0, 1))  # a shadow falls over it
    photo = _image(scene * light[..., None])

    blur = severity * rng.exponential(defects.blur)
    if blur > 0.3:
        photo = photo.filter(ImageFilter.GaussianBlur(min(blur, 6)))
    pixels = max(8, round(SIZE * math.exp(-severity * abs(rng.normal(0, defects.low_resolution)))))
    photo = photo.resize((pixels, pixels), Image.Resampling.BOX)
    sharpening = rng.uniform(*defects.sharpening_percent)
    if rng.random() < defects.sharpening * severity:
        photo = photo.filter(ImageFilter.UnsharpMask(1, int(sharpening), 0))
    strength = severity * rng.exponential(defects.noise)
    noise = rng.normal(0, strength, size=(pixels, pixels, 1)) + rng.normal(0, strength / 2, size=(pixels, pixels, 3))
    photo = _image(np.asarray(photo, np.float32) / 255 + noise)
    quality = round(95 - severity * rng.uniform(0, defects.compression))
    with io.BytesIO() as file:
        photo.save(file, "JPEG", quality=quality)
        photo = Image.open(file).convert("RGB")
    return np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _image(light: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray((light.clip(0, 1) * 255 + 0.5).astype(np.uint8))
