"""Runs that a benchmark keeps: none is done twice, and an interrupted one is gone on with."""

import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from housenumbers.config.compose import compose_config
from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import config_to_dict, flatten
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_folder import RunFolder


def completed_run(folder: Path, words: list[str]) -> dict[str, Any]:
    """The record of the run in `folder`, which `src/train.py` with these words makes where it is not there yet.

    Raises UserError where the run fails, or the one that is there has another configuration.
    """
    run = RunFolder(folder)
    record = run.record()
    if record:
        _check_equal(run.config(), compose_config(ROOT / "conf", words), folder)
    if record.get("status") != "completed":
        go_on = [f"resume={folder}"] if record else [*words, f"hydra.run.dir={folder}"]
        done = subprocess.run([sys.executable, ROOT / "src/train.py", *go_on], capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{folder}: {done.stderr.strip()}")
    return run.record()


def _check_equal(found: TrainConfig, wanted: TrainConfig, folder: Path) -> None:
    old, new = flatten(config_to_dict(found)), flatten(config_to_dict(wanted))
    for key in sorted(old.keys() | new.keys()):
        if key != "data.root" and old.get(key) != new.get(key):  # the same data may lie elsewhere
            now = f"{key}={new.get(key)}, was {old.get(key)}"
            raise UserError(f"{folder}: a run with other settings ({now}): move it away, or choose another folder=")
