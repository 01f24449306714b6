"""A sweep's report: one self-contained page, built from the study alone."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from plotly.offline import get_plotlyjs

from housenumbers.config.schema import OBJECTIVES
from housenumbers.runtime.files import read_dict, write_text
from housenumbers.runtime.installation import command
from housenumbers.runtime.text import duration
from housenumbers.sweeps.study import (
    best_first,
    best_trials,
    counted_trials,
    describe_trial,
    is_copied_trial,
    repeat_command,
    trial_folder,
)
from housenumbers.sweeps.study_figures import COLORS, figures, html
from housenumbers.tracking.removed_checkpoints import sizes
from housenumbers.tracking.spread import UNDECIDED, best_mean

_TEMPLATE = Path(__file__).with_name("report_template.html")


def write_study_page(study: optuna.Study, folder: Path) -> Path:
    """Writes `report.html` into the sweep's folder, and returns its path."""
    objectives = study.user_attrs["objectives"]
    trials = counted_trials(study)
    others = [trial for state in (TrialState.PRUNED, TrialState.FAIL) for trial in trials if trial.state is state]
    kept, removed = sizes(folder)
    content = {
        "name": study.study_name,
        "shell_name": shlex.quote(study.study_name),
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "objectives": [f"{name} (to {OBJECTIVES[name]})" for name in objectives],
        "counts": {state.name.lower(): sum(trial.state is state for trial in trials) for state in COLORS},
        **_leading(study, objectives, folder),
        "pruning": _time_saved(study, trials),
        "checkpoints": {"kept": megabytes(kept), "removed": removed and megabytes(removed)},
        "figures": [(title, hint, figure and html(figure)) for title, hint, figure in figures(study, objectives)],
        "params": sorted({key for trial in trials for key in trial.params}),
        "rows": [_row(trial, objectives, folder) for trial in [*best_first(study), *others]],
        "fixed": study.user_attrs["fixed"],
        "plotly": get_plotlyjs(),
        "command": command,
    }
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    path = folder / "report.html"
    write_text(path, template.render(content))
    return path


def _leading(study: optuna.Study, objectives: Sequence[str], folder: Path) -> dict[str, Any]:
    """The top of the page: confirm.py's results, if any, and the best trials, unless confirm.py has run all of them."""
    confirmed = read_dict(folder / "confirmed.json")
    rows = confirmed["rows"] if confirmed else []
    best = best_trials(study)
    if confirmed and {trial.number for trial in best} <= {row["trial"] for row in rows}:
        best = []  # the confirmed scores, on fresh seeds, replace the search's scores
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    leader = trials.get(confirmed["best"]) if confirmed else None
    extreme = "Highest" if study.directions[0] is StudyDirection.MAXIMIZE else "Lowest"
    return {
        "title": "Pareto front of the search" if len(objectives) > 1 else f"{extreme} {objectives[0]} of the search",
        "best": [(_row(trial, objectives, folder), repeat_command(study, trial.params)) for trial in best],
        "complete": sum(trial.state is TrialState.COMPLETE for trial in trials.values()),
        "confirmed": confirmed,
        "leader": leader and (_row(leader, objectives, folder), repeat_command(study, leader.params)),
        "leading": best_mean(objectives[0]),
        "undecided": [row["trial"] for row in rows if row["difference"].startswith(UNDECIDED)],
    }


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _seconds(trial: FrozenTrial) -> float:
    return (trial.duration or timedelta()).total_seconds()


def _time_saved(study: optuna.Study, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    """The time that pruning saved: each pruned trial's missing epochs times its mean time per epoch."""
    saved, pruned = 0.0, 0
    for trial in trials:
        if trial.state is TrialState.PRUNED and trial.last_step:
            epochs = int(trial.params.get("epochs", study.user_attrs["fixed"].get("epochs", trial.last_step)))
            trained = trial.last_step - trial.user_attrs.get("continues_after", 0)
            saved += _seconds(trial) * (epochs - trial.last_step) / max(trained, 1)
            pruned += 1
    if not pruned:
        return None
    spent = sum(_seconds(trial) for trial in study.get_trials(deepcopy=False) if not is_copied_trial(trial))
    return {"pruned": pruned, "saved": duration(saved), "spent": duration(spent), "share": saved / (saved + spent)}


def _row(trial: FrozenTrial, objectives: Sequence[str], folder: Path) -> dict[str, Any]:
    """A trial's row of the table."""
    relative_folder = trial_folder(Path(), trial.number)
    params = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in trial.params.items()}
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "outcome": describe_trial(trial, objectives),
        "params": params,
        "epochs": trial.last_step or "",
        "time": duration(_seconds(trial)),
        "folder": relative_folder if (folder / relative_folder).exists() else None,  # it may be on another machine
    }
