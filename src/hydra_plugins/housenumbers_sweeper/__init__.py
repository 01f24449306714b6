"""The project's sweepers, as Hydra finds them: a thin face, since Hydra imports it at every start."""

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
    """hydra-optuna-sweeper's options, and ours. The direction follows from `objective`."""

    _target_: str = "hydra_plugins.housenumbers_sweeper.StudySweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}])
    direction: Any = None
    pruner: Any = None
    heartbeat_seconds: int = 30
    params: Any = None  # nested like the configuration itself, so that the command line can reach into it


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=SweeperConfig, replace=True)
# search@hydra.sweeper.params=none: what is typed, or what a preset says, is searched alone.
ConfigStore.instance().store(group="search", name="none", node={}, replace=True)


class MultirunSweeper(BasicSweeper):
    """Hydra's own for plain lists, which names folders by what varies and goes on with what is in them."""

    def sweep(self, arguments: list[str]) -> Any:
        from housenumbers.sweeps.multirun import run_multirun

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise UserError(f"hydra.sweeper.max_batch_size={self.max_batch_size}: must be 1 or more, or null")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        return run_multirun(batches, self.config, self.hydra_context.config_loader, self.launcher)


class StudySweeper(Sweeper):
    """Searches with Optuna, prunes, and continues a study that is stored in the sweep's folder."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from housenumbers.sweeps.sweep import Sweep  # Optuna takes half a second that other commands do not need

        self._sweep = Sweep(self._options, hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        self._sweep.run(arguments)
