"""Checks of the command line before Hydra parses it: arguments that Hydra misreads or explains in many lines."""

import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from housenumbers.config.messages import unknown_key_message
from housenumbers.config.paired_values import check_zip, is_zip
from housenumbers.config.schema import known_keys
from housenumbers.config.values import flatten
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import CONF
from housenumbers.runtime.text import closest

_VERBS = ("resume", "repeat")
_NO_OPTION = ("", "null", "none", "true", "false", "yes", "no")


def check_arguments(arguments: Sequence[str]) -> None:
    """Raises UserError for unknown flags, arguments split by a space, and groups without an option.

    Prints to standard error which presets contradict each other. The last preset wins.
    """
    for number, argument in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        if not argument and before.startswith("-"):
            raise UserError(f"{before}: needs a value (--hydra-help lists the flags)")
        if is_zip(argument):
            check_zip(argument, arguments[number + 1 :])
        elif not argument.startswith("-"):
            _check_setting(argument, arguments[number + 1 :])
    _check_flags(arguments)
    for note in preset_conflicts(arguments):
        print(note, file=sys.stderr)


def _check_flags(arguments: Sequence[str]) -> None:
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        flag = next(
            (argument for argument in arguments if argument.startswith("-") and argument.partition("=")[0] in message),
            "",
        )
        key = flag.lstrip("-").partition("=")[0].replace("-", "_")
        if "unrecognized" not in message or not flag:
            raise UserError(f"{message}: --hydra-help lists the flags")
        if key in _VERBS:
            raise UserError(f"{flag}: no such flag: write {key}=RUN_FOLDER")
        flags = [flag for action in parser._actions for flag in action.option_strings]
        if near := closest(flag, flags, 0.8):
            raise UserError(f"{flag}: no such flag: did you mean {near}?")
        known = {**known_keys(), **dict.fromkeys(config_groups(), "")}
        suggestion = f"{key}=VALUE" if key in known else unknown_key_message(key, known).partition("no such key: ")[2]
        raise UserError(f"{flag}: no such flag: settings are words, KEY=VALUE: {suggestion}")

    parser.error = refuse  # type: ignore[method-assign]
    # The parser would print the version at once.
    parser.parse_intermixed_args([argument for argument in arguments if argument != "--version"])


def _check_setting(argument: str, following: Sequence[str]) -> None:
    key, equals, value = argument.partition("=")
    if not key:
        raise UserError(f"{argument or repr(argument)}: has no key: write KEY=VALUE")
    if key in ("~hydra/launcher", "~hydra/sweeper"):
        raise UserError(f"{argument}: cannot be left out: choose another one, {key[1:]}=OPTION")
    if key in _VERBS and not equals:
        raise UserError(f"{argument}: write {key}=RUN_FOLDER, without spaces")
    if key in ("hydra.run.dir", "hydra.sweep.dir") and equals and not value.strip("'\" "):
        raise UserError(f"{argument}: must be a folder")
    if _is_open(argument):
        for whole in itertools.accumulate(following, initial=argument):
            if not _is_open(whole):
                raise UserError(f"{argument}: a space has cut it: write it without, or in quotes: '{whole}'")
    if equals and not value and following and following[0].startswith(("[", "{")):
        raise UserError(f"{argument}: a space has cut it: write {argument}{following[0]}")
    if not equals and following and following[0].startswith("="):
        raise UserError(
            f"{argument}: a space has cut it: write {argument}{''.join(following[: 1 + (following[0] == '=')])}"
        )
    if equals and key in config_groups() and value.strip().lower() in _NO_OPTION:
        options = sorted(file.stem for file in (CONF / key).glob("*.yaml"))
        if value not in options and key != "experiment":
            raise UserError(f"{argument}: must be one of the options {', '.join(options)}")


def _is_open(argument: str) -> bool:
    return argument.count("[") > argument.count("]") or argument.count("{") > argument.count("}")


def config_groups() -> list[str]:
    """The configuration groups in conf/."""
    return sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")


def preset_conflicts(arguments: Sequence[str]) -> list[str]:
    """For each experiment=[a,b], a note on the settings in which the presets differ. The last preset wins."""
    notes = []
    for argument in arguments:
        match = re.fullmatch(r"\+?experiment=\[(.*,.*)\]", argument)
        names = [name.strip() for name in match[1].split(",")] if match else []
        presets = {name: _settings(CONF / "experiment" / f"{name}.yaml") for name in names}
        for (earlier, first), (later, second) in itertools.combinations(presets.items(), 2):
            keys = [key for key in first.keys() & second.keys() if first[key] != second[key]]
            if keys:
                notes.append(
                    f"note: {argument}: {earlier} and {later} differ in {', '.join(sorted(keys))}: {later} wins"
                )
    return notes


def _settings(preset: Path) -> dict[str, object]:
    """The keys that a built-in preset sets, and the options that it selects."""
    content = OmegaConf.load(preset) if preset.is_file() else OmegaConf.create()
    assert isinstance(content, DictConfig)
    values = {str(key): value for key, value in content.items_ex(resolve=False)}
    choices = [item for item in values.pop("defaults", []) if isinstance(item, DictConfig)]
    options = {str(key).rpartition("/")[2]: value for item in choices for key, value in item.items()}
    plain = OmegaConf.to_container(OmegaConf.create(values))
    assert isinstance(plain, dict)
    return options | flatten({str(key): value for key, value in plain.items()})
