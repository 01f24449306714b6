"""Composes configurations and trains in Python, as `python src/train.py` does."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict, read_write

from housenumbers.api.arguments import as_overrides
from housenumbers.api.resume import ONE_AT_A_TIME, one_training_at_a_time
from housenumbers.api.run import Run
from housenumbers.config.compose import compose_config, one_line_hydra_errors, quote_paths
from housenumbers.config.overrides import check_arguments
from housenumbers.config.schema import TrainConfig, register_schemas
from housenumbers.config.validate import validate_composed
from housenumbers.preflight import check_before_run
from housenumbers.reports.after_training import page_after_training
from housenumbers.runs.run import run as run_training
from housenumbers.runtime.errors import UserError, os_errors_as_user_errors
from housenumbers.runtime.installation import CONF, command
from housenumbers.runtime.signals import sigint_as_keyboard_interrupt
from housenumbers.tracking.run_folder import RunFolder

_MULTIRUN_PREFIXES = ("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher", "hydra.mode")


@os_errors_as_user_errors()
def compose(overrides: Sequence[str] = ()) -> TrainConfig:
    """The checked configuration that these overrides result in, as `python src/train.py OVERRIDES` composes it.

    Raises UserError, whose message names the key, where one is wrong, and InputError where they are no list of words.
    """
    overrides = _checked(overrides)
    with ONE_AT_A_TIME, _own_hydra():
        return compose_config(CONF, overrides)


@os_errors_as_user_errors()
def train(overrides: Sequence[str] = ()) -> Run:
    """Trains one run in this process, and returns it: `train(["model=fastnet", "data=digits", "epochs=3"])`.

    Does what `python src/train.py OVERRIDES` does: the same folder under outputs/ of the working folder, or in
    `hydra.run.dir=FOLDER`, with the same files, and the same weights to the bit. Seeds and other settings of PyTorch
    that the run needs (threads, deterministic algorithms) stay as it leaves them. Calls in several threads take turns.

    In the main thread an interrupt (Ctrl-C, or Jupyter's button) ends it at a point where nothing is lost, and raises
    KeyboardInterrupt; `Run.resume` goes on. Raises UserError where the configuration or the data are wrong, the
    training diverges, or files cannot be written, and InputError where `overrides` is no list of words.
    """
    overrides = _checked(overrides)
    with one_training_at_a_time():
        composed, settings = _composed(overrides)
        config = validate_composed(composed)
        check_before_run(config)
        folder = RunFolder(Path(settings.runtime.output_dir))
        folder.check_free()

        def save() -> None:
            plain = copy.deepcopy(composed)
            with read_write(plain), open_dict(plain):
                del plain["hydra"]
            folder.save_hydra_config(plain, settings)

        with sigint_as_keyboard_interrupt():
            run_training(config, folder.path, prepare=save)
            page_after_training(folder.path)
        return Run(folder.path)


def _checked(overrides: Sequence[str]) -> list[str]:
    overrides = as_overrides(overrides)
    for override in overrides:
        key = override.partition("=")[0]
        if override in ("-m", "--multirun") or key.startswith(_MULTIRUN_PREFIXES):
            raise UserError(
                f"{override}: is for {command('train')} -m: here is one run (a multirun is a loop in Python)"
            )
        if override.startswith("-"):
            raise UserError(f"{override}: is a flag of {command('train')}: here are settings alone, KEY=VALUE")
        if key == "resume":
            raise UserError(f"{override}: not here: open_run(FOLDER).resume() goes on with a run")
        if key == "repeat":
            raise UserError(f"{override}: is for {command('train')}: here train anew with the run's overrides")
    check_arguments(overrides)
    return overrides


def _composed(overrides: Sequence[str]) -> tuple[Any, Any]:
    """The composed configuration with Hydra's section, and that section, in which the run's folder is resolved."""
    register_schemas()
    with _own_hydra(), one_line_hydra_errors(), initialize_config_dir(str(CONF), job_name="train"):
        composed = hydra_compose("train", quote_paths(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(composed)
        runtime = composed.hydra.runtime
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = str(Path(composed.hydra.run.dir).absolute())
    return composed, composed.hydra


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Puts aside what the calling program, such as a notebook, has initialized of Hydra."""
    before = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        yield
    finally:  # Hydra replaces both objects, so they are looked up again
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = before
