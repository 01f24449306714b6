"""Composes and checks a configuration from command-line arguments, as train.py does. Does not import torch."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from housenumbers.config.messages import one_line
from housenumbers.config.paired_values import is_zip, move_zips
from housenumbers.config.schema import TrainConfig, known_keys, register_schemas
from housenumbers.config.sections import DataConfig
from housenumbers.config.validate import validate_config
from housenumbers.runtime.errors import UserError

# Prefixes of Hydra's ValueErrors about flags that `hydra_arguments` cannot split, such as -mc job.
_ABOUT_FLAGS = ("Only one of --run", "The --resolve flag", "--experimental-rerun")
# Keys whose values are paths. A path may contain any character.
_PATH_KEYS = ("data.root", "data.cache", "data.fonts", "model.pretrained", "hydra.run.dir", "hydra.sweep.dir")


def compose_config(
    conf: Path, arguments: Sequence[str], config_dir: Path | None = None, config_name: str = "train"
) -> TrainConfig:
    """Composes the folder `conf`, an optional `--config-dir` and these arguments as train.py does, and checks them.

    Raises UserError where the configuration is invalid.
    """
    register_schemas()
    with one_line_hydra_errors(), initialize_config_dir(str(conf)):
        if config_dir is not None:
            _append_to_search_path(config_dir)
        return validate_config(compose(config_name, quote_paths(arguments)))


def _append_to_search_path(folder: Path) -> None:
    """Adds what `--config-dir` adds. `hydra.searchpath` is read too late for the primary file."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    path = hydra.config_loader.get_search_path()
    path.append("command-line", f"file://{folder}")
    hydra.config_loader = ConfigLoaderImpl(path)


def compose_data(conf: Path, option: str, overrides: Sequence[str]) -> DataConfig:
    """The data section of `data=OPTION` with these overrides. Chooses a model that fits whole numbers, if needed.

    Raises UserError where it is invalid.
    """
    model = ["model=number_reader"] if option.endswith("_numbers") else []  # other models refuse such data
    return compose_config(conf, [f"data={option}", *model, *overrides]).data


