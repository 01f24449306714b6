"""The figures of a sweep's report: Optuna's plots, adapted to small screens and to small numbers of trials."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.distributions import IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from housenumbers.sweeps.study import counted_trials

COLORS = {TrialState.COMPLETE: "#2563eb", TrialState.PRUNED: "#d97706", TrialState.FAIL: "#dc2626"}
_FRONT, _BEHIND = "#dc2626", "#9ca3af"  # of the Pareto front, and of dominated trials
_TICKS = 8  # on an axis, at most, approximately
_PLOTLY = {"responsive": True, "displaylogo": False}
_FEWEST, _MANY = 10, 30  # numbers of complete trials from which importances are shown, and shown without a caution

Described = tuple[str, str, go.Figure | None]  # title, explanation, figure (None where it would mislead)


def figures(study: optuna.Study, objectives: Sequence[str]) -> list[Described]:
    """Optuna's plots, each with its title and an explanation."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    # Optuna draws no curve of a failed trial.
    drawn = [trial for trial in counted_trials(study) if trial.state is not TrialState.FAIL]
    described: list[Described] = []
    if len(objectives) > 1 and complete:
        hint = "Red: no trial beats one of these in every objective. Grey: one does."
        described.append(("Pareto front", hint, _front(study, objectives)))
    if len(objectives) == 1 and any(trial.intermediate_values for trial in drawn):
        hint = "The objective after each epoch. Dashed with a cross: pruned there."
        described.append(("Learning curves", hint, _learning_curves(study, objectives[0])))
    if len(complete) < 2:  # there is nothing to compare
        return described
    for position, name in enumerate(objectives):
        # With one objective Optuna needs no `target`.
        of: dict[str, Any] = {"target_name": name}
        if len(objectives) > 1:
            of["target"] = lambda trial, position=position: trial.values[position]
        title = "" if len(objectives) == 1 else f" ({name})"
        history = visualization.plot_optimization_history(study, **of)
        history.update_xaxes(_whole_numbers([trial.number for trial in complete]))
        hint = "Each complete trial" + (", and the best so far." if not title else ".")
        described.append((f"History{title}", hint, history))
        with suppress(RuntimeError):  # raised where the objective values are all equal
            described.append((f"Importance of the parameters{title}", *_importances(study, complete, of)))
        described.append((f"Slices{title}", "Each parameter alone; darker is later.", _slices(study, complete, of)))
        coordinates = _parallel_coordinates(study, complete, of)
        described.append((f"Parallel coordinates{title}", "Each complete trial is a line.", coordinates))
    return described


def _front(study: optuna.Study, objectives: Sequence[str]) -> go.Figure:
    figure = visualization.plot_pareto_front(study, target_names=list(objectives))
    # Optuna colours trials by number, from white, which hides the first ones, and adds two colour bars, which do not
    # fit on a phone.
    figure.update_traces(marker={"color": _BEHIND, "showscale": False})
    figure.update_traces(marker={"color": _FRONT, "size": 9}, selector=lambda trace: "Best" in trace.hovertemplate)
    return figure


def _slices(study: optuna.Study, complete: Sequence[FrozenTrial], of: dict[str, Any]) -> go.Figure:
    figure = visualization.plot_slice(study, **of)
    _darken(figure)
    figure.update_traces(marker_colorbar=_whole_numbers([trial.number for trial in complete]))
    figure.update_xaxes(nticks=2, selector={"type": "log"})  # whole decades: each axis is narrow
    for points in figure.data:
        number = (points.xaxis or "x").removeprefix("x")  # Optuna sets no xaxis if there is only one parameter
        axis = figure.layout[f"xaxis{number}"]
        if axis.type != "log" and all(isinstance(value, int) for value in points.x):
            axis.update(_whole_numbers(points.x))
    return figure


