"""A sweep: one call of the command continues a study up to `n_trials` in total."""

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from housenumbers.config.compose import quote_value
from housenumbers.config.schema import OBJECTIVES, VALID_NAME, TrainConfig, is_valid_name
from housenumbers.config.validate import validate_composed
from housenumbers.config.values import config_to_dict, flatten
from housenumbers.preflight import LOCAL_LAUNCHERS, check_for_launcher, check_same_data, has_other_data
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.sweeps import worker_pool
from housenumbers.sweeps.composition import CachingLoader
from housenumbers.sweeps.database import one_line_database_errors, open_storage, sqlite_url, storage_name
from housenumbers.sweeps.deadline import deadline_after, deadline_variable, inherited_deadline, is_over
from housenumbers.sweeps.earlier_studies import earlier_studies, name_with_space, reusable_trials, sweep_storage
from housenumbers.sweeps.first_trials import enqueue_first_trials
from housenumbers.sweeps.gpus import gpus_of_workers
from housenumbers.sweeps.heartbeat import DATABASE_ERRORS, requeue_dead_trials
from housenumbers.sweeps.keep_checkpoints import remove_unneeded_checkpoints
from housenumbers.sweeps.presets import search_params
from housenumbers.sweeps.pruners import pruner_options
from housenumbers.sweeps.samplers import check_sampler, grid_size, make_pruner, make_sampler
from housenumbers.sweeps.space import Space, read_space
from housenumbers.sweeps.space_check import check_samples, first_options, searched_groups, with_each_option
from housenumbers.sweeps.study import (
    counted_trials,
    default_name,
    default_prefix,
    fixed_config,
    open_study,
    references,
    varying_keys,
)
from housenumbers.sweeps.study_validation import one_line_study_errors
from housenumbers.sweeps.sweep_options import check_options, check_subdir
from housenumbers.sweeps.sweep_result import copied_line, count_started, print_result
from housenumbers.sweeps.unused_parameters import check_ranges, drop_unknown_keys, unused_step_lr_parameters
from housenumbers.sweeps.worker import Worker, trial_lock
from housenumbers.tracking.run_folder import RunFolder

_SWEEP_PREFIXES = ("hydra", "~hydra", "search@")  # prefixes of overrides that a single run does not accept
_SEQUENCE_SEED = "sequence_seed"  # attribute of a study: the seed that its grid or scrambled sequence began with
_SUBMITIT_LAUNCHERS = ("LocalLauncher", "SlurmLauncher")  # their jobs outlive the command

print_line = partial(print, flush=True)


def _silence_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Hides Optuna's multi-line warning about a retry; if the retry fails too, this project prints one line.
    rdb = optuna.logging.get_logger("optuna.storages._rdb.storage")
    rdb.addFilter(lambda record: "Falling back to a slower alternative" not in record.getMessage())
    warnings.filterwarnings("ignore", message="Heartbeat of storage")  # heartbeat.py uses them


def _unresolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain data, without Hydra's own, with unresolved interpolations."""
    values: Any = OmegaConf.to_container(config)
    return {key: value for key, value in values.items() if key != "hydra"}


def _first_run(folder: Path) -> RunFolder:
    """The first run of a trial in a sweep's folder that has read its data; all are on the same. Else an empty one."""
    for record in sorted(folder.glob("trial_*/run.json")):
        with suppress(UserError):  # damaged: the trial is trained again
            if RunFolder(record.parent).record().get("data_sha256"):
                return RunFolder(record.parent)
    return RunFolder(folder)


def _trials_without_grid(study: optuna.Study) -> int:
    """The number of trials that another sampler drew, or will have drawn: GridSampler tries their settings, too."""
    trials = study.get_trials(deepcopy=False)
    return sum("grid_id" not in trial.system_attrs and not trial.user_attrs.get("interrupted") for trial in trials)


