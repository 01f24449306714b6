"""The figures of a data set's page."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from housenumbers.data.defects import single_defects
from housenumbers.data.glyphs import MARKS, font_files, load_fonts
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.render import render_many
from housenumbers.data.render_number import render_numbers
from housenumbers.evaluation.figures import TEST_COLOR, TRAIN_COLOR, VALIDATION_COLOR, integer_ticks, legend_above
from housenumbers.reports.data_statistics import Pair, class_counts, classes_of, grey

COLORS = {"train": TRAIN_COLOR, "validation": VALIDATION_COLOR, "test": TEST_COLOR}
_SAMPLES = 14  # crops of each class


def counts(parts: Mapping[str, LabeledImages]) -> Figure:
    """A bar chart of the crops per class, or of the numbers per length, with the parts side by side."""
    figure, axes = _figure()
    width = 0.8 / len(parts)
    for place, (name, data) in enumerate(parts.items()):
        bars = class_counts(data.labels)
        axes.bar(
            np.arange(len(bars)) + (place - (len(parts) - 1) / 2) * width, bars, width, color=COLORS[name], label=name
        )
    if next(iter(parts.values())).labels.ndim == 2:
        axes.set(title="Numbers per length", xlabel="digits", ylabel="numbers", xticks=range(len(bars)))
    else:
        axes.set(title="Crops per class", xlabel="class", ylabel="crops", xticks=range(len(bars)))
    axes.yaxis.set_major_locator(integer_ticks())
    axes.grid(axis="y", alpha=0.3)
    legend_above(axes)
    return figure


def samples(data: LabeledImages, title: str) -> Figure:
    """A row of crops for each class, or of numbers for each length that occurs, evenly spaced over the part."""
    height, width = data.images.shape[-2:]
    classes, count = classes_of(data.labels)
    rows = list(range(count)) if data.labels.ndim == 1 else classes.unique().tolist()
    samples = max(1, _SAMPLES * height // width)
    sheet = torch.full((len(rows) * height, samples * width, 3), 255, dtype=torch.uint8)
    for row, label in enumerate(rows):
        places = (classes == label).nonzero().view(-1)
        spaced = torch.linspace(0, len(places) - 1, min(samples, len(places))).long()
        for column, place in enumerate(places[spaced]):
            cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
            cell.copy_(data.images[place].permute(1, 2, 0))
    return _sheet(sheet.numpy(), [str(label) for label in rows], title, 4.9, (0.06, 0.02, 0.92, 0.9))


def defects(fonts: str, render_seed: int) -> Figure:
    """Rendered crops at difficulty 1: the same ten without defects, with one kind alone in each row, and with all."""
    drawn_fonts = load_fonts(font_files(fonts))
    kinds = single_defects()
    rows = [np.hstack([*render_many((render_seed,), 1.0, drawn_fonts, range(10), kind)]) for kind in kinds.values()]
    title = "Each kind of defect alone, at difficulty 1"
    return _sheet(np.vstack(rows), list(kinds), title, 10.4, (0.2, 0.01, 0.79, 0.95))


def difficulties(fonts: str, render_seed: int, width: int) -> Figure:
    """The same rendered numbers, a row for each of some difficulties."""
    drawn_fonts = load_fonts(font_files(fonts), MARKS)
    levels = (0.0, 0.25, 0.5, 0.75, 1.0)
    indices = range(8)
    rows = []
    for level in levels:
        images = render_numbers((render_seed, 0), level, drawn_fonts, indices, width).images
        rows.append(torch.cat(list(images), dim=2).permute(1, 2, 0))
    names = [f"{level:g}" for level in levels]
    return _sheet(torch.cat(rows).numpy(), names, "The same numbers at each difficulty", 1.9, (0.08, 0.02, 0.91, 0.84))


def class_images(mean: Tensor, deviation: Tensor) -> Figure:
    """Each class's mean image, and below it the standard deviation of its pixels. Each row spans black to white."""
    figure = Figure(figsize=(6.4, 2.0))
    for row, (name, values) in enumerate({"mean": mean, "deviation": deviation}.items()):
        images = (values - values.min()) / (values.max() - values.min()).clamp(min=1)
        axes = figure.add_axes((0.12, 0.48 - 0.46 * row, 0.86, 0.38))
        axes.imshow(torch.cat(list(images), dim=2).permute(1, 2, 0).numpy())
        size = images.shape[-1]
        axes.set_xticks([(label + 0.5) * size for label in range(10)], [str(label) for label in range(10)])
        axes.xaxis.set_ticks_position("top")
        axes.tick_params(length=0, labeltop=row == 0)
        axes.set_yticks([size / 2], [name])
    return figure


