"""One run, from its configuration to its results, in its run folder."""

import logging
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch

from housenumbers.config.schema import TrainConfig
from housenumbers.config.targets import note_failing_target
from housenumbers.config.values import option_dict
from housenumbers.data.batches import smallest_micro_batch, steps_per_epoch
from housenumbers.data.load import Splits, load_splits, test_part_sha256
from housenumbers.preflight import check_targets, group_targets
from housenumbers.runs.epochs import RunContext, Trial, rewrite_if_lost, train_epochs, write_derived_files
from housenumbers.runs.restore import best_weights_sha256, last_checkpoint, restore, rewrite_best_checkpoint
from housenumbers.runs.results import write_results
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError, error_text
from housenumbers.runtime.installation import CHECKOUT, command
from housenumbers.runtime.memory import disable_malloc_trimming, one_line_memory_errors
from housenumbers.runtime.signals import deferred_signals
from housenumbers.runtime.text import plural
from housenumbers.tracking.callbacks import LoggersAndCallbacks
from housenumbers.tracking.event_file import EventFile
from housenumbers.tracking.run_folder import FINISHED, RunFolder
from housenumbers.tracking.run_log import run_log
from housenumbers.training import distributed
from housenumbers.training.build import check_output, parameter_count
from housenumbers.training.loop import TrainingState
from housenumbers.training.progressive import check_batch_shapes
from housenumbers.training.reproducibility import environment, seed_everything

log = logging.getLogger(__name__)


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
    path.mkdir(parents=True, exist_ok=True)  # for the files of loggers
    # A run that is resumed may be refused below: its loggers' files stay as they are then.
    observers = None if resuming else LoggersAndCallbacks(config, path)
    with (
        _locked_folder(folder, resuming), run_log(folder.log_file), _failures_recorded(folder, trial),
        one_line_memory_errors(), note_failing_target(group_targets(config)), distributed.process_group(),
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
        start_record = {"run_id": run_id, **conditions, "trial": trial and trial.identity}
        if record.get("status") not in FINISHED:
            folder.record_start(config, **start_record)
        if trial is None:  # reads the test part before training, to detect errors in it early
            start_record["test_sha256"] = test_part_sha256(config.data)
            if old_test not in (None, start_record["test_sha256"]):
                raise UserError(f"{path}: the test part in {config.data.root} is not the one that this run began with")
        splits = load_splits(config.data).to(device)
        if last.get("data_sha256", splits.sha256) != splits.sha256:
            raise UserError(f"{path}: the data in {config.data.root} are not those that this run began with")
        # A run resumed under different conditions may not be repeatable: its record states that.
        mixed = last.get("conditions_mixed", False) or last.get("conditions", conditions) != conditions
        data_sha256 = distributed.broadcast_object(splits.sha256)
        origin = {"run_id": run_id, "data_sha256": data_sha256, "conditions": conditions, "conditions_mixed": mixed}
        start_record |= {"data_sha256": data_sha256, "conditions_mixed": mixed}

        state = _start_or_resume(config, folder, splits, device, last)
        best_sha256 = best_weights_sha256(config, state, last)
        distributed.broadcast_state(state, device)
        observers = observers or LoggersAndCallbacks(config, path)
        # Record the start only here: if an earlier step fails, a finished run must keep its record.
        folder.record_start(config, **start_record, pretrained_sha256=state.pretrained_sha256)
        rewrite_best_checkpoint(config, state, last, folder)
        del last  # else a second copy of the weights and optimizer moments would stay in memory
        # From here on signals are handled between batches: an exception inside matplotlib or a study's database does
        # harm.
        with deferred_signals(), EventFile(path) as writer, observers:
            context = RunContext(config, state, splits, folder, writer)
            write_derived_files(context)
            observers.log_start(state.history)
            pruned, best_sha256 = train_epochs(context, observers, trial, origin, best_sha256)
            distributed.destroy_process_group()  # the worker processes end here
            rewrite_if_lost(context)
            status = "pruned" if pruned else "completed"
            scores = write_results(context, status, is_trial=trial is not None, best_sha256=best_sha256)
            observers.log_metrics(scores, step=len(state.history))
        return folder.objective(config.objective)


def _start_or_resume(
    config: TrainConfig, folder: RunFolder, splits: Splits, device: torch.device, last: dict[str, Any]
) -> TrainingState:
    """The state before the first epoch or, with a `last` checkpoint, after the checkpoint's epoch."""
    seed_everything(config.seed)
    steps = steps_per_epoch(splits.train, config.data.batch_size)
    state = TrainingState.initial(config, steps, device, pretrained=not last)
    images, labels = splits.train.images, splits.train.labels
    fewest = smallest_micro_batch(len(images), config.data.batch_size, processes.world_size(), config.micro_batches)
    check_batch_shapes(config, state.model, images[:fewest])
    count = max(2, fewest)  # batch norms need two images or more
    check_output(state.model, option_dict(config.model)["_target_"], images[:count], labels[:count])
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


@contextmanager
def _locked_folder(folder: RunFolder, resuming: bool) -> Iterator[None]:
    """Locks the folder. Raises UserError where another process holds it, or a new run finds a run in it."""
    if not resuming:
        folder.check_free()  # before waiting for the lock
    with folder.locked():
        if not resuming:
            folder.check_free()
        yield


@contextmanager
def _failures_recorded(folder: RunFolder, trial: Trial | None) -> Iterator[None]:
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
            log.info("interrupted: go on with %s resume=%s", command("train"), shlex.quote(str(folder.path)))
        elif interrupted:
            log.info("interrupted: the sweep's own command goes on with it")
        else:
            log.error("failed: %s", reason, exc_info=bug)
        raise


@cache  # the loaded code does not change during the process
def _git_commit() -> str | None:
    """The git commit of this code, with "-dirty" for uncommitted changes. None outside a checkout."""
    if CHECKOUT is None:  # installed perhaps in a folder below another project's repository
        return None
    words = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            words, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
