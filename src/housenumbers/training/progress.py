"""The progress bar of a run, and its estimate of the time left."""

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)

_ESTIMATE_AFTER = 20  # steps; the first one warms up and does not count


class Progress:
    """A bar over all steps of a run, on a terminal alone. A context manager; `step` is what the loop calls."""

    def __init__(self, epochs: int, steps_per_epoch: int, epochs_done: int) -> None:
        self._total = epochs * steps_per_epoch
        self._done = self._first = epochs_done * steps_per_epoch
        self._second_step_at = 0.0
        self._bar = tqdm(
            total=self._total, initial=self._done, unit="step", dynamic_ncols=True, leave=False,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, mean_loss: float | None) -> None:
        """Counts a step; shows the epoch's mean loss where it is given."""
        self._done += 1
        self._bar.update()
        if mean_loss is not None:
            self._bar.set_postfix_str(f"loss {mean_loss:.3f}", refresh=False)
        if self._done == self._first + 1:
            self._second_step_at = time.perf_counter()
        elif self._done == self._first + _ESTIMATE_AFTER:
            seconds = (time.perf_counter() - self._second_step_at) / (_ESTIMATE_AFTER - 1)
            left = seconds * (self._total - self._done)
            log.info("about %s to go, at %.0f ms a step", _duration(left), 1000 * seconds)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
