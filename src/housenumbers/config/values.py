"""Configurations as plain values, and their comparison. Does not import torch."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

# Keys that describe the machine and do not affect results.
MACHINE_KEYS = ("device", "threads", "data.root", "data.cache", "data.download", "data.verify")
# Prefixes of keys that change no results: loggers and callbacks.
OBSERVERS = ("logger.", "callbacks.")

# Keys that earlier versions did not have, each with the value that has the same effect as a missing key. A key with
# this value is left out when configurations are compared or hashed, so that earlier runs and studies can be continued.
_ADDED = {"data.width": 0, "data.rendered": 0, "keep_epoch": "best"}


def option_dict(group: Any) -> dict[str, Any]:
    """The keys and values of a group's option, including keys added with `+`, with or without a schema."""
    return dict(group) if isinstance(group, dict) else dict(vars(group)) if is_dataclass(group) else {}


def config_to_dict(config: Any) -> dict[str, Any]:
    """The configuration, or a section of it, as plain numbers, strings, lists and dictionaries."""
    return {
        key: config_to_dict(value) if isinstance(value, dict) or is_dataclass(value) else value
        for key, value in option_dict(config).items()
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as one dictionary with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def without_added_keys(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys, except those in _ADDED whose value means the same as their absence."""
    return {key: value for key, value in flat.items() if key not in _ADDED or value != _ADDED[key]}


def differing_keys(one: Any, other: Any, ignored: Sequence[str] = ()) -> list[str]:
    """The dotted keys whose values differ, except MACHINE_KEYS and the keys in `ignored`."""
    first, second = map(without_machine_keys, (one, other))
    absent = object()
    return [key for key in first | second if key not in ignored and first.get(key, absent) != second.get(key, absent)]


def without_machine_keys(config: Any) -> dict[str, Any]:
    """The dotted keys of a configuration that affect results, and their values: all except MACHINE_KEYS."""
    flat = without_added_keys(flatten(config_to_dict(config)))
    return {key: value for key, value in flat.items() if key not in MACHINE_KEYS}
