"""One run, from its configuration to its results, in its run folder."""

import logging
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch

from housenumbers.config.schema import TrainConfig
from housenumbers.config.targets import custom_code_named
from housenumbers.config.values import config_to_dict, option_dict
from housenumbers.data.batches import smallest_micro_batch, steps_per_epoch, training_batches
from housenumbers.data.load import Splits, load_splits, test_part_sha256
from housenumbers.preflight import check_targets, group_targets
from housenumbers.runs.restore import best_weights_sha256, last_checkpoint, restore, save_best_again
from housenumbers.runs.results import write_results
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError, error_text
from housenumbers.runtime.memory import disable_malloc_trimming, one_line_memory_errors
from housenumbers.runtime.signals import deferred_signals
from housenumbers.runtime.text import plural
from housenumbers.tracking import tensorboard
from housenumbers.tracking.callbacks import LoggersAndCallbacks
from housenumbers.tracking.event_file import EventFile
from housenumbers.tracking.run_folder import FINISHED, RunFolder
from housenumbers.tracking.run_log import run_log
from housenumbers.training import distributed
from housenumbers.training.build import check_output, parameter_count
from housenumbers.training.checkpoint import save_checkpoint, weights_sha256
from housenumbers.training.history import Record, best_record
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.progress_bar import ProgressBar
from housenumbers.training.progressive import check_batch_shapes
from housenumbers.training.reproducibility import environment, seed_everything

log = logging.getLogger(__name__)


class Trial(Protocol):
    """The interface of a sweep's trial that a run uses."""

    @property
    def identity(self) -> dict[str, Any]: ...

    def report(self, value: float, epoch: int) -> None: ...

    def should_stop(self) -> bool: ...

    def exit_if_time_is_over(self) -> None: ...


def run(
    config: TrainConfig,
    path: Path,
    trial: Trial | None = None,
    resuming: bool = False,
    prepare: Callable[[], None] = lambda: None,
) -> Any:
    """Starts or continues training in the run folder `path`, and returns the value of `config.objective`.

    Starts from the folder's last checkpoint if there is one. A folder that holds a run is rejected unless `resuming`.
    A sweep's trial does not read the test part. It receives the objective after each epoch and may stop the run, which
    then has status "pruned". `prepare` is called first, once this process has locked the folder.
    Raises UserError for errors that the user can correct; the record in the folder then has status "failed".
    """
    folder = RunFolder(path)
    check_targets(config)
    observers = LoggersAndCallbacks(config, path)
    with (
        _claimed(folder, resuming), run_log(folder.log_file), _recorded(folder, trial), one_line_memory_errors(),
        custom_code_named(group_targets(config)), distributed.process_group(),
    ):  # fmt: skip
        prepare()
        log.info("%s", folder.path)
        distributed.broadcast_object(config)
        device = distributed.setup_device(config)
        disable_malloc_trimming()
        conditions = {**environment(device), "git_commit": _git_commit()}
        last = last_checkpoint(folder, config, device)
        # A trial that continues an interrupted trial has that trial's checkpoints and no record yet.
        record = folder.record()
        run_id, old_test = last.get("run_id") or record.get("run_id") or uuid.uuid4().hex, record.get("test_sha256")
        begun = {"run_id": run_id, **conditions, "trial": trial and trial.identity}
        if record.get("status") not in FINISHED:
            folder.record_start(config, **begun)
        if trial is None:  # reads the test part before training, to detect errors in it early
            begun["test_sha256"] = test_part_sha256(config.data)
            if old_test not in (None, begun["test_sha256"]):
                raise UserError(f"{path}: the test part in {config.data.root} is not the one that this run began with")
        splits = load_splits(config.data).to(device)
        if last.get("data_sha256", splits.sha256) != splits.sha256:
            raise UserError(f"{path}: the data in {config.data.root} are not those that this run began with")
        # A run resumed under different conditions may not be repeatable: its record states that.
        mixed = last.get("conditions_mixed", False) or last.get("conditions", conditions) != conditions
        begun |= {"data_sha256": distributed.broadcast_object(splits.sha256), "conditions_mixed": mixed}

        state = _start_or_resume(config, folder, splits, device, last)
        best_sha256 = best_weights_sha256(config, state, last)
        distributed.broadcast_state(state, device)
        # Only now, because until here a finished run that cannot be made longer keeps its record.
        folder.record_start(config, **begun, pretrained_sha256=state.pretrained_sha256)
        save_best_again(config, state, last, folder)
        del last  # else a second copy of the weights and optimizer moments would stay in memory
        # From here on signals are handled between batches: an exception inside matplotlib or a study's database does
        # harm.
        with deferred_signals(), EventFile(path) as writer, observers:
            _write_so_far(config, state, splits, folder, writer)
            observers.begin(state.history)
            origin = {
                "run_id": run_id,
                "data_sha256": splits.sha256,
                "conditions": conditions,
                "conditions_mixed": mixed,
            }
            pruned, best_sha256 = _train(config, state, splits, folder, writer, observers, trial, origin, best_sha256)
            distributed.destroy_process_group()  # the worker processes end here
            _restored(config, state, splits, folder, writer)
            scores = write_results(
                config,
                state,
                splits,
                folder,
                writer,
                status="pruned" if pruned else "completed",
                is_trial=trial is not None,
                best_sha256=best_sha256,
            )
            observers.scores(scores, epoch=len(state.history))
        return _objective(config, state)


