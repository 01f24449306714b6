"""Composes the configuration of many trials: Hydra would read and merge the same YAML files again for each."""

import copy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig


class CachingLoader(ConfigLoaderImpl):
    """A `ConfigLoader` that caches the configuration composed from the same options, before KEY=VALUE overrides.

    Caches the content of the files as well, except the primary one, so that changes of `conf/` do not affect a sweep.
    With a version of Hydra that lacks the methods replaced here, nothing is cached, and the configurations are equal.
    """

    _caches: tuple[dict[str, Any], dict[str, DictConfig]]

    @classmethod
    def of(cls, loader: ConfigLoader) -> ConfigLoader:
        """The loader with a cache; the `loader` itself where it is of another class."""
        if type(loader) is not ConfigLoaderImpl:
            return loader
        caching = cls.__new__(cls)
        caching.__dict__.update(vars(loader))
        caching._caches = {}, {}
        return caching

    def _parse_overrides_and_create_caching_repo(self, *arguments: Any, **more: Any) -> Any:
        overrides, repository = super()._parse_overrides_and_create_caching_repo(*arguments, **more)
        sources = repr([source.path for source in repository.get_sources()])  # overrides may add to the search path
        repository.cache = self._caches[0].setdefault(sources, repository.cache)
        return overrides, repository

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        # Hydra merges later files into the nodes of earlier ones: without a copy, the cached content would change.
        loaded = copy.copy(super()._load_single_config(default, repo))
        loaded.config = copy.deepcopy(loaded.config)
        return loaded

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        key = repr([[source.path for source in repo.get_sources()], *map(_key, defaults)])
        if key not in self._caches[1]:
            self._caches[1][key] = super()._compose_config_from_defaults_list(defaults, repo)
        return copy.deepcopy(self._caches[1][key])


def _key(default: ResultDefault) -> tuple[Any, ...]:
    return default.config_path, default.parent, default.package, default.is_self, default.primary, default.override_key