def light(parts: Mapping[str, LabeledImages]) -> Figure:
    """Distributions of the crops' brightness (mean lightness) and contrast (its standard deviation)."""
    figure = Figure(figsize=(6.4, 3.2))
    for place, title in enumerate(("Brightness", "Contrast")):
        axes = figure.add_axes((0.09 + 0.48 * place, 0.16, 0.41, 0.62))
        for name, data in parts.items():
            pixels = grey(data.images).flatten(1)
            values = pixels.mean(dim=1) if place == 0 else pixels.std(dim=1)
            reach = (0, 255 if place == 0 else 128)
            axes.hist(
                values.numpy(), bins=40, range=reach, density=True, histtype="step", color=COLORS[name], label=name
            )
        axes.set(title=title, xlabel="grey level, 0 to 255", yticks=[])
        if place == 0:
            axes.set_ylabel("density")
        legend_above(axes)
    return figure


def neighbours(apart: Mapping[int, float], any_two: float) -> Figure:
    """The border difference of crops over their distance in the file."""
    figure, axes = _figure()
    axes.plot(list(apart), list(apart.values()), "o-", color=TRAIN_COLOR, label="crops so many places apart")
    axes.axhline(any_two, color="black", ls=":", label="crops far apart")
    axes.set(title="Are neighbours in the file from one photo?", xlabel="places apart")
    axes.set(ylabel="difference of the borders, 0 to 255", ylim=(0, None))
    axes.xaxis.set_major_locator(integer_ticks())
    axes.grid(alpha=0.3)
    legend_above(axes)
    return figure


def pairs(found: Sequence[Pair], parts: Mapping[str, LabeledImages]) -> Figure:
    """The most similar pairs of crops, with the correlation of their thumbnails."""
    columns = 4
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(6.4, 1.15 * rows + 0.1))
    for place, pair in enumerate(found):
        row, column = divmod(place, columns)
        box = (0.01 + column * 0.25, 1 - (row + 1) / rows + 0.02 / rows, 0.23, 0.72 / rows)
        axes = figure.add_axes(box)
        both = [parts[name].images[index] for name, index in zip(pair.parts, pair.indices, strict=True)]
        axes.imshow(torch.cat(both, dim=2).permute(1, 2, 0).numpy())
        axes.axis("off")
        names = [f"{name} {index}" for name, index in zip(pair.parts, pair.indices, strict=True)]
        axes.set_title(f"{names[0]}, {names[1]}: {pair.similarity:.3f}", fontsize=6, pad=2)
    return figure


def _sheet(
    pixels: NDArray[np.uint8], names: Sequence[str], title: str, height: float, box: tuple[float, float, float, float]
) -> Figure:
    """Rows of images, `[H, W, 3]`, each with its name, in a figure of this height in inches."""
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes(box)
    axes.imshow(pixels)
    axes.set_yticks([(row + 0.5) * len(pixels) / len(names) for row in range(len(names))], names)
    axes.set_xticks([])
    axes.set_title(title)
    return figure


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 3.6))
    return figure, figure.add_axes((0.12, 0.14, 0.85, 0.67))
