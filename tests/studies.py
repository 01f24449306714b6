"""Studies as a sweep leaves them, made up in no time: what their trials found is said, not trained."""

from collections.abc import Sequence
from datetime import timedelta

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from housenumbers.config.schema import OBJECTIVES

_DISTRIBUTIONS = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
    "data.batch_size": CategoricalDistribution([16, 32]),
    "scheduler.step_size": IntDistribution(1, 4),
}


def made_up_study(
    values: Sequence[Sequence[float] | None],
    objectives: Sequence[str] = ("val_accuracy",),
    storage: str | None = None,
    epochs: int = 2,
    overrides: Sequence[str] = ("data=digits",),
) -> optuna.Study:
    """A study whose trials completed with these values; null: one that was pruned after the first of its epochs."""
    study = optuna.create_study(
        study_name="s", storage=storage, directions=[OBJECTIVES[objective] for objective in objectives]
    )
    study.set_user_attr("objectives", list(objectives))
    study.set_user_attr("overrides", list(overrides))
    study.set_user_attr("fixed", {"epochs": epochs})
    for number, value in enumerate(values):
        steps = {epoch: (value or [0.1])[0] * epoch / epochs for epoch in range(1, epochs + 1 if value else 2)}
        trial = create_trial(
            state=TrialState.PRUNED if value is None else TrialState.COMPLETE,
            values=value,
            params={
                "optimizer.lr": 10 ** (-4 + 3 * number / len(values)),
                "data.batch_size": (16, 32)[number % 2],
                "scheduler.step_size": 1 + number % 4,
            },
            distributions=_DISTRIBUTIONS,
            intermediate_values=steps if len(objectives) == 1 else {},
        )
        assert trial.datetime_start is not None
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=10 * len(steps))
        study.add_trial(trial)
    return study
