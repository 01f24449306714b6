"""Runs that a benchmark keeps: none is done twice, and an interrupted one is gone on with."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from housenumbers.errors import UserError


def completed_run(folder: Path, words: list[str]) -> dict[str, Any]:
    """The record of the run in `folder`, which `src/train.py` with these words makes where it is not there yet.

    Raises UserError where the run fails.
    """
    record = folder / "run.json"
    status = json.loads(record.read_text())["status"] if record.exists() else None
    if status != "completed":
        go_on = [f"resume={folder}"] if status else [*words, f"hydra.run.dir={folder}"]
        done = subprocess.run([sys.executable, ROOT / "src/train.py", *go_on], capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{folder}: {done.stderr.strip()}")
    return dict(json.loads(record.read_text()))
