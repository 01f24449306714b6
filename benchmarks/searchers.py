"""The searches that replay.py compares, each through its library's own interface, on trainings that are only looked up.

A searcher is asked for a job, told each epoch of it, and answers whether the job goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState
from sweeper_options import sweeper_options

from housenumbers.sweeps.first_trials import enqueue_first_trials
from housenumbers.sweeps.samplers import make_pruner, make_sampler
from housenumbers.sweeps.space import Space
from housenumbers.training.schedules import epochs_before_first_drop

Setting = dict[str, Any]


@dataclass
class Job:
    """A training that has `epoch` epochs behind it, and its best validation accuracy so far."""

    setting: Setting
    epoch: int = 0
    best: float = 0.0
    handle: Any = field(default=None, repr=False)  # the searcher's own


class Searcher(Protocol):
    def ask(self) -> Job:
        """The next job for a worker that has none."""

    def goes_on(self, job: Job) -> bool:
        """Whether the job goes on after an epoch that is not its last."""

    def end(self, job: Job, diverged: bool) -> None:
        """The job has completed its last epoch, or diverged."""


@dataclass(frozen=True)
class Given:
    """What a searcher may know."""

    space: Space
    start: Setting  # of the composed configuration
    epochs: int
    seed: int
    folder: Path  # an empty one of its own


class OptunaSearcher:
    """Any sampler and pruner of Optuna, in memory."""

    def __init__(
        self, space: Space, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner | None = None
    ) -> None:
        self._space = space
        pruner = pruner or optuna.pruners.NopPruner()
        self.study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)

    def ask(self) -> Job:
        trial = self.study.ask()
        self._space.draw(trial)
        return Job(trial.params, handle=trial)

    def goes_on(self, job: Job) -> bool:
        job.handle.report(job.best, job.epoch)
        if not self._stops(job):
            return True
        self.study.tell(job.handle, state=TrialState.PRUNED)
        return False

    def _stops(self, job: Job) -> bool:
        return bool(job.handle.should_prune())

    def end(self, job: Job, diverged: bool) -> None:
        if diverged:
            self.study.tell(job.handle, state=TrialState.FAIL)
            return
        job.handle.report(job.best, job.epoch)
        self.study.tell(job.handle, job.best)


class OurSearcher(OptunaSearcher):
    """As a sweep of this project: no trial is stopped before its learning rate drops."""

    def __init__(
        self, given: Given, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner | None
    ) -> None:
        super().__init__(given.space, sampler, pruner)
        self._epochs = given.epochs

    def _stops(self, job: Job) -> bool:
        schedule = {"_target_": "StepLR", "step_size": job.setting.get("scheduler.step_size", self._epochs)}
        return job.epoch > epochs_before_first_drop(schedule, self._epochs) and super()._stops(job)


class FirstEpochs:
    """One epoch each of `wide` random settings, then the best `narrow` in full, and again (arXiv:2307.15422)."""

    def __init__(self, space: Space, seed: int, wide: int = 16, narrow: int = 2) -> None:
        self._random = OptunaSearcher(space, optuna.samplers.RandomSampler(seed))
        self._wide, self._narrow = wide, narrow
        self._asked = 0
        self._tried: list[tuple[float, int, Job]] = []
        self._order = count()

    def ask(self) -> Job:
        if self._asked >= self._wide and self._tried:
            self._tried.sort(key=lambda tried: tried[:2], reverse=True)
            del self._tried[self._narrow :]
            job = self._tried.pop(0)[2]
            if not self._tried:
                self._asked = 0
            return Job(job.setting, epoch=1, best=job.best)
        self._asked += 1
        return self._random.ask()

    def goes_on(self, job: Job) -> bool:
        if job.epoch > 1:
            return True
        self._tried.append((job.best, -next(self._order), job))
        return False

    def end(self, job: Job, diverged: bool) -> None:
        pass


def _ours(given: Given, sampler: str = "tpe", pruner: str = "halving") -> OptunaSearcher:
    """A choice of this project's options, in a study that begins as ours do."""
    options = sweeper_options("sampler", sampler, given.epochs) | {"seed": given.seed}
    stops = make_pruner(sweeper_options("pruner", pruner, given.epochs), given.seed)
    searcher = OurSearcher(given, make_sampler(options, given.space), stops)
    enqueue_first_trials(
        searcher.study, given.space, given.folder, options, lambda: make_sampler(options, given.space), 10_000, False,
        None, given.start,
    )  # fmt: skip
    return searcher


def _plain(
    sampler: Callable[[int], optuna.samplers.BaseSampler], pruner: Callable[[Given], optuna.pruners.BasePruner]
) -> Callable[[Given], Searcher]:
    return lambda given: OptunaSearcher(given.space, sampler(given.seed), pruner(given))


def _never(_: Given) -> optuna.pruners.BasePruner:
    return optuna.pruners.NopPruner()


def _asha(_: Given) -> optuna.pruners.BasePruner:
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def _hyperband(given: Given) -> optuna.pruners.BasePruner:
    return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=given.epochs, reduction_factor=3)


# stock: what hydra-optuna-sweeper does where nothing is said: TPE, each parameter for itself, ten random trials.
SEARCHERS: dict[str, Callable[[Given], Searcher]] = {
    "ours": _ours,
    "stock": _plain(lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False), _never),
    "optuna": _plain(lambda seed: optuna.samplers.TPESampler(seed=seed), lambda _: optuna.pruners.MedianPruner()),
    "random": _plain(optuna.samplers.RandomSampler, _never),
    "random_asha": _plain(optuna.samplers.RandomSampler, _asha),
    "first_epochs": lambda given: FirstEpochs(given.space, given.seed),
    "gp": _plain(lambda seed: optuna.samplers.GPSampler(seed=seed), _never),
    "hyperband": _plain(lambda seed: optuna.samplers.TPESampler(seed=seed), _hyperband),
    "ours_median": lambda given: _ours(given, pruner="median"),
    "ours_hyperband": lambda given: _ours(given, pruner="hyperband"),
}
