"""The figure of a model on corrupted images: accuracy over strength, and an example image at each strength."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.isotonic import isotonic_regression
from torch import Tensor

from housenumbers.evaluation.corruptions import KINDS, STRENGTHS, corrupt
from housenumbers.evaluation.figures import MARK_COLOR, RUN_COLORS

_FAMILIES = dict(zip(dict.fromkeys(kind.family for kind in KINDS.values()), RUN_COLORS, strict=False))
_MARKERS, _LINES = "osD", ("-", "--", ":")  # for the kinds of one family
_GAP = 0.045  # between the centres of two labels, in heights of the axes


def corruption_figure(scores: Mapping[str, Any], image: Tensor | None = None) -> Figure:
    """The scores of `robustness.py` as curves, and next to them one image, uint8 `[3, H, W]`, at each strength."""
    figure = Figure(figsize=(6.4, 5.6) if image is None else (10.6, 6.6))
    width = 6.0 / figure.get_figwidth() if image is not None else 1.0
    axes = figure.add_axes((0.1 * width, 0.1, 0.62 * width, 0.82))
    _curves(axes, scores)
    if image is not None:
        _examples(figure.add_axes((width, 0.02, 1 - width - 0.005, 0.94)), scores, image)
    return figure


def _curves(axes: Axes, scores: Mapping[str, Any]) -> None:
    strengths = (0, *STRENGTHS)
    curves = {name: [scores["accuracy"], *kind["accuracy"]] for name, kind in scores["kinds"].items()}
    for name, values in curves.items():
        axes.plot(strengths, values, _look(name), ms=4, color=_color(name))
    axes.axhline(scores["accuracy"], color=MARK_COLOR, ls=":", lw=1)
    axes.set(
        title=f"Accuracy under corruption: {scores['mean']:.1%} on average",
        xlabel="strength (0: as they are)",
        xticks=strengths,
    )
    axes.set_xlim(-0.15, STRENGTHS[-1] + 0.15)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    low, high = axes.get_ylim()
    names = sorted(curves, key=lambda name: curves[name][-1])
    ends = [curves[name][-1] for name in names]
    for name, end, place in zip(names, ends, _apart(ends, low, high), strict=True):
        axes.annotate(
            f"{KINDS[name].title} {end:.0%}",
            (STRENGTHS[-1], end),
            (1.05, (place - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": _color(name), "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 4},
        )


def _apart(places: list[float], low: float, high: float) -> list[float]:
    """The ascending places of labels, moved as little as possible (least squares) so that no two overlap."""
    gaps = np.arange(len(places)) * _GAP * (high - low)
    return list(isotonic_regression(np.array(places) - gaps, y_min=low, y_max=high - gaps[-1]) + gaps)


def _color(name: str) -> str:
    return _FAMILIES[KINDS[name].family]


def _look(name: str) -> str:
    """The marker and the line style of a kind, by its position in its family."""
    place = [other for other in KINDS if KINDS[other].family == KINDS[name].family].index(name)
    return _MARKERS[place] + _LINES[place]


def _examples(axes: Axes, scores: Mapping[str, Any], image: Tensor) -> None:
    """A row for each kind, a column for each strength. Below each image is the accuracy on all images."""
    height, width = image.shape[1:]
    tall, wide = height * 1.4, width * 1.25
    for row, (name, kind) in enumerate(scores["kinds"].items()):
        top = row * tall
        axes.plot([-0.8 * width, -0.15 * width], [top + height / 2] * 2, _look(name), ms=4, color=_color(name))
        axes.text(-0.95 * width, top + height / 2, KINDS[name].title, ha="right", va="center", fontsize=9)
        for strength, accuracy in enumerate([scores["accuracy"], *kind["accuracy"]]):
            corrupted = corrupt(image[None], name, strength)[0]
            left = strength * wide
            axes.imshow(corrupted.permute(1, 2, 0).numpy(), extent=(left, left + width, top + height, top))
            axes.text(left + width / 2, top + height + 1, f"{accuracy:.1%}", ha="center", va="top", fontsize=7)
            if row == 0:
                axes.text(left + width / 2, -2, str(strength), ha="center", va="bottom", fontsize=9)
    axes.text(-0.95 * width, -2, "strength", ha="right", va="bottom", fontsize=9)
    axes.set(xlim=(-3.7 * width, 6 * wide), ylim=(len(scores["kinds"]) * tall, -0.4 * height))
    axes.axis("off")
