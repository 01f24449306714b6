"""A plain multirun: each run's folder is named by what varies, and repeating the command runs what is missing."""

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from housenumbers.config.compose import quote_value
from housenumbers.config.paired_values import check_separate, paired_overrides
from housenumbers.config.schema import TrainConfig
from housenumbers.config.validate import validate_composed
from housenumbers.config.values import without_machine_keys
from housenumbers.preflight import check_for_launcher, check_same_data
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_text
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.spread import seed_summary

AUTOMATIC = "auto"  # the value of hydra.sweep.subdir that selects automatic folder names
_MAX_NAME_LENGTH = 100  # characters of a folder's name
_Job = Sequence[str]  # the overrides of a run


def jobs_of(overrides: list[Override], zips: Sequence[str], parser: OverridesParser) -> list[list[str]]:
    """The overrides of each run: every row of each zip() with every combination of the other values.

    The rows vary slowest, so that for example the seeds of a pair follow each other. Raises UserError for a zip() whose
    keys differ in their numbers of values, or with a key that is also given elsewhere.
    """
    check_separate(zips, [override.get_key_element().lstrip("+~") for override in overrides])
    tables = [paired_overrides(text, parser) for text in zips]
    (others,) = BasicSweeper.split_arguments(overrides, None)
    return [[*itertools.chain(*rows), *other] for *rows, other in itertools.product(*tables, others)]


def run_multirun(
    batches: Sequence[Sequence[_Job]], config: DictConfig, loader: ConfigLoader, launcher: Launcher
) -> list[Sequence[JobReturn]]:
    """Runs each job in a separate folder below `hydra.sweep.dir`, and prints the spread over seeds.

    A job whose configuration matches the run in an existing folder uses that folder: train.py continues it.
    Raises UserError before any run starts where a configuration is invalid or `hydra.sweep.dir` holds other runs (so
    that multirun.yaml describes every run beside it), and at the end where runs failed.
    """
    jobs = [job for batch in batches for job in batch]
    composed = [loader.load_sweep_config(config, list(job)) for job in jobs]
    configs = [validate_composed(job_config) for job_config in composed]
    for checked in configs:
        check_for_launcher(checked, type(launcher).__name__)
    home = Path(config.hydra.sweep.dir)
    default_names = _names(jobs, composed, configs)
    names = _subdirs(home, default_names, configs)
    write_text(home / "multirun.yaml", OmegaConf.to_yaml(config))
    returned: list[Sequence[JobReturn]] = []
    first = 0
    try:
        for batch in batches:
            jobs_with_folders = [
                [*job, f"hydra.sweep.subdir={quote_value(name)}"]
                for job, name in zip(batch, names[first:], strict=False)
            ]
            returned.append(launcher.launch(jobs_with_folders, initial_job_idx=first))
            first += len(batch)
    finally:  # completed runs are summarized after an interruption, too
        if lines := seed_summary(home):
            print(*lines, sep="\n", flush=True)
    _raise_failures([result for batch in returned for result in batch], names)
    return returned


def _names(jobs: Sequence[_Job], composed: Sequence[DictConfig], configs: Sequence[TrainConfig]) -> list[str]:
    """The folder of each job: its number and the overrides that vary, or the value of `hydra.sweep.subdir`."""
    names = []
    varying = [len(set(overrides)) > 1 for overrides in zip(*jobs, strict=True)]
    for number, (job, job_config, config) in enumerate(zip(jobs, composed, configs, strict=True)):
        with read_write(job_config.hydra), open_dict(job_config.hydra):
            job_config.hydra.job.num = number
            job_config.hydra.job.id = f"{job_config.hydra.job.name}_{number}"
        if job_config.hydra.sweep.subdir != AUTOMATIC:
            names.append(str(job_config.hydra.sweep.subdir))
            continue
        overrides = [override for override, varies in zip(job, varying, strict=True) if varies]
        names.append(folder_name(number, overrides or [config.name]))
    return names


def folder_name(number: int, overrides: Sequence[str]) -> str:
    """ "0_optimizer.lr=0.003": only characters that every file system and shell accepts, at most 100."""
    bare = (re.sub(r"[\[\]{}'\" ]", "", override.lstrip("+")) for override in overrides)
    clean = (re.sub(r"[^A-Za-z0-9_.=+-]+", "-", override) for override in bare)
    name = "_".join([str(number), *clean])
    if len(name) <= _MAX_NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _MAX_NAME_LENGTH - 9]}_{digest}"


def _subdirs(home: Path, names: Sequence[str], configs: Sequence[TrainConfig]) -> list[str]:
    """The folder of each job below `home`: the folder that already holds its run, or the one of its default name."""
    runs = _runs({(home / name).parent for name in names})
    unassigned = {os.path.relpath(folder, home): without_machine_keys(RunFolder(folder).config()) for folder in runs}
    subdirs = []
    for name, config in zip(names, configs, strict=True):
        settings = without_machine_keys(config)
        matching = sorted(
            (subdir for subdir, saved in unassigned.items() if saved == settings), key=lambda subdir: subdir != name
        )
        subdirs.append(matching[0] if matching else name)
        if matching:
            check_same_data(RunFolder(home / matching[0]), config.data, "choose another hydra.sweep.dir")
            del unassigned[matching[0]]
    for subdir in unassigned:
        raise UserError(f"hydra.sweep.dir={home}: holds a run of another multirun, {subdir}: choose another folder")
    for subdir in subdirs:
        if subdirs.count(subdir) > 1:
            raise UserError(f"hydra.sweep.subdir: two runs would be in {subdir}: leave it out, or name what varies")
    return subdirs


def _runs(parents: Iterable[Path]) -> list[Path]:
    """The run folders directly inside `parents`."""
    folders = [folder for parent in parents if parent.is_dir() for folder in parent.iterdir()]
    return sorted(path for path in folders if (path / "run.json").exists() or (path / ".hydra/config.yaml").exists())


def _raise_failures(returned: Sequence[JobReturn], names: Sequence[str]) -> None:
    """Raises a run's unexpected error unchanged, or one UserError that counts and names the failed runs."""
    failed = {name: job for name, job in zip(names, returned, strict=True) if job.status is JobStatus.FAILED}
    for job in failed.values():
        if not isinstance(job._return_value, UserError):
            _ = job.return_value
    if failed:
        runs = "run" if len(returned) == 1 else "runs"
        raise UserError(f"{len(failed)} of {len(returned)} {runs} failed, {', '.join(failed)}: see their train.log")
