"""Converts a composed or saved configuration to a TrainConfig, and checks all values. Does not import torch."""

import copy
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from housenumbers.config.command_line import dotlist_config
from housenumbers.config.constraints import check_constraints
from housenumbers.config.groups import COMMON, SCHEMAS
from housenumbers.config.messages import missing_key_message, one_line, unknown_key_message
from housenumbers.config.schema import TrainConfig, known_keys
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import expand_user


def validate_config(composed: Any) -> TrainConfig:
    """Resolves and checks a composed configuration. Makes paths absolute, so that they hold in any working folder.

    Raises UserError that names the key.
    """
    try:
        if OmegaConf.get_type(composed) is TrainConfig:
            composed = copy.deepcopy(composed)
        else:  # from a run's .hydra folder, not from conf/train.yaml
            composed = OmegaConf.merge(OmegaConf.structured(TrainConfig), composed)
        _check_no_key_missing(composed)
        with read_write(composed), open_dict(composed):
            for group in SCHEMAS:
                _apply_schema(composed, group)
                _check_common_keys(composed, group)
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys())) from None
    assert isinstance(config, TrainConfig)
    check_constraints(config)
    _check_no_key_added(config)
    _make_paths_absolute(config)
    return config


def _check_no_key_missing(composed: DictConfig) -> None:
    """Raises UserError for a key that is absent, since `~KEY` deleted it, or has no value."""
    for item in fields(TrainConfig):
        if item.name not in composed:
            raise UserError(missing_key_message(item.name))


def validate_composed(composed: DictConfig) -> TrainConfig:
    """`validate_config` for a configuration that still contains Hydra's section. Does not modify it."""
    without_hydra = copy.deepcopy(composed)
    with read_write(without_hydra), open_dict(without_hydra):
        del without_hydra["hydra"]
    return validate_config(without_hydra)


def load_saved_config(saved: Any, source: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration that a run or a checkpoint saved, with KEY=VALUE `overrides`, checked like a new one.

    Raises UserError that names `source` where it holds no such configuration, or a key with an invalid override.
    """
    try:
        config = OmegaConf.merge(OmegaConf.structured(TrainConfig), saved)
    except (OmegaConfBaseException, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{source}: not a configuration of this version: {one_line(error)}") from None
    try:
        if overrides:  # merging copies all
            config = OmegaConf.merge(config, dotlist_config(overrides, known_keys()))
        return validate_config(config)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys())) from None


def _apply_schema(composed: Any, group: str) -> None:
    """Applies the schema of its target to a group of plain keys, such as a saved one."""
    option = composed.get(group)
    target = option.get("_target_") if isinstance(option, DictConfig) else None
    schema = next((schema for schema, targets in SCHEMAS[group].values() if target in targets), None)
    if schema is None or OmegaConf.get_type(option) is schema:
        return
    typed = OmegaConf.structured(schema)
    try:
        with open_dict(typed):  # for keys added with +
            composed[group] = OmegaConf.merge(typed, option)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys(), f"{group}.")) from None


def _check_common_keys(composed: Any, group: str) -> None:
    """Checks and converts the keys of COMMON that the option's own schema does not declare."""
    option = composed.get(group)
    if not isinstance(option, DictConfig) or not isinstance(option.get("_target_"), str):
        return  # reported by check_constraints
    schema = OmegaConf.get_type(option)
    declared = {item.name for item in fields(schema)} if is_dataclass(schema) else {"_target_"}
    values = {item.name: option[item.name] for item in fields(COMMON[group])
              if item.name in option and item.name not in declared}  # fmt: skip
    if not values:
        return
    try:
        checked = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(COMMON[group]), values))
    except OmegaConfBaseException as error:
        raise UserError(one_line(error, known_keys(), f"{group}.")) from None
    check_constraints(checked, f"{group}.")
    with open_dict(option):
        for key in values:
            option[key] = getattr(checked, key)


def _check_no_key_added(config: TrainConfig) -> None:
    """Raises UserError for a key added with + that no code reads."""
    sections = {f"{item.name}.": getattr(config, item.name) for item in fields(config) if item.name not in SCHEMAS}
    for prefix, section in {"": config, **sections}.items():
        if is_dataclass(section):
            for key in vars(section).keys() - {item.name for item in fields(section)}:
                raise UserError(unknown_key_message(prefix + key, known_keys()))


def _make_paths_absolute(config: TrainConfig) -> None:
    data, model = config.data, config.model
    data.root = _absolute(data.root)
    data.cache = data.cache and _absolute(data.cache)
    if data.fonts not in ("", "matplotlib", "system"):
        data.fonts = _absolute(data.fonts)
    pretrained = getattr(model, "pretrained", None)
    if isinstance(pretrained, str):
        prefix = "run:" if pretrained.startswith("run:") else ""
        model.pretrained = prefix + _absolute(pretrained.removeprefix(prefix))


def _absolute(path: str) -> str:
    return str(expand_user(path).absolute())
