"""Runs a search's best configurations again on fresh seeds, and tests whether they really differ."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from housenumbers.config.compose import compose_config
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import OBSERVERS, differing_keys
from housenumbers.preflight import check_same_data
from housenumbers.runtime.errors import DivergedError, UserError
from housenumbers.runtime.files import write_json
from housenumbers.runtime.text import first_few, plural
from housenumbers.sweeps.study import best_first, best_trials, trial_folder, trial_overrides
from housenumbers.sweeps.study_page import write_study_page
from housenumbers.tracking.run_folder import FINISHED, RunFolder
from housenumbers.tracking.spread import best_mean, compare_means, mean_and_deviation, score

Run = Callable[..., Any]  # housenumbers.runs.run.run


def confirm(
    study: optuna.Study,
    folder: Path,
    conf: Path,
    run: Run,
    top: int,
    seeds: int,
    overrides: Sequence[str],
    config_dir: Path | None = None,
) -> dict[str, Any]:
    """Runs the `top` best configurations on `seeds` fresh seeds each, and tests whether they really differ.

    With several objectives, takes the first trials of the Pareto front, sorted by the first objective.
    Each run uses the data split of its trial. Runs are stored in `folder`/confirm. Completed runs are not repeated, so
    an interrupted command continues. The test part is scored but decides nothing. Writes confirmed.json and the report.
    Runs that diverge are counted but left out of the means. Raises UserError where no trial completed, and where a
    folder holds a run of another configuration. `conf` and `config_dir` are passed to `compose_config`.
    """
    trials = _candidates(study)[:top]
    if not trials:
        raise UserError(f"study={study.study_name}: no trial completed: there is nothing to confirm")
    config_name = study.user_attrs.get("config_name") or "train"
    compose = partial(compose_config, conf, config_dir=config_dir, config_name=config_name)
    searched = {trial.number: compose(trial_overrides(study, trial.params)) for trial in trials}
    for number, config in searched.items():
        _check_searched(RunFolder(trial_folder(folder, number)), config)
    used = [trial.params["seed"] for trial in study.get_trials(deepcopy=False) if "seed" in trial.params]
    first = 1 + max([*used, *(config.seed for config in searched.values())])
    fresh = [first + index for index in range(seeds)]
    runs: dict[int, list[dict[str, Any]]] = {trial.number: [] for trial in trials}
    for position, seed in enumerate(fresh):
        for place, trial in enumerate(trials):
            split_override = f"data.split_seed={searched[trial.number].data.split_seed}"
            config = compose([*trial_overrides(study, trial.params), f"seed={seed}", split_override, *overrides])
            print(
                f"run {position * len(trials) + place + 1} of {seeds * len(trials)}: trial {trial.number}, seed {seed}"
            )
            run_folder = RunFolder(folder / "confirm" / f"trial_{trial.number:04d}_seed_{seed}")
            if (record := _run_unless_finished(run_folder, config, run)) is not None:
                runs[trial.number].append(record)
    result = _summary(trials, runs, study.user_attrs["objectives"], fresh)
    write_json(folder / "confirmed.json", result)
    write_study_page(study, folder)
    return result


def _check_searched(run: RunFolder, config: TrainConfig) -> None:
    """Raises UserError where the trial was trained with other settings that have an effect than are composed now."""
    differing = differing_keys(run.config(), config, ignored=["name"]) if run.record() else []
    if keys := [key for key in differing if not key.startswith(OBSERVERS)]:
        raise UserError(
            f"{run.path}: was trained with another {first_few(keys)} than its command gives now: a file of the "
            "configuration has changed since, or the search had a searchpath of its own"
        )


def _candidates(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials to confirm, best first; the first of several with equal parameters, except for the seed."""
    multi_objective = len(study.directions) > 1
    front = {trial.number for trial in best_trials(study)}
    by_params: dict[str, FrozenTrial] = {}
    for trial in best_first(study):
        if not multi_objective or trial.number in front:
            params = {key: value for key, value in trial.params.items() if key != "seed"}
            by_params.setdefault(str(sorted(params.items())), trial)
    return list(by_params.values())


def _run_unless_finished(folder: RunFolder, config: TrainConfig, run: Run) -> dict[str, Any] | None:
    """Starts or resumes the run in `folder`. Returns its record, or None where it diverges."""
    has_run = folder.has_run_of(config)
    if has_run:
        check_same_data(folder, config.data, "move it away")
    if not has_run or folder.status() not in FINISHED:
        folder.save_config(config)
        try:
            run(config, folder.path, resuming=True)
        except DivergedError as error:
            print(f"  {error}")
            return None
    return folder.record()


def _summary(
    trials: Sequence[FrozenTrial],
    runs: Mapping[int, list[dict[str, Any]]],
    objectives: Sequence[str],
    seeds: list[int],
) -> dict[str, Any]:
    """The content of confirmed.json. `best` is the trial with the best mean, or null with several objectives."""
    completed = {number: records for number, records in runs.items() if records}
    scores = {
        name: {number: [score(run, name) for run in group] for number, group in completed.items()}
        for name in objectives
    }
    comparisons = {name: compare_means(scores[name], name) for name in objectives} if completed else {}
    rows = []
    for trial in trials:
        records = runs[trial.number]
        means = {name: mean_and_deviation(scores[name][trial.number]) for name in objectives if records}
        verdicts = {
            name: best_mean(name) if trial.number == best else words.get(trial.number)
            for name, (best, words) in comparisons.items()
        }
        words = _by_objective(verdicts) if records else "never completed"
        diverged = len(seeds) - len(records)
        rows.append(
            {
                "trial": trial.number,
                "search": _by_objective(
                    {name: f"{value:.4f}" for name, value in zip(objectives, trial.values, strict=True)}
                ),
                "confirmed": _by_objective(means) if records else "none",
                "test": mean_and_deviation([run["test"]["accuracy"] for run in records]) if records else "none",
                "n": len(records),
                "difference": f"{words}; {diverged} of {plural(len(seeds), 'run')} diverged" if diverged else words,
                "scores": scores[objectives[0]].get(trial.number, []),
            }
        )
    best = comparisons[objectives[0]][0] if comparisons and len(objectives) == 1 else None
    return {"objective": ", ".join(objectives), "seeds": seeds, "best": best, "rows": rows}


def _by_objective(texts: Mapping[str, Any]) -> str:
    """The text of a single objective, or all texts with the objectives' names."""
    if len(texts) == 1:
        return str(*texts.values())
    return ", ".join(f"{name} {text}" for name, text in texts.items())
