"""Believing the winner: a search's best configurations again, on seeds that the search did not use."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from housenumbers.composition import composed_from
from housenumbers.config import PLACE_KEYS, TrainConfig, dotted, to_dict
from housenumbers.errors import DivergedError, UserError
from housenumbers.files import write_json
from housenumbers.sweeps.report import write_report
from housenumbers.sweeps.study import best_first, words_of
from housenumbers.tracking.run_folder import ENDED_WELL, RunFolder
from housenumbers.tracking.spread import differences, mean_and_deviation, score

Run = Callable[..., Any]  # housenumbers.training.run.run


def confirm(
    study: optuna.Study, folder: Path, conf: Path, run: Run, top: int, seeds: int, overrides: Sequence[str]
) -> dict[str, Any]:
    """Runs the `top` best configurations on `seeds` fresh seeds each, and says whether they really differ.

    All use the split that the trial had. Runs lie in `folder`/confirm; those that are complete are not run again, so
    that an interrupted command goes on. The test part is scored, but decides nothing. Writes confirmed.json and the
    report.
    A run that diverges is counted, and left out of the means. Raises UserError where no trial completed, and where a
    folder holds a run of another configuration.
    """
    trials = _best(study, top)
    if not trials:
        raise UserError(f"study={study.study_name}: no trial completed: there is nothing to confirm")
    searched = {trial.number: composed_from(conf, words_of(study, trial.params)) for trial in trials}
    used = [trial.params["seed"] for trial in study.get_trials(deepcopy=False) if "seed" in trial.params]
    first = 1 + max([*used, *(config.seed for config in searched.values())])
    fresh = [first + index for index in range(seeds)]
    runs: dict[int, list[dict[str, Any]]] = {trial.number: [] for trial in trials}
    for position, seed in enumerate(fresh):
        for place, trial in enumerate(trials):
            own_split = f"data.split_seed={searched[trial.number].data.split_seed}"
            config = composed_from(conf, [*words_of(study, trial.params), f"seed={seed}", own_split, *overrides])
            print(
                f"run {position * len(trials) + place + 1} of {seeds * len(trials)}: trial {trial.number}, seed {seed}"
            )
            own = RunFolder(folder / "confirm" / f"trial_{trial.number:04d}_seed_{seed}")
            if (record := _ended(own, config, run)) is not None:
                runs[trial.number].append(record)
    result = _summary(trials, runs, study.user_attrs["objectives"][0], fresh)
    write_json(folder / "confirmed.json", result)
    write_report(study, folder)
    return result


def _best(study: optuna.Study, top: int) -> list[FrozenTrial]:
    """The best complete trials; of equal parameters the first."""
    different: dict[str, FrozenTrial] = {}
    for trial in best_first(study):
        different.setdefault(str(sorted(trial.params.items())), trial)
    return list(different.values())[:top]


def _ended(folder: RunFolder, config: TrainConfig, run: Run) -> dict[str, Any] | None:
    """The record of the run in `folder`, after running it, or what was left of it; none where it diverges."""
    before = folder.record()
    if before and _without_place(before["config"]) != _without_place(to_dict(config)):
        raise UserError(f"{folder.path}: holds a run of another configuration: move it away")
    if folder.status() not in ENDED_WELL:
        folder.save_config(config)
        try:
            run(config, folder.path, resuming=True)
        except DivergedError as error:
            print(f"  {error}")
            return None
    return folder.record()


def _without_place(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what only says where it runs."""
    return {key: value for key, value in dotted(config).items() if key not in PLACE_KEYS}


def _summary(
    trials: Sequence[FrozenTrial], runs: Mapping[int, list[dict[str, Any]]], objective: str, seeds: list[int]
) -> dict[str, Any]:
    scores = {number: [score(record, objective) for record in records] for number, records in runs.items()}
    best, others = differences({number: values for number, values in scores.items() if values}, objective)
    rows = []
    for trial in trials:
        own, tests = scores[trial.number], [record["test"]["accuracy"] for record in runs[trial.number]]
        words = "the best" if trial.number == best else others.get(trial.number, "never completed")
        diverged = len(seeds) - len(own)
        rows.append(
            {
                "trial": trial.number,
                "search": f"{trial.values[0]:.4f}",
                "confirmed": mean_and_deviation(own) if own else "none",
                "test": mean_and_deviation(tests) if tests else "none",
                "n": len(own),
                "difference": f"{words}; {diverged} of {len(seeds)} runs diverged" if diverged else words,
                "scores": own,
            }
        )
    return {"objective": objective, "seeds": seeds, "best": best, "rows": rows}
