"""Trains one network: compose the configuration, check it, run. `python src/train.py --help` shows what can be set.

The rooms behind it are imported late: help and a mistake in the configuration should not wait for torch.
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

from housenumbers.config import schema
from housenumbers.config.compose import composing, hydra_words, quoted
from housenumbers.config.overrides import check_words
from housenumbers.config.targets import ALLOWED_TARGETS
from housenumbers.runtime import processes, signals
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.sweeps.multirun import outcome
from housenumbers.sweeps.trial import current
from housenumbers.tracking.run_folder import ENDED_WELL, RunFolder


@hydra.main(config_path="../conf", config_name="train", execution_whitelist=ALLOWED_TARGETS)
def train(composed: DictConfig) -> Any:
    settings = HydraConfig.get()
    alone, trial = settings.mode == RunMode.RUN, current()
    folder = RunFolder(Path(settings.runtime.output_dir))
    # Here, before Hydra sees them, who adds a line of its own; what a trial fails of is told by its sweeper.
    with one_line_errors() if alone else failure_told(folder.path) if trial is None else nullcontext():
        if alone or trial is not None:
            folder.check_free()
        with chdir(settings.runtime.cwd):  # for relative paths, with hydra.job.chdir=true too
            config = schema.checked(composed)
        going_on = not alone and trial is None and folder.holds(config)
        if going_on and folder.status() in ENDED_WELL:
            print(f"{folder.path}: completed already", flush=True)
            return outcome(folder, config.objective)
        with signals.undisturbed():  # torn while it loads NumPy, torch would go on with half of it
            from housenumbers.reports.after_training import page_after_training
            from housenumbers.runs.run import run

        def save() -> None:
            if not going_on:
                folder.save_composition(composed, settings)

        value = run(config, folder.path, trial, resuming=going_on, prepare=save)
        if alone:
            page_after_training(folder.path)
        return value


@contextmanager
def failure_told(folder: Path) -> Iterator[None]:
    """Says at once that a run of a multirun failed: the others may take hours."""
    try:
        yield
    except Exception as error:
        print(f"error: {folder.name}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise


def main() -> None:
    processes.end_with_torchrun()
    with one_line_errors():
        if processes.rank() > 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once, as SIGTERM does: there is nothing to save
            from housenumbers.runs.ddp_worker import follow

            follow()
            sys.stdout.flush()
            os._exit(0)  # Gloo's threads outlive the connection (torch 2.14), and may abort an interpreter that ends
        try:
            run_main_process()
        except SystemExit as end:
            if end.code:
                raise
        if processes.world_size() > 1:
            from housenumbers.training.distributed import release

            release()


def run_main_process() -> None:
    """What the only process does, or the first one of torchrun's: composes the configuration and trains."""
    signals.install()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, and one_line_errors prints them in one line
    schema.register()
    for word in sys.argv[1:]:
        command, _, run = word.partition("=")
        if command in ("resume", "repeat"):
            raise SystemExit(resume_or_repeat(command, run, [other for other in sys.argv[1:] if other != word]))
    check_words(sys.argv[1:])
    sys.argv[1:] = quoted(hydra_words(sys.argv[1:]))
    with composing():
        train()


def resume_or_repeat(command: str, run: str, overrides: Sequence[str]) -> int:
    """`resume=RUN` or `repeat=RUN`. Returns the exit code."""
    if not run:
        raise UserError(f"{command}: of which run? {command}=RUN_FOLDER, without spaces")
    from housenumbers.runs.resume import folder_of

    folder = folder_of(command, run)
    if command == "repeat":
        from housenumbers.runs.repeat import repeat

        return repeat(folder, overrides)
    from housenumbers.runs.resume import resume

    code = resume(folder, overrides)
    if not (folder / "report.html").exists():
        from housenumbers.reports.after_training import page_after_training

        page_after_training(folder)
    return code


if __name__ == "__main__":
    main()
