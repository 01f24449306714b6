"""Converts errors of Hydra and OmegaConf into messages of one line for the user."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import MissingConfigException
from omegaconf.errors import ConfigKeyError, ValidationError

from housenumbers.runtime.installation import command
from housenumbers.runtime.text import closest, closest_ignoring_case

# The names that other programs use for some keys.
_SYNONYMS = {
    "learning_rate": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "bs": "data.batch_size",
    "train_batch_size": "data.batch_size",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "num_train_epochs": "epochs",
    "gpus": "device",
    "accelerator": "device",
    "random_seed": "seed",
    "precision": "autocast",
    "amp": "autocast",
    "gradient_clip_val": "clip_grad_norm",
    "max_grad_norm": "clip_grad_norm",
    "accumulate_grad_batches": "micro_batches",
    "num_threads": "threads",
    "data_dir": "data.root",
    "arch": "model.architecture",
    "dataset": "data",
    "lr_scheduler": "scheduler",
}
_GROUPS = ("data", "model", "optimizer", "scheduler", "augment", "averaging")
_NOTHING = ("none", "nil", "nan", "null", "~", "undefined")  # other spellings of null
TYPE_NAMES: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_LISTS: dict[Any, str] = {
    int: "a list of whole numbers such as [1,2]", float: "a list of numbers such as [0.1,0.2]",
    str: "a list such as [a,b]",
}  # fmt: skip


def as_typed(value: Any) -> str:
    """A value as typed on the command line."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def either(choices: Sequence[Any]) -> str:
    """The choices joined as in a sentence: a, b or c."""
    *first, last = map(as_typed, choices)
    return f"{', '.join(first)} or {last}" if first else last