def _start_or_resume(
    config: TrainConfig, folder: RunFolder, splits: Splits, device: torch.device, last: dict[str, Any]
) -> TrainingState:
    """The state before the first epoch or, with a `last` checkpoint, after the checkpoint's epoch."""
    seed_everything(config.seed)
    steps = steps_per_epoch(splits.train, config.data.batch_size)
    state = TrainingState.initial(config, steps, device, pretrained=not last)
    images = splits.train.images
    fewest = smallest_micro_batch(len(images), config.data.batch_size, processes.world_size(), config.micro_batches)
    check_batch_shapes(config, state.model, images[:fewest])
    check_output(state.model, option_dict(config.model)["_target_"], images[:2], splits.train.labels[:2])
    validating = 0 if splits.validation is None else len(splits.validation.labels)
    log.info(
        "%s, %s; %s to train, %s to validate; %s, %s",
        config.name, plural(parameter_count(state.model), "parameter"), plural(len(splits.train.labels), "image"),
        f"{validating:,}", device, plural(torch.get_num_threads(), "thread"),
    )  # fmt: skip
    if last:
        restore(config, state, last, folder, steps)
        log.info("going on after epoch %d of %d", len(state.history), config.epochs)
    return state


def _write_so_far(
    config: TrainConfig, state: TrainingState, splits: Splits, folder: RunFolder, writer: EventFile
) -> None:
    """Writes all files that follow from the configuration and the history so far.

    A resumed run writes them again, since a kill may have come between the checkpoint and the other files.
    """
    tensorboard.log_configuration(writer, config_to_dict(config))
    for epoch in (1, 2):  # two epochs show the effect of augmentation
        images, _ = next(training_batches(splits.train, config.data.batch_size, config.augment, config.seed, epoch))
        tensorboard.log_sample_batch(writer, images, epoch)
    folder.write_metrics(state.history)
    ended = time.time() - sum(record["seconds"] for record in state.history)
    for record in state.history:
        ended += record["seconds"]
        tensorboard.log_epoch(writer, record, len(splits.train.labels) / record["seconds"], ended)


def _restored(config: TrainConfig, state: TrainingState, splits: Splits, folder: RunFolder, writer: EventFile) -> bool:
    """Whether another program removed or changed the event file, so that all its data were written again."""
    if not writer.restart_if_lost():
        return False
    log.warning("%s: its event file was removed or changed: written again", folder.path)
    _write_so_far(config, state, splits, folder, writer)
    return True


