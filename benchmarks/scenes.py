"""Photos of walls with a house number somewhere: rendered, or with a real number pasted in; and where it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from housenumbers.data.defects import NUMBER_DEFECTS
from housenumbers.data.glyphs import Font
from housenumbers.data.render_number import arrange, random_digits
from housenumbers.data.scene import Array, Box, Layout, Placed, draw, perspective, photograph

SIZES = ((320, 240), (480, 360), (640, 480), (360, 480), (480, 640))
HEIGHTS = (16.0, 80.0)  # of a digit, in the photo's pixels
_OBJECTS = (3, 10)  # windows, doors, leaves and pipes
_WORDS = (0, 3)  # of letters
_MARGIN = 0.7  # heights of a digit around the number that nothing else covers
# The camera's faults are those of a photo, not of a digit that was enlarged to 32 pixels.
_DEFECTS = replace(NUMBER_DEFECTS, tilt=0.0, low_resolution=0.15, blur=0.5, least_blur=0.5, stains=0.1)


class Scene(NamedTuple):
    photo: Image.Image
    number: str  # empty where the photo shows none
    box: Box | None  # of its digits, in the photo's pixels


def rendered_scene(key: Sequence[int], fonts: Sequence[Font], severity: float = 0.6) -> Scene:
    """A rendered photo with a number of 1 to 5 digits on a wall with windows, leaves and letters; a few without."""
    rng = np.random.default_rng(key)
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    digits, font = random_digits(rng), fonts[int(rng.integers(len(fonts)))]
    string, marks = arrange(rng, font, digits, 1.0, _DEFECTS)
    shown = _box([*string, *marks])
    across, down = shown.right - shown.left + 2 * _MARGIN, shown.bottom - shown.top + 2 * _MARGIN
    largest = min(HEIGHTS[1], 0.9 * width / across, 0.9 * height / down)
    size = float(np.exp(rng.uniform(np.log(HEIGHTS[0]), np.log(max(HEIGHTS[0], largest)))))  # pixels of a digit
    free = max(0.0, width / size - across), max(0.0, height / size - down)
    left, top = shown.left - _MARGIN - rng.uniform(0, free[0]), shown.top - _MARGIN - rng.uniform(0, free[1])
    angle, shear, stretch = rng.normal(size=3) * severity * 0.5
    view = perspective(angle, shear, stretch - 0.6, (0, 0), _DEFECTS) @ np.diag([1 / size, 1 / size, 1])
    middle = np.array([-left, -top]) * size  # where the origin of the digits is, in pixels
    view = view @ np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]])
    words = _words(rng, font, _around(shown, _MARGIN), (width / size, height / size), (left, top))
    layout = Layout([*(string + marks if digits else []), *words], shown, view, width, height)
    scene = draw(rng, layout, severity, _DEFECTS)
    kept = _seen(shown, view, size * _MARGIN) if digits else None
    scene = with_objects(rng, scene, kept)
    photo = photograph(rng, scene, severity, _DEFECTS, height)
    number = "".join(map(str, digits))
    return Scene(photo, number, _seen(_box(string), view, 0) if digits else None)


def pasted_scene(key: Sequence[int], strip: NDArray[np.uint8], number: str, fonts: Sequence[Font]) -> Scene:
    """A rendered photo without a number, with a real one pasted in at a random size: uint8 `[32, W, 3]`.

    The strip's border is repeated around it, and fades into the wall.
    """
    rng = np.random.default_rng(key)
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    wall = _empty_wall(rng, width, height, fonts)
    high, long = strip.shape[:2]
    size = float(np.exp(rng.uniform(np.log(HEIGHTS[0]), np.log(min(HEIGHTS[1], 0.6 * width * high / long)))))
    wide = max(4, round(size * long / high))
    tall, border = round(size), max(3, round(0.5 * size))
    scaled = np.asarray(Image.fromarray(strip).resize((wide, tall), Image.Resampling.BICUBIC, reducing_gap=3.0))
    padded = np.pad(scaled, ((border, border), (border, border), (0, 0)), mode="edge")
    inner = Image.new("L", padded.shape[1::-1], 0)
    inner.paste(255, (border * 2 // 3, border * 2 // 3, inner.width - border * 2 // 3, inner.height - border * 2 // 3))
    mask = inner.filter(ImageFilter.GaussianBlur(border / 6))
    left, top = (int(rng.integers(0, max(1, room))) for room in (width - inner.width, height - inner.height))
    wall.paste(Image.fromarray(padded), (left, top), mask)
    left, top = left + border, top + border
    return Scene(wall, number, Box(left, top, left + wide, top + tall))


def empty_scene(key: Sequence[int], fonts: Sequence[Font]) -> Scene:
    """A rendered photo without a number, but with windows, leaves and letters."""
    rng = np.random.default_rng(key)
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    return Scene(_empty_wall(rng, width, height, fonts), "", None)


def _empty_wall(rng: Generator, width: int, height: int, fonts: Sequence[Font]) -> Image.Image:
    size = float(rng.uniform(20, 60))
    font = fonts[int(rng.integers(len(fonts)))]
    box = Box(0, 0, 3, 1)
    view = np.diag([1 / size, 1 / size, 1])
    words = _words(rng, font, Box(0, 0, 0, 0), (width / size, height / size), (0, 0))
    scene = draw(rng, Layout(words, box, view, width, height), 0.6, _DEFECTS)
    return photograph(rng, with_objects(rng, scene, None), 0.6, _DEFECTS, height)


def with_objects(rng: Generator, scene: Array, kept: Box | None) -> Array:
    """The scene with windows, leaves, doors and pipes: rectangles that leave the box `kept` free."""
    height, width, _ = scene.shape
    scene = scene.copy()
    for _ in range(int(rng.integers(*_OBJECTS))):
        wide, tall = (int(side * rng.uniform(0.03, 0.45)) + 2 for side in (width, height))
        left, top = int(rng.integers(0, max(1, width - wide))), int(rng.integers(0, max(1, height - tall)))
        colour, kind = rng.uniform(0, 1) + rng.normal(0, 0.08, 3), int(rng.integers(3))
        grain, bars, bar = (
            rng.normal(0, 0.2, (tall // 4 + 2, wide // 4 + 2, 1)),
            rng.integers(1, 5, 2),
            rng.uniform(0, 1),
        )
        if kept and left < kept.right and kept.left < left + wide and top < kept.bottom and kept.top < top + tall:
            continue
        patch = np.broadcast_to(colour, (tall, wide, 3)).copy()
        if kind == 0:  # leaves
            patch += np.kron(grain, np.ones((4, 4, 1)))[:tall, :wide]
        if kind == 1:  # a window with bars
            thick = max(1, min(wide, tall) // 20)
            for x in np.linspace(0, wide - thick, int(bars[0]) + 1).astype(int):
                patch[:, x : x + thick] = bar
            for y in np.linspace(0, tall - thick, int(bars[1]) + 1).astype(int):
                patch[y : y + thick] = bar
        scene[top : top + tall, left : left + wide] = patch
    return scene


def _words(
    rng: Generator, font: Font, kept: Box, size: tuple[float, float], corner: tuple[float, float]
) -> list[Placed]:
    """A few words of letters anywhere in the photo, `size` large from its `corner`, but not within `kept`."""
    letters = [glyph for glyph in font[10:] if glyph.height > 0.7]
    placed: list[Placed] = []
    for _ in range(int(rng.integers(*_WORDS)) if letters else 0):
        x, baseline = corner[0] + rng.uniform(0, size[0]), corner[1] + rng.uniform(0, size[1])
        for letter in rng.integers(len(letters), size=int(rng.integers(2, 7))):
            glyph = letters[int(letter)]
            x += glyph.width + 0.1
            is_free = x < kept.left or x - glyph.width > kept.right or baseline < kept.top or baseline - 1 > kept.bottom
            if is_free:
                placed.append(Placed(glyph, x - glyph.width, baseline + glyph.top))
    return placed


def _box(string: Sequence[Placed]) -> Box:
    return Box(
        min(placed.left for placed in string),
        min(placed.top for placed in string),
        max(placed.left + placed.glyph.width for placed in string),
        max(placed.top + placed.glyph.height for placed in string),
    )


def _around(box: Box, margin: float) -> Box:
    return Box(box.left - margin, box.top - margin, box.right + margin, box.bottom + margin)


def _seen(box: Box, view: NDArray[np.float64], margin: float) -> Box:
    """The box about what the camera shows of a box on the wall, in pixels, with a margin."""
    corners = np.array([(x, y, 1) for x in (box.left, box.right) for y in (box.top, box.bottom)])
    x, y, w = np.linalg.inv(view) @ corners.T
    return _around(Box(*map(float, ((x / w).min(), (y / w).min(), (x / w).max(), (y / w).max()))), margin)