def expected_types(schema: type, prefix: str = "") -> dict[str, str]:
    """The required type of each key of a schema, in words, by its dotted name. Empty where it has no description."""
    kinds: dict[str, str] = {}
    for key, hint in get_type_hints(schema).items():
        if is_dataclass(hint):
            kinds |= expected_types(hint, f"{prefix}{key}.")  # type: ignore[arg-type]  # it is a class
        else:
            kinds[prefix + key] = _kind(hint)
    return kinds


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return either(get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        others = [kind for kind in get_args(hint) if kind is not NoneType]
        return f"{_kind(others[0])}, or null" if len(others) == 1 and _kind(others[0]) else ""
    if get_origin(hint) is list:
        return _LISTS.get(get_args(hint)[0], "a list")
    if get_origin(hint) is dict:
        return "NAME: {_target_: the full name of a class or a function, option: value}"
    return TYPE_NAMES.get(hint, "")


def one_line(error: BaseException, kinds: Mapping[str, str] | None = None, prefix: str = "") -> str:
    """The message of a Hydra or OmegaConf error and its causes, in one line, with the required type of keys in `kinds`.

    `prefix` is the section of the keys that the error names.
    """
    cause = error.__cause__ or error
    if isinstance(cause, MissingConfigException) and cause.options is not None:
        return _no_such_option(cause)
    unknown = str(getattr(cause, "full_key", None) or "") if isinstance(cause, ConfigKeyError | AttributeError) else ""
    if unknown and " not in " in str(cause) and not unknown.startswith("hydra."):
        return unknown_key_message(prefix + unknown, kinds or {}, addable="not in struct" in str(cause))
    if isinstance(cause, ValidationError) and cause.full_key and kinds:
        message = value_message(prefix + re.sub(r"\[\d+\]$", "", str(cause.full_key)), cause.value, kinds)
        if message:
            return message
    if deleted := re.match(r"Could not delete from config\. '(.*?)' does not exist", str(error)):
        return unknown_key_message(deleted[1], kinds or {})
    if deleted := re.match(r"Could not delete from config\. The value of '(.*?)' is", str(error)):
        return f"~{deleted[1]}: cannot be left out: give it another value"
    ambiguous = re.match(r"Ambiguous value for argument '((.*?)=(.*))'", str(error))
    if ambiguous:
        word, key, values = ambiguous.groups()
        kind = (kinds or {}).get(key, "")
        several = "on the command line, add -m for a run with each of these"  # Python has no -m
        if kind.startswith("a list"):
            return f"{word}: write {key}=[{values}] for a list; or {several}"
        decimal = kind.startswith("a number") and re.fullmatch(r"\d+,\d+", values)
        point = f"; a decimal number has a point: {key}={values.replace(',', '.')}" if decimal else ""
        return f"{word}: {several}{point}"
    unparsed = re.match(r"Error when parsing index: \d+, string: (.*?) out of \[", str(error), re.DOTALL)
    if unparsed:
        if with_null := re.fullmatch(r"(.*?)=choice\((.*\bnull\b.*)\)", unparsed[1]):
            return f"{unparsed[1]}: Hydra's choice takes no null: write {with_null[1]}={with_null[2]}"
        return f"{unparsed[1]}: cannot be read: write KEY=VALUE; special characters in quotes, 'KEY=\"VALUE\"'"
    if missing := re.search(r"missing mandatory value: (\S+)", _joined(error)):
        return missing_key_message(prefix + str(getattr(cause, "full_key", None) or missing[1]))
    if "does not support deletion" in str(cause):
        return f"{prefix}{getattr(cause, 'full_key', None) or ''}: cannot be left out: give it another value"
    return prefix + _joined(error)


def missing_key_message(key: str) -> str:
    """The message for a key that has no value."""
    return f"{key}: must be given: {key}={'OPTION' if key in _GROUPS else 'VALUE'}"


def unknown_key_message(key: str, kinds: Iterable[str], addable: bool = False) -> str:
    """The message for a key that does not exist, with suggestions."""
    known = list(kinds)
    section, _, last = key.rpartition(".")
    if key in known and not section:  # ~KEY deleted it
        return missing_key_message(key)
    if key in known:
        group = key.partition(".")[0]
        return f"{key}: the chosen {group} has no such key: leave it out, or choose another one, {group}=OPTION"
    if addable and section not in ("", "model", "optimizer", "scheduler"):
        return f"{key}: no such key: write +{key}=... to add it"
    same_name = [other for other in known if other.rpartition(".")[2].lower() == last.lower()]
    by_name = {other.rpartition(".")[2]: other for other in known}
    hint = (
        _SYNONYMS.get(last)
        or " or ".join(same_name[:3])
        or closest(key, known, 0.8)
        or closest(key, {other.partition(".")[0] for other in known}, 0.7)
        or by_name.get(closest(last, by_name, 0.8) or "")
    )
    return f"{key}: no such key: " + (f"did you mean {hint}?" if hint else f"{command('train')} --help lists all")


def _no_such_option(error: MissingConfigException) -> str:
    missing, options = str(error.missing_cfg_file), [str(option) for option in error.options or ()]
    group, _, option = missing.rpartition("/")
    if not options:
        return _joined(error)
    # A model's name may be that of a classifier of torchvision, so only the case is corrected.
    near = closest_ignoring_case(option, options, 1.0 if group == "model" else 0.8)
    hint = f"did you mean {near}? " if near else ""
    name = option if re.fullmatch(r"[a-z][a-z0-9_]*", option) else "NAME"
    more = (
        f"; or model=torchvision model.architecture={name}, any classifier of torchvision" if group == "model" else ""
    )
    return f"{group}={option}: no such option: {hint}choose one of {', '.join(options)}{more}"


def value_message(key: str, value: Any, kinds: Mapping[str, str]) -> str:
    """The message for a value of the wrong type. Empty where the key is not in `kinds`."""
    below = [other for other in kinds if other.startswith(f"{key}.")]
    if below:
        enabled = f"{key}.enabled" in below and as_typed(value).lower() in ("true", "false", "yes", "no", "on", "off")
        keys = f"{key}.enabled={as_typed(value)}" if enabled else "one of " + ", ".join(below)
        return f"{key}={as_typed(value)}: is a section with keys: set {keys}"
    kind = kinds.get(key)
    if not kind:
        return ""
    hint = ""
    if kind.endswith("or null") and str(value).lower() in _NOTHING:
        hint = f": write {key}=null"
    elif kind.startswith("a list") and isinstance(value, str) and value.startswith("["):  # in quotes of its own
        hint = f": it is text: leave out the quotes within the argument, '{key}={value}'"
    elif kind.startswith("a number") and re.fullmatch(r"(\d+\.?\d*|\.\d+)%", str(value)):
        hint = f": write {float(str(value)[:-1]) / 100:g}"
    return f"{key}={as_typed(value)}: must be {kind}{hint}"


def _joined(error: BaseException) -> str:
    """The lines of an error and its cause, without lines that only repeat types or folders."""
    message = str(error).split("Config search path:")[0]
    if error.__cause__ is not None:
        message += f"\n{error.__cause__}"
    lines = [line.strip() for line in message.splitlines()]
    noise = ("object_type=", "reference_type=", "full_key:", "To append to your config", "Error merging", "See http")
    text = " ".join(dict.fromkeys(line for line in lines if line and not line.startswith(noise)))
    key = next((line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")), "")
    return f"{key}: {text}" if key and key not in text else text
