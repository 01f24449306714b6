"""The searches of other libraries for replay.py, each through its library's own interface: Syne Tune, SMAC3, NePS.

Their libraries are optional (the extra `search-peers`) and are imported by `prepare`, outside the measured time.
"""

import logging
import math
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from flat_space import FlatSpace
from optuna.distributions import CategoricalDistribution, FloatDistribution
from searchers import Given, Job, Searcher

from housenumbers.sweeps.space import Space

_INSTALL = "pip install -e '.[search-peers]'"


class SyneTune:
    """A multi-fidelity scheduler of Syne Tune, called as its Tuner does. It stops trials, and resumes none (0.16).

    It has no conditions: the parameters of all options are searched, and those of the others are ignored.
    """

    def __init__(self, given: Given, scheduler: str) -> None:
        from syne_tune import config_space
        from syne_tune.optimizer import baselines

        _seed_everything(given.seed)
        self._flat = FlatSpace(given.space)
        space = {
            name: config_space.choice(list(range(one.count)))
            if one.is_choice
            else config_space.randint(0, one.count - 1)
            if one.count
            else config_space.uniform(*one.bounds)
            for name, one in self._flat.parameters.items()
        }
        start = self._flat.numbers(given.start)
        middles = {name: one.middle for name, one in self._flat.parameters.items()}
        self._scheduler = getattr(baselines, scheduler)(
            space, metric="accuracy", time_attr="epoch", max_t=given.epochs, do_minimize=False, random_seed=given.seed,
            points_to_evaluate=[middles | start] if start else None,
        )  # fmt: skip
        self._ids = count()

    def ask(self) -> Job:
        from syne_tune.backend.trial_status import Trial

        trial = Trial(next(self._ids), self._scheduler.suggest().config, datetime.now())
        self._scheduler.on_trial_add(trial)
        return Job(self._flat.setting(trial.config), handle=trial)

    def goes_on(self, job: Job) -> bool:
        from syne_tune.optimizer.scheduler import SchedulerDecision

        return self._scheduler.on_trial_result(job.handle, _result(job)) == SchedulerDecision.CONTINUE

    def end(self, job: Job, diverged: bool) -> None:
        if diverged:
            self._scheduler.on_trial_error(job.handle)
        else:
            self._scheduler.on_trial_result(job.handle, _result(job))


class Smac:
    """SMAC3's multi-fidelity search by ask and tell: Hyperband, and a random forest that proposes settings.

    It hands out a setting with a budget of epochs, and a good one later with a higher budget. In its examples that is
    a training from scratch; here it resumes from its checkpoint, which costs less: the stronger peer.
    """

    def __init__(self, given: Given) -> None:
        from smac import MultiFidelityFacade, Scenario

        self._flat = FlatSpace(given.space)
        start = self._flat.numbers(given.start)
        self._space = self._conditional_space(start)
        scenario = Scenario(
            self._space, output_directory=given.folder, deterministic=True, use_default_config=bool(start),
            min_budget=1, max_budget=given.epochs, seed=given.seed,
        )  # fmt: skip
        self._smac = MultiFidelityFacade(scenario, logging_level=False, overwrite=True)
        self._left: dict[Any, Job] = {}  # by its configuration

    def _conditional_space(self, start: Mapping[str, float]) -> Any:
        from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

        space = ConfigurationSpace()
        found = {}
        for name, one in self._flat.parameters.items():
            default = start.get(name, one.middle)
            if one.is_choice:
                found[name] = Categorical(name, range(one.count), default=default)
            elif one.count:
                found[name] = Integer(name, (0, one.count - 1), default=default)
            else:
                found[name] = Float(name, one.bounds, default=default)
        space.add(list(found.values()))
        for name, one in self._flat.parameters.items():
            if one.group in found:
                option = self._flat.parameters[one.group].number(one.option)
                space.add(EqualsCondition(found[name], found[one.group], option))
        return space

    def ask(self) -> Job:
        from smac.main.exceptions import ConfigurationSpaceExhaustedException

        try:
            trial = self._smac.ask()
        except (ConfigurationSpaceExhaustedException, StopIteration):  # it tries no setting twice: any, in full
            return Job(self._flat.setting(self._space.sample_configuration()))
        left = self._left.get(trial.config)
        if left is None:
            return Job(self._flat.setting(trial.config), handle=trial)
        return Job(left.setting, left.epoch, left.best, trial)

    def goes_on(self, job: Job) -> bool:
        if job.handle is None or job.epoch < math.ceil(job.handle.budget - 1e-9):  # up, as in SMAC3's example
            return True
        self._tell(job, diverged=False)
        return False

    def end(self, job: Job, diverged: bool) -> None:
        if job.handle is not None:
            self._tell(job, diverged)

    def _tell(self, job: Job, diverged: bool) -> None:
        from smac.runhistory import StatusType, TrialValue

        status = StatusType.CRASHED if diverged else StatusType.SUCCESS
        self._smac.tell(job.handle, TrialValue(1.0 if diverged else 1 - job.best, status=status), save=False)
        self._left[job.handle.config] = Job(job.setting, job.epoch - diverged, job.best)


