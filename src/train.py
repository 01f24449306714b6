"""Trains one network: compose the configuration, check it, run. `python src/train.py --help` shows what can be set.

The rooms behind it are imported late: help and a mistake in the configuration should not wait for torch.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from housenumbers import config as schema
from housenumbers import interrupts, processes
from housenumbers.composition import composing, hydra_words, quoted
from housenumbers.errors import UserError, one_line_errors
from housenumbers.sweeps.multirun import outcome
from housenumbers.sweeps.trial import current
from housenumbers.targets import ALLOWED_TARGETS
from housenumbers.tracking.run_folder import ENDED_WELL, RunFolder
from housenumbers.words import check_words


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
        with interrupts.undisturbed():  # torn while it loads NumPy, torch would go on with half of it
            from housenumbers.reports.after_training import page_after_training
            from housenumbers.training.run import run

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
            from housenumbers.training.follow import follow

            follow()
            sys.stdout.flush()
            os._exit(0)  # Gloo's threads outlive the connection (torch 2.14), and may abort an interpreter that ends
        try:
            lead()
        except SystemExit as end:
            if end.code:
                raise
        if processes.world_size() > 1:
            from housenumbers.training.distributed import release

            release()


def lead() -> None:
    """What a process does that is the only one, or torchrun's first."""
    interrupts.install()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hand errors on, so that one place tells them, in one line
    schema.register()
    for word in sys.argv[1:]:
        verb, _, where = word.partition("=")
        if verb in ("resume", "repeat"):
            if not where:
                raise UserError(f"{verb}: of which run? {verb}=RUN_FOLDER, without spaces")
            from housenumbers.training import again

            others = [other for other in sys.argv[1:] if other != word]
            folder = again.folder_of(verb, where)
            code = getattr(again, verb)(folder, others)
            if verb == "resume" and not (folder / "report.html").exists():
                from housenumbers.reports.after_training import page_after_training

                page_after_training(folder)
            raise SystemExit(code)
    check_words(sys.argv[1:])
    sys.argv[1:] = quoted(hydra_words(sys.argv[1:]))
    with composing():
        train()


if __name__ == "__main__":
    main()
