"""Runs a command that ends at an exact place: `python ended.py NUMBER EPOCHS FOLDER src/train.py ARGUMENTS`.

A signal of that NUMBER, or with 0 the end of `hydra.sweeper.timeout`, comes once a run, in a folder whose name ends in
FOLDER, has written the metrics of so many epochs; with EPOCHS=0 once it has recorded its start.
"""

import math
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_, number, epochs, name, *sys.argv = sys.argv
sys.path.insert(0, str(Path(sys.argv[0]).parent))

from housenumbers.sweeps import deadline  # noqa: E402  # found there
from housenumbers.tracking.run_folder import RunFolder  # noqa: E402  # found there

write_metrics, record_start = RunFolder.write_metrics, RunFolder.record_start


def end_after(self: RunFolder, done: int) -> None:
    if done == int(epochs) and self.path.name.endswith(name):
        if int(number):
            os.kill(os.getpid(), int(number))
        else:
            deadline.time = SimpleNamespace(time=lambda: math.inf)  # type: ignore[assignment]  # the clock of that module


def write_and_end(self: RunFolder, history: list) -> None:
    write_metrics(self, history)
    if history:
        end_after(self, len(history))


def record_and_end(self: RunFolder, config: Any, **values: Any) -> None:
    record_start(self, config, **values)
    end_after(self, 0)


RunFolder.write_metrics = write_and_end  # type: ignore[method-assign]
RunFolder.record_start = record_and_end  # type: ignore[method-assign]
runpy.run_path(sys.argv[0], run_name="__main__")
