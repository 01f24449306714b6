"""Figures from metrics, drawn without a display. Colours are Okabe and Ito's, which colour-blind readers tell apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

TRAINING, VALIDATION, TEST, MARK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
RIGHT, WRONG = "#009E73", "#D55E00"
_COLUMNS = 8  # of sample pictures


def loss_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Figure:
    """Training loss, and validation loss where there is one, over the epochs."""
    figure, axes = _curves("Loss (cross entropy, nats)")
    epochs = [record["epoch"] for record in history]
    axes.plot(epochs, [record["train_loss"] for record in history], "o-", ms=4, color=TRAINING, label="training")
    if history[0]["val_loss"] is not None:
        axes.plot(epochs, [record["val_loss"] for record in history], "s-", ms=4, color=VALIDATION, label="validation")
    axes.set_ylim(bottom=0)
    _mark_best(axes, best_epoch)
    return figure


def accuracy_curve(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Figure:
    """Validation accuracy over the epochs."""
    figure, axes = _curves("Validation accuracy")
    epochs = [record["epoch"] for record in history]
    values = [record["val_accuracy"] for record in history]
    axes.plot(epochs, values, "s-", ms=4, color=VALIDATION, label="validation")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    _mark_best(axes, best_epoch)
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


def sample_predictions(images: Tensor, labels: Tensor, logits: Tensor, mistakes: int = 16, others: int = 16) -> Figure:
    """Pictures, uint8 `[N, 3, H, W]`, with their true label, the predicted one and its probability.

    First up to `mistakes` wrong ones, the most confident first, then correct ones.
    """
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    mistaken = (predicted != labels).nonzero().view(-1)
    wrong = mistaken[confidence[mistaken].argsort(descending=True)][:mistakes].tolist()
    right = (predicted == labels).nonzero().view(-1)[:others].tolist()
    ordered = [*wrong, *([None] * (-len(wrong) % _COLUMNS)), *right]  # the correct ones begin a row of their own
    rows = max(1, -(-len(ordered) // _COLUMNS))
    height, width = images.shape[2:]
    cell_height, cell_width = height * 1.45, width * 1.25  # with room for a line of text above, and between pictures

    # All pictures in one axes: an axes for each takes ten times as long.
    figure = Figure(figsize=(_COLUMNS * 1.15, rows * 1.35 + 0.4))
    top = 1 - 0.4 / figure.get_figheight()
    axes = figure.add_axes((0.01, 0.01, 0.98, top - 0.01))
    axes.axis("off")
    figure.suptitle("true → predicted (probability): the most confident mistakes, then correct ones", fontsize=10)
    for place, index in enumerate(ordered):
        if index is None:
            continue
        left = (place % _COLUMNS + 0.5) * cell_width - width / 2
        bottom = (place // _COLUMNS + 1) * cell_height
        axes.imshow(images[index].permute(1, 2, 0).numpy(), extent=(left, left + width, bottom, bottom - height))
        correct = bool(predicted[index] == labels[index])
        axes.text(
            left + width / 2,
            bottom - height - 2,
            f"{labels[index]} → {predicted[index]} ({confidence[index]:.0%})",
            fontsize=8,
            ha="center",
            va="bottom",
            color=RIGHT if correct else WRONG,
            fontweight="normal" if correct else "bold",
        )
    axes.set(xlim=(0, _COLUMNS * cell_width), ylim=(rows * cell_height, 0))  # imshow has moved them
    return figure


def _curves(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.0))
    axes = figure.add_axes((0.12, 0.13, 0.84, 0.77))
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.margins(y=0.1)
    return figure, axes


def _mark_best(axes: Axes, best_epoch: int | None) -> None:
    if best_epoch is not None:
        axes.axvline(best_epoch, color=MARK, ls=":", lw=1, label=f"best: epoch {best_epoch}")
    axes.legend()
