"""Figures from metrics, drawn without a display. Colours are Okabe and Ito's, which colour-blind readers tell apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

TRAINING, VALIDATION, MARK = "#0072B2", "#D55E00", "#000000"
RIGHT, WRONG = "#009E73", "#D55E00"


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
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axes = figure.add_subplot()
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
    columns = 8
    rows = -(-len(wrong) // columns) + -(-len(right) // columns)
    figure = Figure(figsize=(columns * 1.15, max(rows, 1) * 1.45 + 0.4), layout="constrained")
    figure.suptitle("true → predicted (probability): the most confident mistakes, then correct ones", fontsize=10)
    grid = figure.subplots(max(rows, 1), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    places = [*grid[: -(-len(wrong) // columns)].flat][: len(wrong)]
    places += [*grid[-(-len(wrong) // columns) :].flat][: len(right)]
    for axes, index in zip(places, wrong + right, strict=True):
        axes.imshow(images[index].permute(1, 2, 0).numpy())
        correct = predicted[index] == labels[index]
        text = f"{labels[index]} → {predicted[index]} ({confidence[index]:.0%})"
        axes.set_title(text, fontsize=8, color=RIGHT if correct else WRONG, fontweight="normal" if correct else "bold")
    return figure


def _curves(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.margins(y=0.1)
    return figure, axes


def _mark_best(axes: Axes, best_epoch: int | None) -> None:
    if best_epoch is not None:
        axes.axvline(best_epoch, color=MARK, ls=":", lw=1, label=f"best: epoch {best_epoch}")
    axes.legend()
