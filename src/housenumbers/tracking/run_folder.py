"""A run's folder: the paths of its files, the record `run.json`, and the lock for writing."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from housenumbers.config.schema import TrainConfig
from housenumbers.config.validate import load_saved_config
from housenumbers.config.values import config_to_dict, differing_keys, flatten
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import read_text, remove_temporary_files, write_json, write_text
from housenumbers.tracking.record_validation import check_record, checked_history

EVENTS = "events.out.tfevents."  # the prefix of TensorBoard's file names
_DERIVED = ("report.html", "evaluation_*.json", "corruptions_*", "figures/corruptions_*")
FINISHED = ("completed", "pruned")
# The keys of `run.json` that only a finished run has.
RESULTS = (
    "parameters",
    "epochs",
    "train_seconds",
    "weights_sha256",
    "best_weights_sha256",
    "best",
    "test",
    "calibration",
)


def enclosing_run(file: Path) -> Path | None:
    """The folder of the run that contains a checkpoint. None where it lies outside a run."""
    return file.parent.parent if file.parent.name == "checkpoints" else None


def list_event_files(folder: Path) -> list[Path]:
    """TensorBoard's event files directly in a folder, sorted by name."""
    return sorted(folder.glob(f"{EVENTS}*"))


class RunFolder:
    """The files of one run. The constructor reads and creates nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "run.json"
        self.metrics_file = path / "metrics.jsonl"
        self.log_file = path / "train.log"
        self.best = path / "checkpoints" / "best.pt"
        self.last = path / "checkpoints" / "last.pt"
        self.figures = path / "figures"

    def record(self) -> dict[str, Any]:
        """The content of `run.json`; empty where there is none yet.

        Raises UserError where it is damaged, and OSError where it cannot be read.
        """
        try:
            record = json.loads(read_text(self.record_file))
        except FileNotFoundError:
            return {}
        except NotADirectoryError:
            raise UserError(f"{self.path}: a file, not a run's folder: name the folder of the run") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.record_file}: damaged ({error}): restore it from a backup") from None
        return check_record(record, str(self.record_file))

    def update(self, **values: Any) -> None:
        """Sets keys of `run.json` atomically. Only the process that holds the lock may call this."""
        write_json(self.record_file, self.record() | values)

    def objective(self, objective: str | Sequence[str]) -> Any:
        """The value of a finished run's `objective`: a number or a list of numbers; None without a validation part."""
        record = self.record()
        values = {"train_seconds": record.get("train_seconds")} | (record.get("best") or {})
        return values.get(objective) if isinstance(objective, str) else [values.get(name) for name in objective]

    def config(self, overrides: Sequence[str] = ()) -> TrainConfig:
        """The configuration that the run was started with. Raises UserError where there is none."""
        saved = self.record().get("config")
        try:
            if saved is None:  # the run was killed before it wrote run.json
                saved = OmegaConf.create(read_text(self.path / ".hydra" / "config.yaml"))
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError, YAMLError):
            raise UserError(f"{self.path}: not a run's folder: it has no run.json and no .hydra/config.yaml") from None
        return load_saved_config(saved, str(self.path), overrides)

    def unresolved(self) -> dict[str, Any]:
        """The configuration as Hydra composed it, with dotted keys and interpolations as texts; empty if it is lost."""
        config = self._saved("config", resolve=False)
        return flatten(config) if isinstance(config, dict) else {}

    def overrides(self) -> list[str]:
        """The overrides of the command that started the run; empty where they were not saved or are damaged."""
        words = self._saved("overrides", resolve=True)
        return [str(word) for word in words] if isinstance(words, list) else []

    def _saved(self, name: str, resolve: bool) -> Any:
        """What `.hydra/NAME.yaml` holds, with interpolations resolved or as texts. None where it is lost or damaged."""
        try:
            saved = OmegaConf.create(read_text(self.path / ".hydra" / f"{name}.yaml"))
            return OmegaConf.to_container(saved, resolve=resolve)
        except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException, UserError):
            return None

    def check_free(self) -> None:
        """Raises UserError where the folder holds a run, or event files of another program."""
        if self.record():
            go_on = f"go on with it (resume={self.path}; in Python, Run.resume), or choose another folder"
            raise UserError(f"{self.path}: holds a run already: {go_on}")
        if event_files := list_event_files(self.path):
            raise UserError(f"{event_files[0]}: is from another program, and would be replaced: choose another folder")

    def has_run_of(self, config: TrainConfig) -> bool:
        """Whether the folder holds a run of this configuration, finished or not.

        Raises UserError where it holds a run of another configuration.
        """
        if not self.record() and not (self.path / ".hydra" / "config.yaml").exists():
            return False
        if differing_keys(self.config(), config):
            raise UserError(f"{self.path}: holds a run of another configuration: move it away or choose another folder")
        return True

    def interpolations(self) -> dict[str, str]:
        """The dotted keys of the configuration whose values refer to other keys, with these texts."""
        return {key: text for key, text in self.unresolved().items() if isinstance(text, str) and "${" in text}

    def save_config(self, config: TrainConfig, interpolations: Mapping[str, str] | None = None) -> None:
        """Writes `.hydra/config.yaml` for a run that Hydra does not start, with these `interpolations` unresolved."""
        values = OmegaConf.create(config_to_dict(config))
        for key, text in (interpolations or {}).items():
            OmegaConf.update(values, key, text)
        self._save("config", values)

    def save_hydra_config(self, config: DictConfig, settings: HydraConf) -> None:
        """Writes `.hydra/` for a run that Hydra starts: the configuration, Hydra's settings, and the overrides.

        Hydra itself would overwrite the configuration of an existing run. Only the process that holds the lock may call
        this.
        """
        self._save("config", config)
        self._save("hydra", OmegaConf.create({"hydra": settings}))
        self._save("overrides", settings.overrides.task)

    def _save(self, name: str, values: Any) -> None:
        write_text(self.path / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(values))

    def write_metrics(self, history: Sequence[dict[str, Any]]) -> None:
        """Writes one line per epoch. Replaces the whole file, which may differ from the checkpoint after a kill."""
        if not history:
            self.metrics_file.unlink(missing_ok=True)
            return
        write_text(self.metrics_file, "".join(json.dumps(record) + "\n" for record in history))

    def history(self) -> list[dict[str, Any]]:
        """The records that `write_metrics` wrote. Raises UserError where they are missing or damaged."""
        try:
            records = [json.loads(line) for line in read_text(self.metrics_file).splitlines()]
        except FileNotFoundError:
            raise UserError(f"{self.metrics_file}: no such file: this run has not completed an epoch yet") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.metrics_file}: damaged ({error}): restore it from a backup") from None
        return checked_history(records, str(self.metrics_file))

    def remove_derived_files(self) -> list[Path]:
        """Deletes the files that other commands derived from earlier best weights of this run. Returns their paths."""
        derived = [file for pattern in _DERIVED for file in sorted(self.path.glob(pattern))]
        for file in derived:
            file.unlink()
        return derived

    def record_start(self, config: TrainConfig, **values: Any) -> None:
        """Writes the record of a run that starts or resumes, possibly with more epochs and then without its results."""
        record = {key: value for key, value in self.record().items() if key not in RESULTS}
        if record.get("config", {"epochs": config.epochs}).get("epochs") != config.epochs:
            self.save_config(config)
        started = {
            "status": "running",
            "name": config.name,
            "seed": config.seed,
            "started": record.get("started") or datetime.now(UTC).isoformat(timespec="microseconds"),
            "host": platform.node(),
            "process": os.getpid(),
            "config": config_to_dict(config),
            "error": None,
        }
        write_json(self.record_file, record | started | values)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder. The operating system releases the lock when this process ends for any reason.

        Raises UserError where another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=2)
        except Timeout:
            raise UserError(f"{self.path}: another process uses this run: wait for it to end") from None
        except OSError as error:
            error.filename = str(self.path)  # users do not know the lock file, and some errors name no file
            raise
        try:
            for folder in (self.path, self.path / ".hydra", self.best.parent, self.figures):
                remove_temporary_files(folder)
            yield
        finally:
            lock.release()

    def status(self, record: Mapping[str, Any] | None = None) -> str:
        """The status in `run.json`, but "interrupted" where it is "running" and no process holds the lock.

        `record` is the content of `run.json`, where it has been read already.
        """
        status = str((self.record() if record is None else record).get("status", "interrupted"))
        if status == "running":
            # OSError: another user's folder or a read-only one, where the record is trusted.
            with suppress(Timeout, OSError), FileLock(self.path / ".lock", timeout=0):
                return "interrupted"
        return status
