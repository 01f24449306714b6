"""The targets that a configuration may call, and the only function that calls them. Does not import torch."""

import inspect
import os
import pkgutil
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from housenumbers.config.messages import as_typed, one_line
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.signals import deferred_signals

# The targets that a configuration may call. It may come from another user's run folder.
ALLOWED_TARGETS = (
    "housenumbers.models.*",
    "housenumbers.tracking.loggers.*",
    "housenumbers.training.muon.MuonAdamW",
    "housenumbers.training.schedules.Trapezoidal",
    "housenumbers.preflight.CheckConfig",
    "torch.optim.*",
    "hydra._internal.core_plugins.*",
    "hydra_plugins.*",
    "optuna.samplers.*",
    "optuna.pruners.*",
)

# An environment variable that allows more targets: comma-separated names such as mymodels.Net or mymodels.*.
ALLOW_VARIABLE = "HOUSENUMBERS_ALLOW"
# Read at the start of the process, before a configuration can set it through hydra.job.env_set.
ALLOW_VALUE = os.environ.get(ALLOW_VARIABLE, "")

_TARGET_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\.\*)?")
# The errors that torch raises for options that it does not accept.
_OPTION_ERRORS = (
    ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError, AssertionError, OverflowError,
)  # fmt: skip
_LIBRARIES = ("housenumbers.", "torch.")  # the beginnings of the names of modules that are not custom code
_MODEL_MODULES = ("housenumbers.models.", "torchvision.models.")  # their ValueErrors read "key=value: ..."


def allowed_targets() -> tuple[str, ...]:
    """The names of all allowed targets. Raises UserError where the environment variable is malformed."""
    return (*ALLOWED_TARGETS, *_user_allowed_targets())


def _user_allowed_targets() -> list[str]:
    allowed = [name for entry in ALLOW_VALUE.split(",") if (name := entry.strip())]
    for name in allowed:
        if not _TARGET_NAME.fullmatch(name):
            raise UserError(
                f"{ALLOW_VARIABLE}={ALLOW_VALUE}: must be names, mymodels.Net or mymodels.*, separated by commas"
            )
    return allowed


def check_allowed(key: str, target: Any) -> None:
    """Raises UserError that names the `key` where the target may not be called. Imports nothing."""
    if not isinstance(target, str) or not target:
        raise UserError(
            f"{key}._target_={target}: must be the full name of a class or a function, such as mymodels.Net"
        )
    for name in allowed_targets():
        if target == name or (name.endswith(".*") and target.startswith(name[:-1])):
            return
    raise UserError(_not_allowed(key, target))


def check_importable(key: str, target: str) -> None:
    """Raises UserError that names the `key` where the target does not exist. Imports its module, and possibly torch."""
    try:
        with deferred_signals():  # an interrupted import would leave torch with half of NumPy
            pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "name a class or a function; a module of your own is found by PYTHONPATH"
        raise UserError(f"{key}: {target}: {error}: {hint}") from None


def instantiate_target(key: str, arguments: Mapping[str, Any], **more: Any) -> Any:
    """Calls the `_target_` of the option `key` with the option's other keys and `more`.

    Raises UserError where the target is not allowed or does not exist, or does not accept these keys or values.
    """
    for name in arguments.keys() & more.keys():
        raise UserError(f"{key}.{name}: is set by the run itself: leave it out")
    target = arguments.get("_target_")
    check_allowed(key, target)
    try:
        return instantiate(dict(arguments), _convert_="all", _execution_whitelist_=allowed_targets(), **more)
    except Exception as error:
        cause = error.__cause__ or error
        raised_in = module_that_raised(cause)
        if isinstance(cause, ValueError) and raised_in.startswith(_MODEL_MODULES):
            raise UserError(f"{key}.{cause}") from None  # a value that the model does not accept
        if isinstance(cause, _OPTION_ERRORS) and raised_in.startswith("torch.optim."):
            given = ", ".join(f"{name}={as_typed(value)}" for name, value in arguments.items() if name != "_target_")
            reason = one_line(cause) or type(cause).__name__
            raise UserError(f"{key}: {reason}: give {target} other options than {given or 'none'}") from None
        if isinstance(cause, ValueError | ImportError) and not raised_in.startswith(("hydra.", "importlib")):
            raise UserError(f"{key}: {target}: {cause}") from None
        if not raised_in.startswith(("hydra.", "importlib")):
            if "." in key:
                raise UserError(failure_message(key, cause, f"creating {target}")) from None
            _add_note(error, key, str(target))
            raise  # a bug in the target, not in the configuration
        # The call itself failed: a refused or unknown target, or arguments that it does not accept.
        raise UserError(_reason(key, str(target), error)) from None


def instantiate_in_run(folder: Path, key: str, option: Mapping[str, Any]) -> Any:
    """Instantiates the option. Passes the run's `folder` where the target has a parameter of that name."""
    check_allowed(key, option["_target_"])
    more: dict[str, Any] = {}
    with suppress(ImportError, TypeError, ValueError):  # reported below; some C functions have no signature
        if "folder" in inspect.signature(get_object(option["_target_"])).parameters:
            more["folder"] = folder
    return instantiate_target(key, option, **more)


@contextmanager
def note_failing_target(targets: Mapping[str, str]) -> Iterator[None]:
    """Adds the key and the target to an error that a custom target's code raises: the last line of its traceback.

    `targets` are those whose code the block calls, by their keys.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for key, target in targets.items():
            if _is_of_target(error, target):
                _add_note(error, key, target)
        raise


def _is_of_target(error: Exception, target: str) -> bool:
    """Whether the error passed through a method of the target, if it is a class, or else through its module."""
    try:
        made = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__"))
        if module.startswith(_LIBRARIES):
            continue
        if isinstance(frame.f_locals.get("self"), made) if isinstance(made, type) else module == made.__module__:
            return True
    return False


def _add_note(error: Exception, key: str, target: str) -> None:
    note = f"{key}._target_={target}: its own code fails"
    if not target.startswith(_LIBRARIES) and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def failure_message(key: str, error: BaseException, call: str) -> str:
    """One line with the `call` of code that a configuration named, its error, and the location in this code, if any."""
    frames = traceback.extract_tb(error.__traceback__)
    at_the_call = frames[-1].filename == frames[0].filename or module_that_raised(error).startswith("hydra.")
    place = "" if at_the_call else f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return f"{key}: {call}: {type(error).__name__}: {one_line(error)}{place}"


def _reason(key: str, target: str, error: Exception) -> str:
    if message := refused_message(key, error):
        return message
    if isinstance(error.__cause__, ImportError):
        return f"{key}: {one_line(error)} (a module of your own is found by PYTHONPATH)"
    return f"{key}: {target}: {one_line(error)}"


def refused_message(key: str, error: Exception) -> str | None:
    """The message where Hydra refused a target: a nested one, or the object behind an alias. Else None."""
    refused = re.search(r"Target '([^']+)'.* is not in the Hydra execution whitelist", str(error))
    return _not_allowed(key, refused[1]) if isinstance(error, InstantiationException) and refused else None


def _not_allowed(key: str, target: str) -> str:
    # With what is set already: an alias needs its own name and the object's.
    names = ",".join([*_user_allowed_targets(), target])
    return (
        f"{key}: {target}: a configuration may not call this: if you trust it, set {ALLOW_VARIABLE}={names} in the "
        "environment (docs/extend.md)"
    )


def module_that_raised(error: BaseException) -> str:
    """The name of the module whose code raised the error; empty where nothing raised it."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else str(last.tb_frame.f_globals.get("__name__"))