def _parallel_coordinates(study: optuna.Study, complete: Sequence[FrozenTrial], of: dict[str, Any]) -> go.Figure:
    figure = visualization.plot_parallel_coordinate(study, **of)
    _darken(figure)
    distributions = {name: kind for trial in complete for name, kind in trial.distributions.items()}
    integer_names = tuple(name for name, kind in distributions.items() if isinstance(kind, IntDistribution))
    integer_axes = {
        place
        for place, label in enumerate(figure.layout.xaxis.ticktext or ())
        if any(name.startswith(label.removesuffix("...")) for name in integer_names)
    }
    ticks = figure.layout.annotations  # Optuna divides each axis in four: 1.5 and 2.5 between 1 and 3
    figure.layout.annotations = [tick for tick in ticks if not (tick.x in integer_axes and "." in tick.text)]
    return figure


def _darken(figure: go.Figure) -> None:
    """Darkens Optuna's colour scale, which starts at white, so that all points are visible on white."""
    for trace in figure.data:
        if trace.marker.colorscale is not None:
            trace.marker.colorscale = [[place, _darker(color)] for place, color in trace.marker.colorscale]
        if trace.line.color is not None:
            trace.line.color = _darker(trace.line.color)
    figure.update_traces(opacity=0.8, selector={"mode": "lines"})


def _darker(color: str) -> str:
    """The colour "rgb(...)" scaled by 0.75."""
    return f"rgb{tuple(round(0.75 * float(value)) for value in re.findall(r'[0-9.]+', color)[:3])}"


def _importances(
    study: optuna.Study, complete: Sequence[FrozenTrial], of: dict[str, Any]
) -> tuple[str, go.Figure | None]:
    """The explanation and figure of the importances; no figure where there are too few trials."""
    count = len(complete)
    if count < _FEWEST:
        return f"Not computed: {count} complete trials are too few, {_FEWEST} or more are needed.", None
    figure = visualization.plot_param_importances(study, FanovaImportanceEvaluator(seed=0), **of)
    figure.update_xaxes(range=[0, 1.3 * max(figure.data[0].x)])  # room for the label of the longest bar
    hint = (
        f"fANOVA (Hutter et al. 2014): a random forest is fitted to the {count} complete trials; a bar is the share "
        "of the variance of its predictions that one parameter alone accounts for, over the whole space, scaled to a "
        "sum of 1. It tells neither which values are good nor how parameters act together, and sees no pruned trial."
    )
    few = f" From {count} trials it is a rough estimate: a parameter without any effect may get 0.3."
    omitted = sorted({key for trial in complete for key in trial.params} - set(figure.data[0].y))
    not_shared = f" Left out, because not all trials have them with the same range: {', '.join(omitted)}."
    return hint + (few if count < _MANY else "") + (not_shared if omitted else ""), figure


def _whole_numbers(values: Sequence[int]) -> dict[str, int]:
    """Ticks at whole numbers only, for an axis of counts such as epochs."""
    return {"tick0": 0, "dtick": -(-max(1, max(values) - min(values)) // _TICKS)}


def _learning_curves(study: optuna.Study, objective: str) -> go.Figure:
    figure = visualization.plot_intermediate_values(study)
    trials = {f"Trial{trial.number}": trial for trial in study.get_trials(deepcopy=False)}
    for curve in figure.data:
        trial = trials[curve.name]
        curve.line.color = COLORS.get(trial.state, "#9ca3af")
        curve.opacity = 0.75
        curve.mode = "lines+markers"
        curve.marker.size = 4
        if trial.state is TrialState.PRUNED:
            last = len(curve.x) - 1
            curve.line.dash = "dash"
            curve.marker.symbol = ["circle"] * last + ["x"]
            curve.marker.size = [4] * last + [9]
    figure.update_layout(xaxis_title="epoch", yaxis_title=objective)
    figure.update_xaxes(_whole_numbers([epoch for curve in figure.data for epoch in curve.x]))
    return figure


def html(figure: go.Figure) -> str:
    figure.update_layout(title=None, margin={"l": 50, "r": 20, "t": 20, "b": 50}, template="plotly_white")
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=_PLOTLY))
