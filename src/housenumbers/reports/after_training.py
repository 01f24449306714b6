"""Writes the page of a run right after its training, if that was long enough."""

import shlex
from pathlib import Path

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import command
from housenumbers.tracking.run_folder import RunFolder

LONG = 5.0  # seconds of training: shorter runs are tests, for which a page would take longer than the training


def page_after_resume(run: Path) -> None:
    """The same for a run that was resumed, unless it has its page: there may have been nothing to resume."""
    if not (run / "report.html").exists():
        page_after_training(run)


def page_after_training(run: Path) -> None:
    """Writes the page of a run that trained for LONG or more; else prints the command for it."""
    if (RunFolder(run).record().get("train_seconds") or 0.0) < LONG:
        print(f"a page of it: {command('report')} run={shlex.quote(str(run))}")
        return
    from housenumbers.reports.run_page import write_run_page

    try:
        print(f"a page of it: {write_run_page(run)}")
    except (UserError, OSError) as error:  # the run itself succeeded
        print(f"no page of it: {error}")
