"""Checks before a run makes a folder: its configuration, targets, files and device.

Imports torch only for options that its own code has to check.
"""

import importlib.util
import traceback
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from housenumbers.config.groups import SCHEMAS, TorchvisionConfig
from housenumbers.config.schema import TrainConfig
from housenumbers.config.sections import DataConfig
from housenumbers.config.targets import check_allowed, check_importable, note_failing_target
from housenumbers.config.validate import validate_composed
from housenumbers.config.values import option_dict
from housenumbers.data.class_folders import check_layout
from housenumbers.data.svhn_files import check_photo_files, check_svhn_files, crops_of_numbers
from housenumbers.runtime import processes
from housenumbers.runtime.device import choose_device
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.installation import pip_install
from housenumbers.runtime.signals import deferred_signals
from housenumbers.tracking.removed_checkpoints import removal_message
from housenumbers.tracking.run_folder import RunFolder

# The packages that the loggers of conf/logger/ need. Extras of the same names in pyproject.toml install them.
_PACKAGES = {
    "housenumbers.tracking.loggers.WandbLogger": "wandb",
    "housenumbers.tracking.loggers.MLflowLogger": "mlflow",
}

# The targets of conf/. They always exist.
_SHIPPED = {*_PACKAGES, "housenumbers.tracking.loggers.CSVLogger"}.union(
    *(targets for schemas in SCHEMAS.values() for _, targets in schemas.values())
)

# Hydra's launchers whose jobs run on this machine. Other launchers' jobs have other files, devices and cores.
LOCAL_LAUNCHERS = ("BasicLauncher", "JoblibLauncher", "LocalLauncher")


