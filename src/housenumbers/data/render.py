"""Renders one street-number crop as a poor photo: a pure function of its key, the difficulty and the fonts.

The random numbers do not depend on the difficulty, which only scales their effects: a crop becomes harder, but shows
the same scene. Lengths are in heights of a digit, light is in 0..1, x grows to the right and y downwards.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from housenumbers.data.defects import ALL_DEFECTS, Defects
from housenumbers.data.glyphs import Font, Glyph
from housenumbers.data.scene import CANVAS, Box, Layout, Matrix, Placed, draw, perspective, photograph


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
    left, right = min(left for _, left, _ in string), max(left + glyph.width for glyph, left, _ in string)
    scene = draw(rng, Layout(string, Box(left, -0.5, right, 0.5), view), severity, defects)
    return np.asarray(photograph(rng, scene, severity, defects))


def _string(rng: Generator, font: Font, label: int, difficulty: float, defects: Defects) -> list[Placed]:
    """Digits with their left and top. The first is `label`, centred at the origin. Others may stand beside it."""
    target = font[label]
    left, top = -target.width / 2, -target.height / 2
    string = [Placed(target, left, top)]
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
            string.append(Placed(glyph, edge - glyph.width if side < 0 else edge, baseline + glyph.top))
            edge += side * glyph.width
    return string


def _view(rng: Generator, target: Glyph, severity: float, defects: Defects) -> Matrix:
    """Maps canvas pixels to the scene: the crop is a square around the target's box, in perspective."""
    angle, shear, stretch, tilt_x, tilt_y, shift_x, shift_y = rng.normal(size=7) * severity
    side = max(target.height, target.width) / (0.8 + severity * (defects.zoom_in - defects.zoom_out * rng.beta(1.5, 3)))
    frame = np.array([[side, 0, -side / 2], [0, side, -side / 2], [0, 0, 1]]) @ np.diag([1 / CANVAS, 1 / CANVAS, 1])
    frame[:2, 2] += defects.shift * side * np.array([shift_x, shift_y])
    return perspective(angle, shear, stretch, (tilt_x, tilt_y), defects) @ frame
