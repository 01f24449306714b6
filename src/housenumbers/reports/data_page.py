"""The page of a data set: one self-contained file, with its figures as PNG files beside it."""

import io
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from housenumbers.config.sections import DataConfig
from housenumbers.data.load import Splits, load_splits, load_test, split_method, split_photos
from housenumbers.data.splits import NEIGHBOURS
from housenumbers.reports import data_figures, data_statistics
from housenumbers.reports.page import data_url, render
from housenumbers.runtime.files import write_atomically, write_text

_PAIRS = 12


def write_data_page(config: DataConfig, folder: Path | None = None) -> Path:
    """Writes `report.html` and its figures as PNG files, and returns the page's path.

    The default `folder` is `outputs/data/NAME_FINGERPRINT`. Raises UserError where the data cannot be read.
    """
    splits = load_splits(config)
    parts = {"train": splits.train, "validation": splits.validation, "test": load_test(config)}
    present = {name: data for name, data in parts.items() if data is not None}
    train_places, validation_places = splits.indices
    apart, any_two = data_statistics.border_difference(*_in_the_order_of_the_file(splits))
    duplicates, pairs = data_statistics.find_duplicates(present, _PAIRS)
    groups = "Numbers per length" if config.has_numbers else "Crops per class"
    group = "length" if config.has_numbers else "class"
    figures = {
        "counts": (groups, data_figures.counts(present)),
        **{
            f"samples_{name}": (f"Samples: {name}", data_figures.samples(data, f"The {name} part, each {group}"))
            for name, data in present.items()
        },
        "class_images": (
            "Mean and deviation of each class, in the training part",
            None if config.has_numbers else data_figures.class_images(*data_statistics.class_statistics(splits.train)),
        ),
        "light": ("Brightness and contrast", data_figures.light(present)),
        # Numbers are of different photos.
        "neighbours": (
            "Neighbours in the file",
            None if config.has_numbers else data_figures.neighbours(apart, any_two),
        ),
        "pairs": ("The most similar pairs", data_figures.pairs(pairs, present)),
    }
    if config.name == "synthetic":
        defects = data_figures.defects(config.fonts, config.render_seed)
        figures["defects"] = ("Defects of rendered crops", defects)
    if config.name == "synthetic_numbers":
        levels = data_figures.difficulties(config.fonts, config.render_seed, config.width)
        figures["difficulties"] = ("Difficulties of rendered numbers", levels)
    folder = folder or Path("outputs") / "data" / f"{config.name}_{splits.sha256[:8]}"
    shared = None
    if len(validation_places) and not splits.own_validation:
        shared = data_statistics.share_with_neighbours(train_places, validation_places)
    photos = split_photos(config, splits)
    content: dict[str, Any] = {
        "config": config,
        "sha256": splits.sha256,
        "own_validation": splits.own_validation,
        "method": split_method(config),
        "counts": {name: data_statistics.class_counts(data.labels) for name, data in present.items()},
        "shared": shared,
        "shared_photos": photos and float(torch.isin(photos[1], photos[0]).float().mean()),
        "neighbours": NEIGHBOURS,
        "duplicates": duplicates,
        "similar": data_statistics.SIMILAR,
        "figures": [
            (name, title, _save(figure, folder / f"{name}.png")) for name, (title, figure) in figures.items() if figure
        ],
    }
    write_text(folder / "report.html", render("data_page.html", content))
    return folder / "report.html"


def _in_the_order_of_the_file(splits: Splits) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of training and validation in the order of the file, and their places."""
    images = [splits.train.images] + ([] if splits.validation is None else [splits.validation.images])
    places, order = torch.cat(splits.indices).sort()
    return torch.cat(images)[order], places


def _save(figure: Figure, file: Path) -> str:
    """Writes the figure to a PNG file, and returns the PNG as a data URL."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(file, lambda opened: opened.write(buffer.getvalue()))
    return data_url(buffer.getvalue())
