"""The progress bar of a run, and its estimate of the time left."""

import logging
import statistics
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)

# The least number of steps and seconds for an estimate: the first steps are slower than the rest.
_STEPS, _SECONDS = 20, 3.0
_LEAST_LEFT = 10.0  # seconds left, at least, for an estimate
_TOLERANCE = 1.5  # a factor: an estimate that changes by more is logged again


class ProgressBar:
    """A bar over all steps of a run, only on a terminal. A context manager. The loop calls `step`.

    Logs an estimate of the time left after some steps. Logs another one after the first epoch, which includes
    validation, if the first estimate was wrong.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, epochs_done: int) -> None:
        self._total = epochs * steps_per_epoch
        self._per_epoch = steps_per_epoch
        self._done = self._first = epochs_done * steps_per_epoch
        self._began = self._last = 0.0
        self._steps: list[float] | None = []  # seconds per step, until there is an estimate
        self._end: float | None = None  # according to the last logged estimate
        self._bar = tqdm(
            total=self._total, initial=self._done, unit="step", dynamic_ncols=True, leave=False,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, mean_loss: float | None) -> None:
        """Counts a step. Shows the epoch's mean loss unless it is None."""
        self._done += 1
        self._bar.update()
        if mean_loss is not None:
            self._bar.set_postfix_str(f"loss {mean_loss:.3f}", refresh=False)
        taken, now = self._done - self._first, time.perf_counter()
        if taken == 1:  # a warm-up
            self._began = self._last = now
            return
        if self._steps is not None:
            self._steps.append(now - self._last)
            self._last = now
            if taken >= _STEPS and now - self._began >= _SECONDS:
                self._estimate(statistics.median(self._steps), now)
                self._steps = None
        if taken == self._per_epoch + 1:
            self._estimate((now - self._began) / self._per_epoch, now)
            self._steps = None

    def _estimate(self, seconds: float, now: float) -> None:
        """Logs how long the rest takes at `seconds` per step, unless it is short or already logged."""
        left = seconds * (self._total - self._done)
        is_logged = self._end is not None and 1 / _TOLERANCE < left / max(self._end - now, 1e-9) < _TOLERANCE
        if left < _LEAST_LEFT or is_logged:
            return
        self._end = now + left
        log.info("about %s to go, at %.0f ms a step", _duration(left), 1000 * seconds)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
