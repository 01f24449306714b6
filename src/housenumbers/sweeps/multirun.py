"""A plain multirun: each run's folder says what varies, and the same command again goes on with what is missing."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from housenumbers.config.schema import TrainConfig
from housenumbers.config.validate import validate_composed
from housenumbers.config.values import config_to_dict, without_machine_keys
from housenumbers.preflight import check_for_launcher
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import write_text
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.tracking.spread import seed_summary

AUTOMATIC = "auto"  # the value of hydra.sweep.subdir that stands for the names that are made here
_LONGEST = 100  # letters of a folder's name
_Job = Sequence[str]  # the overrides of a run


def run_multirun(
    batches: Sequence[Sequence[_Job]], config: DictConfig, loader: ConfigLoader, launcher: Launcher
) -> list[Sequence[JobReturn]]:
    """Runs all jobs, each in a folder of its own below `hydra.sweep.dir`, and prints their spread over seeds.

    A folder that holds a run of a job's configuration is that job's: train.py goes on with it. Raises UserError at the
    end where runs failed, and before anything runs for a configuration that is refused, and for other runs than these
    below `hydra.sweep.dir`, so that multirun.yaml tells of all that lie beside it.
    """
    jobs = [job for batch in batches for job in batch]
    composed = [loader.load_sweep_config(config, list(job)) for job in jobs]
    configs = [validate_composed(each) for each in composed]
    for each in configs:
        check_for_launcher(each, type(launcher).__name__)
    home = Path(config.hydra.sweep.dir)
    wanted = _names(jobs, composed, configs)
    names = _places(home, wanted, configs)
    write_text(home / "multirun.yaml", OmegaConf.to_yaml(config))
    returned: list[Sequence[JobReturn]] = []
    first = 0
    try:
        for batch in batches:
            placed = [
                [*job, f"hydra.sweep.subdir={_quoted(name)}"] for job, name in zip(batch, names[first:], strict=False)
            ]
            returned.append(launcher.launch(placed, initial_job_idx=first))
            first += len(batch)
    finally:  # what completed counts after an interruption, too
        if lines := seed_summary(home):
            print(*lines, sep="\n", flush=True)
    _raise_failures([each for batch in returned for each in batch], names)
    return returned


def _names(jobs: Sequence[_Job], composed: Sequence[DictConfig], configs: Sequence[TrainConfig]) -> list[str]:
    """The folder of each job: its number and what varies between them, or what `hydra.sweep.subdir` says."""
    names = []
    varying = [len(set(overrides)) > 1 for overrides in zip(*jobs, strict=True)]
    for number, (job, own, config) in enumerate(zip(jobs, composed, configs, strict=True)):
        with read_write(own.hydra), open_dict(own.hydra):
            own.hydra.job.num = number
            own.hydra.job.id = f"{own.hydra.job.name}_{number}"
        if own.hydra.sweep.subdir != AUTOMATIC:
            names.append(str(own.hydra.sweep.subdir))
            continue
        overrides = [override for override, varies in zip(job, varying, strict=True) if varies]
        names.append(folder_name(number, overrides or [config.name]))
    return names


def folder_name(number: int, overrides: Sequence[str]) -> str:
    """ "0_optimizer.lr=0.003": letters that every file system and shell takes, and at most 100 of them."""
    bare = (
        re.sub(r"[\[\]{}'\" ]", "", override.lstrip("+")) for override in overrides
    )  # a list's brackets say nothing here
    clean = (re.sub(r"[^A-Za-z0-9_.=+-]+", "-", override) for override in bare)
    name = "_".join([str(number), *clean])
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{digest}"


def _places(home: Path, names: Sequence[str], configs: Sequence[TrainConfig]) -> list[str]:
    """The folder of each job below `home`: one that holds its run already, or the new one of that name."""
    runs = _runs({(home / name).parent for name in names})
    there = {
        os.path.relpath(folder, home): without_machine_keys(config_to_dict(RunFolder(folder).config()))
        for folder in runs
    }
    places = []
    for name, config in zip(names, configs, strict=True):
        wanted = without_machine_keys(config_to_dict(config))
        found = sorted((place for place, held in there.items() if held == wanted), key=lambda place: place != name)
        places.append(found[0] if found else name)
        if found:
            del there[found[0]]
    for place in there:
        raise UserError(f"hydra.sweep.dir={home}: holds a run of another multirun, {place}: choose another folder")
    for place in places:
        if places.count(place) > 1:
            raise UserError(f"hydra.sweep.subdir: two runs would be in {place}: leave it out, or name what varies")
    return places


def _runs(parents: Iterable[Path]) -> list[Path]:
    """The folders of runs, begun or ended, in these folders."""
    folders = [folder for parent in parents if parent.is_dir() for folder in parent.iterdir()]
    return sorted(each for each in folders if (each / "run.json").exists() or (each / ".hydra/config.yaml").exists())


def _quoted(text: str) -> str:
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"


def _raise_failures(returned: Sequence[JobReturn], names: Sequence[str]) -> None:
    """Raises a bug as it is; of what a user can mend, each of which was told when it happened, how many and where."""
    failed = {name: each for name, each in zip(names, returned, strict=True) if each.status is JobStatus.FAILED}
    for each in failed.values():
        if not isinstance(each._return_value, UserError):
            _ = each.return_value
    if failed:
        runs = "run" if len(returned) == 1 else "runs"
        raise UserError(f"{len(failed)} of {len(returned)} {runs} failed, {', '.join(failed)}: see their train.log")


def run_objective(folder: RunFolder, objective: Any) -> Any:
    """What the ended run in `folder` gave its sweeper: one number, or a list of them; None where it has none."""
    record = folder.record()
    best = record.get("best") or {}
    names = [objective] if isinstance(objective, str) else objective
    values = [record.get(name) if name == "train_seconds" else best.get(name) for name in names]
    return values[0] if isinstance(objective, str) else values
