"""Whether a run that has just ended makes its page by itself."""

import shlex
from pathlib import Path

from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import RunFolder

LONG = 60.0  # seconds of training from which on the few that a page takes are little beside them


def page_after_training(run: Path) -> None:
    """Makes the page of a run that trained for LONG or more, or says how to make it."""
    if (RunFolder(run).record().get("train_seconds") or 0.0) < LONG:
        print(f"a page of it: python src/report.py run={shlex.quote(str(run))}")
        return
    from housenumbers.reports.run_page import write_run_page

    try:
        print(f"a page of it: {write_run_page(run)}")
    except (UserError, OSError) as error:  # the run itself is well
        print(f"no page of it: {error}")
