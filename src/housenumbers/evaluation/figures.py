"""Figures from metrics, drawn without a display, and their files in a run's folder.

Colours are Okabe and Ito's, suitable for colour-blind readers. Imports matplotlib, which takes half a second.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from torch import Tensor

from housenumbers.evaluation.calibration import Reliability
from housenumbers.metrics import tasks
from housenumbers.runtime.files import write_atomically

TRAIN_COLOR, VALIDATION_COLOR, TEST_COLOR, MARK_COLOR = "#0072B2", "#D55E00", "#CC79A7", "#000000"
RIGHT_COLOR, WRONG_COLOR = "#009E73", "#D55E00"
# Colours of compared runs, which also differ in line style and marker. Black is for marks.
RUN_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_LINES, _MARKERS = ("-", "--", "-.", ":"), "osD^vP"
_SAMPLES = 16  # of wrong predictions, and of correct ones
_COLUMNS = 8  # of sample images, and half as many of wide ones
_WIDTH = 9.2  # of their figure, in inches


def save_curves(folder: Path, history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> None:
    """Writes loss.png and, with a validation part, accuracy.png into `folder`."""
    save_figure(folder / "loss.png", loss_curves(history, best_epoch))
    if best_epoch is not None:
        save_figure(folder / "accuracy.png", accuracy_curve(history, best_epoch))


def save_predictions(
    folder: Path, part: str, scores: Mapping[str, Any], images: Tensor, labels: Tensor, calibrated_logits: Tensor
) -> None:
    """Writes confusion_PART.png and predictions_PART.png into `folder`.

    `scores` are `classification_scores`, `images` are `[N, 3, H, W]` on the CPU, the logits `[N, 10]`.
    """
    save_figure(folder / f"confusion_{part}.png", confusion_matrix(scores, part.capitalize()))
    save_figure(folder / f"predictions_{part}.png", sample_predictions(images, labels, calibrated_logits))


def save_figure(file: Path, figure: Figure) -> None:
    """Writes the figure to a PNG file, atomically."""
    write_atomically(file, lambda opened: figure.savefig(opened, format="png", dpi=120))


def loss_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Figure:
    """Training loss, and validation loss where there is one, over the epochs."""
    figure, axes = _curves("Loss (nats)")
    _plot(axes, history, "train_loss", "o-", TRAIN_COLOR, "training")
    if history[0]["val_loss"] is not None:
        _plot(axes, history, "val_loss", "s-", VALIDATION_COLOR, "validation")
    axes.set_ylim(0, 1.1 * axes.dataLim.y1)
    _mark_best(axes, best_epoch)
    return figure


def accuracy_curve(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Figure:
    """Validation accuracy over the epochs."""
    figure, axes = _curves("Validation accuracy")
    _plot(axes, history, "val_accuracy", "s-", VALIDATION_COLOR, "validation")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _mark_best(axes, best_epoch)
    return figure


def lr_curve(history: Sequence[Mapping[str, Any]]) -> Figure:
    """The learning rate at the start of each epoch."""
    figure, axes = _curves("Learning rate at the epoch's beginning")
    _plot(axes, history, "lr", "o-", TRAIN_COLOR)
    _label_rates(axes)
    return figure


def overlaid_curves(histories: Mapping[str, Sequence[Mapping[str, Any]]], key: str, title: str) -> Figure:
    """One quantity of several runs, by their labels, over the epochs. Omits runs without it."""
    figure, axes = _curves(title)
    for place, (label, history) in enumerate(histories.items()):
        if history and history[0][key] is not None:
            style = _MARKERS[place % len(_MARKERS)] + _LINES[place % len(_LINES)]
            _plot(axes, history, key, style, RUN_COLORS[place % len(RUN_COLORS)], label)
    if key == "val_accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    if key == "lr":
        _label_rates(axes)
    legend_above(axes)
    return figure


def reliability_diagram(bins: Reliability, color: str, title: str) -> Figure:
    """Accuracy over confidence, on the diagonal for a calibrated model. Below it, the number of images."""
    figure = Figure(figsize=(6.4, 5.2))
    axes = figure.add_axes((0.13, 0.4, 0.83, 0.46))
    edges = np.linspace(0, 1, len(bins.counts) + 1)
    width = edges[1]
    filled = (bins.counts > 0).numpy()
    confidence, accuracy = bins.confidence.numpy()[filled], bins.accuracy.numpy()[filled]
    axes.bar(edges[:-1][filled], accuracy, width, align="edge", color=color, alpha=0.35)
    axes.plot([0, 1], [0, 1], ls=":", lw=1, color=MARK_COLOR, label="accuracy = confidence")
    axes.plot(confidence, accuracy, "o", ms=5, color=color, label="accuracy of the bin")
    axes.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(title)
    legend_above(axes)
    below = figure.add_axes((0.13, 0.12, 0.83, 0.2))
    below.bar(edges[:-1], bins.counts.numpy(), width, align="edge", color=color)
    below.set(xlabel="confidence: the probability of the predicted label", ylabel="images", xlim=(0, 1), yscale="log")
    below.set_ylim(bottom=0.7)
    for panel in (axes, below):
        panel.grid(alpha=0.3)
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def confusion_matrix(scores: Mapping[str, Any], title: str) -> Figure:
    """Counts of true (rows) and predicted (columns) labels, shaded by the fraction of the row."""
    counts = np.array(scores["confusion"])
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.0, 6.0))
    axes = figure.add_axes((0.1, 0.08, 0.86, 0.86))
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=8)
    labels = range(len(counts))
    axes.set(xticks=labels, yticks=labels, xlabel="predicted", ylabel="true")
    axes.set_title(f"{title}: {scores['accuracy']:.2%} of {scores['n']:,} correct")
    return figure


def sample_predictions(images: Tensor, labels: Tensor, logits: Tensor) -> Figure:
    """Images, uint8 `[N, 3, H, W]`, with their true label, the predicted one and its probability.

    Up to 16 wrong ones, the most confident first, then up to 16 correct ones.
    """
    confidence, is_right = tasks.confidence(logits).tolist(), tasks.correct(logits, labels)
    true, predicted = tasks.label_texts(labels), tasks.predicted_texts(logits)
    wrong = tasks.confident_mistakes(logits, labels)[:_SAMPLES].tolist()
    right = is_right.nonzero().view(-1)[:_SAMPLES].tolist()
    height, width = images.shape[2:]
    columns = _COLUMNS if width < 1.5 * height else _COLUMNS // 2
    ordered = [*wrong, *([None] * (-len(wrong) % columns)), *right]  # the correct ones start a new row
    rows = max(1, -(-len(ordered) // columns))
    cell_height, cell_width = height * 1.45, width * 1.25  # with room for a line of text above, and between images

    # All images in one axes: one axes per image takes ten times as long.
    figure = Figure(figsize=(_WIDTH, rows * _WIDTH / columns * cell_height / cell_width + 0.4))
    top = 1 - 0.4 / figure.get_figheight()
    axes = figure.add_axes((0.01, 0.01, 0.98, top - 0.01))
    axes.axis("off")
    figure.suptitle("true → predicted (probability): the most confident mistakes, then correct ones", fontsize=10)
    for place, index in enumerate(ordered):
        if index is None:
            continue
        left = (place % columns + 0.5) * cell_width - width / 2
        bottom = (place // columns + 1) * cell_height
        axes.imshow(images[index].permute(1, 2, 0).numpy(), extent=(left, left + width, bottom, bottom - height))
        correct = bool(is_right[index])
        axes.text(
            left + width / 2,
            bottom - height - 2,
            f"{true[index]} → {predicted[index] or 'nothing'} ({confidence[index]:.0%})",
            fontsize=8,
            ha="center",
            va="bottom",
            color=RIGHT_COLOR if correct else WRONG_COLOR,
            fontweight="normal" if correct else "bold",
        )
    axes.set(xlim=(0, columns * cell_width), ylim=(rows * cell_height, 0))  # imshow has changed them
    return figure


def integer_ticks() -> MaxNLocator:
    """Integer ticks, also for a single epoch, where matplotlib would put eight ticks between 0.95 and 1.05."""
    return MaxNLocator(integer=True, min_n_ticks=1)


def _curves(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.add_axes((0.12, 0.13, 0.84, 0.7))
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(integer_ticks())
    axes.grid(alpha=0.3)
    axes.margins(y=0.1)
    return figure, axes


def _plot(
    axes: Axes, history: Sequence[Mapping[str, Any]], key: str, style: str, color: str, label: str | None = None
) -> None:
    """One quantity of the history over the epochs."""
    epochs, values = zip(*((record["epoch"], record[key]) for record in history), strict=True)
    axes.plot(epochs, values, style, ms=4, color=color, label=label)


def _label_rates(axes: Axes) -> None:
    """Short labels for learning rates, from zero, with a common power of ten."""
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", scilimits=(-3, 3))


def _mark_best(axes: Axes, best_epoch: int | None) -> None:
    if best_epoch is not None:
        axes.axvline(best_epoch, color=MARK_COLOR, ls=":", lw=1, label=f"weights kept: epoch {best_epoch}")
    legend_above(axes)


def legend_above(axes: Axes) -> None:
    """Puts the legend between the title and the plot, which may fill every corner."""
    handles, _ = axes.get_legend_handles_labels()
    axes.set_title(axes.get_title(), pad=28)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(handles), frameon=False, columnspacing=1)
