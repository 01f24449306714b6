"""Checks the options of torch's own optimizers and schedulers against the types that their signatures declare.

torch checks ranges, but few types: other values lead to errors of Python, and the text "false" counts as true.
"""

import collections.abc
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch.optim import Optimizer

from housenumbers.config.messages import TYPE_NAMES, as_typed, either
from housenumbers.runtime.errors import UserError

_SET_BY_RUN = ("params", "optimizer")  # set by the run, which refuses them elsewhere
_TOO_LARGE = 2**63  # for a number of torch
# Names that torch's modules import for type checkers only.
_NAMES = {**vars(collections.abc), "Optimizer": Optimizer}


def check_torch_options(key: str, options: Mapping[str, Any]) -> None:
    """Raises UserError for the first option of a target in torch.optim whose value is not of the declared type.

    `key` is the group of the options. Does not check unknown options, or targets of other modules.
    """
    target = str(options["_target_"])
    for name, hint in _declared(target).items() if target.startswith("torch.optim.") else ():
        if name not in options:
            continue
        value = options[name]
        if not _fits(value, hint):
            raise UserError(f"{key}.{name}={as_typed(value)}: must be {_in_words(hint)}")
        if isinstance(value, int) and abs(value) >= _TOO_LARGE:
            raise UserError(f"{key}.{name}: {len(str(abs(value)))} digits: must be smaller than 2^63")


@cache
def _declared(target: str) -> dict[str, Any]:
    """The types of the constructor's parameters, by their names. Empty where the target is not a class."""
    try:
        made = pkgutil.resolve_name(target)
        hints = get_type_hints(vars(made)["__init__"], localns=_NAMES) if isinstance(made, type) else {}
    except (ImportError, AttributeError, ValueError, NameError, KeyError):
        return {}
    return {name: hint for name, hint in hints.items() if name not in _SET_BY_RUN}


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:  # made by a target of its own
        return True
    if origin is Literal:
        return value in parts
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        is_list = isinstance(value, list | tuple)
        return is_list and len(value) == len(parts) and all(map(_fits, value, parts))
    if origin in (list, Iterable, collections.abc.Sequence):
        return isinstance(value, list | tuple) and all(_fits(item, parts[0]) for item in value)
    if origin is Callable or hint is torch.Tensor:
        return False
    if hint is bool:
        return isinstance(value, bool)
    if hint in (int, float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (hint is float or isinstance(value, int) or value.is_integer())
    return not isinstance(hint, type) or isinstance(value, hint)


def _in_words(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return either(parts)
    if origin in (Union, UnionType):
        return ", or ".join(dict.fromkeys(_in_words(part) for part in parts if part is not torch.Tensor))
    if origin is tuple:
        return f"a list of {len(parts)} values: {', '.join(map(_in_words, parts))}"
    if origin in (list, Iterable, collections.abc.Sequence):
        return f"a list, each value {_in_words(parts[0])}"
    if origin is Callable:
        return "a function, given by a _target_ that returns it"
    if hint is NoneType:
        return "null"
    return TYPE_NAMES.get(hint, f"a {getattr(hint, '__name__', hint)}")
