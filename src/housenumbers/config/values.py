"""Configurations as plain values, and their comparison. Does not import torch."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

# Keys that say where a run happens, and change nothing of what is computed.
MACHINE_KEYS = ("device", "threads", "data.root", "data.cache", "data.download", "data.verify")


def option_dict(group: Any) -> dict[str, Any]:
    """The keys and values of a group's option, those added with `+` included, with a schema or without."""
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


def differing_keys(one: Any, other: Any, aside: Sequence[str] = ()) -> list[str]:
    """The dotted keys that have other values, apart from MACHINE_KEYS and those named in `aside`."""
    first, second = flatten(config_to_dict(one)), flatten(config_to_dict(other))
    ignored = {*MACHINE_KEYS, *aside}
    absent = object()
    return [key for key in first | second if key not in ignored and first.get(key, absent) != second.get(key, absent)]


def without_machine_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration computes: its dotted keys without those that only say where it runs."""
    return {key: value for key, value in flatten(config).items() if key not in MACHINE_KEYS}