def _train(
    config: TrainConfig,
    state: TrainingState,
    splits: Splits,
    folder: RunFolder,
    writer: EventFile,
    observers: LoggersAndCallbacks,
    trial: Trial | None,
    origin: dict[str, Any],
    best_sha256: str | None,
) -> tuple[bool, str | None]:
    """Runs the training loop, and saves the state after each epoch. Returns whether the trial was pruned.

    Also returns the `weights_sha256` of the best weights, which is `best_sha256` at the start. last.pt holds it, so
    that a resumed run notices another best.pt. Checkpoints hold the configuration and `origin`.
    """
    common = {"config": config_to_dict(config), **origin}
    images = len(splits.train.labels)
    if trial is not None:
        for record in state.history:  # of the interrupted trial that this trial continues
            _report(config, record, trial)
    with ProgressBar(
        config.epochs, steps_per_epoch(splits.train, config.data.batch_size), len(state.history)
    ) as progress:
        for record in fit(config, state, splits.stages, splits.validation, progress.step):
            best = (
                best_record(state.history, config.selection_metric) or record
            )  # without validation the last is the best
            # In reverse order, a kill in between could leave best.pt with an epoch that a run resumed elsewhere does
            # not reproduce.
            if best is record:
                best_sha256 = weights_sha256(state.weights())
            save_checkpoint(folder.last, {**common, **state.state_dict(), "best_weights_sha256": best_sha256})
            if best is record:
                save_checkpoint(folder.best, {**common, "model": state.weights(), "record": record})
            _check_not_removed(folder, best["epoch"])
            folder.write_metrics(state.history)
            if not _restored(config, state, splits, folder, writer):
                tensorboard.log_epoch(writer, record, images / record["seconds"])
            log.info("%s", _epoch_line(config, record, best is record))
            observers.after_epoch(record)
            if trial is not None and _report(config, record, trial):
                log.info("pruned after epoch %d", record["epoch"])
                return True, best_sha256
            if trial is not None and record["epoch"] < config.epochs:
                trial.exit_if_time_is_over()  # after the pruner's decision, which the continued trial does not repeat
    if len(state.history) < config.epochs:
        log.info("stopped early: no improvement for %s", plural(config.early_stopping.patience, "epoch"))
    return False, best_sha256


def _check_not_removed(folder: RunFolder, best_epoch: int) -> None:
    """Raises UserError where files of the run have gone that cannot be written again."""
    for file, loss in (
        (folder.best, f"the weights of the best epoch, {best_epoch}, are lost"),
        (folder.record_file, "the run's record is lost"),
    ):
        if not file.exists():
            raise UserError(f"{file}: was removed during the training, so that {loss}: run it again in a new folder")


def _report(config: TrainConfig, record: Record, trial: Trial) -> bool:
    """Reports an epoch's objective value to the trial. Returns whether to stop, which is False after the last epoch."""
    value = record[config.objectives[0]] if config.objectives[0] != "train_seconds" else record["seconds"]
    trial.report(value, record["epoch"])
    return record["epoch"] < config.epochs and trial.should_stop()


def _epoch_line(config: TrainConfig, record: Record, is_best: bool) -> str:
    line = f"epoch {record['epoch']:>{len(str(config.epochs))}}/{config.epochs}  train loss {record['train_loss']:.4f}"
    if record["val_loss"] is not None:
        line += f"  validation loss {record['val_loss']:.4f}  accuracy {record['val_accuracy']:.2%}"
        line += "".join(f"  {name} {_number(record[f'val_{name}'])}" for name in config.metrics)
        line += " *" if is_best else "  "
    return f"{line}  lr {record['lr']:.2g}  {record['seconds']:.1f} s"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _objective(config: TrainConfig, state: TrainingState) -> Any:
    """The objective for a sweep: a number or a list of numbers; None without the validation part that it needs."""
    best = best_record(state.history, config.selection_metric) or {}
    values = [state.seconds if name == "train_seconds" else best.get(name) for name in config.objectives]
    return values[0] if isinstance(config.objective, str) else values


@contextmanager
def _claimed(folder: RunFolder, resuming: bool) -> Iterator[None]:
    """Locks the folder. Raises UserError where another process holds it, or a new run finds a run in it."""
    if not resuming:
        folder.check_free()  # before waiting for the lock
    with folder.locked():
        if not resuming:
            folder.check_free()
        yield


@contextmanager
def _recorded(folder: RunFolder, trial: Trial | None) -> Iterator[None]:
    """Writes a failure or interruption to the run's record and log.

    A finished run that was to be made longer, and failed before that began, keeps its record.
    """
    before = folder.record()
    kept = False
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        reason = error_text(error)
        bug = None if interrupted or isinstance(error, UserError) else error  # the log has its traceback
        with suppress(OSError, UserError):  # a full disk must not hide the original error
            kept = before.get("status") in FINISHED and folder.record() == before
            if not kept:
                folder.update(status="interrupted" if interrupted else "failed", error=None if interrupted else reason)
        if kept:
            log.error("not made longer: %s", reason, exc_info=bug)
        elif interrupted and trial is None:
            log.info("interrupted: go on with python src/train.py resume=%s", folder.path)
        elif interrupted:
            log.info("interrupted: the sweep's own command goes on with it")
        else:
            log.error("failed: %s", reason, exc_info=bug)
        raise


@cache  # the loaded code does not change during the process
def _git_commit() -> str | None:
    """The git commit of this code, with "-dirty" for uncommitted changes. None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
