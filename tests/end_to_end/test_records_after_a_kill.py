"""After a resume the history in the checkpoint, metrics.jsonl and TensorBoard say the same, wherever the kill came."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from boards import LOADERS, scalars
from support import ROOT, TINY, command_line, environment, only_run, run_in

WORDS = (*TINY, "data.reduce=0.2", "epochs=2")
TAGS = {
    "Loss/train": "train_loss", "Loss/validation": "val_loss", "Accuracy/validation": "val_accuracy",
    "LearningRate": "lr",
}  # fmt: skip

# Runs train.py, and kills the process before the Nth call of a function of a module.
KILLED_AT = """
import importlib, os, runpy, signal, sys
sys.path.insert(0, {src!r})
import torch
module, _, owner = {place!r}.partition(":")
module, name, calls = importlib.import_module(module), {name!r}, 0
module = getattr(module, owner) if owner else module
original = getattr(module, name)
def killed(*arguments, **more):
    global calls
    calls += 1
    if calls == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **more)
setattr(module, name, killed)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
AFTER_CHECKPOINTS = "between the last epoch's checkpoints and metrics.jsonl"
POINTS = {
    "between last.pt and best.pt": ("housenumbers.runs.epochs", "save_checkpoint", 4),
    AFTER_CHECKPOINTS: ("housenumbers.tracking.run_folder:RunFolder", "write_metrics", 3),
    "between the first epoch's metrics and TensorBoard": ("housenumbers.tracking.tensorboard", "log_epoch", 1),
    "between the last epoch's metrics and TensorBoard": ("housenumbers.tracking.tensorboard", "log_epoch", 2),
    "in the results, after the first scores": ("housenumbers.evaluation.figures", "confusion_matrix", 1),
    "after all of TensorBoard": ("housenumbers.runs.results", "weights_sha256", 1),
}  # fmt: skip
# Without validation the last epoch is the best one, whatever the net has learnt.
MORE = {"between last.pt and best.pt": ("data.val_fraction=0",)}
SLOW = POINTS.keys() - {AFTER_CHECKPOINTS}


def killed_run(home: Path, point: str) -> Path:
    place, name, number = POINTS[point]
    command = command_line("train", *WORDS, *MORE.get(point, ()))
    code = KILLED_AT.format(src=str(ROOT / "src"), place=place, name=name, number=number)
    process = subprocess.run(
        [command[0], "-c", code, *command[1:]], cwd=home, env=environment(), capture_output=True, timeout=300
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    return only_run(home)


def history(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["history"]
    return found


@pytest.mark.slow
def test_the_points_lie_where_their_names_say(tmp_path: Path) -> None:
    """One kill whose trace can be seen: the checkpoint has the last epoch, metrics.jsonl has not."""
    folder = killed_run(tmp_path, AFTER_CHECKPOINTS)
    assert len(history(folder)) == 2
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("point", [pytest.param(point, marks=[pytest.mark.slow] * (point in SLOW)) for point in POINTS])
def test_all_records_say_what_the_checkpoint_says_once(tmp_path: Path, point: str) -> None:
    folder = killed_run(tmp_path, point)
    done = run_in(tmp_path, "train", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    told = history(folder)
    assert [record["epoch"] for record in told] == [1, 2]
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == told
    for loader in LOADERS:
        shown = scalars(folder, loader)
        for tag, key in TAGS.items():
            values = [(record["epoch"], record[key]) for record in told if record[key] is not None]
            assert shown.get(tag, []) == [(epoch, pytest.approx(value, rel=1e-6)) for epoch, value in values]
        once = {tag: len(points) for tag, points in shown.items() if tag.startswith(("Final/", "hparam/"))}
        assert once
        assert set(once.values()) == {1}
