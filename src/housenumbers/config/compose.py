"""Composes and checks a configuration from command-line arguments, as train.py does. Does not import torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from housenumbers.config.messages import one_line
from housenumbers.config.schema import TrainConfig, known_keys, register_schemas
from housenumbers.config.validate import validate_config
from housenumbers.runtime.errors import UserError

# Prefixes of Hydra's ValueErrors about flags that `hydra_arguments` cannot split, such as -mc job.
_ABOUT_FLAGS = ("Only one of --run", "The --resolve flag", "--experimental-rerun")
# Keys whose values are paths. A path may contain any character.
_PATH_KEYS = ("data.root", "data.cache", "data.fonts", "model.pretrained", "hydra.run.dir", "hydra.sweep.dir")


def compose_config(conf: Path, arguments: Sequence[str], config_dir: Path | None = None) -> TrainConfig:
    """Composes the folder `conf`, an optional `--config-dir` and these arguments as train.py does, and checks them.

    Raises UserError where the configuration is invalid.
    """
    register_schemas()
    search_path = [] if config_dir is None else [f"hydra.searchpath=[{_in_quotes(f'file://{config_dir}')}]"]
    with one_line_hydra_errors(), initialize_config_dir(str(conf)):
        return validate_config(compose("train", [*search_path, *quote_paths(arguments)]))


@contextmanager
def one_line_hydra_errors() -> Iterator[None]:
    """Converts Hydra's errors about the arguments into UserError."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error, known_keys())) from None
    except ValueError as error:
        if str(error).startswith(_ABOUT_FLAGS):
            raise UserError(str(error)) from None
        if "Config group override" in str(error):  # Hydra's message for GROUP=3
            raise UserError(f"{error}: choose an option of conf/, GROUP=OPTION") from None
        if "invalid literal for int()" in str(error):  # and for a key below a list
            raise UserError(f"{error}: a list is set as a whole, KEY=[1,2]") from None
        raise


def hydra_arguments(arguments: Sequence[str]) -> list[str]:
    """The command line in the form that Hydra accepts. Resolves combinations of Hydra's flags.

    With -m, `--cfg` and `--info` show the settings that all runs share. Raises UserError for flags that conflict.
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
    if flags.experimental_rerun and (flags.multirun or flags.config_name):
        _refuse("--experimental-rerun: goes neither with --multirun nor with --config-name")
    for name in ("hydra", "overrides") if flags.experimental_rerun else ():
        if not (file := Path(flags.experimental_rerun) / ".hydra" / f"{name}.yaml").is_file():
            _refuse(f"--experimental-rerun={flags.experimental_rerun}: no {file}: name a run's folder")
    if flags.hydra_help:
        return ["--hydra-help"]  # with other arguments, Hydra would look up their groups in an empty configuration
    if shown and (flags.run or flags.multirun):
        others = [argument for argument in arguments if argument not in ("-r", "--run", "-m", "--multirun")]
        return (
            ["hydra.mode=MULTIRUN", *(argument for argument in others if not _sweeps(argument))]
            if flags.multirun
            else others
        )
    return list(arguments)


def _sweeps(argument: str) -> bool:
    """Whether the argument gives a key several values. `--cfg` and `--info` accept one value for each key."""
    try:
        return OverridesParser.create().parse_override(argument).is_sweep_override()
    except HydraException:
        return False


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--hydra-help lists the flags)")


def _in_quotes(text: str) -> str:
    escaped = text.replace('"', r"\"")
    return f'"{escaped}"'


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quotes the paths that Hydra's grammar does not accept: paths with non-ASCII letters, `(` or `=`."""
    parser = OverridesParser.create()

    def parses(argument: str) -> bool:
        try:
            parser.parse_override(argument)
        except HydraException:
            return False
        return True

    def in_quotes(argument: str) -> str:
        key, _, path = argument.partition("=")
        if key not in _PATH_KEYS or parses(argument):
            return argument
        return f"{key}={_in_quotes(path)}"

    return [in_quotes(argument) for argument in arguments]
