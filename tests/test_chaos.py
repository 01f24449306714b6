"""tests/chaos.py in small, and whether it notices what it is there to notice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chaos_support.records import faults_in
from support import ROOT, environment
from torch.utils.tensorboard import SummaryWriter

FEW = ("kills=4", "points=4", "mutations=16", "sweeps=1")


def chaos(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "chaos.py"), *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True)


@pytest.mark.slow
def test_a_few_kills_and_damaged_files() -> None:
    done = chaos(*FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    for kind, count in (word.split("=") for word in FEW):
        assert f"{kind:<10}{count:>6} cases" in done.stdout


@pytest.mark.parametrize("word", ["only=kills", "only=cats/3", "kill=3", "kills=many"])
def test_a_wrong_word_is_one_line(word: str) -> None:
    done = chaos(word)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert word.partition("=")[0] in line


@pytest.mark.slow
def test_lost_and_doubled_epochs_and_other_weights_are_noticed(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    assert faults_in(run, finished) == []
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:-1]))
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"weights_sha256": "0" * 64}))
    with SummaryWriter(str(run)) as writer:
        writer.add_scalar("Loss/train", 0.5, 2)
    names = {name for name, _ in faults_in(run, finished)}
    assert names == {
        "other weights", "epochs in metrics.jsonl", "epochs in TensorBoard (fast)", "epochs in TensorBoard (slow)",
    }  # fmt: skip
