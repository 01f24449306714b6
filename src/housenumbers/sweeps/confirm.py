"""Believing the winner: a search's best configurations again, on seeds that the search did not use."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra import compose, initialize_config_dir
from optuna.trial import FrozenTrial

from housenumbers.config import TrainConfig, checked, register
from housenumbers.errors import UserError
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

    All use the search's own split. Runs lie in `folder`/confirm; those that are complete are not run again, so that an
    interrupted command goes on. The test part is scored, but decides nothing. Writes confirmed.json and the report.
    Raises UserError where no trial completed.
    """
    trials = _best(study, top)
    if not trials:
        raise UserError(f"study={study.study_name}: no trial completed: there is nothing to confirm")
    objective = study.user_attrs["objectives"][0]
    fixed = study.user_attrs["fixed"]
    fresh = [fixed["seed"] + 1 + index for index in range(seeds)]
    records: dict[int, list[dict[str, Any]]] = {trial.number: [] for trial in trials}
    for position, seed in enumerate(fresh):
        for place, trial in enumerate(trials):
            words = [
                *words_of(study, trial.params),
                f"seed={seed}",
                f"data.split_seed={fixed['data.split_seed']}",
                *overrides,
            ]
            print(
                f"run {position * len(trials) + place + 1} of {seeds * len(trials)}: trial {trial.number}, seed {seed}"
            )
            own = RunFolder(folder / "confirm" / f"trial_{trial.number:04d}_seed_{seed}")
            records[trial.number].append(_completed(own, _composed(conf, words), run))
    result = _summary(trials, records, objective, fresh)
    write_json(folder / "confirmed.json", result)
    write_report(study, folder)
    return result


def _best(study: optuna.Study, top: int) -> list[FrozenTrial]:
    """The best complete trials; of equal parameters the first."""
    different: dict[str, FrozenTrial] = {}
    for trial in best_first(study):
        different.setdefault(str(sorted(trial.params.items())), trial)
    return list(different.values())[:top]


def _composed(conf: Path, words: list[str]) -> TrainConfig:
    register()
    with initialize_config_dir(str(conf)):
        return checked(compose("train", words))


def _completed(folder: RunFolder, config: TrainConfig, run: Run) -> dict[str, Any]:
    """The record of the run in `folder`, after running it, or what was left of it."""
    if folder.status() not in ENDED_WELL:
        folder.save_config(config)
        run(config, folder.path, resuming=True)
    return folder.record()


def _summary(
    trials: Sequence[FrozenTrial], records: dict[int, list[dict[str, Any]]], objective: str, seeds: list[int]
) -> dict[str, Any]:
    scores = {number: [score(record, objective) for record in runs] for number, runs in records.items()}
    best, others = differences(scores, objective)
    rows = [
        {
            "trial": trial.number,
            "search": f"{trial.values[0]:.4f}",
            "confirmed": mean_and_deviation(scores[trial.number]),
            "test": mean_and_deviation([record["test"]["accuracy"] for record in records[trial.number]]),
            "n": len(seeds),
            "difference": others.get(trial.number, "the best"),
            "scores": scores[trial.number],
        }
        for trial in trials
    ]
    return {"objective": objective, "seeds": seeds, "best": best, "rows": rows}
