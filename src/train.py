"""Trains one network: compose the configuration, check it, run. `python src/train.py --help` shows what can be set.

The packages behind it are imported late: help and a mistake in the configuration should not wait for torch.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from housenumbers.config.compose import hydra_arguments, one_line_hydra_errors, one_line_package_error, quote_paths
from housenumbers.config.overrides import check_arguments
from housenumbers.config.schema import register_schemas
from housenumbers.config.targets import ALLOWED_TARGETS
from housenumbers.config.validate import validate_config
from housenumbers.runtime import fast_process, processes, signals
from housenumbers.runtime.errors import UserError, error_text, one_line_errors
from housenumbers.sweeps.trial import current_trial
from housenumbers.tracking.run_folder import FINISHED, RunFolder


@hydra.main(config_path="../conf", config_name="train", execution_whitelist=ALLOWED_TARGETS)
def train(composed: DictConfig) -> Any:
    settings = HydraConfig.get()
    is_single_run, trial = settings.mode == RunMode.RUN, current_trial()
    folder = RunFolder(Path(settings.runtime.output_dir))
    # Catches errors here, since Hydra would print an extra line. The sweeper prints why a trial failed.
    with one_line_errors() if is_single_run else print_failure(folder.path) if trial is None else nullcontext():
        if is_single_run or trial is not None:
            folder.check_free()
        with chdir(settings.runtime.cwd):  # for relative paths, with hydra.job.chdir=true too
            config = validate_config(composed)
        is_resumed = not is_single_run and trial is None and folder.has_run_of(config)
        if is_resumed and folder.status() in FINISHED:
            print(f"{folder.path}: completed already", flush=True)
            return folder.objective(config.objective)
        with (
            signals.deferred_signals(),
            fast_process.imports_without_gc(),
        ):  # an interrupted NumPy import leaves torch broken
            from housenumbers.reports.after_training import page_after_training
            from housenumbers.runs.run import run

        def save() -> None:
            if not is_resumed:
                folder.save_hydra_config(composed, settings)

        value = run(config, folder.path, trial, resuming=is_resumed, prepare=save)
        if is_single_run:
            page_after_training(folder.path)
        return value


@contextmanager
def print_failure(folder: Path) -> Iterator[None]:
    """Prints the failure of a multirun's run at once, since the other runs may take hours."""
    try:
        yield
    except Exception as error:
        print(f"error: {folder.name}: {error_text(error)}", file=sys.stderr, flush=True)
        raise


def main() -> None:
    processes.terminate_with_torchrun()
    with one_line_errors():
        if processes.rank() > 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once, like SIGTERM: nothing to save
            from housenumbers.runs.ddp_worker import run_ddp_worker

            run_ddp_worker()
            sys.stdout.flush()
            os._exit(0)  # Gloo's threads outlive the connection (torch 2.14) and may abort the exiting interpreter
        try:
            run_main_process()
        except SystemExit as end:
            if end.code:
                raise
        if processes.world_size() > 1:
            from housenumbers.training.distributed import release_other_ranks

            release_other_ranks()


def run_main_process() -> None:
    """Composes the configuration and trains, in the only process or in torchrun's first process."""
    signals.install_handlers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, and one_line_errors prints them in one line
    register_schemas()
    for word in sys.argv[1:]:
        command, _, run = word.partition("=")
        if command in ("resume", "repeat"):
            raise SystemExit(resume_or_repeat(command, run, [other for other in sys.argv[1:] if other != word]))
    check_arguments(sys.argv[1:])
    sys.argv[1:] = quote_paths(hydra_arguments(sys.argv[1:]))
    with one_line_hydra_errors(), one_line_package_error(sys.argv[1:]):
        train()


def resume_or_repeat(command: str, run: str, overrides: Sequence[str]) -> int:
    """Executes `resume=RUN` or `repeat=RUN`. Returns the exit code."""
    if not run:
        raise UserError(f"{command}: of which run? {command}=RUN_FOLDER, without spaces")
    from housenumbers.runs.resume import folder_of

    folder = folder_of(command, run)
    if command == "repeat":
        from housenumbers.runs.repeat import repeat

        folder, code = repeat(folder, overrides)
    else:
        from housenumbers.runs.resume import resume

        code = resume(folder, overrides)
    from housenumbers.reports.after_training import page_after_resume

    page_after_resume(folder)
    return code


if __name__ == "__main__":
    main()
