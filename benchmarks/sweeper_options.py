"""The options of this project's samplers and pruners, and the default search space, as conf/ has them."""

from typing import Any

from omegaconf import OmegaConf

from housenumbers.config.values import flatten
from housenumbers.runtime.installation import CONF
from housenumbers.sweeps.space import Space, read_space


def sweeper_options(group: str, name: str, epochs: int) -> dict[str, Any]:
    """The options of hydra/sweeper/GROUP=NAME for trials of so many epochs."""
    loaded = OmegaConf.create(
        {"epochs": epochs, "options": OmegaConf.load(CONF / "hydra/sweeper" / group / f"{name}.yaml")}
    )
    return {str(key): value for key, value in loaded.options.items()}


def default_space() -> Space:
    """The search space of a plain `python src/train.py -m hydra/sweeper=optuna`."""
    params: Any = OmegaConf.to_container(OmegaConf.load(CONF / "search/default.yaml"))
    del params["where"]
    return read_space(flatten(params), [])[0]
