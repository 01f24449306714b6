"""A sweep: asks the study for trial after trial, runs each in its own folder, and tells the study how it went."""

import copy
import math
import shlex
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from omegaconf import DictConfig, open_dict, read_write
from optuna.trial import TrialState

from housenumbers.config import OBJECTIVES, checked, to_dict
from housenumbers.errors import UserError
from housenumbers.sweeps.study import (
    counted,
    default_name,
    dotted,
    fixed_part,
    give_back,
    give_back_orphans,
    mark_owner,
    open_study,
    trial_folder,
)
from housenumbers.sweeps.trial import Trial, at_work_on

_JUDGED_FROM = 4  # trials: before that a failure rate says little


class Sweep:
    """One call of the command: from the study as it stands to `n_trials` in all."""

    def __init__(
        self, options: Mapping[str, Any], hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._options, self._context, self._task, self._config = options, hydra_context, task_function, config

    def run(self, arguments: list[str]) -> None:
        """Raises UserError where the study is another one, nothing completed, or too much failed."""
        if self._options["n_jobs"] != 1:
            raise UserError("hydra.sweeper.n_jobs: this sweeper runs one trial after another: leave it at 1")
        space, overrides = self._read(arguments)
        if not space:
            raise UserError("nothing to search: give at least one range, optimizer.lr=interval(0.001,0.01) say")
        self._overrides = [word for word in overrides if not word.startswith("hydra")]
        study = self._open(space, overrides)
        self._say(f"study {study.study_name}: {len(counted(study))} of {self._options['n_trials']} trials are there")
        for number in give_back_orphans(study):
            self._say(f"trial {number} was interrupted: another one goes on from its checkpoint")
        while len(counted(study)) < self._options["n_trials"]:
            self._run_trial(study, space, overrides)
            self._check_failures(study)
        self._conclude(study)

    def _read(self, arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
        """The search space, and the overrides that all trials share. The last word on a key wins: a value pins it."""
        space: dict[str, Any] = {}
        fixed: dict[str, Any] = {}
        removed: list[str] = []
        for word in [*(f"{key}={value}" for key, value in dotted(self._options["params"] or {}).items()), *arguments]:
            ranges, values, without = create_params_from_overrides([word])
            space = {key: value for key, value in space.items() if key not in values} | ranges
            fixed = {key: value for key, value in fixed.items() if key not in ranges} | values
            removed += without
        return space, [*(f"{key}={value}" for key, value in fixed.items()), *removed]

    def _open(self, space: Mapping[str, Any], overrides: list[str]) -> optuna.Study:
        composed = self._context.config_loader.load_sweep_config(self._config, overrides)
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        config = checked(composed)
        self._objectives = config.objectives
        if config.data.val_fraction == 0 and set(config.objectives) != {"train_seconds"}:
            raise UserError("data.val_fraction=0: a search needs a validation part to judge by")
        fixed = fixed_part(to_dict(config), space)
        name = self._options["study_name"] or default_name(fixed)
        named = copy.deepcopy(self._config)
        with read_write(named.hydra.sweeper):
            named.hydra.sweeper.study_name = name
        self._folder = Path(named.hydra.sweep.dir).absolute()
        with read_write(self._config.hydra.sweep):
            self._config.hydra.sweep.dir = str(self._folder)  # where the launcher makes its folder
        self._launcher = Plugins.instance().instantiate_launcher(
            config=self._config, hydra_context=self._context, task_function=self._task
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        storage = self._options["storage"] or f"sqlite:///{self._folder / 'study.db'}"
        if len(self._objectives) > 1:
            self._say("several objectives: no trial is pruned")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        directions = [OBJECTIVES[objective] for objective in self._objectives]
        study = open_study(name, storage, directions, fixed, space)
        sampler = dict(self._options["sampler"])
        if sampler.get("seed") is not None:
            sampler["seed"] += len(study.trials)  # else a continued study would draw its first samples again
        allowed = ("optuna.samplers.*", "optuna.pruners.*", "hydra_plugins.hydra_optuna_sweeper.*")
        study.sampler = instantiate(sampler, _execution_whitelist_=allowed)
        study.pruner = instantiate(self._options["pruner"], _execution_whitelist_=allowed)
        return study

    def _run_trial(self, study: optuna.Study, space: Mapping[str, Any], overrides: Sequence[str]) -> None:
        live = study.ask(dict(space))
        mark_owner(live)
        folder = trial_folder(self._folder, live.number)
        if (stopped := live.user_attrs.get("continues")) is not None:
            checkpoints = trial_folder(self._folder, stopped) / "checkpoints"
            if checkpoints.exists():
                shutil.copytree(checkpoints, folder / "checkpoints", dirs_exist_ok=True)
        chosen = [f"{key}={value}" for key, value in live.params.items()]
        place = [f"hydra.sweep.dir='{self._folder}'", f"hydra.sweep.subdir={folder.name}"]
        trial = Trial(live, len(self._objectives))
        try:
            with at_work_on(trial):
                (returned,) = self._launcher.launch([[*overrides, *chosen, *place]], initial_job_idx=live.number)
        except BaseException:  # the sweep itself is being stopped
            give_back(study, study.trials[live.number])
            raise
        outcome = self._tell(study, trial, returned, folder)
        self._say(f"trial {live.number}: {' '.join(chosen)}: {outcome}")

    def _tell(self, study: optuna.Study, trial: Trial, returned: JobReturn, folder: Path) -> str:
        """Tells the study how the trial ended, and gives that in words."""
        if returned.status is JobStatus.FAILED:
            error = returned._return_value
            if not isinstance(error, UserError):  # a bug: its traceback goes where one looks for it
                with (folder / "train.log").open("a", encoding="utf-8") as log:
                    log.writelines(traceback.format_exception(error))
            return self._fail(study, trial, f"{type(error).__name__}: {error}")
        if trial.pruned:
            study.tell(trial.live, state=TrialState.PRUNED)
            return "pruned"
        values = returned.return_value if len(self._objectives) > 1 else [returned.return_value]
        if any(value is None or not math.isfinite(value) for value in values):
            return self._fail(study, trial, f"the objective is {values}, not a finite number")
        study.tell(trial.live, values)
        return ", ".join(f"{name} {value:.4f}" for name, value in zip(self._objectives, values, strict=True))

    def _fail(self, study: optuna.Study, trial: Trial, reason: str) -> str:
        reason = " ".join(reason.split())
        trial.live.set_user_attr("error", reason)
        study.tell(trial.live, state=TrialState.FAIL)
        return f"failed: {reason}"

    def _check_failures(self, study: optuna.Study) -> None:
        trials = counted(study)
        failed = [trial for trial in trials if trial.state is TrialState.FAIL]
        if len(trials) >= _JUDGED_FROM and len(failed) > self._options["max_failure_rate"] * len(trials):
            reason = failed[-1].user_attrs.get("error", "unknown")
            raise UserError(
                f"{len(failed)} of {len(trials)} trials failed, more than hydra.sweeper.max_failure_rate="
                f"{self._options['max_failure_rate']} allows; the last one: {reason}"
            )

    def _conclude(self, study: optuna.Study) -> None:
        """Says what was found. Exit code 1 where no trial completed."""
        states = [trial.state for trial in counted(study)]
        count = {state: states.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)}
        if not count[TrialState.COMPLETE]:
            print(f"error: no trial of {study.study_name} completed: see {self._folder}", file=sys.stderr)
            raise SystemExit(1)
        self._say(", ".join(f"{number} {state.name.lower()}" for state, number in count.items()))
        for best in study.best_trials if len(self._objectives) > 1 else [study.best_trial]:
            values = ", ".join(f"{name} {value:.4f}" for name, value in zip(self._objectives, best.values, strict=True))
            self._say(f"best: trial {best.number}, {values}: {trial_folder(self._folder, best.number)}")
            self._say(f"  {self._command(best.params)}")

    def _command(self, params: Mapping[str, Any]) -> str:
        """The command that runs a configuration alone, outside the study."""
        return shlex.join(
            ["python", "src/train.py", *self._overrides, *(f"{key}={value}" for key, value in params.items())]
        )

    @staticmethod
    def _say(line: str) -> None:
        print(line, flush=True)
