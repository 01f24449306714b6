"""A sweep: one call of the command takes a study from where it stands to `n_trials` in all."""

import copy
import functools
import math
import os
import random
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict, read_write
from optuna.trial import TrialState

from housenumbers import processes
from housenumbers.config import LABEL, TrainConfig, check_targets, checked, is_label, to_dict
from housenumbers.errors import UserError
from housenumbers.interrupts import undisturbed
from housenumbers.sweeps import crew
from housenumbers.sweeps.database import one_line_database_errors, open_storage, sqlite_url, storage_name
from housenumbers.sweeps.integrity import readable
from housenumbers.sweeps.liveness import DATABASE_ERRORS, end_with_parent, give_back_orphans
from housenumbers.sweeps.space import Space, read_space
from housenumbers.sweeps.study import (
    best_trials,
    command,
    counted,
    default_name,
    described,
    fixed_part,
    open_study,
    trial_folder,
)
from housenumbers.sweeps.worker import Worker, too_many_failed, turn

_ALLOWED_TARGETS = ("optuna.samplers.*", "optuna.pruners.*", "hydra_plugins.hydra_optuna_sweeper.*")
_INSTEAD = {"direction": "it follows from objective=", "custom_search_space": "conf/search/models.yaml shows how"}
_OF_THE_SWEEP = ("hydra", "~hydra", "search@")  # how overrides begin that a single run would not know
_START = "start"  # of a study: how many trials were enqueued at its start; of such a trial: which one it is
# Launchers whose jobs share this machine, and so its cores.
_ON_THIS_MACHINE = ("BasicLauncher", "JoblibLauncher", "LocalLauncher")


