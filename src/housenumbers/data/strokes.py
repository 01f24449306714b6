"""Digits of uniform stroke width, as on painted and manufactured house numbers: fonts without a font file.

Each variant of a digit is a skeleton of lines and arcs in a box from (0, 0) to (1, 1), x to the right and y downwards.
A font has one variant of each digit, a weight and a width.
"""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Path = list[tuple[float, float]]
Skeleton = list[Path]


def drawn_digits(rng: Generator, pixels: int, marks: str = "") -> list[NDArray[np.bool_]]:
    """The pixels of the ten digits of one font, then of those `marks` that are letters, each `pixels` high."""
    width = rng.uniform(0.4, 0.75)
    weight = rng.uniform(0.08, min(0.2, 0.34 * width))
    masks = []
    for digit, variants in enumerate(_digit_shapes(rng)):
        skeleton = variants[rng.integers(len(variants))]
        across = (0.55 if digit == 1 else 1.0) * width - weight
        masks.append(_draw(skeleton, across * pixels, (1 - weight) * pixels, weight * pixels))
    for mark in filter(_LETTERS.__contains__, marks):
        masks.append(_draw(_LETTERS[mark], (width - weight) * pixels, (1 - weight) * pixels, weight * pixels))
    return masks


def _draw(skeleton: Skeleton, width: float, height: float, weight: float) -> NDArray[np.bool_]:
    """All pixels within half a `weight` of the skeleton."""
    from scipy.ndimage import distance_transform_edt

    canvas = Image.new("L", (round(width + 2 * weight), round(height + 2 * weight)), 1)
    pen = ImageDraw.Draw(canvas)
    for path in skeleton:
        pen.line([(weight + x * width, weight + y * height) for x, y in path], fill=0)
    inside = distance_transform_edt(canvas) <= weight / 2
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _arc(x: float, y: float, across: float, down: float, begin: float, end: float) -> Path:
    """Part of an ellipse about (x, y), clockwise from `begin` to `end` degrees; 0 is to the right, 90 downwards."""
    angles = [math.radians(begin + (end - begin) * step / 24) for step in range(25)]
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]


def _digit_shapes(rng: Generator) -> list[list[Skeleton]]:
    """The variants of each digit, with the proportions of one font."""
    waist = rng.uniform(0.42, 0.52)  # where the bowls of 3 and 8 meet
    bowl = rng.uniform(0.27, 0.34)  # half the height of the bowl of 5, 6 and 9
    bar = rng.uniform(0.62, 0.78)  # the place of the bar of the 4
    upper, lower = waist / 2, (1 - waist) / 2
    six = [[*_arc(0.5, 1 - bowl, 0.5, bowl, 0, 360)], [*_arc(1.0, 1 - bowl, 1.0, 1 - bowl, 180, 285)]]
    curled_six = [
        [*_arc(0.5, 1 - bowl, 0.5, bowl, 0, 360)],
        [(0, 1 - bowl), (0, 0.4), *_arc(0.5, 0.35, 0.5, 0.35, 180, 330)],
    ]
    top_of_two = _arc(0.5, 0.3, 0.5, 0.3, 190, 390)
    bottom_bowl = _arc(0.5, 1 - lower, 0.5, lower, -90, 155)
    return [
        [[_arc(0.5, 0.5, 0.5, 0.5, 0, 360)], [_superellipse()]],
        [
            [[(1, 0), (1, 1)], [(1, 0), (0, 0.25)]],
            [[(0.5, 0), (0.5, 1)]],
            [[(0.5, 0), (0.5, 1)], [(0.5, 0), (0, 0.2)], [(0, 1), (1, 1)]],
            [[(1, 0), (1, 1)], [(1, 0), (0.4, 0.17), (0, 0.17)]],
        ],
        [[[*top_of_two, (0, 1), (1, 1)]], [[*top_of_two, *_arc(0.9, 1, 0.9, 0.35, 240, 180), (1, 1)]]],
        [
            [[*_arc(0.5, upper, 0.5, upper, 200, 450), (0.35, waist)], [(0.5, waist), *bottom_bowl]],
            [[(0, 0), (1, 0), (0.4, waist * 0.85), *_arc(0.45, 0.68, 0.55, 0.32, -80, 155)]],
        ],
        [
            [[(0.75, 1), (0.75, 0), (0, bar), (1, bar)]],
            [[(0.8, 1), (0.8, 0.4)], [(0.5, 0), (0, bar), (1, bar)]],
            [[(0.85, 0), (0.85, 1)], [(0.1, 0), (0, bar), (1, bar)]],
        ],
        [
            [[(0.95, 0), (0.12, 0), (0.05, 1.1 - 2 * bowl), *_arc(0.45, 1 - bowl, 0.55, bowl, -130, 150)]],
            [[(0.95, 0), (0, 0), (0, 1 - 2 * bowl), (0.4, 1 - 2 * bowl), *_arc(0.45, 1 - bowl, 0.55, bowl, -90, 150)]],
        ],
        [six, curled_six],
        [
            [[(0, 0), (1, 0), (0.3, 1)]],
            [[(0, 0), (1, 0), *_arc(1.3, 1, 0.9, 0.9, 240, 180)]],
            [[(0, 0.15), (0, 0), (1, 0), (0.4, 1)]],
        ],
        [[_arc(0.5, upper, 0.45, upper, 0, 360), _arc(0.5, 1 - lower, 0.5, lower, 0, 360)]],
        [_turned(six), _turned(curled_six)],
    ]


def _superellipse() -> Path:
    """A 0 with flat sides: |x|^3 + |y|^3 = 1 (Lamé's curve)."""
    angles = [math.radians(15 * step / 2) for step in range(49)]
    return [
        (0.5 + 0.5 * math.copysign(abs(math.cos(a)) ** (2 / 3), math.cos(a)),
         0.5 + 0.5 * math.copysign(abs(math.sin(a)) ** (2 / 3), math.sin(a)))
        for a in angles
    ]  # fmt: skip


def _turned(skeleton: Skeleton) -> Skeleton:
    return [[(1 - x, 1 - y) for x, y in path] for path in skeleton]


_LETTERS: dict[str, Skeleton] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.65), (0.8, 0.65)]],
    "B": [
        [(0.5, 0), (0, 0), (0, 1), (0.5, 1)],
        _arc(0.5, 0.24, 0.45, 0.24, -90, 90),
        [(0, 0.48), (0.5, 0.48)],
        _arc(0.5, 0.74, 0.5, 0.26, -90, 90),
    ],
    "C": [_arc(0.5, 0.5, 0.5, 0.5, 45, 315)],
    "D": [[(0.4, 0), (0, 0), (0, 1), (0.4, 1)], _arc(0.4, 0.5, 0.6, 0.5, -90, 90)],
    "F": [[(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.8, 0.5)]],
    "K": [[(0, 0), (0, 1)], [(1, 0), (0, 0.55)], [(0.3, 0.4), (1, 1)]],
}
