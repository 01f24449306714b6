"""What the curves of a run look like, whatever its length."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from housenumbers.evaluation import figures


def history(epochs: int) -> list[dict]:
    values = {"train_loss": 1.0, "val_loss": 1.2, "val_accuracy": 0.5, "lr": 0.1}
    return [{"epoch": epoch, **values} for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 30])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    records = history(epochs)
    drawn = [
        figures.loss_curves(records, 1),
        figures.accuracy_curve(records, 1),
        figures.lr_curve(records),
        figures.overlaid_curves({"A": records, "B": records}, "val_accuracy", "Validation accuracy"),
    ]
    for figure in drawn:
        FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(float(tick).is_integer() for tick in ticks)


def test_small_learning_rates_are_labelled_within_the_figure() -> None:
    records = [record | {"lr": 1e-4 + 2e-6 * record["epoch"]} for record in history(8)]
    for figure in (figures.lr_curve(records), figures.overlaid_curves({"A": records}, "lr", "Learning rate")):
        figure.set_size_inches(5.2, 3.25)  # as on a page
        FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        assert all(label.get_window_extent().x0 >= 0 for label in axes.get_yticklabels())


def test_the_legend_lies_between_title_and_curves() -> None:
    records = history(8)
    for figure in (
        figures.loss_curves(records, 8),
        figures.overlaid_curves(dict.fromkeys("ABCDEF", records), "lr", "Learning rate at the epoch's beginning"),
    ):
        FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        legend = axes.get_legend()
        assert legend is not None
        box, title = legend.get_window_extent(), axes.title.get_window_extent()
        assert axes.get_window_extent().y1 <= box.y0
        assert box.y1 <= title.y0
        assert title.y1 <= figure.bbox.y1
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