class Sweep:
    """Reads the search space, opens the study, runs its trials, and prints the result."""

    def __init__(
        self, options: Mapping[str, Any], hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self._options, self._context, self._task, self._config = dict(options), hydra_context, task_function, config
        self._storage_name = storage_name("hydra.sweeper.storage", self._options["storage"])

    def run(self, arguments: list[str]) -> None:
        """Raises UserError where the stored study differs, too many trials failed, or an option is out of range."""
        check_subdir(self._config.hydra.sweep)
        with one_line_database_errors(self._storage_name):
            self._run(arguments)

    def _run(self, arguments: list[str]) -> None:
        if worker_pool.is_worker():
            worker_pool.terminate_with_parents()
        _silence_optuna()
        check_options(self._options)
        timeout = self._options["timeout"]
        self._deadline = inherited_deadline() if worker_pool.is_worker() else deadline_after(timeout)
        params = search_params(self._context.config_loader, self._config)
        space, fixed, removed = read_space(params.params, arguments)
        overrides = [*(f"{key}={value}" for key, value in fixed.items()), *removed]
        own = self._config.hydra.runtime.choices
        groups = searched_groups(space, own)
        first = first_options(groups, own)
        composed = self._composed([*overrides, *first])
        typed = {word.partition("=")[0] for word in arguments}
        notes = [drop_unknown_keys(space, composed, typed)] if params.from_file else []
        if not space.keys():
            raise UserError("nothing to search: give at least one range, such as optimizer.lr=interval(0.001,0.01)")
        config = self._trial_config(composed)
        check_ranges(space, config)
        notes.append(unused_step_lr_parameters(space, config))
        check_samples(space, first, lambda words: self._composed([*overrides, *words]))
        variants = with_each_option(space, groups, lambda words: self._composed([*overrides, *words]))
        sampler_options = self._options["sampler"]
        self._grid_size = grid_size(sampler_options, space)
        self._options["pruner"] = pruner_options(composed, space)
        make_pruner(self._options["pruner"])
        if not worker_pool.is_worker():
            name = self._config.hydra.runtime.choices["hydra/sweeper/sampler"]
            check_sampler(sampler_options, name, space, [OBJECTIVES[objective] for objective in config.objectives])
            for line in filter(None, notes):
                print_line(line)
        varying = varying_keys([_unresolved(variant) for variant in variants])
        fixed_keys = fixed_config(config_to_dict(config), params.preset | fixed, space, varying)
        study = self._open(config, fixed_keys, references(_unresolved(composed), space, varying), space, overrides)
        if worker_pool.is_worker():
            self._worker(study, space, overrides, config, lambda _: None).work()
        else:
            self._search(study, space, overrides, config)

    def _search(self, study: optuna.Study, space: Space, overrides: list[str], config: TrainConfig) -> None:
        """Runs the study's trials in this process or in workers, and prints the result."""
        if len(config.objectives) > 1:
            print_line("several objectives: no trial is pruned")
        if copied := copied_line(study, self._options["n_trials"]):
            print_line(copied)
        total = plural(self._options["n_trials"], "trial")
        print_line(f"study {study.study_name}: {len(counted_trials(study))} of {total} done")
        started_before = count_started(study)
        try:
            if self._options["n_jobs"] == 1 and self._launcher_name() == "BasicLauncher":
                os.environ.update(*self._gpu_variables(config))
                self._worker(study, space, overrides, config, print_line).work()
            elif len(counted_trials(study)) < self._options["n_trials"]:
                self._start_workers(study, space, overrides, config)
        finally:
            from housenumbers.sweeps.study_page import write_study_page  # plotly imports slowly

            with suppress(OSError, *DATABASE_ERRORS):  # for example a full disk: the sweep's own error is raised
                remove_unneeded_checkpoints(study, self._folder, self._options["keep_checkpoints"])  # after a kill
                print_line(f"report: {write_study_page(study, self._folder)}")
        time_is_over = is_over(self._deadline)
        print_result(study, config.objectives, self._folder, self._options, time_is_over, started_before)

    def _composed(self, overrides: list[str]) -> DictConfig:
        return self._context.config_loader.load_sweep_config(self._config, overrides)

    def _trial_config(self, composed: DictConfig) -> TrainConfig:
        """The validated configuration that the trials share; searched keys have their default values."""
        config = validate_composed(composed)
        check_for_launcher(config, self._launcher_name())
        if config.data.val_fraction == 0 and set(config.objectives) != {"train_seconds"}:
            raise UserError("data.val_fraction=0: a search needs a validation part to judge by")
        return config

    def _open(
        self,
        config: TrainConfig,
        fixed: Mapping[str, Any],
        follow: Mapping[str, str],
        space: Space,
        overrides: Sequence[str],
    ) -> optuna.Study:
        shared = None
        if self._options["storage"]:
            shared = open_storage(self._options["storage"], self._options["heartbeat_seconds"], self._storage_name)
        name = self._options["study_name"] or self._automatic_name(default_name(fixed), space, shared)
        if not is_valid_name(name):
            raise UserError(f"hydra.sweeper.study_name={name!r}: must be {VALID_NAME}")
        self._folder = self._folder_of(name)
        self._workers_folder = self._folder_of(r"\${hydra.sweeper.study_name}")
        if shared is None:
            self._folder.mkdir(parents=True, exist_ok=True)
        with read_write(self._config.hydra.sweep):
            self._config.hydra.sweep.dir = str(self._folder)  # where launchers create their folders
        own_url = sqlite_url(self._folder / "study.db")
        storage = shared or open_storage(own_url, self._options["heartbeat_seconds"], self._storage_name)
        # In this order: another process may be creating the study and its first trial.
        has_trials = any(self._folder.glob("trial_*/run.json"))
        with one_line_study_errors(self._storage_name):
            exists = name in optuna.get_all_study_names(storage)
        if has_trials and not exists:
            raise UserError(
                f"{self._folder}: holds trials of a study that no longer exists or has another name: move it away, or "
                "choose another hydra.sweeper.study_name"
            )
        if not worker_pool.is_worker():  # the command that started it has looked
            check_same_data(_first_run(self._folder), config.data, "choose another hydra.sweeper.study_name")
        study, is_new = open_study(name, storage, config.objectives, fixed, space, follow)
        study.set_user_attr("overrides", [word for word in overrides if not word.startswith(_SWEEP_PREFIXES)])
        study.set_user_attr("objectives", config.objectives)
        sources = self._config.hydra.runtime.config_sources
        config_dirs = [source.path for source in sources if source.provider == "command-line"]
        study.set_user_attr("config_dir", config_dirs[0] if config_dirs else None)
        config_name = self._config.hydra.job.config_name
        study.set_user_attr("config_name", config_name if config_name != "train" else None)
        self._folder.mkdir(parents=True, exist_ok=True)

        def earlier() -> list[FrozenTrial]:
            studies = (
                study for study, folder in earlier_studies(name, self._folder, shared, default_prefix(fixed))
                if not has_other_data(_first_run(folder), config.data)
            )  # fmt: skip
            return reusable_trials(studies, config.objectives, fixed, space, follow)

        sampler, automatic = self._options["sampler"], self._options["study_name"] is None
        is_grid = self._grid_size is not None  # GridSampler has a fixed order and needs no first trials
        self._earlier = earlier() if automatic and is_grid else []
        if self._grid_size is not None:
            self._options["n_trials"] = min(self._options["n_trials"], self._grid_size + _trials_without_grid(study))
        enqueue_first_trials(
            study, space, self._folder, sampler, partial(make_sampler, sampler, space), self._options["n_trials"],
            may_wait=not is_new and shared is not None, earlier=earlier if automatic and not is_grid else None,
            default=space.setting({**flatten(config_to_dict(config)), **self._config.hydra.runtime.choices}),
        )  # fmt: skip
        study.sampler = self._sampler(study, space)
        study.pruner = make_pruner(self._options["pruner"], sampler.get("seed"))
        return study

    def _automatic_name(self, base: str, space: Space, shared: RDBStorage | None) -> str:
        """The default study name; with a suffix where a study with another space has that name."""
        with one_line_study_errors(self._storage_name):
            return name_with_space(base, space, shared or sweep_storage(self._folder_of(base)))

    def _folder_of(self, name: str) -> Path:
        """The sweep's folder for a study of that name, before it is opened."""
        config = copy.deepcopy(self._config)
        with read_write(config.hydra.sweeper):
            config.hydra.sweeper.study_name = name
        return Path(config.hydra.sweep.dir).absolute()

    def _sampler(self, study: optuna.Study, space: Space) -> optuna.samplers.BaseSampler:
        options = dict(self._options["sampler"])
        seed = options.get("seed")
        if seed is not None:
            options["seed"] += len(study.trials)  # else a continued study would draw its first samples again
            if worker_pool.is_worker() or self._options["storage"]:  # and each worker the samples of the others
                options["seed"] += int.from_bytes(os.urandom(3))
            options["seed"] %= 2**32  # as NumPy requires
        is_scrambled = bool(options.get("scramble"))
        if is_scrambled and "independent_sampler" in options:  # for what is not in the sequence
            own = {"_target_": "optuna.samplers.RandomSampler", "seed": options["seed"]}
            options["independent_sampler"] = options["independent_sampler"] or own
        if is_scrambled or (self._grid_size is not None and "seed" in options):
            # The study stores which places of a sequence are taken, and the seed orders it: one seed for all processes.
            if _SEQUENCE_SEED not in study.user_attrs:
                study.set_user_attr(_SEQUENCE_SEED, seed)
            options["seed"] = study.user_attrs[_SEQUENCE_SEED]
        return make_sampler(options, space)

    def _launcher_name(self) -> str:
        return str(self._config.hydra.launcher._target_).rpartition(".")[2]

    def _start_workers(self, study: optuna.Study, space: Space, overrides: Sequence[str], config: TrainConfig) -> None:
        """Starts workers that complete the study, as processes on this machine or through the launcher."""
        environments = [deadline_variable(self._deadline) | variables for variables in self._gpu_variables(config)]
        command = worker_pool.worker_command(self._worker_overrides(space, config))
        with worker_pool.study_progress(study, config.objectives, self._options["n_trials"], print_line):
            if self._launcher_name() == "BasicLauncher":
                worker_pool.run_local_workers(command, environments)
            else:
                outlives = self._launcher_name() in _SUBMITIT_LAUNCHERS
                launcher = Plugins.instance().instantiate_launcher(
                    config=self._config,
                    hydra_context=self._context,
                    task_function=worker_pool.launcher_job(command, environments, outlives),
                )
                # Composed anew, a job would not know the folder of a study that has an automatic name.
                folder = f"hydra.sweep.dir={quote_value(self._folder)}"
                worker_pool.run_launcher_workers(launcher, len(environments), [*overrides, folder])
        with trial_lock(self._folder):
            requeue_dead_trials(study)

    def _gpu_variables(self, config: TrainConfig) -> list[dict[str, str]]:
        """For each worker the environment variables that give it its own GPUs."""
        workers, per_trial = self._options["n_jobs"], self._options["gpus_per_trial"]
        variables, note = gpus_of_workers(config.device, self._launcher_name(), workers, per_trial)
        if note:
            print_line(note)
        return variables

    def _worker(
        self, study: optuna.Study, space: Space, overrides: list[str], config: TrainConfig, print_line: Any
    ) -> Worker:
        context = copy.copy(self._context)
        context.config_loader = CachingLoader.of(context.config_loader)
        in_this_process = BasicLauncher()
        in_this_process.setup(hydra_context=context, task_function=self._task, config=self._config)
        return Worker(
            study, space, overrides, config.objectives, self._folder, in_this_process,
            self._options["n_trials"], self._options["max_failure_rate"], self._earlier, print_line,
            self._options["keep_checkpoints"], self._deadline,
        )  # fmt: skip

    def _worker_overrides(self, space: Space, config: TrainConfig) -> list[str]:
        """The overrides that the workers' command has in addition to this one.

        A folder or study name with `${now:...}` would have another value in each worker. An automatic name stays so.
        Workers that share this machine's cores get equal numbers of threads where `threads` is null and not searched.
        """
        overrides = [f"hydra.sweep.dir={quote_value(self._workers_folder)}"]
        if name := self._options["study_name"]:
            overrides.append(f"hydra.sweeper.study_name={quote_value(name)}")
        if config.threads is None and not space.keys() & {"threads"} and self._launcher_name() in LOCAL_LAUNCHERS:
            overrides.append(f"threads={max(1, processes.available_cores() // self._options['n_jobs'])}")
        return overrides
