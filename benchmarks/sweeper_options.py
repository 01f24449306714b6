"""The options of this project's samplers and pruners, as conf/ has them."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

_SWEEPER = Path(__file__).resolve().parents[1] / "conf/hydra/sweeper"


def sweeper_options(group: str, name: str, epochs: int) -> dict[str, Any]:
    """The options of hydra/sweeper/GROUP=NAME for trials of so many epochs."""
    loaded = OmegaConf.create({"epochs": epochs, "options": OmegaConf.load(_SWEEPER / group / f"{name}.yaml")})
    return {str(key): value for key, value in loaded.options.items()}
