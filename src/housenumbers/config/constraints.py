"""Constraints declared at the fields of a dataclass, one function that checks all of them, and their descriptions.

A field's type holds its range in the terms of the library annotated-types, as `Annotated[int, Ge(1), Unit("epoch")]`.
The method `rules` holds constraints on several fields. OmegaConf has already rejected values of another plain type.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import inf
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, GroupedMetadata, Gt, Interval, Le, Lt, MaxLen, MinLen, Unit

from housenumbers.config.messages import as_typed
from housenumbers.config.values import config_to_dict, flatten
from housenumbers.runtime.errors import UserError

Positive = Annotated[float, Interval(gt=0, lt=inf)]
NonNegative = Annotated[float, Interval(ge=0, lt=inf)]
UpToOne = Annotated[float, Interval(ge=0, le=1)]
BelowOne = Annotated[float, Interval(ge=0, lt=1)]
AboveZeroUpToOne = Annotated[float, Interval(gt=0, le=1)]
BetweenZeroAndOne = Annotated[float, Interval(gt=0, lt=1)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Count = Annotated[int, Ge(1)]

# The result of a dataclass's method `rules`: whether the rule holds, the field to report, what that field must be.
Rules = Iterator[tuple[bool, str, str]]


@dataclass(frozen=True)
class Predicate:
    """A constraint that a function tests, as `annotated_types.Predicate`, with a description for messages."""

    holds: Callable[[Any], bool]
    description: str


_HOLDS: dict[type, Callable[[Any, Any], bool]] = {
    Gt: operator.gt,
    Ge: operator.ge,
    Lt: operator.lt,
    Le: operator.le,
    MinLen: lambda value, length: len(value) >= length,
    MaxLen: lambda value, length: len(value) <= length,
    Predicate: lambda value, holds: holds(value),
}


def require(condition: bool, key: str, value: Any, want: str) -> None:
    """Raises UserError with the requirement on the key's value unless the condition holds."""
    if not condition:
        raise UserError(f"{key}={as_typed(value)}: must be {want}")


def check_constraints(section: Any, prefix: str = "") -> None:
    """Checks the fields of a dataclass instance and of the instances nested in it, then its rules.

    `prefix` is the dotted key of the instance. Raises UserError that names the first key out of its range.
    """
    hints = annotated_hints(section.__class__)
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value):
            check_constraints(value, f"{prefix}{item.name}.")
        else:
            _check_field(f"{prefix}{item.name}", value, hints[item.name])
    for holds, key, want in section.rules() if hasattr(section, "rules") else ():
        if not holds:  # only then is the value looked up
            require(holds, prefix + key, flatten(config_to_dict(section)).get(key), want)


def check_value(config: Any, key: str, value: Any) -> None:
    """Raises UserError where the value is out of the range that the configuration's dataclasses declare for the key."""
    *sections, name = key.split(".")
    section = config
    for part in sections:
        section = getattr(section, part, None)
    if is_dataclass(section) and (hint := annotated_hints(section.__class__).get(name)) is not None:
        _check_field(key, value, hint)


@cache
def annotated_hints(schema: Any) -> dict[str, Any]:
    return get_type_hints(schema, include_extras=True)


def _check_field(key: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is dict:
        name_hint, item_hint = get_args(hint)
        for name, item in value.items():
            require(_satisfies(name, name_hint), f"{key}.{name}", item, describe(name_hint))
            require(_satisfies(item, item_hint), f"{key}.{name}", item, describe(item_hint))
    else:
        require(_satisfies(value, hint), key, value, describe(hint))


def _satisfies(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [(_HOLDS[kind], bound) for kind, bound in _bounds(hint).items() if kind is not Unit]
        return _satisfies(value, arguments[0]) and all(holds(value, bound) for holds, bound in bounds)
    if origin in (Union, UnionType) and NoneType in arguments:
        return value is None or _satisfies(value, arguments[0])
    return origin is not list or all(_satisfies(item, arguments[0]) for item in value)


def _bounds(hint: Any) -> dict[type, Any]:
    """The constraints of an annotated type by their class. An interval is split into its bounds."""
    constraints: list[Any] = []
    for item in get_args(hint)[1:]:
        constraints += item if isinstance(item, GroupedMetadata) else [item]
    return {type(item): getattr(item, item.__match_args__[0]) for item in constraints}


def describe(hint: Any) -> str:
    """The requirement on a value of an annotated type, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return f"{describe(arguments[0])}, or null"
    if origin is list:
        return f"a list, each value {describe(arguments[0])}"
    if origin is not Annotated:
        return ""
    bounds = _bounds(hint)
    if Predicate in bounds:
        return next(part.description for part in arguments if isinstance(part, Predicate))
    if MinLen in bounds:
        length = f"{bounds[MinLen]} values" if MaxLen in bounds else f"{bounds[MinLen]} or more values"
        return describe(arguments[0]).replace("a list", f"a list of {length}", 1)
    return _range_in_words(bounds)


def _range_in_words(bounds: dict[type, Any]) -> str:
    unit = f" {bounds[Unit]}" if Unit in bounds else ""
    if Le in bounds:
        low = f"from {bounds[Ge]} to" if Ge in bounds else f"above {bounds[Gt]} and at most"
        return f"{low} {bounds[Le]}{unit}"
    if bounds.get(Lt, inf) < inf:
        low = f"between {bounds[Gt]} and" if Gt in bounds else f"from {bounds[Ge]} up to, not including,"
        return f"{low} {bounds[Lt]}{unit}"
    return f"above {bounds[Gt]}{unit}" if Gt in bounds else f"{bounds[Ge]}{unit} or more"