class Sweep:
    """Reads what is searched, opens the study, has its trials run, and says what was found."""

    def __init__(
        self, options: Mapping[str, Any], hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._options, self._context, self._task, self._config = dict(options), hydra_context, task_function, config

    def run(self, arguments: list[str]) -> None:
        """Raises UserError where the study is another one, too much failed, or an option is out of range."""
        with one_line_database_errors(storage_name("hydra.sweeper.storage", self._options["storage"])):
            self._run(arguments)

    def _run(self, arguments: list[str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Optuna tells over several lines that it asks once more; if that fails too, one line of ours does.
        rdb = optuna.logging.get_logger("optuna.storages._rdb.storage")
        rdb.addFilter(lambda record: "Falling back to a slower alternative" not in record.getMessage())
        warnings.filterwarnings("ignore", message="Heartbeat of storage")  # liveness.py records them
        self._check_options()
        space, fixed, removed = read_space(self._options["params"] or {}, arguments)
        if not space.keys():
            raise UserError("nothing to search: give at least one range, optimizer.lr=interval(0.001,0.01) say")
        overrides = [*(f"{key}={value}" for key, value in fixed.items()), *removed]
        config = self._trial_config(overrides)
        for words in space.samples():  # whether there are such keys and options, and the overrides suit them
            self._composed([*overrides, *words])
        study = self._open(config, fixed, space, overrides)
        if crew.is_worker():
            end_with_parent()
            self._worker(study, space, overrides, config, say=lambda _: None).work()
            return
        if len(config.objectives) > 1:
            self._say("several objectives: no trial is pruned")
        self._say(f"study {study.study_name}: {len(counted(study))} of {self._options['n_trials']} trials are there")
        try:
            if self._options["n_jobs"] == 1 and self._launcher_name() == "BasicLauncher":
                self._worker(study, space, overrides, config, self._say).work()
            elif len(counted(study)) < self._options["n_trials"]:
                self._start_crew(study, config)
        finally:
            from housenumbers.sweeps.report import write_report  # plotly takes a while, and workers do without

            with suppress(OSError, *DATABASE_ERRORS):  # a full disk, which is the news, not the missing report
                self._say(f"report: {write_report(study, self._folder)}")
        self._conclude(study, config.objectives)

    def _check_options(self) -> None:
        for key, least in (("n_trials", 1), ("n_jobs", 1), ("heartbeat_seconds", 1)):
            if not isinstance(self._options[key], int) or self._options[key] < least:
                raise UserError(f"hydra.sweeper.{key}={self._options[key]}: must be {least} or more")
        for key in ("direction", "custom_search_space"):
            if self._options[key] is not None:
                raise UserError(f"hydra.sweeper.{key}: leave it out: {_INSTEAD[key]}")
        if not 0 <= self._options["max_failure_rate"] <= 1:
            raise UserError(f"hydra.sweeper.max_failure_rate={self._options['max_failure_rate']}: must be from 0 to 1")
        if not isinstance(self._options["storage"], str | None):
            raise UserError("hydra.sweeper.storage: must be the URL of a database, or null for study.db")

    def _composed(self, overrides: list[str]) -> DictConfig:
        return self._context.config_loader.load_sweep_config(self._config, overrides)

    def _trial_config(self, overrides: list[str]) -> TrainConfig:
        """The configuration that the trials share, checked; what is searched has its default in it."""
        composed = self._composed(overrides)
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        config = checked(composed)
        check_targets(config)
        if config.data.val_fraction == 0 and set(config.objectives) != {"train_seconds"}:
            raise UserError("data.val_fraction=0: a search needs a validation part to judge by")
        return config

    def _open(
        self, config: TrainConfig, typed: Mapping[str, str], space: Space, overrides: Sequence[str]
    ) -> optuna.Study:
        fixed = fixed_part(to_dict(config), typed, space)
        name = self._options["study_name"] or default_name(fixed)
        if not is_label(name):
            raise UserError(f"hydra.sweeper.study_name={name!r}: must be {LABEL}")
        named = copy.deepcopy(self._config)
        with read_write(named.hydra.sweeper):
            named.hydra.sweeper.study_name = name
        self._folder = Path(named.hydra.sweep.dir).absolute()
        if not self._options["storage"]:
            self._folder.mkdir(parents=True, exist_ok=True)
        with read_write(self._config.hydra.sweep):
            self._config.hydra.sweep.dir = str(self._folder)  # where launchers make their folders
        storage = self._options["storage"] or sqlite_url(self._folder / "study.db")
        called = storage_name("hydra.sweeper.storage", self._options["storage"])
        opened = open_storage(storage, self._options["heartbeat_seconds"], called)
        # In this order: another process may make the study and its first trial just now.
        has_trials = any(self._folder.glob("trial_*/run.json"))
        with readable(called):
            is_there = name in optuna.get_all_study_names(opened)
        if has_trials and not is_there:
            raise UserError(
                f"{self._folder}: holds trials of a study that is gone or has another name: move it away, or choose "
                "another hydra.sweeper.study_name"
            )
        study, is_new = open_study(name, opened, config.objectives, fixed, space)
        study.set_user_attr("overrides", [word for word in overrides if not word.startswith(_OF_THE_SWEEP)])
        study.set_user_attr("objectives", config.objectives)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._enqueue_start(study, space, is_new)
        study.sampler = self._sampler(study, space)
        study.pruner = instantiate(self._options["pruner"], _execution_whitelist_=_ALLOWED_TARGETS)
        return study

    def _enqueue_start(self, study: optuna.Study, space: Space, is_new: bool) -> None:
        """Writes down what the sampler draws at random before it learns: equal for any number of workers.

        The process that created the study does it; another one, where that was killed before it was done.
        """
        chosen = self._options["sampler"]
        count = min(chosen.get("n_startup_trials") or 0, self._options["n_trials"])
        if chosen.get("seed") is None or count == 0:
            return
        if not is_new and self._options["storage"]:  # it may be at it on another machine, which `turn` cannot see
            patience = time.monotonic() + random.uniform(5, 10)  # and a third process should not wake with this one
            while _START not in study.user_attrs and time.monotonic() < patience:
                time.sleep(0.2)
        if _START in study.user_attrs:
            return
        with undisturbed(), turn(self._folder):
            if _START in study.user_attrs:
                return
            there = [trial.user_attrs.get(_START) for trial in study.get_trials(deepcopy=False)]
            if None in there:  # it has begun without: it is older than these marks, or had another sampler
                count = 0
            sampler = instantiate(chosen, _execution_whitelist_=_ALLOWED_TARGETS)
            alone = optuna.create_study(directions=study.directions, sampler=sampler)
            for number in range(count):
                trial = alone.ask()
                space.draw(trial)
                if number not in there:
                    study.enqueue_trial(trial.params, user_attrs={_START: number})
            study.set_user_attr(_START, count)

    def _sampler(self, study: optuna.Study, space: Space) -> optuna.samplers.BaseSampler:
        chosen = dict(self._options["sampler"])
        if chosen.get("seed") is not None:
            chosen["seed"] += len(study.trials)  # else a continued study would draw its first samples again
            if crew.is_worker() or self._options["storage"]:  # and each worker those of the others
                chosen["seed"] = (chosen["seed"] + int.from_bytes(os.urandom(3))) % 2**32
        sampler = instantiate(chosen, _execution_whitelist_=_ALLOWED_TARGETS)
        if isinstance(sampler, functools.partial):  # the grid, which wants to know the space
            grid = space.grid()
            sampler = sampler(grid)
            self._options["n_trials"] = min(self._options["n_trials"], math.prod(map(len, grid.values())))
        return sampler

    def _launcher_name(self) -> str:
        return str(self._config.hydra.launcher._target_).rpartition(".")[2]

    def _start_crew(self, study: optuna.Study, config: TrainConfig) -> None:
        """Has workers complete the study, in processes of this machine or wherever the launcher starts them."""
        workers = self._options["n_jobs"]
        command = crew.command_of_a_worker(self._threads(config))
        with crew.progress(study, config.objectives, self._options["n_trials"], self._say):
            if self._launcher_name() == "BasicLauncher":
                crew.run_here(command, workers)
            else:
                launcher = Plugins.instance().instantiate_launcher(
                    config=self._config, hydra_context=self._context, task_function=crew.job(command)
                )
                crew.run_by(launcher, workers)
        with turn(self._folder):
            give_back_orphans(study)

    def _worker(
        self,
        study: optuna.Study,
        space: Space,
        overrides: list[str],
        config: TrainConfig,
        say: Any,
    ) -> Worker:
        in_this_process = BasicLauncher()
        in_this_process.setup(hydra_context=self._context, task_function=self._task, config=self._config)
        return Worker(
            study, space, overrides, config.objectives, self._folder, in_this_process,
            self._options["n_trials"], self._options["max_failure_rate"], say,
        )  # fmt: skip

    def _threads(self, config: TrainConfig) -> int | None:
        """The threads of each worker where they share this machine's cores and nothing else is asked for."""
        if config.threads is not None or self._launcher_name() not in _ON_THIS_MACHINE:
            return None
        return max(1, processes.cores() // self._options["n_jobs"])

    def _conclude(self, study: optuna.Study, objectives: list[str]) -> None:
        """Says what was found. Raises UserError where too many trials failed; exit code 1 where none completed."""
        trials = counted(study)
        if too_many_failed(trials, self._options["max_failure_rate"]):
            failed = [trial for trial in trials if trial.state is TrialState.FAIL]
            raise UserError(
                f"{len(failed)} of {len(trials)} trials failed, more than hydra.sweeper.max_failure_rate="
                f"{self._options['max_failure_rate']} allows; the last one {described(failed[-1], objectives)}"
            )
        if len(trials) < self._options["n_trials"]:
            raise UserError(
                f"the workers ended with {len(trials)} of {self._options['n_trials']} trials: "
                "see what they said above; the same command goes on"
            )
        states = [trial.state for trial in trials]
        count = {state: states.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)}
        if not count[TrialState.COMPLETE]:
            print(f"error: no trial of {study.study_name} completed: see {self._folder}", file=sys.stderr)
            raise SystemExit(1)
        self._say(", ".join(f"{number} {state.name.lower()}" for state, number in count.items()))
        for best in best_trials(study):
            folder = trial_folder(self._folder, best.number)
            self._say(f"best: trial {best.number}, {described(best, objectives)}: {folder}")
            self._say(f"  {command(study, best.params)}")

    @staticmethod
    def _say(line: str) -> None:
        print(line, flush=True)
