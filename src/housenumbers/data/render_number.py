"""Renders a whole street number as a poor photo: a pure function of its key, the difficulty and the fonts.

The image is framed as SVHN's boxes frame numbers: by the union of squares about the digits. As in crops, the random
numbers do not depend on the difficulty.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from housenumbers.data.defects import NUMBER_DEFECTS, Defects
from housenumbers.data.glyphs import Font, Glyph
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.number_image import HEIGHT, fit_canvas
from housenumbers.data.scene import CANVAS, Box, Layout, Matrix, Placed, draw, perspective, photograph
from housenumbers.metrics.numbers import MAX_DIGITS, NO_DIGIT

String = list[Placed]

_LENGTHS = (0.03, 0.15, 0.47, 0.26, 0.07, 0.02)  # shares of 0 to 5 digits; SVHN: 0, 0.15, 0.54, 0.26, 0.04, 0.0003
_LEADING_ZERO = 0.03  # of the tenth of numbers that would begin with one
_FIXED_PITCH = 0.4  # chance that all digits take the same width
_WIDE_GAP, _WIDE_GAP_CHANCE = (0.2, 0.8), 0.08
_STAIRS, _STAIRS_CHANCE = 0.35, 0.1  # std of the slope on which digits stand upright
_STACKED_GAP, _STACKED_CHANCE = (0.03, 0.4), 0.015  # of a digit below another
_WOBBLE, _WOBBLE_CHANCE = 0.05, 0.3  # std of each digit's place on the wall
_MARKS = (0.1, 0.015, 0.05)  # chances of a letter or dash after, within and before the number
_WIDEST = 256  # half the width of a canvas


def render_numbers(
    key: tuple[int, ...],
    difficulty: float,
    fonts: Sequence[Font],
    indices: Sequence[int],
    width: int,
    defects: Defects = NUMBER_DEFECTS,
) -> LabeledImages:
    """The images of these indices, uint8 `[N, 3, 32, width]`, and their labels, `[N, 6]`."""
    images = torch.empty(len(indices), 3, HEIGHT, width, dtype=torch.uint8)
    labels = torch.full((len(indices), MAX_DIGITS), NO_DIGIT)
    for place, index in enumerate(indices):
        images[place], digits = render_number((*key, index), width, difficulty, fonts, defects)
        labels[place, : len(digits)] = torch.tensor(digits)
    return LabeledImages(images, labels)


def render_number(
    key: tuple[int, ...], width: int, difficulty: float, fonts: Sequence[Font], defects: Defects = NUMBER_DEFECTS
) -> tuple[Tensor, list[int]]:
    """An image, uint8 `[3, 32, width]`, and the digits in it; `difficulty` from 0 (clean) to 1.

    Some images show no number, but a wall, or letters.
    """
    rng = np.random.default_rng(key)
    severity = difficulty * rng.uniform(0.5, 1)
    digits = random_digits(rng)
    font = fonts[int(rng.integers(len(fonts)))]
    string, marks = arrange(rng, font, digits, min(1, 2 * difficulty), defects)
    view, canvas_width = _frame(rng, string, severity, defects)
    shown = string + marks if digits or rng.random() < 0.5 else []
    layout = Layout(shown, _box(string + marks), view, canvas_width)
    # Blur and resolution are those of a digit. Where digits stand on a slope, it is smaller than the image.
    smaller = max(1.0, 0.75 * CANVAS * abs(np.linalg.det(view[:2, :2])) ** 0.5)
    defects = replace(defects, blur=defects.blur / smaller, low_resolution=defects.low_resolution / smaller)
    photo = photograph(rng, draw(rng, layout, severity, defects), severity, defects)
    return fit_canvas(np.asarray(photo), width), digits


def random_digits(rng: Generator) -> list[int]:
    count = int(np.searchsorted(np.cumsum(_LENGTHS), rng.random()))
    digits, lot, other = rng.integers(10, size=5), rng.random(), int(rng.integers(1, 10))
    if digits[0] == 0 and lot > _LEADING_ZERO:
        digits[0] = other
    return digits[:count].tolist()


def arrange(rng: Generator, font: Font, digits: list[int], likely: float, defects: Defects) -> tuple[String, String]:
    """Digits from left to right or, rarely, downwards, and the marks beside them. The digits' middle is the origin.

    Where there are no digits, some marks are in their place. `likely`, up to 1, scales the chances of what is unusual.
    """
    stairs, stacked, wide, wobbles, pitch = rng.random(5)
    gap = rng.uniform(*defects.gap) + rng.uniform(*_WIDE_GAP) * (wide < _WIDE_GAP_CHANCE * likely)
    slope = rng.normal(0, _STAIRS) * (stairs < _STAIRS_CHANCE * likely)
    down = 1 + rng.uniform(*_STACKED_GAP)
    wobble = rng.normal(0, _WOBBLE, size=8) * (wobbles < _WOBBLE_CHANCE * likely)
    is_stack = stacked < _STACKED_CHANCE * likely
    cell = max(glyph.width for glyph in font[:10]) if pitch < _FIXED_PITCH else 0.0

    x = 0.0
    string: String = []
    beside: String = []
    for step, (glyph, is_mark) in enumerate(_characters(rng, font, digits, 0 if is_stack else likely)):
        advance = max(glyph.width, cell)
        if is_stack:
            left, baseline = -glyph.width / 2, step * down
        else:
            left = x + (advance - glyph.width) / 2
            baseline = slope * (x + advance / 2) + wobble[step]
        (beside if is_mark else string).append(Placed(glyph, left, baseline + glyph.top))
        x += advance + gap
    box = _box(string)
    across, along = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return _moved(string, across, along), _moved(beside, across, along)


def _moved(string: String, across: float, along: float) -> String:
    return [Placed(glyph, left - across, top - along) for glyph, left, top in string]


def _characters(rng: Generator, font: Font, digits: list[int], likely: float) -> list[tuple[Glyph, bool]]:
    """The digits with occasional marks before, between and after them, and whether each is such a mark."""
    lots, choices, count = rng.random(3), rng.random(3), int(rng.integers(1, 4))
    marks = [font[10 + int(choice * (len(font) - 10))] for choice in choices] if len(font) > 10 else []
    if not digits:
        return [(mark, False) for mark in marks[:count]] or [(font[0], False)] * count
    characters = [(font[digit], False) for digit in digits]
    places = len(digits), len(digits) // 2, 0
    for place, lot, chance, mark in zip(places, lots, _MARKS, marks, strict=False):
        if lot < chance * likely:
            characters.insert(place, (mark, True))
    return characters


def _box(string: String) -> Box:
    right = max(left + glyph.width for glyph, left, _ in string)
    bottom = max(top + glyph.height for glyph, _, top in string)
    return Box(min(left for _, left, _ in string), min(top for *_, top in string), right, bottom)


def _frame(rng: Generator, digits: String, severity: float, defects: Defects) -> tuple[Matrix, int]:
    """Maps canvas pixels to the scene, and the canvas's width.

    The frame is the union of the squares about the digits as the camera sees them, a bit larger, smaller or shifted.
    """
    angle, shear, stretch, tilt_x, tilt_y, shift_x, shift_y = rng.normal(size=7) * severity
    box = _box(digits)
    tilt = tilt_x / max(1, box.right - box.left), tilt_y / max(1, box.bottom - box.top)
    to_scene = perspective(angle, shear, stretch, tilt, defects)
    corners = np.array(
        [
            (left + right * glyph.width, top + bottom * glyph.height, 1)
            for glyph, left, top in digits
            for right in (0, 1)
            for bottom in (0, 1)
        ]
    )
    seen = np.linalg.inv(to_scene) @ corners.T
    x, y = (seen[:2] / seen[2]).reshape(2, -1, 4)
    widths, heights = np.ptp(x, axis=1), np.ptp(y, axis=1)
    sides = np.maximum(widths, heights) / (0.8 + severity * (defects.zoom_in - defects.zoom_out * rng.beta(1.5, 3)))
    middles = x.min(axis=1) + widths / 2, y.min(axis=1) + heights / 2
    (left, right), (top, bottom) = (((at - sides / 2).min(), (at + sides / 2).max()) for at in middles)
    height = bottom - top
    width = 2 * max(4, min(_WIDEST, round(CANVAS / 2 * (right - left) / height)))
    left, top = left + defects.shift * shift_x * height, top + defects.shift * shift_y * height
    frame = np.array([[(right - left) / width, 0, left], [0, height / CANVAS, top], [0, 0, 1]])
    return to_scene @ frame, width
