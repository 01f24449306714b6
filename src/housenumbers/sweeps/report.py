"""A sweep's report: one page that needs neither a server nor a network, made from the study alone."""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState
from plotly.offline import get_plotlyjs

from housenumbers.config import OBJECTIVES
from housenumbers.files import write_text
from housenumbers.sweeps.study import best_first, best_trials, command, counted, described, trial_folder
from housenumbers.tracking.index import duration

_TEMPLATE = Path(__file__).with_name("report_template.html")
_COLORS = {TrialState.COMPLETE: "#2563eb", TrialState.PRUNED: "#d97706", TrialState.FAIL: "#dc2626"}
_PLOTLY = {"responsive": True, "displaylogo": False}


def write_report(study: optuna.Study, folder: Path) -> Path:
    """Writes `report.html` into the sweep's folder, and gives its path."""
    objectives = study.user_attrs["objectives"]
    trials = counted(study)
    others = [trial for state in (TrialState.PRUNED, TrialState.FAIL) for trial in trials if trial.state is state]
    content = {
        "name": study.study_name,
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "objectives": [f"{name} (to {OBJECTIVES[name]})" for name in objectives],
        "counts": {state.name.lower(): sum(trial.state is state for trial in trials) for state in _COLORS},
        "best": [(_row(trial, objectives, folder), command(study, trial.params)) for trial in best_trials(study)],
        "confirmed": _confirmed(folder),
        "pruning": _time_saved(study, trials),
        "figures": [(title, hint, _html(figure)) for title, hint, figure in _figures(study, objectives)],
        "params": sorted({key for trial in trials for key in trial.params}),
        "rows": [_row(trial, objectives, folder) for trial in [*best_first(study), *others]],
        "fixed": study.user_attrs["fixed"],
        "plotly": get_plotlyjs(),
    }
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    path = folder / "report.html"
    write_text(path, template.render(content))
    return path


def _figures(study: optuna.Study, objectives: Sequence[str]) -> list[tuple[str, str, go.Figure]]:
    """Optuna's own plots, each with its title and how to read it."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    figures = []
    if len(objectives) > 1 and complete:
        front = visualization.plot_pareto_front(study, target_names=list(objectives))
        front.update_traces(marker_showscale=False)  # two colour bars have no room on a phone
        figures.append(("Pareto front", "Red: no trial beats one of these in every objective.", front))
    if len(objectives) == 1 and any(trial.intermediate_values for trial in counted(study)):
        hint = "The objective after each epoch. Dashed with a cross: pruned there."
        figures.append(("Learning curves", hint, _learning_curves(study, objectives[0])))
    if len(complete) < 2:  # there is nothing to compare
        return figures
    for position, name in enumerate(objectives):
        # With one objective Optuna knows it by itself, and asks not to be told.
        of: dict[str, Any] = {"target_name": name}
        if len(objectives) > 1:
            of["target"] = partial(_value, position)
        title = "" if len(objectives) == 1 else f" ({name})"
        history = visualization.plot_optimization_history(study, **of)
        figures.append(
            (f"History{title}", "Each complete trial" + (", and the best so far." if not title else "."), history)
        )
        with suppress(RuntimeError):  # where the trials are too few, or too equal, to tell
            importances = visualization.plot_param_importances(study, FanovaImportanceEvaluator(seed=0), **of)
            importances.update_xaxes(range=[0, 1.3 * max(importances.data[0].x)])  # room for the longest bar's figure
            hint = "The share of the objective's variance that each parameter explains (fANOVA)."
            figures.append((f"Importance of the parameters{title}", hint, importances))
        slices = visualization.plot_slice(study, **of)
        slices.update_xaxes(nticks=2, selector={"type": "log"})  # whole decades: each axis is narrow
        figures.append((f"Slices{title}", "Each parameter alone; darker is later.", slices))
        coordinates = visualization.plot_parallel_coordinate(study, **of)
        figures.append((f"Parallel coordinates{title}", "Each complete trial is a line.", coordinates))
    return figures


def _value(position: int, trial: FrozenTrial) -> float:
    return trial.values[position]


def _learning_curves(study: optuna.Study, objective: str) -> go.Figure:
    figure = visualization.plot_intermediate_values(study)
    trials = {f"Trial{trial.number}": trial for trial in study.get_trials(deepcopy=False)}
    for curve in figure.data:
        trial = trials[curve.name]
        curve.line.color = _COLORS.get(trial.state, "#9ca3af")
        curve.opacity = 0.75
        curve.mode = "lines+markers"
        curve.marker.size = 4
        if trial.state is TrialState.PRUNED:
            last = len(curve.x) - 1
            curve.line.dash = "dash"
            curve.marker.symbol = ["circle"] * last + ["x"]
            curve.marker.size = [4] * last + [9]
    figure.update_layout(xaxis_title="epoch", yaxis_title=objective)
    return figure


def _html(figure: go.Figure) -> str:
    figure.update_layout(title=None, margin={"l": 50, "r": 20, "t": 20, "b": 50}, template="plotly_white")
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=_PLOTLY))


def _seconds(trial: FrozenTrial) -> float:
    return (trial.duration or timedelta()).total_seconds()


def _time_saved(study: optuna.Study, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """What pruning saved: of each pruned trial the epochs that it did not run, at its own time an epoch."""
    saved, pruned = 0.0, 0
    for trial in trials:
        if trial.state is TrialState.PRUNED and trial.last_step:
            epochs = int(trial.params.get("epochs", study.user_attrs["fixed"].get("epochs", trial.last_step)))
            saved += _seconds(trial) * (epochs - trial.last_step) / trial.last_step
            pruned += 1
    if not pruned:
        return None
    spent = sum(map(_seconds, trials))
    return {"pruned": pruned, "saved": duration(saved), "spent": duration(spent), "share": saved / (saved + spent)}


def _row(trial: FrozenTrial, objectives: Sequence[str], folder: Path) -> dict[str, Any]:
    """What the page says of a trial."""
    own = trial_folder(Path(), trial.number)
    params = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in trial.params.items()}
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "outcome": described(trial, objectives),
        "params": params,
        "epochs": trial.last_step or "",
        "time": duration(_seconds(trial)),
        "folder": own if (folder / own).exists() else None,  # it may be on another machine
    }


def _confirmed(folder: Path) -> dict[str, Any] | None:
    """What confirm.py found, if it was run."""
    try:
        return dict(json.loads((folder / "confirmed.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None
