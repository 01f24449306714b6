"""Draws digits on a wall, and takes a poor photo of them: what crops and whole numbers have in common.

Lengths are in heights of a digit, light is in 0..1, x grows to the right and y downwards.
"""

import io
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from housenumbers.data.defects import Defects
from housenumbers.data.glyphs import DETAIL, MARGIN, Glyph

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]  # [3, 3], homogeneous coordinates

SIZE = 32  # the height of an image, in pixels
CANVAS = 64  # the height of the canvas that a scene is drawn on, in pixels
_BLUE_TO_YELLOW = np.array([0.35, 0.1, -0.45], np.float32)  # in which the colours of light and paint vary most
_GREEN_TO_RED = np.array([0.4, -0.25, -0.15], np.float32)


class Placed(NamedTuple):
    glyph: Glyph
    left: float
    top: float


class Box(NamedTuple):
    """Where the digits are."""

    left: float
    top: float
    right: float
    bottom: float


class Layout(NamedTuple):
    """What a canvas shows, and from where."""

    string: list[Placed]
    box: Box
    view: Matrix  # maps canvas pixels to the scene
    width: int = CANVAS  # of the canvas, in pixels
    height: int = CANVAS


@lru_cache(64)
def _grid(width: int, height: int) -> tuple[Array, Array]:
    """x and y of the middle of each pixel of a canvas, `[height, width]`."""
    y, x = (np.mgrid[0:height, 0:width] + 0.5).astype(np.float32)
    return x, y


