"""Combines the search space of conf/search with a preset's own search space."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.defaults_list import create_defaults_list
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from housenumbers.config.compose import is_sweep
from housenumbers.config.constraints import require
from housenumbers.config.values import flatten
from housenumbers.sweeps.space import is_range, parse_overrides

_PARAMS = "hydra.sweeper.params"
_SPACE = f"search@{_PARAMS}"
_SWEEPER_PREFIXES = ("hydra.", "+hydra.", "++hydra.", "~hydra.", "hydra/", _SPACE)


@dataclass
class Params:
    """The search space with dotted keys, before the ranges of the command line."""

    params: dict[str, Any]
    from_file: bool  # from conf/search, not from a preset
    preset: dict[str, Any] = field(default_factory=dict, compare=False)  # see `preset_values`


def search_params(loader: Any, config: DictConfig) -> Params:
    """The search space of a multirun's `config`, which Hydra's `loader` composed.

    A preset's space replaces the space of the file in conf/search unless the command line selects that file. A preset
    value overrides a fixed value of the file. It does not override a range. A key below `where` applies only with the
    option there.
    """
    typed = _typed(config)
    preset = preset_values(loader, config)
    preset_has_space = any(key.startswith(f"{_PARAMS}.") for key in preset)
    from_file = not preset_has_space or any(override.startswith(_SPACE) for override in typed)
    if not from_file:
        params = _composed_params(loader, config, [*typed, f"{_SPACE}=none"])
    elif preset_has_space:  # the file selected on the command line, composed without the preset
        params = _composed_params(
            loader, config, [override for override in typed if override.startswith(_SWEEPER_PREFIXES)]
        )
    else:
        params = config.hydra.sweeper.params or {}
    plain: Any = OmegaConf.to_container(params, resolve=True) if isinstance(params, DictConfig) else dict(params)
    _check_shape(plain)
    conditions, choose = flatten(plain.pop("where", None) or {}), plain.pop("choose", None) or {}
    flat = flatten(plain)
    searched = _searched(config)
    options = [f"{group}={option}" for group, options in searched.items() for option in options]
    set_by_presets = {*preset, *(key for option in options for key in preset_values(loader, config, [option]))}
    chosen = _choices(loader, config, options) if conditions else []
    for key in flat.keys() - {override.lstrip("+").partition("=")[0].removeprefix(f"{_PARAMS}.") for override in typed}:
        preset_wins = from_file and key in set_by_presets and not is_range(key, flat[key])
        if preset_wins or not _holds(conditions.get(key), searched.keys() | choose.keys(), chosen):
            del flat[key]
    return Params(flat | ({"choose": choose} if choose else {}), from_file, preset)


def _check_shape(params: Mapping[str, Any]) -> None:
    """Raises UserError where `choose` or `where` of a search space is not nested as it has to be."""
    choose, where = params.get("choose") or {}, params.get("where") or {}
    for name, value in {"choose": choose, "where": where}.items():
        _require(isinstance(value, Mapping), name, value, "keys and values")
    for group, options in choose.items():
        has_options = isinstance(options, Mapping) and len(options) > 0
        wanted = "options and what is searched with each, such as {adam: {}, sgd: {}}"
        _require(has_options, f"choose.{group}", options, wanted)
        for option, inner in options.items():
            _require(isinstance(inner or {}, Mapping), f"choose.{group}.{option}", inner, "keys and ranges, or {}")
    for key, condition in flatten(where).items():
        is_valid = condition is None or "=" in str(condition)
        _require(is_valid, f"where.{key}", condition, "GROUP=OPTION, such as data=svhn")


def _require(condition: bool, key: str, value: Any, want: str) -> None:
    require(condition, f"{_PARAMS}.{key}", value, want)


def _typed(config: DictConfig) -> list[str]:
    return [*config.hydra.overrides.hydra, *config.hydra.overrides.task]


def preset_values(loader: Any, config: DictConfig, more: Sequence[str] = ()) -> dict[str, Any]:
    """The values, with dotted keys, of the global files after the primary one, such as conf/experiment/*.yaml.

    Interpolations stay unresolved. `more` are overrides in addition to those of the command line with one value.
    """
    name, typed = config.hydra.job.config_name, [*(word for word in _typed(config) if not is_sweep(word)), *more]
    parsed, repository = loader._parse_overrides_and_create_caching_repo(name, typed)
    files = create_defaults_list(
        repo=repository, config_name=name, overrides_list=parsed, prepend_hydra=True, skip_missing=True
    ).defaults
    primary = next(index for index, file in enumerate(files) if file.primary)
    values = OmegaConf.create({})
    for file in files[primary + 1 :]:
        if file.package == "":
            values.merge_with(loader._load_single_config(file, repository).config)
    plain: Any = OmegaConf.to_container(values)
    return flatten(plain)


def _composed_params(loader: Any, config: DictConfig, overrides: Sequence[str]) -> Any:
    name = config.hydra.job.config_name
    return loader.load_configuration(name, list(overrides), RunMode.MULTIRUN).hydra.sweeper.params or {}


def _searched(config: DictConfig) -> dict[str, list[str]]:
    """The keys that the command line searches. For groups of the configuration, their options."""
    words = {typed.partition("=")[0]: typed for typed in config.hydra.overrides.task if is_sweep(typed)}
    groups = words.keys() & config.hydra.runtime.choices.keys()
    ranges, *_ = parse_overrides([words[group] for group in sorted(groups)])
    return {key: [str(option) for option in getattr(ranges.get(key), "choices", ())] for key in words}


def _choices(loader: Any, config: DictConfig, options: Sequence[str]) -> list[Mapping[str, Any]]:
    """The selected options of all groups with each of the searched `options`: a preset may select others."""
    composed = [loader.load_sweep_config(config, [option]).hydra.runtime.choices for option in options]
    return composed or [config.hydra.runtime.choices]


def _holds(condition: str | None, searched: Set[str], choices: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the `condition` GROUP=OPTION, if any, is selected in all `choices` and the group is not searched."""
    if condition is None:
        return True
    group, _, option = condition.partition("=")
    return group not in searched and all(chosen.get(group) == option for chosen in choices)
