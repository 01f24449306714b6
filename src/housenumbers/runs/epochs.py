"""The epochs of a run: after each of them its checkpoints, metrics and events are saved, and its line is logged."""

import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol

from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import config_to_dict
from housenumbers.data.batches import steps_per_epoch, training_batches
from housenumbers.data.load import Splits
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.tracking import tensorboard
from housenumbers.tracking.callbacks import LoggersAndCallbacks
from housenumbers.tracking.event_file import EventFile
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.checkpoint import save_checkpoint, weights_sha256
from housenumbers.training.history import Record, best_or_last
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.progress_bar import ProgressBar
from housenumbers.training.schedules import epochs_before_first_drop

log = logging.getLogger(__name__)


class Trial(Protocol):
    """The interface of a sweep's trial that a run uses."""

    @property
    def identity(self) -> dict[str, Any]: ...

    def report(self, value: float, epoch: int) -> None: ...

    def should_prune(self) -> bool: ...

    def exit_after_deadline(self) -> None: ...


@dataclass(frozen=True)
class RunContext:
    """The parts of a run that all its steps use: configuration, state, data, and files to write."""

    config: TrainConfig
    state: TrainingState
    splits: Splits
    folder: RunFolder
    writer: EventFile


def train_epochs(
    run: RunContext,
    observers: LoggersAndCallbacks,
    trial: Trial | None,
    origin: dict[str, Any],
    best_sha256: str | None,
) -> tuple[bool, str | None]:
    """Runs the training loop, and saves the state after each epoch. Returns whether the trial was pruned.

    Also returns the `weights_sha256` of the best weights, which is `best_sha256` at the start. last.pt holds it, so
    that a resumed run notices another best.pt. Checkpoints hold the configuration and `origin`.
    """
    config, state, folder = run.config, run.state, run.folder
    common = {"config": config_to_dict(config), **origin}
    first_drop = epochs_before_first_drop(config.scheduler, config.epochs)
    images = len(run.splits.train.labels)

    def is_pruned(record: Record) -> bool:
        # A high learning rate looks worse than a low one until it drops, and may be the better one after.
        if trial is None or not first_drop < record["epoch"] < config.epochs or not trial.should_prune():
            return False
        log.info("pruned after epoch %d", record["epoch"])
        return True

    if trial is not None and state.history:  # of the interrupted trial that this trial continues
        for record in state.history:
            trial.report(_objective_value(config, record), record["epoch"])
        if is_pruned(state.history[-1]):  # the interruption may have come before this decision
            return True, best_sha256
    steps = steps_per_epoch(run.splits.train, config.data.batch_size)
    with ProgressBar(config.epochs, steps, len(state.history)) as progress:
        for record in fit(config, state, run.splits.stages, run.splits.validation, progress.step):
            best = best_or_last(state.history, config.selected_by)
            # last.pt is saved first. If best.pt came first and the process died in between, best.pt could hold an epoch
            # that the run does not reproduce when it is resumed on another machine.
            if best is record:
                best_sha256 = weights_sha256(state.weights())
            save_checkpoint(folder.last, {**common, **state.state_dict(), "best_weights_sha256": best_sha256})
            if best is record:
                save_checkpoint(folder.best, {**common, "model": state.weights(), "record": record})
            _check_not_removed(folder, best["epoch"])
            folder.write_metrics(state.history)
            if not rewrite_if_lost(run):
                tensorboard.log_epoch(run.writer, record, images / record["seconds"])
            log.info("%s", _epoch_line(config, record, best is record and config.keep_epoch == "best"))
            observers.on_epoch_end(record)
            if trial is not None:
                trial.report(_objective_value(config, record), record["epoch"])
            if is_pruned(record):
                return True, best_sha256
            if trial is not None and record["epoch"] < config.epochs:
                trial.exit_after_deadline()
    if len(state.history) < config.epochs:
        log.info("stopped early: no improvement for %s", plural(config.early_stopping.patience, "epoch"))
    return False, best_sha256


def write_derived_files(run: RunContext) -> None:
    """Writes all files that follow from the configuration and the history so far.

    A resumed run writes them again, since a kill may have come between the checkpoint and the other files.
    """
    config, train, history = run.config, run.splits.train, run.state.history
    tensorboard.log_configuration(run.writer, config_to_dict(config))
    for epoch in (1, 2):  # two epochs show the effect of augmentation
        images, _ = next(training_batches(train, config.data.batch_size, config.augment, config.seed, epoch))
        tensorboard.log_sample_batch(run.writer, images, epoch)
    run.folder.write_metrics(history)
    ended = time.time() - sum(record["seconds"] for record in history)
    for record in history:
        ended += record["seconds"]
        tensorboard.log_epoch(run.writer, record, len(train.labels) / record["seconds"], ended)


def rewrite_if_lost(run: RunContext) -> bool:
    """Whether another program removed or changed the event file, so that all its data were written again."""
    if not run.writer.restart_if_lost():
        return False
    log.warning("%s: its event file was removed or changed: written again", run.folder.path)
    write_derived_files(run)
    return True


def _check_not_removed(folder: RunFolder, best_epoch: int) -> None:
    """Raises UserError where files of the run have gone that cannot be written again."""
    for file, loss in (
        (folder.best, f"the weights of the best epoch, {best_epoch}, are lost"),
        (folder.record_file, "the run's record is lost"),
    ):
        if not file.exists():
            raise UserError(f"{file}: was removed during the training, so that {loss}: run it again in a new folder")


def _objective_value(config: TrainConfig, record: Record) -> float:
    """The value of an epoch for the trial's pruner."""
    value: float = record[config.objectives[0]] if config.objectives[0] != "train_seconds" else record["seconds"]
    return value


def _epoch_line(config: TrainConfig, record: Record, is_best: bool) -> str:
    line = f"epoch {record['epoch']:>{len(str(config.epochs))}}/{config.epochs}  train loss {record['train_loss']:.4f}"
    if record["val_loss"] is not None:
        line += f"  validation loss {record['val_loss']:.4f}  accuracy {record['val_accuracy']:.2%}"
        line += "".join(f"  {name} {_decimal(record[f'val_{name}'])}" for name in config.metrics)
        line += " *" if is_best else "  "
    return f"{line}  lr {record['lr']:.2g}  {record['seconds']:.1f} s"


def _decimal(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