@contextmanager
def one_line_hydra_errors() -> Iterator[None]:
    """Converts Hydra's errors about the arguments into UserError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error, known_keys())) from None
    except YAMLError as error:  # its message names the file
        raise UserError(f"{' '.join(str(error).split())}: correct the YAML file") from None
    except ValueError as error:
        if str(error).startswith(_ABOUT_FLAGS):
            raise UserError(str(error)) from None
        if "Config group override" in str(error):  # Hydra's message for GROUP=3
            raise UserError(f"{error}: choose an option of conf/, GROUP=OPTION") from None
        if "invalid literal for int()" in str(error):  # and for a key below a list
            raise UserError(f"{error}: a list is set as a whole, KEY=[1,2]") from None
        raise


@contextmanager
def one_line_package_error(arguments: Sequence[str]) -> Iterator[None]:
    """Raises UserError where Hydra, with `--package`, prints that there is no such part and ends the process."""
    package = get_args_parser().parse_intermixed_args(list(arguments)).package
    if package is None:
        yield
        return
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            yield
    except SystemExit as end:
        if not end.code or "not found in config" not in printed.getvalue():
            sys.stderr.write(printed.getvalue())
            raise
        _refuse(f"--package {package}: no such key, or it is null: --cfg without --package shows all keys")


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """The command line in the form that Hydra accepts. Resolves combinations of Hydra's flags.

    With -m, `--cfg` and `--info` show the settings that all runs share. `zip(...)` becomes `hydra.sweeper.zip`.
    Raises UserError for flags that conflict.
    """
    flags = get_args_parser().parse_intermixed_args(list(arguments))  # checked by check_arguments
    shown = [f"--{name.replace('_', '-')}" for name in ("cfg", "info", "shell_completion") if getattr(flags, name)]
    if len(shown) > 1:
        _refuse(f"{' and '.join(shown)}: one at a time")
    if flags.run and flags.multirun:
        _refuse("--run and --multirun: one of them")
    for name in ("resolve", "package"):
        if getattr(flags, name) and not flags.cfg:
            _refuse(f"--{name}: goes with --cfg")
    if flags.resolve and flags.cfg == "hydra":  # Hydra removes the keys to which its own keys refer
        _refuse("--resolve: goes with --cfg job or all: --cfg all --package hydra --resolve")
    if flags.experimental_rerun and (flags.multirun or flags.config_name):
        _refuse("--experimental-rerun: goes neither with --multirun nor with --config-name")
    if flags.experimental_rerun:
        _check_rerun(Path(flags.experimental_rerun))
    if flags.shell_completion:
        _check_completion(flags.overrides)
    if flags.hydra_help:
        return ["--hydra-help"]  # with other arguments, Hydra would look up their groups in an empty configuration
    if shown and (flags.run or flags.multirun):
        others = [argument for argument in arguments if argument not in ("-r", "--run", "-m", "--multirun")]
        return (
            ["hydra.mode=MULTIRUN", *(argument for argument in others if not is_sweep(argument))]
            if flags.multirun
            else move_zips(others)
        )
    return move_zips(arguments)


def _check_rerun(folder: Path) -> None:
    """Raises UserError where `--experimental-rerun` does not name a folder with the files of an earlier run."""
    flag = f"--experimental-rerun={folder}"
    for name, key in (("hydra", "hydra.job.config_name"), ("overrides", "")):
        if not (file := folder / ".hydra" / f"{name}.yaml").is_file():
            _refuse(f"{flag}: no {file}: name a run's folder")
        try:
            content = OmegaConf.load(file)
        except (YAMLError, ValueError, OmegaConfBaseException):
            _refuse(f"{flag}: {file}: damaged: name another run's folder")
        if OmegaConf.is_dict(content) != bool(key) or (key and OmegaConf.select(content, key) is None):
            _refuse(f"{flag}: {file}: was not written by Hydra: name another run's folder")


def _check_completion(arguments: Sequence[str]) -> None:
    """Raises UserError where `--shell-completion` has not exactly one subcommand, with a shell's name."""
    pairs = [argument.partition("=") for argument in arguments]
    commands = [(key, value) for key, _, value in pairs if key in ("install", "uninstall", "query")]
    if len(commands) != 1 or commands[0][1] not in ("bash", "fish", "zsh"):
        _refuse("--shell-completion: needs one of install=SHELL and uninstall=SHELL, with bash, fish or zsh")
    if commands[0][0] == "query" and "COMP_LINE" not in os.environ:
        _refuse("--shell-completion query=SHELL: is called by the shell, which sets COMP_LINE")


def is_sweep(argument: str) -> bool:
    """Whether the argument gives a key several values. `--cfg` and `--info` accept one value for each key."""
    override = _parsed(argument)
    return is_zip(argument) or (override is not None and override.is_sweep_override())


def _parsed(argument: str) -> Override | None:
    """The argument as Hydra parses it. None where its grammar does not accept it."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--hydra-help lists the flags)")


def quote_value(text: object) -> str:
    """The text as a quoted value for an override; escapes quotes."""
    return QuotedString(str(text), Quote.single).with_quotes()


def assignment(key: str, value: object) -> str:
    """The override KEY=VALUE, with quotes around a text that Hydra would not read as this text."""
    plain = f"{key}={'null' if value is None else value}"
    if not isinstance(value, str):
        return plain
    override = _parsed(plain)
    if override is None or override.is_sweep_override():
        return f"{key}={quote_value(value)}"
    read = override.value()  # a list or a dictionary is meant as such
    return f"{key}={quote_value(value)}" if isinstance(read, str) and read != value else plain


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quotes the paths that Hydra's grammar does not accept: paths with non-ASCII letters, `(` or `=`."""
    quoted = []
    for argument in arguments:
        key, _, path = argument.partition("=")
        is_readable = key not in _PATH_KEYS or _parsed(argument) is not None
        quoted.append(argument if is_readable else f"{key}={quote_value(path)}")
    return quoted
