"""The project's sweepers, registered as Hydra plugins. Imports little, since Hydra always imports this module."""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from omegaconf import DictConfig

from housenumbers.runtime.errors import UserError


@dataclass
class SweeperConfig(OptunaSweeperConf):
    """The options of hydra-optuna-sweeper and of this project. The direction follows from `objective`."""

    _target_: str = "hydra_plugins.housenumbers_sweeper.StudySweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])
    direction: Any = None
    pruner: Any = None
    # Of any type, since sweeps/sweep_options.py names what each must be.
    n_trials: Any = 20
    n_jobs: Any = 1
    heartbeat_seconds: Any = 30
    gpus_per_trial: Any = 1
    timeout: Any = None
    keep_checkpoints: Any = "all"
    zip: list[str] = field(default_factory=list)  # of plain multiruns; refused where it is not empty
    params: Any = None  # nested like the configuration, so that the command line can override single keys


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=SweeperConfig, replace=True)
# The plugin offers it, but Optuna has removed it.
ConfigStore.instance().repo["hydra"]["sweeper"]["sampler"].pop("motpe.yaml", None)
# search@hydra.sweeper.params=none: searches only the parameters of the command line or of a preset.
ConfigStore.instance().store(group="search", name="none", node={}, replace=True)


class MultirunSweeper(BasicSweeper):
    """Hydra's basic sweeper, extended: names folders by what varies, continues runs found in them, and pairs values."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None, zip: Any = ()) -> None:
        super().__init__(max_batch_size, params)
        self._zip = zip

    def sweep(self, arguments: list[str]) -> Any:
        from housenumbers.config.paired_values import zip_texts
        from housenumbers.sweeps.multirun import jobs_of, run_multirun

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise UserError(f"hydra.sweeper.max_batch_size={self.max_batch_size}: must be 1 or more, or null")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        jobs = jobs_of(overrides, zip_texts(self._zip), parser)
        batches = list(self.split_overrides_to_chunks(jobs, self.max_batch_size))
        return run_multirun(batches, self.config, self.hydra_context.config_loader, self.launcher)


class StudySweeper(Sweeper):
    """Searches with Optuna, prunes trials, and continues the study stored in the sweep's folder."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from housenumbers.sweeps.sweep import Sweep  # importing Optuna takes half a second

        self._sweep = Sweep(self._options, hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        self._sweep.run(arguments)
