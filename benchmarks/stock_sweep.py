"""The search as Hydra's Optuna plugin does it by itself, on this project's training: what the others compare with.

Not a benchmark but a contestant: search.py and sweeper.py start it, with `-m hydra/sweeper=stock`.
"""

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra_plugins.hydra_optuna_sweeper.config import Direction, OptunaSweeperConf
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from housenumbers.config.schema import register_schemas
from housenumbers.config.targets import ALLOWED_TARGETS
from housenumbers.config.validate import validate_config


class Unheard:
    """A trial that nobody prunes. Like any trial it does not look at the test part."""

    identity: dict[str, Any] = {"study": "stock", "number": None}  # noqa: RUF012

    def report(self, value: float, epoch: int) -> None:
        pass

    def should_prune(self) -> bool:
        return False

    def exit_after_deadline(self) -> None:
        pass


@hydra.main(config_path="../conf", config_name="train", execution_whitelist=ALLOWED_TARGETS)
def train(composed: DictConfig) -> Any:
    from housenumbers.runs.run import run

    return run(validate_config(composed), Path(HydraConfig.get().runtime.output_dir), Unheard())


if __name__ == "__main__":
    register_schemas()
    ConfigStore.instance().store(
        group="hydra/sweeper", name="stock", node=OptunaSweeperConf(direction=Direction.maximize)
    )
    train()