class PriorBand:
    """PriorBand of NePS by ask and tell: its prior is the composed configuration, which it tries first, in full.

    A trial that continues another one resumes from its checkpoint, as NePS has it. It has no conditions in a space of
    this kind: the parameters of all options are searched, and those of the others are ignored.
    """

    def __init__(self, given: Given) -> None:
        import neps

        _seed_everything(given.seed)
        self._flat = FlatSpace(given.space)
        self._names = {name: f"p{number}" for number, name in enumerate(self._flat.parameters)}  # of attributes
        start = self._flat.numbers(given.start)
        found: dict[str, Any] = {"epochs": neps.IntegerFidelity(lower=1, upper=max(given.epochs, 2))}  # no single value
        for name, one in self._flat.parameters.items():
            prior = {"prior": start[name], "prior_confidence": "medium"} if name in start else {}
            if one.is_choice:
                found[self._names[name]] = neps.Categorical(choices=tuple(range(one.count)), **prior)
            elif one.count:
                found[self._names[name]] = neps.Integer(lower=0, upper=one.count - 1, **prior)
            else:
                found[self._names[name]] = neps.Float(*one.bounds, **prior)
        space = type("Space", (neps.PipelineSpace,), found)()
        first = "highest_fidelity" if start else False
        self._neps = neps.AskAndTell(neps.algorithms.priorband(space, sample_prior_first=first))
        self._left: dict[str, Job] = {}  # by its trial

    def ask(self) -> Job:
        trial = self._neps.ask()
        if trial.metadata.previous_trial_id is not None:
            left = self._left[trial.metadata.previous_trial_id]
            return Job(left.setting, left.epoch, left.best, trial)
        return Job(self._flat.setting({name: trial.config[short] for name, short in self._names.items()}), handle=trial)

    def goes_on(self, job: Job) -> bool:
        if job.epoch < job.handle.config["epochs"]:
            return True
        self._tell(job, diverged=False)
        return False

    def end(self, job: Job, diverged: bool) -> None:
        self._tell(job, diverged)

    def _tell(self, job: Job, diverged: bool) -> None:
        self._neps.tell(job.handle, FloatingPointError("diverged") if diverged else 1 - job.best)
        self._left[job.handle.metadata.id] = Job(job.setting, job.epoch - diverged, job.best)


def _result(job: Job) -> dict[str, float]:
    return {"accuracy": job.best, "epoch": job.epoch}


def _seed_everything(seed: int) -> None:
    """Syne Tune (0.16) and NePS (0.17) draw from the global generators, whatever seed they are given.

    Not with that seed itself: Syne Tune draws from a generator of its own too, and would try its settings twice.
    """
    import torch

    other = int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
    random.seed(other)
    np.random.seed(other)
    torch.manual_seed(other)


@dataclass(frozen=True)
class Peer:
    """A search of another library."""

    library: str
    package: str
    make: Callable[[Given], Searcher]
    rehearsal: int  # so many jobs until it has used its model

    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


PEERS = {
    "syne_asha": Peer("Syne Tune", "syne_tune", lambda given: SyneTune(given, "ASHA"), 10),
    "syne_ashacqr": Peer("Syne Tune", "syne_tune", lambda given: SyneTune(given, "ASHACQR"), 10),
    "syne_bohb": Peer("Syne Tune", "syne_tune", lambda given: SyneTune(given, "BOHB"), 20),
    "smac": Peer("SMAC3", "smac", Smac, 60),
    "priorband": Peer("NePS", "neps", PriorBand, 40),
}
PEER_SEARCHERS: dict[str, Callable[[Given], Searcher]] = {name: peer.make for name, peer in PEERS.items()}


def installed(names: Sequence[str]) -> list[str]:
    """Those searches whose library is installed; of the others it prints a line for each library."""
    missing = [name for name in names if name in PEERS and not PEERS[name].is_installed()]
    for library in dict.fromkeys(PEERS[name].library for name in missing):
        left_out = ", ".join(name for name in missing if PEERS[name].library == library)
        print(f"{left_out}: left out, because {library} is not installed: {_INSTALL}", flush=True)
    return [name for name in names if name not in missing]


@cache
def prepare(name: str) -> None:
    """Runs a short search, so that all that its library imports in the course of one is imported, once in a process."""
    if name not in PEERS:
        return
    peer = PEERS[name]
    logging.getLogger(peer.package).setLevel(logging.ERROR)
    space = Space({"a": FloatDistribution(0.0, 1.0), "b": CategoricalDistribution([0, 1])})
    with tempfile.TemporaryDirectory() as folder:
        searcher = peer.make(Given(space, {"a": 0.5, "b": 0}, 3, 0, Path(folder)))
        for _ in range(peer.rehearsal):
            job = searcher.ask()
            goes_on = True
            while goes_on:
                job.epoch += 1
                job.best = job.epoch / 3 * job.setting["a"]
                goes_on = job.epoch < 3 and searcher.goes_on(job)
            if job.epoch == 3:
                searcher.end(job, diverged=False)
