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
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from searchers import Given, Job, Searcher, Setting

from housenumbers.sweeps.space import Space

_INSTALL = "pip install -e '.[search-peers]'"


@dataclass(frozen=True)
class Parameter:
    """A parameter as all three libraries have it: a choice or an integer, both from 0 to `count` - 1, or a number.

    A parameter on a logarithmic scale is searched as its logarithm, because Syne Tune's kernel densities (0.16) place
    log-uniform domains linearly; for the others it is the same.
    """

    key: str
    distribution: Any  # Optuna's
    group: str | None = None  # it exists only where this group
    option: str | None = None  # has this option

    @property
    def is_choice(self) -> bool:
        return isinstance(self.distribution, CategoricalDistribution)

    @property
    def count(self) -> int | None:
        """How many values there are. None for a number."""
        one = self.distribution
        if self.is_choice:
            return len(one.choices)
        return None if one.log or one.step is None else round((one.high - one.low) / one.step) + 1

    @property
    def bounds(self) -> tuple[float, float]:
        one = self.distribution
        if isinstance(one, IntDistribution):  # its logarithm: each integer gets its share, as in Optuna
            return math.log(one.low - 0.5), math.log(one.high + 0.5)
        return (math.log(one.low), math.log(one.high)) if one.log else (one.low, one.high)

    @property
    def middle(self) -> float:
        return sum(self.bounds) / 2 if self.count is None else (self.count - 1) // 2

    def value(self, number: float) -> Any:
        """The value of the configuration for a library's number."""
        one = self.distribution
        if self.is_choice:
            return one.choices[int(number)]
        value = one.low + number * one.step if self.count else math.exp(number) if one.log else number
        value = min(max(value, one.low), one.high)  # exp(log(high)) may lie above it; or there is one value alone
        return round(value) if isinstance(one, IntDistribution) else float(value)

    def number(self, value: Any) -> float:
        """The reverse of `value`."""
        one = self.distribution
        if self.is_choice:
            return one.choices.index(value)
        return round((value - one.low) / one.step) if self.count else math.log(value) if one.log else float(value)


class FlatSpace:
    """The parameters of a space by unique names: several options may have one key, each with a range of its own."""

    def __init__(self, space: Space) -> None:
        self._space = space
        always: dict[str, BaseDistribution] = dict(space.always)
        always |= {group: CategoricalDistribution(options) for group, options in space.groups.items()}
        found = {key: Parameter(key, one) for key, one in always.items()}
        for group, options in space.options.items():
            for option, inner in options.items():
                found |= {f"{group}={option}.{key}": Parameter(key, one, group, option) for key, one in inner.items()}
        self.parameters = {name: one for name, one in found.items() if not one.distribution.single()}
        self._single = {name: one for name, one in found.items() if one.distribution.single()}  # nothing to search

    def setting(self, numbers: Mapping[str, Any]) -> Setting:
        """The setting for a library's numbers; those of options that are not chosen are ignored."""
        values = {name: one.value(numbers[name]) for name, one in self.parameters.items() if name in numbers}
        values |= {name: one.value(0) for name, one in self._single.items()}
        both = self.parameters | self._single
        return {
            both[name].key: value
            for name, value in values.items()
            if both[name].group is None or values[both[name].group] == both[name].option
        }

    def numbers(self, setting: Setting) -> dict[str, float]:
        """A library's numbers for a setting, of the parameters that it has. Empty where it is not in the space."""
        inside = self._space.setting(setting)
        if inside is None:
            return {}
        return {
            name: one.number(inside[one.key])
            for name, one in self.parameters.items()
            if one.group is None or inside[one.group] == one.option
        }


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