def perspective(angle: float, shear: float, stretch: float, tilt: tuple[float, float], defects: Defects) -> Matrix:
    """Maps the photo to the scene, both in heights of a digit. The arguments are in standard deviations."""
    cos, sin = math.cos(defects.rotation * angle), math.sin(defects.rotation * angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    slant = np.array([[math.exp(0.15 + defects.stretch * stretch), defects.shear * shear, 0], [0, 1, 0], [0, 0, 1]])
    tilted = np.array([[1, 0, 0], [0, 1, 0], [defects.tilt * tilt[0], defects.tilt * tilt[1], 1]])
    return slant @ turn @ tilted


def draw(rng: Generator, layout: Layout, severity: float, defects: Defects) -> Array:
    """The digits on their wall, float `[height, width, 3]` in 0..1."""
    x, y = _grid(layout.width, layout.height)
    paper, ink, edge = _colours(rng, severity, defects)
    wall = _wall(rng, paper, ink, layout, severity, defects)
    distance = _distance(layout)
    sharp = CANVAS / math.sqrt(abs(np.linalg.det(layout.view[:2, :2])) * CANVAS**2)  # canvas pixels per height
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
    face = face + ((x / layout.width - 0.5) * gloss[0] + (y / layout.height - 0.5) * gloss[1])[..., None]
    return _over(wall, face, np.clip((distance + weight) * sharp + 0.5, 0, 1))


def _distance(layout: Layout) -> Array:
    """The distance to the outline of the nearest digit, above 0 inside, at each canvas pixel."""
    nearest = np.full((layout.height, layout.width), -MARGIN, np.float32)
    for glyph, left, top in layout.string:
        to_field = np.array([[DETAIL, 0, DETAIL * (MARGIN - left)], [0, DETAIL, DETAIL * (MARGIN - top)], [0, 0, 1]])
        matrix = to_field @ layout.view
        field = glyph.field.transform(
            (layout.width, layout.height),
            Image.Transform.PERSPECTIVE,
            tuple((matrix / matrix[2, 2]).ravel()[:8]),
            Image.Resampling.BILINEAR,
            fillcolor=-MARGIN,
        )
        nearest = np.maximum(nearest, np.asarray(field))
    return nearest


def _over(below: Array, above: Array, alpha: Array) -> Array:
    return below + (above - below) * alpha[..., None]


def _colours(rng: Generator, severity: float, defects: Defects) -> tuple[Array, Array, Array]:
    """The colours of the wall, the digits and an outline: light on dark or dark on light, rarely saturated."""
    loss = defects.low_contrast * (0.9 - 0.07 - 0.7 * rng.beta(1, 2.5))
    contrast = max(defects.least_contrast, 0.9 - severity * loss)
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


def _wall(rng: Generator, paper: Array, ink: Array, layout: Layout, severity: float, defects: Defects) -> Array:
    """The wall behind the digits: a plate with optional edges, boards or bricks, and stains."""
    x, y = _grid(layout.width, layout.height)
    shape = x.shape
    mapped = layout.view @ np.stack([x.ravel(), y.ravel(), np.ones(x.size, np.float32)])
    x, y = ((mapped[:2] / mapped[2]).reshape(2, *shape)).astype(np.float32)
    wall = np.broadcast_to(paper, (*shape, 3)).astype(np.float32)

    stains = rng.normal(0, 1, size=(6, 6)).astype(np.float32)
    stains = np.asarray(Image.fromarray(stains).resize((layout.width, layout.height), Image.Resampling.BICUBIC))
    wall = wall + (defects.stains * severity * rng.uniform() * stains)[..., None]

    period, phase, across = rng.uniform(*defects.joint_period), rng.uniform(), rng.random() < 0.7
    joint = ((y if across else x) / period + phase) % 1 < rng.uniform(*defects.joint_width)
    if rng.random() < defects.joints:
        wall = wall + severity * rng.normal(0, defects.joint_depth) * joint[..., None]

    if defects.posts:
        wall = _with_post(rng, wall, x, y, layout.box, severity, defects)
    beyond = (paper + rng.normal(0, defects.plate_contrast) + rng.normal(0, 0.05, size=3)).astype(np.float32)
    plate = rng.random(4) < defects.plate_edge
    margins = rng.uniform(*defects.plate_margin, size=4)
    left, top, right, bottom = layout.box
    outside = [left - margins[0] - x, x - right - margins[1], top - margins[2] - y, y - bottom - margins[3]]
    edge = np.full_like(x, -1)
    for has_edge, out in zip(plate, outside, strict=True):
        if has_edge:
            edge = np.maximum(edge, out)
    across, down = (right - left) / 2 + margins[0], (bottom - top) / 2 + 0.1 + margins[2]
    if rng.random() < defects.oval_plate:
        from_middle = np.hypot((x - (left + right) / 2) / across, (y - (top + bottom) / 2) / down)
        edge = (from_middle - 1).astype(np.float32) * down
    sharp = CANVAS / 1.2
    wall = _over(wall, beyond, severity**0.5 * np.clip(edge * sharp + 0.5, 0, 1))
    line, inset = rng.uniform(*defects.frame_width), rng.uniform(0, 0.08)
    if rng.random() < defects.frame:  # a line around the plate
        wall = _over(wall, ink, severity**0.5 * np.clip((line - abs(edge + inset)) * sharp + 0.5, 0, 1))
    return wall


def _with_post(rng: Generator, wall: Array, x: Array, y: Array, box: Box, severity: float, defects: Defects) -> Array:
    """The wall with a bar beside, above or below the digits: the frame of a door, a pipe, a gutter."""
    side, width, distance = int(rng.integers(4)), rng.uniform(*defects.post_width), rng.uniform(*defects.post_distance)
    light = (rng.normal(0, defects.plate_contrast) + rng.normal(0, 0.05, size=3)).astype(np.float32)
    if rng.random() > defects.posts:
        return wall
    beyond = (box.left - x, x - box.right, box.top - y, y - box.bottom)[side] - distance
    sharp = CANVAS / 1.2
    covered = np.clip((width / 2 - abs(beyond - width / 2)) * sharp + 0.5, 0, 1)
    return _over(wall, wall + light, severity**0.5 * covered)


def photograph(
    rng: Generator, scene: Array, severity: float, defects: Defects, photo_height: int = SIZE
) -> Image.Image:
    """A small, blurred, noisy, compressed photo of the scene, enlarged to `photo_height`."""
    height, width, _ = scene.shape
    x, y = _grid(width, height)
    x, y = x / width - 0.5, y / height - 0.5
    slope = rng.normal(0, defects.light_slope, size=2) * severity
    light = 1 + x * slope[0] + y * slope[1]
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-0.4, 0.4)
    border = (x * math.cos(angle) + y * math.sin(angle) - offset) * 30
    depth = rng.uniform(*defects.cast_shadow_depth) * (rng.random() < defects.cast_shadow)
    light = light * (1 - severity * depth * np.clip(border + 0.5, 0, 1))  # a shadow falls over it
    lit = scene * light[..., None]
    if defects.fringe:
        for channel, shift in zip((0, 2), (severity * rng.normal(0, defects.fringe, size=(2, 2))).round(), strict=True):
            lit[..., channel] = np.roll(lit[..., channel], shift.astype(int).tolist(), axis=(0, 1))
    photo = _image(lit)

    blur = severity * (defects.least_blur + rng.exponential(defects.blur))
    if blur > 0.3:
        photo = photo.filter(ImageFilter.GaussianBlur(min(blur, 6)))
    pixels = max(8, round(photo_height * math.exp(-severity * abs(rng.normal(0, defects.low_resolution)))))
    size = max(1, round(pixels * width / height)), pixels
    photo = photo.resize(size, Image.Resampling.BOX)
    sharpening = rng.uniform(*defects.sharpening_percent)
    if rng.random() < defects.sharpening * severity:
        photo = photo.filter(ImageFilter.UnsharpMask(1, int(sharpening), 0))
    strength = severity * rng.exponential(defects.noise)
    shape = size[::-1]
    noise = rng.normal(0, strength, size=(*shape, 1)) + rng.normal(0, strength / 2, size=(*shape, 3))
    photo = _image(np.asarray(photo, np.float32) / 255 + noise)
    quality = round(95 - severity * rng.uniform(0, defects.compression))
    with io.BytesIO() as file:
        photo.save(file, "JPEG", quality=quality)
        photo = Image.open(file).convert("RGB")
    return photo.resize((round(photo_height * width / height), photo_height), Image.Resampling.BICUBIC)


def _image(light: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray((light.clip(0, 1) * 255 + 0.5).astype(np.uint8))
