"""Trials get the configuration that Hydra composes, without reading its files again."""

from collections.abc import Iterator, Sequence

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from support import ROOT

from housenumbers.config.schema import register_schemas
from housenumbers.sweeps.composition import CachingLoader

TRIALS: list[list[str]] = [
    ["optimizer.lr=0.1"],
    ["optimizer.lr=0.01", "+model.mine=1", "hydra.sweep.subdir=trial_0001"],
    ["optimizer=muon", "scheduler=cosine", "optimizer.lr=0.02"],
    ["model=fastnet", "model.channels=[8,16,32]"],
    ["optimizer.lr=0.3"],  # keeps nothing of the ones before it
    ["optimizer=none_such"],
    ["~optimizer.lr"],
]


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf")):
        loader = GlobalHydra.instance().config_loader()
        assert loader is not None
        yield loader


def composed(loader: ConfigLoader, overrides: Sequence[str]) -> str:
    """The configuration of a trial, or the error, as text."""
    words = ["data=digits", "hydra/sweeper=optuna"]
    sweep: DictConfig = loader.load_configuration("train", words, run_mode=RunMode.MULTIRUN)
    try:
        return OmegaConf.to_yaml(loader.load_sweep_config(sweep, [*words, *overrides]))
    except HydraException as error:
        return repr(error)


def test_each_trial_has_the_configuration_that_hydra_composes(loader: ConfigLoader) -> None:
    caching = CachingLoader.of(loader)
    assert caching is not loader
    expected = [composed(loader, overrides) for overrides in TRIALS]
    for _ in range(2):
        assert [composed(caching, overrides) for overrides in TRIALS] == expected
    assert len(set(expected)) == len(TRIALS)


GROUPS = {
    group.name: [option.stem for option in sorted(group.glob("*.yaml"))]
    for group in sorted((ROOT / "conf").iterdir())
    if group.is_dir() and group.name not in ("hydra", "search")
}


@pytest.mark.parametrize("group", GROUPS)
def test_an_option_is_not_changed_by_those_before_it(loader: ConfigLoader, group: str) -> None:
    """Hydra merges a group's options into the nodes of the first one, which a later trial would get."""
    options = GROUPS[group][:4]
    expected = {option: composed(loader, [f"{group}={option}"]) for option in options}
    caching = CachingLoader.of(loader)
    for option in [*options, *reversed(options)]:
        assert composed(caching, [f"{group}={option}"]) == expected[option]


def test_a_second_trial_reads_the_primary_file_alone(loader: ConfigLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    caching = CachingLoader.of(loader)
    sweep = caching.load_configuration("train", ["data=digits"], run_mode=RunMode.MULTIRUN)
    caching.load_sweep_config(sweep, ["data=digits", "optimizer.lr=0.1"])

    original, read = ConfigRepository.load_config, []

    def load(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        read.append(config_path)
        return original(self, config_path)

    monkeypatch.setattr(ConfigRepository, "load_config", load)
    assert caching.load_sweep_config(sweep, ["data=digits", "optimizer.lr=0.2"]).optimizer.lr == 0.2
    assert set(read) <= {"train"}  # which may add to the places where the others are looked for
    loader.load_sweep_config(sweep, ["data=digits", "optimizer.lr=0.2"])
    assert len(set(read)) > 5