class CheckConfig(Callback):
    """Rejects an invalid configuration, and missing files or devices, before Hydra makes a folder for its run.

    Also rejects a launcher that is not installed.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        package = config.hydra.launcher._target_.split(".")[:2]  # hydra_plugins.hydra_ray_launcher
        with one_line_errors():
            if processes.world_size() > 1:
                raise UserError("-m: torchrun is for one run: leave out -m, or torchrun (docs/scale.md has sweeps)")
            if config.hydra.sweeper._target_.endswith(".StudySweeper") and config.hydra.sweeper.zip:
                text = config.hydra.sweeper.zip[0]
                raise UserError(f"zip({text}): hydra/sweeper=optuna chooses its own values: leave out one of the two")
            if importlib.util.find_spec(".".join(package)) is None:
                name = config.hydra.runtime.choices["hydra/launcher"]
                extra = {"submitit_slurm": "slurm", "submitit_local": "slurm"}.get(name, name)
                raise UserError(f"hydra/launcher={name}: is not installed: {pip_install(extra)}")

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        try:
            with one_line_errors():
                if config.hydra.sweeper._target_.endswith(".StudySweeper"):
                    raise UserError("hydra/sweeper=optuna: a search is a multirun: add -m")
                check_before_run(validate_composed(config))
        except Exception:  # a bug in custom code: Hydra would log it and start the run
            traceback.print_exc()
            raise SystemExit(1) from None


def check_before_run(config: TrainConfig) -> None:
    """`check_targets`, and raises UserError for targets, files or devices that are missing on this machine.

    Imports the modules of targets outside conf/. Builds the model, the optimizer and the scheduler where an option has
    values that only their own code can check, and loads the weights of `model.pretrained`. Each process of torchrun has
    its own device, so there only the weights are loaded, on the CPU.
    """
    check_targets(config)
    for key, target in _targets(config).items():
        if target not in _SHIPPED:
            check_importable(key, target)
    check_files_and_device(config.data, option_dict(config.model).get("pretrained"), config.device)
    if not _has_unchecked_options(config):
        return
    with deferred_signals():  # as in check_importable
        from housenumbers.training.trial_build import check_buildable, check_pretrained
    with note_failing_target(group_targets(config)):
        if processes.world_size() == 1:
            check_buildable(config)
        elif _is_pretrained(config):
            check_pretrained(config)


def _has_unchecked_options(config: TrainConfig) -> bool:
    """Whether some options have no schema: options of custom targets, and options that depend on the model."""
    model = option_dict(config.model)
    return (
        any(target not in _SHIPPED for target in group_targets(config).values())
        or any(set(option_dict(getattr(config, group))) - _declared_keys(getattr(config, group)) for group in SCHEMAS)
        or isinstance(config.model, TorchvisionConfig)
        or not isinstance(model.get("freeze", False), bool)
        or _is_pretrained(config)
        or option_dict(config.optimizer).get("backbone_lr_ratio", 1) != 1
        or bool(config.progressive.sizes or config.progressive.freeze_after)
        or bool(config.metrics or config.augment.transforms)
    )


def _is_pretrained(config: TrainConfig) -> bool:
    return option_dict(config.model).get("pretrained", False) is not False


def group_targets(config: TrainConfig) -> dict[str, str]:
    """The targets of the model, the optimizer and the scheduler, by their keys."""
    return {group: str(option_dict(getattr(config, group))["_target_"]) for group in SCHEMAS}


def _declared_keys(option: Any) -> set[str]:
    """The keys of an option that its schema declares. Empty for custom options."""
    return {item.name for item in fields(option)} if is_dataclass(option) else set()


def check_for_launcher(config: TrainConfig, launcher: str) -> None:
    """`check_before_run`, or only `check_targets` where the `launcher`, a class of Hydra, runs jobs elsewhere."""
    if launcher in LOCAL_LAUNCHERS:
        check_before_run(config)
    else:
        check_targets(config)


def check_targets(config: TrainConfig) -> None:
    """Raises UserError where a target is not allowed, or needs a package that is missing. Imports nothing."""
    for key, target in _targets(config).items():
        check_allowed(key, target)
        package = _PACKAGES.get(target)
        if package and importlib.util.find_spec(package) is None:
            raise UserError(f"{key.replace('.', '=', 1)}: {package} is not installed: {pip_install(package)}")


def _targets(config: TrainConfig) -> dict[str, str]:
    """All targets that a run of the configuration calls, by their keys."""
    targets = group_targets(config)
    named = {"augment.transforms": config.augment.transforms}
    named |= {key: getattr(config, key) for key in ("logger", "metrics", "callbacks")}
    for key, entries in named.items():
        targets |= {f"{key}.{name}": option["_target_"] for name, option in entries.items()}
    return targets


def check_files_and_device(data: DataConfig, pretrained: Any, device: str) -> None:
    """Raises UserError where files that the configuration names, or its device, are missing.

    Also checks the layout of data=folder, and shapes and labels in .mat files. Does not check the rest of the content,
    or whether a missing file can be downloaded. `pretrained` is the model's setting.
    """
    root = Path(data.root)
    if data.name == "folder" and not root.is_dir():
        raise UserError(f"data.root={root}: no such folder: name the one that holds your images")
    if data.name == "folder":
        check_layout(data)
    if data.name in ("svhn", "svhn_6k"):
        check_svhn_files(data)
    if data.name in ("svhn_numbers", "svhn_6k_numbers"):
        check_svhn_files(crops_of_numbers(data))
    if data.name == "svhn_photo_numbers":
        check_photo_files(data)
    if data.fonts not in ("", "matplotlib", "system") and not Path(data.fonts).exists():
        raise UserError(f"data.fonts={data.fonts}: no such folder: name one with fonts, or matplotlib or system")
    if isinstance(pretrained, str):
        run = pretrained.startswith("run:")
        file = Path(pretrained.removeprefix("run:")) / "checkpoints" / "best.pt" if run else Path(pretrained)
        if not file.exists():
            reason = removal_message(file) or f"{file}: no such checkpoint: name a .pt file, or run: and a run's folder"
            raise UserError(f"model.pretrained={pretrained}: {reason}")
    if device.startswith(("cuda", "mps")) and processes.world_size() == 1:
        choose_device(device)


def check_same_data(run: RunFolder, data: DataConfig, remedy: str) -> None:
    """Raises UserError where the run was trained on other data than there are in `data.root` now."""
    if has_other_data(run, data):
        was = run.config().data.root
        raise UserError(f"data.root={data.root}: {run.path} is a run on other data ({was}): {remedy}")


def has_other_data(run: RunFolder, data: DataConfig) -> bool:
    """Whether the run was trained on other data than there are in `data.root` now.

    The data are read only where the run has another root: the same data may lie elsewhere on another machine.
    """
    sha256 = run.record().get("data_sha256")
    if sha256 is None:  # it ended before it had read its data
        return False
    old = run.config().data
    if Path(old.root).absolute() == Path(data.root).absolute():
        return False
    with deferred_signals():
        from housenumbers.data.load import load_splits
    moved = replace(old, root=data.root, cache=data.cache, download=data.download, verify=data.verify)
    return load_splits(moved).sha256 != sha256
